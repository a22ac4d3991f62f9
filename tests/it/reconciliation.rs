//! `causeway reconcile`: what one payer writes is what the other reads, each planted difference is found with what is safe to do next, and a file
//! that cannot be used changes nothing.

use crate::support::client::ALL_SCOPES;
use crate::support::desk::{Desk, doubtful};
use crate::support::payer::TestPayer;
use causeway::synth::Variation;
use serde_json::{Value, json};
use std::path::Path;
use std::process::Output;
use std::time::{Duration, Instant};

/// What a command on a file leaves: its exit code and its JSON.
fn compared(payer: &TestPayer, file: &str, partner: &str, more: &[&str]) -> (i32, Value) {
    let command = ["reconcile", "compare", file, "--partner", partner, "--json"];
    let output = payer.command(&[command.as_slice(), more].concat());
    let code = output.status.code().expect("an exit code");
    assert!(code < 2, "{}", said(&output));
    (code, serde_json::from_slice(&output.stdout).expect("JSON"))
}

fn said(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// The rows that a payer writes, as NDJSON.
fn exported(payer: &TestPayer, partner: &str, file: &str) -> Vec<Value> {
    let told = payer.json_command(&[
        "reconcile",
        "export",
        "--partner",
        partner,
        "--format",
        "ndjson",
        "--out",
        file,
    ]);
    let text = std::fs::read_to_string(payer.home().join(file)).expect("the rows");
    let rows: Vec<Value> = text
        .lines()
        .map(|line| serde_json::from_str(line).expect("JSON"))
        .collect();
    assert_eq!(told["rows"].as_u64(), Some(rows.len() as u64));
    rows
}

/// What a partner would write that has exactly the same.
fn seen_from_there(rows: &[Value]) -> Vec<Value> {
    rows.iter()
        .map(|row| {
            let mut row = row.clone();
            let is_ours = row["direction"] == "outbound";
            row["direction"] = json!(if is_ours { "inbound" } else { "outbound" });
            row["exchange_id"] = json!(format!("theirs-{}", row["exchange_id"].as_str().expect("an id")));
            row
        })
        .collect()
}

fn write(folder: &Path, name: &str, rows: &[Value]) {
    let lines: String = rows.iter().map(|row| format!("{row}\n")).collect();
    std::fs::write(folder.join(name), lines).expect("a file");
}

/// Two payers that exchanged in bulk have the same on record, whichever of them compares.
pub fn assert_both_have_the_same((new, old_at_new): (&TestPayer, &str), (old, new_at_old): (&TestPayer, &str)) {
    for (from, named, to, partner) in [(new, old_at_new, old, new_at_old), (old, new_at_old, new, old_at_new)] {
        let rows = exported(from, named, "rows-for-the-other.ndjson");
        assert!(!rows.is_empty());
        let of_kind = |kind: &'static str| rows.iter().filter(move |row| row["kind"] == kind);
        let bulk: Vec<&Value> = of_kind("bulk").map(|row| &row["correlation_id"]).collect();
        assert!(!bulk.is_empty(), "{rows:#?}");
        for row in of_kind("single") {
            assert!(!bulk.contains(&&row["correlation_id"]), "a member of a run: {row:#}");
        }
        let file = from.home().join("rows-for-the-other.ndjson");
        let (code, told) = compared(to, file.to_str().expect("a path"), partner, &[]);
        assert_eq!(
            (code, &told["counts"]["differences"]),
            (0, &json!(0)),
            "{told:#}\n{rows:#?}"
        );
        assert!(told["counts"]["both"].as_u64() > Some(0), "{told:#}");
    }
}

/// Once the jobs of a run are gone at the payer that was asked, nothing of the run stands there as a match of one member, and that is no
/// difference.
pub fn assert_a_run_without_jobs_is_no_difference(
    (new, old_at_new): (&TestPayer, &str),
    (old, new_at_old): (&TestPayer, &str),
) {
    assert!(old.count("decision WHERE kind = 'bulk-member-match'") > 0);
    old.execute("UPDATE bulk_job SET partner_id = 'nobody'");
    let rows = exported(old, new_at_old, "rows-without-jobs.ndjson");
    let of_run = new.count("bulk_run_member WHERE state NOT IN ('alone', 'left')");
    assert!(
        of_run > 0 && rows.iter().all(|row| row["kind"] == "single"),
        "{rows:#?}"
    );
    // As CSV, which has a header when there is no row.
    old.json_command(&[
        "reconcile",
        "export",
        "--partner",
        new_at_old,
        "--out",
        "rows-without-jobs.csv",
    ]);
    let file = old.home().join("rows-without-jobs.csv");
    let file = file.to_str().expect("a path");
    let (code, told) = compared(new, file, old_at_new, &["--from", "2020-01-01"]);
    let counts = &told["counts"];
    assert_eq!((code, &counts["differences"]), (0, &json!(0)), "{told:#}\n{rows:#?}");
    assert!(counts["not_kept"].as_u64() > Some(0), "{told:#}");
}

#[tokio::test]
async fn what_both_have_is_the_same_and_each_planted_difference_is_found() {
    let (payer, client) = TestPayer::start(6);
    let token = client.token(ALL_SCOPES).await;
    let (patient, _) = client.matched(&token, &payer.request(0, Variation::Exact)).await;
    let path = format!("Patient/{patient}/$everything");
    client.get(&token, &path).await.assert_status(200);
    let refused = payer.request(2, Variation::UnknownPerson).to_string();
    client.post_match(&token, refused, &[]).await.assert_status(422);
    let asked = client.post_match(&token, doubtful(&payer, 1, 3).to_string(), &[]).await;
    asked.assert_status(422);
    let began = Instant::now();
    while payer.count("ledger_entry WHERE action = 'disclosure.completed'") == 0 {
        assert!(began.elapsed() < Duration::from_secs(60), "the disclosure has no end");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }

    let rows = exported(&payer, "new-payer", "ours.ndjson");
    assert_eq!(rows.len(), 3, "{rows:#?}");
    assert!(rows.iter().all(|row| !row.to_string().contains(&patient)));
    let of = |outcome: &str| -> Vec<&Value> { rows.iter().filter(|row| row["outcome"] == outcome).collect() };
    assert_eq!(of("delivered").len(), 1, "{rows:#?}");
    assert!(of("delivered")[0]["resources"].as_u64() > Some(1));
    // Who waits for a reviewer is told apart from nobody.
    let refused = of("refused");
    assert_eq!(refused.len(), 2, "{rows:#?}");
    for name in ["state", "kind", "direction", "receipt"] {
        assert_eq!(refused[0][name], refused[1][name], "{name}");
    }
    let looks = "ledger_entry WHERE action = 'operator.viewed' AND subject = 'new-payer'";
    let before = payer.count(looks);

    let theirs = seen_from_there(&rows);
    write(payer.home(), "same.ndjson", &theirs);
    let (code, told) = compared(&payer, "same.ndjson", "new-payer", &[]);
    assert_eq!(
        (code, &told["counts"]["both"], &told["counts"]["same"]),
        (0, &json!(3), &json!(3)),
        "{told:#}"
    );
    assert_eq!(payer.count(looks), before + 1, "the ledger has the look");

    let mut other = theirs.clone();
    let delivered = other.iter().position(|row| row["outcome"] == "delivered").expect("one");
    other[delivered]["outcome"] = json!("open");
    let refused = other.iter().position(|row| row["outcome"] == "refused").expect("one");
    let gone = other.remove(refused);
    other.push(
        json!({"correlation_id": "=theirs", "exchange_id": "x", "direction": "outbound", "kind": "single", "state": "s",
        "outcome": "delivered", "started_at": rows[0]["started_at"]}),
    );
    other.push(other[0].clone());
    write(payer.home(), "other.ndjson", &other);
    let (code, told) = compared(&payer, "other.ndjson", "new-payer", &["--out", "all.ndjson"]);
    assert_eq!(code, 1);
    assert_eq!(told["counts"]["duplicates"], 1, "{told:#}");
    let mut found: Vec<(String, String, String)> = told["differences"]
        .as_array()
        .expect("differences")
        .iter()
        .map(|one| {
            let text = |name: &str| one[name].as_str().unwrap_or_default().to_owned();
            (text("correlation_id"), text("finding"), text("action"))
        })
        .collect();
    found.sort();
    let text = |value: &Value| value.as_str().expect("text").to_owned();
    let mut wanted = vec![
        (
            text(&theirs[delivered]["correlation_id"]),
            "outcome".to_owned(),
            "partner-sends-again".to_owned(),
        ),
        (
            text(&gone["correlation_id"]),
            "only-ours".to_owned(),
            "nothing".to_owned(),
        ),
        ("=theirs".to_owned(), "only-theirs".to_owned(), "trace-here".to_owned()),
    ];
    wanted.sort();
    assert_eq!(found, wanted);
    let all = std::fs::read_to_string(payer.home().join("all.ndjson")).expect("a file");
    assert_eq!(all.lines().count(), 3);
    let shown = payer.command(&["reconcile", "compare", "other.ndjson", "--partner", "new-payer"]);
    assert_eq!(shown.status.code(), Some(1));
    let shown = String::from_utf8_lossy(&shown.stdout).into_owned();
    assert!(
        shown.contains("partner-sends-again") && shown.contains("differences: 3"),
        "{shown}"
    );

    let desk = Desk::of(&payer, &client, "support");
    let listed = desk.all("reconciliation?partner=new-payer").await;
    assert_eq!(listed, rows, "over HTTP as by command");
    for wrong in [
        "reconciliation",
        "reconciliation?partner=new-payer&from=soon",
        "reconciliation?partner=new-payer&cursor=1",
    ] {
        desk.get(wrong).await.assert_status(400);
    }

    // A match whose grant is gone, as after an erasure, is left out: nobody can say how it stands.
    payer.execute("DELETE FROM grants");
    let rows = exported(&payer, "new-payer", "without-grants.ndjson");
    assert_eq!(rows.len(), 2, "{rows:#?}");
    assert!(rows.iter().all(|row| row["outcome"] == "refused"), "{rows:#?}");
}

#[tokio::test]
async fn a_file_that_cannot_be_used_is_refused_with_its_line_and_changes_nothing() {
    let (payer, client) = TestPayer::start(2);
    let token = client.token(ALL_SCOPES).await;
    client.matched(&token, &payer.request(0, Variation::Exact)).await;
    let text = payer.command(&["reconcile", "export", "--partner", "new-payer"]);
    let csv = String::from_utf8(text.stdout).expect("text");
    assert_eq!(csv.lines().count(), 2, "{csv}");
    std::fs::write(payer.home().join("ours.csv"), &csv).expect("a file");
    let looks = || payer.count("ledger_entry WHERE action = 'operator.viewed'");
    let before = looks();
    let refused = |name: &str, content: &[u8], place: &str| {
        std::fs::write(payer.home().join(name), content).expect("a file");
        let output = payer.command(&[
            "reconcile",
            "compare",
            name,
            "--partner",
            "new-payer",
            "--out",
            "never.ndjson",
        ]);
        assert_eq!(output.status.code(), Some(3), "{name}: {}", said(&output));
        assert!(said(&output).contains(place), "{name}: {}", said(&output));
        assert!(
            output.stdout.is_empty() && !payer.home().join("never.ndjson").exists(),
            "{name}"
        );
    };
    refused("columns.csv", b"a,b\n1,2\n", "line 1");
    refused("empty.csv", b"", "line 1");
    refused("short.csv", format!("{csv}a,b\n").as_bytes(), "line 3");
    refused(
        "long.csv",
        format!("{csv}{}\n", "x".repeat(70_000)).as_bytes(),
        "line 3",
    );
    refused("bytes.csv", &[csv.as_bytes(), &[0xff, b'\n'][..]].concat(), "line 3");
    refused("json.ndjson", b"{\"correlation_id\": 1}\n", "line 1");
    assert_eq!(looks(), before, "nothing was looked at");
    for (arguments, code) in [
        (vec!["reconcile", "export", "--partner", "nobody"], 1),
        (
            vec!["reconcile", "export", "--partner", "new-payer", "--from", "soon"],
            2,
        ),
        (vec!["reconcile", "export", "--partner", "new-payer", "--json"], 2),
        (
            vec!["reconcile", "export", "--partner", "new-payer", "--out", "ours.csv"],
            3,
        ),
        (vec!["reconcile", "compare", "missing.csv", "--partner", "new-payer"], 3),
    ] {
        let output = payer.command(&arguments);
        assert_eq!(output.status.code(), Some(code), "{arguments:?}: {}", said(&output));
    }
    let kept = std::fs::read_to_string(payer.home().join("ours.csv")).expect("a file");
    assert_eq!(kept, csv, "a file that is there is not written over");
}
