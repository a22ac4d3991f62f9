//! A packet that is sealed for a recipient: the private key opens it with a standard tool, and nothing else does.

use super::evidence::Served;
use crate::support::desk::Desk;
use std::path::Path;
use std::process::Command;

/// Runs `openssl`; whether it says that all went well.
fn openssl(home: &Path, arguments: &[&str]) -> bool {
    let output = Command::new("openssl").args(arguments).current_dir(home).output();
    output.expect("openssl runs").status.success()
}

fn opens(home: &Path, sealed: &str, key: &str) -> bool {
    let arguments = [
        "cms",
        "-decrypt",
        "-binary",
        "-inform",
        "DER",
        "-in",
        sealed,
        "-inkey",
        key,
        "-out",
        "opened.tar",
    ];
    openssl(home, &arguments)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn t_f05_a_packet_that_is_sealed_for_a_recipient_opens_with_the_private_key_alone() {
    let served = Served::start().await;
    let (bytes, told) = served.packet("plain.tar", &[&served.exchange]);
    let id = told["id"].as_str().expect("an id");
    let home = served.payer.home();
    for key in ["auditor", "other"] {
        let (private, public) = (format!("{key}.key"), format!("{key}.pub"));
        assert!(openssl(home, &["genrsa", "-out", &private, "2048"]));
        assert!(openssl(home, &["rsa", "-in", &private, "-pubout", "-out", &public]));
    }
    let get = |key: &str, name: &str| {
        served.stderr(&["evidence", "get", id, "--for", key, "--out", name, "--reason", "a test"])
    };

    // By the beginning of the id, as a person types it.
    let told = served.payer.json_command(&[
        "evidence",
        "get",
        &id[..8],
        "--for",
        "auditor.pub",
        "--out",
        "sealed.p7m",
        "--reason",
        "a test",
    ]);
    assert_eq!(told["id"], id);
    let sealed = std::fs::read(home.join("sealed.p7m")).expect("sealed");
    let name = b"manifest.json";
    let has = |bytes: &[u8]| bytes.windows(name.len()).any(|part| part == name);
    assert!(has(&bytes) && !has(&sealed), "nothing of it can be read");
    assert!(opens(home, "sealed.p7m", "auditor.key"));
    assert!(std::fs::read(home.join("opened.tar")).expect("opened") == bytes);
    assert!(!opens(home, "sealed.p7m", "other.key"), "another key opens nothing");
    let mut changed = sealed.clone();
    let middle = changed.len() / 2;
    changed[middle] ^= 1;
    std::fs::write(home.join("changed.p7m"), changed).expect("written");
    assert!(!opens(home, "changed.p7m", "auditor.key"), "a changed byte is noticed");

    // The ledger says for which key it was.
    let auditor = Desk::of(&served.payer, &served.client, "auditor");
    let entries = auditor.all("ledger").await;
    let digest = told["sealed_for"].as_str().expect("a digest");
    assert_eq!(digest.len(), 64);
    let viewed = entries.iter().filter(|entry| entry["req_digest"] == digest);
    let actions: Vec<&str> = viewed.filter_map(|entry| entry["action"].as_str()).collect();
    assert_eq!(actions, ["operator.viewed"]);

    std::fs::write(home.join("note.pub"), "no key").expect("written");
    for (key, code, why) in [
        ("auditor.key", Some(2), "private key"),
        ("note.pub", Some(2), "2,048"),
        ("missing.pub", Some(3), "missing.pub"),
    ] {
        let refused = get(key, "refused.p7m");
        assert!(refused.0 == code && refused.1.contains(why), "{key}: {refused:?}");
    }
    assert!(!home.join("refused.p7m").exists());
}
