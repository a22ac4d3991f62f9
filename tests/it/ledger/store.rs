//! The ledger of a running payer: every entry gets its place, checkpoints are signed, and what was changed in the store is found.

use super::{exit, ours, python};
use crate::support::payer::{TestPayer, program};
use crate::support::store::on_postgres;
use causeway::audit::note::LogKey;
use causeway::audit::tree::proof::{extends, includes};
use causeway::audit::verify::LedgerResult;
use causeway::store::Db;
use diesel::connection::SimpleConnection as _;
use serde_json::Value;
use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;
use std::process::Stdio;
use std::time::{Duration, Instant};

/// Looks for work each second, so that tests wait less.
pub const SOON: (&str, &str) = ("CAUSEWAY_JOBS__POLL_SECONDS", "1");

/// The folder of the log's files.
pub fn folder(payer: &TestPayer) -> PathBuf {
    match on_postgres() {
        true => payer.home().join("causeway-data/ledger"),
        false => payer.home().join("ledger"),
    }
}

/// Waits until the last checkpoint covers every entry there is, and returns it.
#[track_caller]
pub fn covered(payer: &TestPayer) -> Value {
    let began = Instant::now();
    loop {
        let entries = payer.count("ledger_entry");
        // A look at the store costs less than a command that finds nothing yet.
        if payer.count(&format!("ledger_checkpoint WHERE size >= {entries}")) > 0 {
            let output = payer.command(&["audit", "checkpoint", "--json"]);
            let told: Value = serde_json::from_slice(&output.stdout).unwrap_or_default();
            if told["size"].as_i64().is_some_and(|size| size >= entries) {
                return told;
            }
        }
        assert!(began.elapsed() < Duration::from_secs(180), "{entries}: {}", payer.log());
        std::thread::sleep(Duration::from_millis(50));
    }
}

/// Ends the server, and returns its last checkpoint, which covers every entry: also that of its end. On PostgreSQL signing has three seconds then,
/// which a busy machine may not have; so it is started with this once more, and has to do it one of these times.
#[track_caller]
pub fn ended_signed(payer: &mut TestPayer, with: (&str, &str)) -> Value {
    for _ in 0..8 {
        assert_eq!(payer.terminate(), Some(0), "{}", payer.log());
        let output = payer.command(&["audit", "checkpoint", "--json"]);
        let told: Value = serde_json::from_slice(&output.stdout).unwrap_or_default();
        if told["size"].as_i64() == Some(payer.count("ledger_entry")) {
            return told;
        }
        payer.serve_with(&[with]);
    }
    panic!("what a server writes at its end is never signed: {}", payer.log());
}

fn verified(payer: &TestPayer, more: &[&str]) -> (i32, Value) {
    let output = payer.command(&[["audit", "verify", "--json"].as_slice(), more].concat());
    let told = serde_json::from_slice(&output.stdout).unwrap_or_default();
    (output.status.code().expect("an exit code"), told)
}

fn hashes(told: &Value) -> Vec<[u8; 32]> {
    use base64::Engine as _;
    let decode = |text: &Value| {
        let text = text.as_str().expect("text");
        base64::engine::general_purpose::STANDARD
            .decode(text)
            .expect("base64")
            .try_into()
            .expect("a hash")
    };
    match told {
        Value::Array(all) => all.iter().map(decode).collect(),
        one => vec![decode(one)],
    }
}

#[test]
fn every_entry_gets_its_place_is_proved_and_is_exported() {
    let (mut payer, _) = TestPayer::prepare(2);
    let before = payer.count("ledger_entry");
    assert!(before > 0, "entries of before the log began");
    payer.serve_with(&[SOON]);
    let first = covered(&payer);
    payer.command(&["partner", "suspend", "new-payer", "--reason", "a test"]);
    let told = covered(&payer);
    let (older, newer) = (
        first["size"].as_u64().expect("a size"),
        told["size"].as_u64().expect("a size"),
    );
    assert!(older < newer);
    let key = payer.json_command(&["audit", "key"])["key"].as_str().map(LogKey::parse);
    let key = key.flatten().expect("a key");
    let signed = key
        .open(told["note"].as_str().expect("a note"))
        .expect("signed by the log");
    assert_eq!(verified(&payer, &[]).0, 0);

    let proof = payer.json_command(&["audit", "prove", "1"]);
    let signed_there = key.open(proof["checkpoint"].as_str().expect("a note")).expect("signed");
    let leaf = hex32(&proof["leaf_hash"]);
    assert!(includes(
        &signed_there.root,
        signed_there.size,
        1,
        &leaf,
        &hashes(&proof["proof"])
    ));
    let text = payer.command(&["audit", "prove", "1"]);
    assert!(text.stdout.starts_with(b"c2sp.org/tlog-proof@v1\nindex 1\n"));
    let unknown = payer.command(&["audit", "prove", "no-such-entry"]);
    assert_eq!(unknown.status.code(), Some(1));

    let told = payer.json_command(&["audit", "consistency", &older.to_string(), &newer.to_string()]);
    let (from, to) = (hashes(&told["older_root"])[0], hashes(&told["newer_root"])[0]);
    assert!(to == signed.root && extends((older, &from), (newer, &to), &hashes(&told["proof"])));
    assert_eq!(
        payer.command(&["audit", "consistency", "2", "1"]).status.code(),
        Some(2)
    );

    payer.json_command(&["audit", "export", "exported"]);
    let again = payer.command(&["audit", "export", "exported"]);
    assert_eq!(again.status.code(), Some(3), "the folder is not empty");
    let (exported, kept) = (payer.home().join("exported"), first["note"].as_str());
    assert_eq!(ours(&exported, &key, kept).result, LedgerResult::Ok);
    let (code, _, said) = python(&exported, &key, kept);
    assert_eq!(code, exit(LedgerResult::Ok), "{said}");
    let offline = program(&std::env::temp_dir())
        .args(["audit", "verify", &exported.display().to_string(), "--key", &key.text()])
        .output()
        .expect("it runs");
    assert_eq!(
        offline.status.code(),
        Some(0),
        "{}",
        String::from_utf8_lossy(&offline.stderr)
    );
    let no_key = payer.command(&["audit", "verify", "exported"]);
    assert_eq!(no_key.status.code(), Some(2));
    let other = "PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW";
    assert_eq!(
        payer
            .command(&["audit", "verify", "exported", "--key", other])
            .status
            .code(),
        Some(1)
    );

    for file in std::fs::read_dir(folder(&payer)).expect("the folder of the log") {
        let mode = file.expect("a file").metadata().expect("about it").permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
    }
    // The end of the server is an entry too, and is signed before the process ends.
    let last = ended_signed(&mut payer, SOON);
    assert!(last["size"].as_u64() > Some(newer));
}

/// A hash that is written in hexadecimal.
pub fn hex32(text: &Value) -> [u8; 32] {
    let text = text.as_str().expect("text");
    let bytes: Vec<u8> = (0..32)
        .map(|at| u8::from_str_radix(&text[2 * at..2 * at + 2], 16).expect("hex"))
        .collect();
    bytes.try_into().expect("a hash")
}

fn sql(payer: &TestPayer, statements: &[&str]) {
    let mut db: Db = payer.db();
    for statement in statements {
        db.batch_execute(statement).expect(statement);
    }
}

#[test]
fn what_is_changed_in_the_store_is_found_with_its_index() {
    let (mut payer, _) = TestPayer::prepare(1);
    payer.serve_with(&[SOON]);
    covered(&payer);
    assert_eq!(payer.terminate(), Some(0));
    let entry = "(SELECT entry_id FROM ledger_leaf WHERE idx = 2)";
    for (change, back, index) in [
        (
            format!(
                "UPDATE ledger_entry SET at_us = at_us, entry = {} WHERE id = {entry}",
                bytes("{}")
            ),
            None,
            Some(2),
        ),
        (
            "CREATE TABLE kept AS SELECT * FROM ledger_leaf WHERE idx >= 1; DELETE FROM ledger_leaf WHERE idx >= 1"
                .into(),
            Some("INSERT INTO ledger_leaf SELECT * FROM kept; DROP TABLE kept"),
            Some(1),
        ),
        (format!("DELETE FROM ledger_entry WHERE id = {entry}"), None, Some(2)),
        (
            "UPDATE ledger_tree SET size = 1".into(),
            Some("UPDATE ledger_tree SET size = (SELECT COUNT(*) FROM ledger_leaf)"),
            None,
        ),
    ] {
        let kept = "CREATE TABLE entries AS SELECT * FROM ledger_entry";
        sql(&payer, &[kept, &change]);
        let (code, told) = verified(&payer, &[]);
        assert_ne!(code, 0, "{change}: {told}");
        if index.is_some() {
            assert_eq!((code, told["first_bad"].as_i64()), (1, index), "{change}: {told}");
        } else {
            assert_eq!(
                (code, told["result"].as_str()),
                (70, Some("forked")),
                "{change}: {told}"
            );
        }
        sql(
            &payer,
            &[
                "DELETE FROM ledger_entry",
                "INSERT INTO ledger_entry SELECT * FROM entries",
                "DROP TABLE entries",
            ],
        );
        sql(&payer, back.as_slice());
        assert_eq!(verified(&payer, &[]).0, 0, "{change} is taken back");
    }
}

fn bytes(text: &str) -> String {
    match on_postgres() {
        true => format!("convert_to('{text}', 'UTF8')"),
        false => format!("CAST('{text}' AS BLOB)"),
    }
}

#[test]
fn a_store_that_was_put_back_signs_nothing_and_its_server_does_not_start() {
    if on_postgres() {
        return;
    }
    let (mut payer, _) = TestPayer::prepare(1);
    payer.serve_with(&[SOON]);
    covered(&payer);
    assert_eq!(payer.terminate(), Some(0));
    let store = payer.home().join("causeway.db");
    let old = std::fs::read(&store).expect("the store");
    payer.serve_with(&[SOON]);
    covered(&payer);
    assert_eq!(payer.terminate(), Some(0));
    let newest = payer.json_command(&["audit", "checkpoint"]);
    let newest = newest["note"].as_str().expect("a note");
    std::fs::write(payer.home().join("kept"), newest).expect("written");
    for end in ["-wal", "-shm"] {
        let _ = std::fs::remove_file(payer.home().join(format!("causeway.db{end}")));
    }
    std::fs::write(&store, old).expect("put back");
    assert_eq!(verified(&payer, &[]).0, 0, "by itself it is whole");
    let (code, told) = verified(&payer, &["--against", "kept"]);
    assert_eq!((code, told["result"].as_str()), (70, Some("forked")), "{told}");
    does_not_start(&payer);

    // A new log has a new name and a new key, so that nothing that it signs contradicts the old one.
    let begun = payer.command(&["audit", "new-log", "--reason", "a backup was restored"]);
    assert_eq!(
        begun.status.code(),
        Some(0),
        "{}",
        String::from_utf8_lossy(&begun.stderr)
    );
    payer.serve_with(&[SOON]);
    let told = covered(&payer);
    assert_ne!(told["origin"].as_str(), newest.lines().next());
    assert_eq!(payer.count("ledger_entry WHERE action = 'ledger.log-begun'"), 1);
    assert_eq!(payer.terminate(), Some(0));
    assert_eq!(verified(&payer, &[]).0, 0);
    assert_eq!(
        verified(&payer, &["--against", "kept"]).0,
        2,
        "a checkpoint of another log"
    );
}

#[track_caller]
fn does_not_start(payer: &TestPayer) {
    let ended = program(payer.home())
        .args(["serve", "--quiet"])
        .stdout(Stdio::null())
        .output()
        .expect("it runs");
    let said = String::from_utf8_lossy(&ended.stderr);
    assert_eq!(ended.status.code(), Some(70), "{said}");
    assert!(said.contains("AU-004"), "{said}");
}

#[test]
fn a_store_without_the_log_that_signed_beside_it_begins_no_other_by_itself() {
    if on_postgres() {
        return;
    }
    let (mut payer, _) = TestPayer::prepare(1);
    payer.serve_with(&[SOON]);
    let old = covered(&payer);
    assert_eq!(payer.terminate(), Some(0));
    for table in ["log", "leaf", "tile", "tree", "checkpoint"] {
        sql(&payer, &[&format!("DELETE FROM ledger_{table}")]);
    }
    does_not_start(&payer);
    let begun = payer.command(&["audit", "new-log", "--reason", "a test"]);
    assert_eq!(begun.status.code(), Some(0));
    payer.serve_with(&[SOON]);
    assert_ne!(covered(&payer)["origin"], old["origin"]);
}

#[test]
fn entries_that_come_late_get_their_places() {
    let (mut payer, _) = TestPayer::prepare(1);
    payer.serve_with(&[SOON]);
    covered(&payer);
    assert_eq!(payer.terminate(), Some(0));
    // Everything up to tomorrow counts as settled, as after a clock that was set back; one entry has an id of long ago.
    let tomorrow = causeway::ids::before_all_of(causeway::clock::Clock::System.now_ms() + 86_400_000);
    let late = "'00000000-0000-7000-8000-000000000001'";
    sql(
        &payer,
        &[
            &format!("UPDATE ledger_tree SET settled = '{tomorrow}'"),
            &format!(
                "INSERT INTO ledger_entry (id, at_us, action, correlation_id, entry) \
                 SELECT {late}, at_us, action, correlation_id, {} FROM ledger_entry ORDER BY id LIMIT 1",
                bytes("{}")
            ),
        ],
    );
    payer.serve_with(&[SOON]);
    covered(&payer);
    assert_eq!(payer.count(&format!("ledger_leaf WHERE entry_id = {late}")), 1);
    assert_eq!(payer.terminate(), Some(0));
    assert_eq!(verified(&payer, &[]).0, 0);
}

#[test]
fn a_server_that_ends_in_its_first_seconds_signs_what_there_is() {
    let (mut payer, _) = TestPayer::prepare(1);
    // It ends before its first look for work.
    let seldom = ("CAUSEWAY_JOBS__POLL_SECONDS", "60");
    payer.serve_with(&[seldom]);
    let told = ended_signed(&mut payer, seldom);
    assert_eq!(told["size"].as_i64(), Some(payer.count("ledger_leaf")));
    assert_eq!(verified(&payer, &[]).0, 0);
}

#[test]
fn another_worker_signs_when_one_was_killed() {
    if !on_postgres() {
        return;
    }
    let (payer, _) = TestPayer::prepare(1);
    let start = || {
        program(payer.home())
            .args(["worker", "--quiet"])
            .envs([SOON])
            .stderr(Stdio::null())
            .spawn()
            .expect("runs")
    };
    let mut first = start();
    covered(&payer);
    let mut second = start();
    first.kill().expect("killed");
    first.wait().expect("ended");
    payer.command(&["partner", "suspend", "new-payer", "--reason", "a test"]);
    covered(&payer);
    second.kill().expect("killed");
    second.wait().expect("ended");
    assert_eq!(verified(&payer, &[]).0, 0);
}
