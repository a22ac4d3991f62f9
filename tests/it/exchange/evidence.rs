//! Evidence of one exchange at both payers: the one that asked, and the one that was asked.

use super::pair::WAIT;
use super::two_payers::BothPayers;
use crate::ledger::store::covered;
use crate::support::payer::TestPayer;
use causeway::audit::note::LogKey;
use causeway::audit::packet::archive::unpack;
use causeway::audit::packet::check::verify_packet;
use causeway::audit::verify::LedgerResult;
use serde_json::Value;
use std::collections::BTreeMap;
use std::time::{Duration, Instant};

/// The files of the packet of this exchange.
#[track_caller]
fn packet(payer: &TestPayer, id: &str) -> BTreeMap<String, Vec<u8>> {
    let told = payer.json_command(&["audit", "packet", id, "--reason", "a test", "--out", "packet.tar"]);
    assert_eq!(told["state"], "made", "{told}");
    let bytes = std::fs::read(payer.home().join("packet.tar")).expect("a packet");
    let key = payer.json_command(&["audit", "key"])["key"]
        .as_str()
        .and_then(LogKey::parse);
    let verdict = verify_packet(&bytes, &key.expect("a key"), None, None);
    assert_eq!(verdict.result, LedgerResult::Ok, "{verdict:?}");
    let files = unpack(&bytes).expect("a packet").into_iter();
    files.map(|file| (file.path, file.bytes)).collect()
}

fn values(files: &BTreeMap<String, Vec<u8>>, path: &str) -> Vec<Value> {
    let text = std::str::from_utf8(&files[path]).expect("text");
    text.lines()
        .map(|line| serde_json::from_str(line).expect("JSON"))
        .collect()
}

/// Puts a retry version of the store in force.
fn hasty(payer: &TestPayer) {
    let shown = payer.command(&["policy", "show", "default", "--kind", "retry"]);
    let text = String::from_utf8(shown.stdout).expect("text");
    let text = text.replace("not-sent repeat 1000 300000 8", "not-sent repeat 1000 300000 7");
    std::fs::write(payer.home().join("hasty.policy"), text).expect("a file");
    for arguments in [
        ["policy", "import", "hasty.policy", "--kind", "retry", "--name", "hasty"].as_slice(),
        &["policy", "activate", "hasty", "--kind", "retry"],
    ] {
        let done = payer.command(&[arguments, &["--reason", "a test"]].concat());
        assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    }
}

#[test]
fn an_exchange_is_shown_by_both_payers() {
    let mut both = BothPayers::start(2, "2.2");
    covered(&both.old);
    assert_eq!(both.old.terminate(), Some(0), "{}", both.old.log());
    both.old.serve();
    let alone = both.enrolment(1, None);
    std::fs::write(both.new.home().join("alone.json"), alone.to_string()).expect("a file");
    hasty(&both.new);
    let started = both.new.json_command(&["exchange", "start", "alone.json"]);
    let id = started["id"].as_str().expect("an id");
    let began = Instant::now();
    let shown = loop {
        let shown = both.new.json_command(&["exchange", "show", id]);
        if !shown["ended_at"].is_null() {
            break shown;
        }
        assert!(began.elapsed() < WAIT, "{}", both.new.log());
        std::thread::sleep(Duration::from_millis(200));
    };
    assert_eq!(shown["phase"], "completed", "{shown}");

    let ours = packet(&both.new, id);
    let timeline: Value = serde_json::from_slice(&ours["timeline.json"]).expect("JSON");
    let phases: Vec<&str> = timeline
        .as_array()
        .expect("items")
        .iter()
        .filter_map(|item| item["phase"].as_str())
        .collect();
    assert_eq!(
        (phases.first(), phases.last()),
        (Some(&"requested"), Some(&"completed")),
        "{timeline:#}"
    );
    let cited: Value = serde_json::from_slice(&ours["policies.json"]).expect("JSON");
    let mut versions = cited["versions"].as_array().expect("versions").iter();
    let hasty = versions.find(|one| one["version"].as_str().is_some_and(|name| name.starts_with("hasty-")));
    let hasty = hasty.unwrap_or_else(|| panic!("{cited:#}"));
    assert_eq!(hasty["kind"], "retry");
    let text = &ours[hasty["text"].as_str().expect("the text of a version of the store")];
    assert!(String::from_utf8_lossy(text).contains("not-sent repeat 1000 300000 7"));
    let attempts = values(&ours, "requests.jsonl");
    let shown_steps = shown["steps"].as_array().expect("steps").len();
    assert_eq!(
        attempts.iter().filter(|one| one["direction"] == "outbound").count(),
        shown_steps
    );
    let received = values(&ours, "files.jsonl");
    assert!(
        received.iter().any(|one| one["direction"] == "received"),
        "{received:?}"
    );
    let theirs = format!("partner-checkpoints/{id}.note");
    assert!(ours.contains_key(&theirs), "{:?}", ours.keys());
    let key = both.old.json_command(&["audit", "key"])["key"]
        .as_str()
        .and_then(LogKey::parse);
    let note = std::str::from_utf8(&ours[&theirs]).expect("text");
    key.expect("a key").open(note).expect("signed by the old payer");
    assert!(ours.keys().any(|path| path.starts_with("consent/")), "the opt-in");

    let listed = both.old.json_command(&["exchange", "list"]);
    let inbound = listed[0]["id"].as_str().expect("an id");
    let theirs = packet(&both.old, inbound);
    let sent = values(&theirs, "files.jsonl");
    assert!(
        sent.iter()
            .any(|one| one["direction"] == "sent" && one["outcome"] == "ok"),
        "{sent:?}"
    );
    let requests = values(&theirs, "requests.jsonl");
    assert!(
        requests.iter().any(|one| one["client_certificate_sha256"].is_string()),
        "{requests:?}"
    );
}
