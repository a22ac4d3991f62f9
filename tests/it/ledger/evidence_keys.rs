//! A running server seals the packets that it makes; commands check and rotate the keys, and say what is missing.

use super::evidence::Served;
use crate::support::store::on_postgres;
use causeway::secret::member_keys::{MEMBER_KEYS_FILE, WRAPPING_KEYS_FILE};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_packet_is_sealed_under_keys_that_a_command_rotates_beside_the_server() {
    let served = Served::start().await;
    let (code, said) = served.stderr(&["audit", "keys", "check"]);
    assert!(
        code == Some(1) && said.contains("Nothing is sealed yet"),
        "{code:?} {said}"
    );
    let (bytes, told) = served.packet("one.tar", &[&served.exchange]);
    let plain = || served.payer.count("evidence_piece WHERE sealed = 0");
    if on_postgres() {
        // Nobody put a file of keys where all processes reach it.
        assert!(plain() > 0);
        return;
    }
    assert_eq!(plain(), 0);
    let home = served.payer.home();
    assert!(home.join(MEMBER_KEYS_FILE).exists() && !home.join(WRAPPING_KEYS_FILE).exists());
    assert_eq!(served.payer.json_command(&["audit", "keys", "check"])["keys"], 1);
    let rotated = served
        .payer
        .json_command(&["audit", "keys", "rotate", "--reason", "a test"]);
    assert_eq!(rotated["keys"], 1, "{rotated}");
    assert!(home.join(WRAPPING_KEYS_FILE).exists());
    assert_eq!(
        served.payer.count("ledger_entry WHERE action = 'ledger.keys-rotated'"),
        1
    );
    let get = |name: &str| {
        let id = told["id"].as_str().expect("an id");
        served.stderr(&["evidence", "get", id, "--reason", "a test", "--out", name])
    };
    assert_eq!(get("two.tar").0, Some(0));
    assert!(std::fs::read(home.join("two.tar")).expect("a packet") == bytes);

    let (file, aside) = (home.join(MEMBER_KEYS_FILE), home.join("aside"));
    std::fs::rename(&file, &aside).expect("moved");
    for refused in [
        get("three.tar"),
        served.stderr(&["audit", "keys", "check"]),
        served.stderr(&["audit", "keys", "rotate", "--reason", "a test"]),
    ] {
        assert!(refused.0 == Some(1) && refused.1.contains("EX-069"), "{refused:?}");
    }
    assert!(!home.join("three.tar").exists());
    std::fs::rename(&aside, &file).expect("put back");
    assert_eq!(get("three.tar").0, Some(0));
    assert!(std::fs::read(home.join("three.tar")).expect("a packet") == bytes);
}
