//! What is refused, with which exit code, and that nothing is changed then.

use crate::support::dump::dump;
use crate::support::matched::Matched;
use crate::support::payer::program;
use serde_json::Value;
use std::io::Write as _;
use std::process::Stdio;

/// Tables that change by themselves, or because somebody looked.
const MOVING: [&str; 13] = [
    "business_figure",
    "figure_state",
    "job",
    "ledger_checkpoint",
    "ledger_entry",
    "ledger_leaf",
    "ledger_subject",
    "ledger_subject_state",
    "ledger_tree",
    "operator_note",
    "disclosure_end_state",
    "retention_clock",
    "retention_mark",
];

#[tokio::test]
async fn an_erasure_that_may_not_be_changes_nothing() {
    let payer = Matched::start(2).await;
    let subject = format!("Patient/{}", payer.id);
    let subject = subject.as_str();
    let before = dump(&mut payer.payer.db(), &MOVING);
    for (arguments, code, words) in [
        (vec![subject], 2, "--reason"),
        (vec![subject, "--reason", "because"], 2, "member-request"),
        (
            vec![subject, "--reason", "test-data", "--legal-basis", "mine"],
            2,
            "court-order",
        ),
        (vec!["Patient/nobody-here", "--reason", "test-data"], 1, "AU-001"),
        (vec!["?", "--reason", "test-data"], 2, "Patient/<id>"),
        (vec![subject, "--reason", "member-request"], 1, "AU-020"),
        (vec![subject, "--reason", "member-request", "--record"], 1, "AU-020"),
        (vec![subject, "--reason", "member-request", "--dry-run"], 1, "AU-020"),
    ] {
        let output = payer
            .payer
            .command(&[vec!["audit", "erase-subject"], arguments.clone()].concat());
        let said = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(code), "{arguments:?}: {said}");
        assert!(said.contains(words), "{arguments:?}: {said}");
        assert!(!said.contains(&payer.id), "the member is named: {said}");
    }
    assert_eq!(dump(&mut payer.payer.db(), &MOVING), before);
}

#[tokio::test]
async fn a_dry_run_counts_what_there_is_and_changes_nothing() {
    let payer = Matched::start(2).await;
    let number = payer.payer.member(0).member_number;
    let before = dump(&mut payer.payer.db(), &MOVING);
    let mut child = program(payer.payer.home())
        .args([
            "audit",
            "erase-subject",
            "-",
            "--reason",
            "test-data",
            "--legal-basis",
            "no-duty-to-keep",
        ])
        .args(["--record", "--dry-run", "--json"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("the program runs");
    let mut input = child.stdin.take().expect("its input");
    writeln!(input, "{number}").expect("written");
    drop(input);
    let output = child.wait_with_output().expect("ends");
    assert_eq!(output.status.code(), Some(0));
    let told: Value = serde_json::from_slice(&output.stdout).expect("JSON");
    assert_eq!((&told["dry_run"], &told["id"]), (&Value::Bool(true), &Value::Null));
    assert!(told["counts"]["resources"].as_u64() > Some(3), "{told}");
    assert!(told["counts"]["decisions"].as_u64() > Some(0), "{told}");
    assert_eq!(dump(&mut payer.payer.db(), &MOVING), before);
}
