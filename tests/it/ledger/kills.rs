//! `kill -9` at every point of appending, integrating and signing: indexes stay contiguous, and no two checkpoints contradict.
//!
//! Each point once; [`super::storm`] kills at random.

use super::store::{SOON, covered, ended_signed, folder};
use crate::support::payer::{TestPayer, is_optimised, program};
use causeway::audit::note::LogKey;
use causeway::audit::sequencer::POINTS;
use causeway::failpoint::VARIABLE;
use std::collections::BTreeSet;
use std::process::Stdio;
use std::time::{Duration, Instant};

/// What was signed and could be seen: in the store, and in the file beside the key.
fn seen(payer: &TestPayer, notes: &mut BTreeSet<String>) {
    for file in std::fs::read_dir(folder(payer)).into_iter().flatten() {
        let path = file.expect("a file").path();
        if path.extension().is_some_and(|end| end == "checkpoint") {
            notes.insert(std::fs::read_to_string(path).expect("a note"));
        }
    }
    let stored = payer.command(&["audit", "checkpoint"]);
    if stored.status.success() {
        notes.insert(String::from_utf8(stored.stdout).expect("text"));
    }
}

#[test]
fn a_kill_at_any_point_leaves_one_contiguous_ledger_and_no_contradiction() {
    if is_optimised() {
        // An optimised build has no such points.
        return;
    }
    let (mut payer, _) = TestPayer::prepare(1);
    let mut notes = BTreeSet::new();
    for (round, point) in POINTS.iter().enumerate() {
        let began = Instant::now();
        let mut child = program(payer.home())
            .args(["serve", "--quiet", "--log-file", "server.log"])
            .envs([SOON, (VARIABLE, format!("ledger.{point}:1").as_str())])
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("it starts");
        let ended = loop {
            match child.try_wait().expect("a status") {
                Some(status) => break status,
                None if began.elapsed() > Duration::from_secs(120) => {
                    child.kill().expect("killed");
                    child.wait().expect("ended");
                    panic!("round {round}: {point} was not passed: {}", payer.log());
                }
                None => std::thread::sleep(Duration::from_millis(20)),
            }
        };
        assert_eq!(ended.code(), None, "round {round}, {point}: {}", payer.log());
        payer.end_leases();
        seen(&payer, &mut notes);
    }
    payer.serve_with(&[SOON]);
    covered(&payer);
    ended_signed(&mut payer, SOON);
    seen(&payer, &mut notes);

    let leaves = payer.count("ledger_leaf");
    assert_eq!(leaves, payer.count("ledger_entry"), "every entry has one place");
    assert_eq!(payer.count(&format!("ledger_leaf WHERE idx < 0 OR idx >= {leaves}")), 0);
    let key = payer.json_command(&["audit", "key"])["key"]
        .as_str()
        .and_then(LogKey::parse)
        .expect("a key");
    let mut sizes = BTreeSet::new();
    for note in &notes {
        let signed = key.open(note).expect("one log and one key");
        assert!(sizes.insert(signed.size), "two checkpoints of one size: {notes:?}");
        std::fs::write(payer.home().join("kept"), note).expect("written");
        let verified = payer.command(&["audit", "verify", "--against", "kept"]);
        assert!(
            verified.status.success(),
            "{}",
            String::from_utf8_lossy(&verified.stdout)
        );
    }
    assert!(notes.len() > 1, "{notes:?}");
}
