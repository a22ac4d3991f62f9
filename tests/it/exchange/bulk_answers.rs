//! What a bulk run does beside its files: the receipt, files that go on after a crash, and its end by an operator.

use super::in_bulk::{bulk_script, in_one_run, run_of_two, two_enrolments, with_receipts};
use super::pair::{Pair, WAIT};
use crate::support::payer::is_optimised;
use causeway::error::Fault;
use causeway::failpoint::VARIABLE;
use causeway_sandbox_partner::SandboxRoute;
use diesel::connection::SimpleConnection as _;
use diesel::prelude::*;
use diesel::sql_types::Text;
use serde_json::{Value, json};
use std::os::unix::process::ExitStatusExt as _;
use std::time::{Duration, Instant};

fn on_export(what: &str) -> String {
    format!("[[rule]]\nroute = \"group-export\"\nacts = [{{ bulk = \"{what}\" }}]\n")
}

/// Both exchanges are whole, and say this of the receipt.
#[track_caller]
fn assert_each(pair: &Pair, exchanges: &[Value], (state, member): (&str, Value), why: &str) {
    for (number, shown) in (1..).zip(exchanges) {
        pair.assert_whole(number, shown, why);
        let receipt = &shown["bulk_receipt"];
        assert_eq!(
            (&receipt["state"], &receipt["member"]),
            (&json!(state), &member),
            "{why}: {shown:#}"
        );
    }
}

#[test]
fn a_receipt_is_answered_when_what_came_is_stored() {
    // The partner is not there for the receipt, then not for the answer.
    let away = "[[rule]]\nroute = \"bulk-receipt\"\nrequests = \"1, 3\"\nacts = [{ answer = { status = 503 } }]\n";
    for (rules, why) in [("", "at once"), (away, "a partner that is away")] {
        let pair = Pair::start(&with_receipts(rules));
        let (run, exchanges) = in_one_run(&pair);
        assert_eq!(
            (&run["state"], &run["receipt"]),
            (&json!("done"), &json!("complete")),
            "{why}: {run:#}\n{}",
            pair.payer.log()
        );
        let answer = &run["receipt_answer"];
        assert!(answer["missing"].is_null() && answer["fault"].is_null(), "{answer:#}");
        assert_each(&pair, &exchanges, ("complete", json!("whole")), why);
        let receipts = pair.sandbox.control().receipts();
        assert_eq!(receipts.len(), 1, "{why}");
        assert_eq!(receipts[0].resource["result"], "complete", "{why}");
        assert_eq!(receipts[0].resource["receipt"], answer["sha256"], "{why}");
        let entries = "ledger_entry WHERE action = 'bulk.receipt-answered'";
        assert_eq!(pair.count(entries), 1, "{why}");
        assert!(pair.sandbox.control().complaints().is_empty(), "{why}");
    }
}

#[test]
fn a_receipt_that_is_not_true_or_of_more_is_not_called_complete() {
    let pair = Pair::start(&with_receipts(&on_export("forged-receipt")));
    let (run, exchanges) = in_one_run(&pair);
    assert_eq!(
        (&run["state"], &run["receipt"]),
        (&json!("done"), &json!("untrue")),
        "{run:#}"
    );
    assert_eq!(run["receipt_answer"]["fault"], Fault::ReceiptUntrue.code());
    assert_each(&pair, &exchanges, ("untrue", Value::Null), "a strange key");
    assert!(pair.sandbox.control().receipts().is_empty(), "it is not answered");
    assert_eq!(pair.count("ledger_entry WHERE action = 'bulk.receipt-answered'"), 0);

    let pair = Pair::start(&with_receipts(&on_export("receipt-of-more")));
    let (run, exchanges) = in_one_run(&pair);
    assert_eq!(
        (&run["state"], &run["receipt"]),
        (&json!("done"), &json!("incomplete")),
        "{run:#}"
    );
    let missing = &run["receipt_answer"]["missing"];
    assert_eq!(missing["files"], 1, "{run:#}");
    let by_type: Vec<&Value> = missing["resources"].as_object().expect("types").values().collect();
    assert_eq!(by_type, [&json!(1)], "{run:#}");
    assert_each(&pair, &exchanges, ("incomplete", json!("whole")), "one resource more");
    let receipts = pair.sandbox.control().receipts();
    assert_eq!(receipts[0].resource["missing"], *missing);

    let gone = "[[rule]]\nroute = \"bulk-receipt\"\nacts = [{ answer = { status = 404 } }]\n";
    let pair = Pair::start(&with_receipts(gone));
    let (run, exchanges) = in_one_run(&pair);
    assert_eq!(
        (&run["state"], &run["receipt"]),
        (&json!("done"), &json!("unanswered")),
        "{run:#}"
    );
    assert_eq!(run["receipt_answer"]["fault"], Fault::PartnerRefuses.code());
    assert_each(
        &pair,
        &exchanges,
        ("unanswered", Value::Null),
        "no receipt where it is named",
    );
}

/// Whether the first piece of a file that is noted as begun is on the disk: the writer may be behind what came.
fn has_begun(pair: &Pair) -> bool {
    #[derive(QueryableByName)]
    struct Begun {
        #[diesel(sql_type = Text)]
        path: String,
    }
    let query = "SELECT run_id || '/' || part AS path FROM bulk_run_file WHERE part IS NOT NULL";
    let begun: Vec<Begun> = diesel::sql_query(query).load(&mut pair.payer.db()).expect("rows");
    begun.iter().any(|one| {
        let file = std::fs::metadata(pair.payer.exports().join(&one.path));
        file.is_ok_and(|file| file.len() > 64 * 1024)
    })
}

#[test]
fn a_file_goes_on_where_it_was_when_the_process_died() {
    let script = bulk_script(
        "[[rule]]\nroute = \"bulk-file\"\nrequests = \"2+\"\nacts = [{ stall = { after_bytes = 150000 } }]\n",
    )
    .replace("resources = 12", "resources = 1500");
    let mut pair = Pair::prepare(&script);
    pair.payer.serve();
    two_enrolments(&pair);
    pair.payer.json_command(&["exchange", "import", "two.ndjson", "--bulk"]);
    let began = Instant::now();
    while !has_begun(&pair) {
        assert!(began.elapsed() < WAIT, "{}", pair.payer.log());
        std::thread::sleep(Duration::from_millis(100));
    }
    let whole = pair.count("bulk_run_file WHERE name IS NOT NULL");
    pair.payer.kill();
    pair.sandbox.control().set_rules(Vec::new()).expect("taken");
    let before = pair.sandbox.control().requests_to(SandboxRoute::BulkFile).len();
    pair.end_leases();
    pair.payer.serve();
    let (run, exchanges) = run_of_two(&pair);
    assert_eq!(run["state"], "done", "{run:#}\n{}", pair.payer.log());
    assert_eq!(run["states"], json!({"received": 2}), "{run:#}");
    for (number, shown) in (1..).zip(&exchanges) {
        pair.assert_whole(number, shown, "after the kill");
    }
    let all = pair.sandbox.control().requests_to(SandboxRoute::BulkFile);
    let range = |name: &str, value: &str| {
        name == "range" && value.strip_prefix("bytes=").is_some_and(|from| !from.starts_with("0-"))
    };
    let later = &all[before..];
    let resumed = later
        .iter()
        .filter(|one| one.headers.iter().any(|(name, value)| range(name, value)));
    assert!(resumed.count() >= 1, "{later:#?}");
    let files = usize::try_from(pair.count("bulk_run_file")).expect("few");
    let kept = usize::try_from(whole).expect("few");
    assert!(
        later.len() <= files - kept,
        "what was kept as a whole is not fetched again"
    );
    let left = std::fs::read_dir(pair.payer.exports()).map(|folder| folder.count());
    assert_eq!(left.unwrap_or(0), 0, "the files of the run are removed");
}

/// Somebody removes what was fetched, before its members have it. The run is given up, and each member comes whole by an exchange of its own.
#[test]
fn files_that_are_gone_before_they_are_handed_out_are_asked_for_member_by_member() {
    if is_optimised() {
        // An optimised build has no points at which it kills itself.
        return;
    }
    let mut pair = Pair::prepare(&bulk_script(""));
    pair.payer.serve_with(&[(VARIABLE, "bulk-ask.hand-out")]);
    two_enrolments(&pair);
    // The server may die before it can answer.
    let _ = pair.payer.command(&["exchange", "import", "two.ndjson", "--bulk"]);
    assert_eq!(pair.payer.await_end(WAIT).signal(), Some(9));
    pair.end_leases();
    let run_folder = std::fs::read_dir(pair.payer.exports()).expect("a folder").next();
    let run_folder = run_folder.expect("a run").expect("an entry").path();
    let mut removed = 0;
    for file in std::fs::read_dir(&run_folder).expect("files") {
        std::fs::remove_file(file.expect("an entry").path()).expect("removed");
        removed += 1;
    }
    assert_eq!(removed, pair.count("bulk_run_file WHERE name IS NOT NULL"));

    pair.payer.serve();
    let began = Instant::now();
    while pair.count("bulk_run WHERE step = 'hand-out' AND failed > 0") == 0 {
        assert!(began.elapsed() < WAIT, "{}", pair.payer.log());
        std::thread::sleep(Duration::from_millis(100));
    }
    // As if the waits before its last attempt were over.
    let last = "UPDATE bulk_run SET failed = 7 WHERE step = 'hand-out' AND ended_ms IS NULL; \
                UPDATE job SET due_ms = 0 WHERE kind = 'bulk-ask' AND state = 'waiting'";
    while pair.count("bulk_run WHERE state = 'failed'") == 0 {
        pair.payer.db().batch_execute(last).expect("written");
        assert!(began.elapsed() < WAIT, "{}", pair.payer.log());
        std::thread::sleep(Duration::from_millis(200));
    }
    let (run, exchanges) = run_of_two(&pair);
    assert_eq!(
        (&run["fault"], &run["states"]),
        (&json!(Fault::BulkFolder.code()), &json!({"alone": 2})),
        "{run:#}\n{}",
        pair.payer.log()
    );
    for (number, shown) in (1..).zip(&exchanges) {
        pair.assert_whole(number, shown, "alone");
    }
    let alone = pair.sandbox.control().requests_to(SandboxRoute::Everything);
    assert!(alone.len() >= 2, "{alone:#?}");
    let left = std::fs::read_dir(pair.payer.exports()).map(|folder| folder.count());
    assert_eq!(left.unwrap_or(0), 0, "the folder of the run is removed");
}

#[test]
fn a_run_that_an_operator_ends_leaves_its_members_to_go_on_alone() {
    let busy = "[[rule]]\nroute = \"bulk-status\"\nrequests = \"1\"\nacts = [{ answer = { status = 429, retry_after = \"600\" } }]\n";
    let pair = Pair::start(&bulk_script(busy));
    two_enrolments(&pair);
    pair.payer.json_command(&["exchange", "import", "two.ndjson", "--bulk"]);
    let began = Instant::now();
    while pair.count("bulk_run WHERE step = 'await-match' AND failed >= 1") == 0 {
        assert!(began.elapsed() < WAIT, "{}", pair.payer.log());
        std::thread::sleep(Duration::from_millis(100));
    }
    let listed = pair.payer.json_command(&["bulk", "list"]);
    let id = listed["runs"][0]["id"].as_str().expect("an id").to_owned();
    let cancel = ["bulk", "cancel", &id[..8], "--reason", "the partner asked for it"];
    let done = pair.payer.command(&cancel);
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    let (run, exchanges) = run_of_two(&pair);
    assert_eq!(
        (&run["state"], &run["states"]),
        (&json!("cancelled"), &json!({"alone": 2})),
        "{run:#}\n{}",
        pair.payer.log()
    );
    for (number, shown) in (1..).zip(&exchanges) {
        pair.assert_whole(number, shown, "alone");
        assert!(shown["bulk_receipt"].is_null(), "{shown:#}");
    }
    let at_status = pair.sandbox.control().requests_to(SandboxRoute::BulkStatus);
    assert_eq!(at_status.last().expect("asked").method, "DELETE", "{at_status:#?}");
    assert_eq!(pair.count("ledger_entry WHERE action = 'bulk.cancelled'"), 1);
    assert!(!pair.payer.command(&cancel).status.success(), "it has ended");
}

#[test]
fn a_run_whose_end_is_asked_for_while_the_partner_answers_does_not_wait_until_it_is_asked_again() {
    let pair = Pair::start(&bulk_script(
        "[[rule]]\nroute = \"bulk-status\"\nrequests = \"1\"\n\
         acts = [{ delay = { ms = 5000 } }, { answer = { status = 202, retry_after = \"600\", processed = true } }]\n",
    ));
    two_enrolments(&pair);
    pair.payer.json_command(&["exchange", "import", "two.ndjson", "--bulk"]);
    let began = Instant::now();
    while pair.sandbox.control().requests_to(SandboxRoute::BulkStatus).is_empty() {
        assert!(began.elapsed() < WAIT, "{}", pair.payer.log());
        std::thread::sleep(Duration::from_millis(50));
    }
    let listed = pair.payer.json_command(&["bulk", "list"]);
    let id = listed["runs"][0]["id"].as_str().expect("an id").to_owned();
    let cancel = ["bulk", "cancel", &id[..8], "--reason", "the partner asked for it"];
    let done = pair.payer.command(&cancel);
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    let (run, _) = run_of_two(&pair);
    assert_eq!(run["state"], "cancelled", "{run:#}\n{}", pair.payer.log());
}
