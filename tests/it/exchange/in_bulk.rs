//! A partner that plays a script is asked for many members at once: over TLS, with real processes.

use super::pair::{Pair, WAIT};
use super::two_payers::run;
use crate::support::payer::is_optimised;
use causeway::error::Fault;
use causeway::failpoint::VARIABLE;
use causeway_sandbox_partner::SandboxRoute;
use serde_json::{Value, json};
use std::os::unix::process::ExitStatusExt as _;
use std::time::{Duration, Instant};

/// Runs at the same time, each of a pair of its own.
const AT_ONCE: usize = 5;

/// Tries each of these, some at the same time: most of the time of a run is waiting for the next question about it.
fn at_once<T: Sync>(all: &[T], each: impl Fn(&T) + Sync) {
    std::thread::scope(|scope| {
        for some in all.chunks(all.len().div_ceil(AT_ONCE)) {
            let each = &each;
            scope.spawn(move || some.iter().for_each(each));
        }
    });
}

/// Imports the enrolments of the first two members of the sandbox, and returns the run and both exchanges at their ends.
pub fn in_one_run(pair: &Pair) -> (Value, Vec<Value>) {
    two_enrolments(pair);
    let told = pair.payer.json_command(&["exchange", "import", "two.ndjson", "--bulk"]);
    assert_eq!(told["bulk_runs"], 1, "{told}");
    run_of_two(pair)
}

pub fn two_enrolments(pair: &Pair) {
    let lines: Vec<String> = [1, 2]
        .map(|number| std::fs::read_to_string(pair.payer.home().join(pair.enrolment(number))).expect("a file"))
        .to_vec();
    std::fs::write(pair.payer.home().join("two.ndjson"), lines.join("\n")).expect("a file");
}

pub fn run_of_two(pair: &Pair) -> (Value, Vec<Value>) {
    let began = Instant::now();
    let run = loop {
        let listed = pair.payer.json_command(&["bulk", "list"]);
        let id = listed["runs"][0]["id"].as_str().expect("an id").to_owned();
        if !listed["runs"][0]["ended_at"].is_null() {
            break pair.payer.json_command(&["bulk", "show", &id]);
        }
        assert!(began.elapsed() < WAIT, "{listed:#}\n{}", pair.payer.log());
        // A look at the store costs less than a command.
        for _ in 0..5 {
            std::thread::sleep(Duration::from_millis(200));
            if pair.count("bulk_run WHERE ended_ms IS NOT NULL") > 0 {
                break;
            }
        }
    };
    let exchanges = run["exchanges"].as_array().expect("members").clone();
    let ended = exchanges
        .iter()
        .map(|one| pair.ended(one["exchange"].as_str().expect("an id")));
    (run.clone(), ended.collect())
}

pub fn with_receipts(rules: &str) -> String {
    bulk_script(rules).replace("\"bulk\"]", "\"bulk\", \"bulk-receipts\"]")
}

pub fn bulk_script(rules: &str) -> String {
    format!("offers = [\"everything\", \"bulk\"]\n[members]\ncount = 2\nresources = 12\n{rules}")
}

#[test]
fn a_partner_whose_files_are_true_is_asked_once_for_both_members() {
    let all = [
        ("", "an honest export"),
        (
            "[[rule]]\nroute = \"group-export\"\nacts = [{ bulk = \"twice\" }]\n",
            "each resource twice",
        ),
        (
            "[[rule]]\nroute = \"bulk-status\"\nrequests = \"3+\"\nacts = [{ bulk = \"files-twice\" }]\n",
            "each file twice",
        ),
        (
            "[[rule]]\nroute = \"bulk-file\"\nrequests = \"2-3\"\nacts = [{ reset-during = { after_bytes = 700 } }]\n",
            "files that break off",
        ),
    ];
    at_once(&all, |&(rules, why)| {
        let pair = Pair::start(&bulk_script(rules));
        let (run, exchanges) = in_one_run(&pair);
        assert_eq!(run["state"], "done", "{why}: {run:#}\n{}", pair.payer.log());
        assert_eq!(run["states"], json!({"received": 2}), "{why}: {run:#}");
        assert_eq!(run["receipt"], "not-offered", "{why}");
        for (number, shown) in (1..).zip(&exchanges) {
            pair.assert_whole(number, shown, why);
        }
        let requests = pair.sandbox.control().requests();
        let single = requests
            .iter()
            .filter(|one| matches!(one.route, SandboxRoute::MemberMatch | SandboxRoute::Everything));
        assert_eq!(single.count(), 0, "{why}: nobody was asked for alone");
        let resumed = requests
            .iter()
            .any(|one| one.headers.iter().any(|(name, _)| name == "range"));
        assert_eq!(resumed, why == "files that break off");
        assert!(pair.sandbox.control().complaints().is_empty(), "{why}");
    });
}

#[test]
fn a_partner_whose_files_are_not_true_is_asked_for_each_member_alone() {
    let at_status = |what: &str| {
        format!("[[rule]]\nroute = \"bulk-status\"\nrequests = \"3+\"\nacts = [{{ bulk = \"{what}\" }}]\n")
    };
    let with_files = |what: &str| {
        let files = format!("[[rule]]\nroute = \"bulk-file\"\nrequests = \"2+\"\nacts = [{{ bulk = \"{what}\" }}]\n");
        at_status(what) + &files
    };
    let stranger = "[[rule]]\nroute = \"group-export\"\nacts = [{ bulk = \"stranger\" }]\n".to_owned();
    let all = [
        (at_status("wrong-count"), Fault::FilesUntrue),
        (at_status("wrong-digest"), Fault::FilesUntrue),
        (at_status("missing-file"), Fault::PartnerRefuses),
        (at_status("file-elsewhere"), Fault::PartnerElsewhere),
        (at_status("many-lines"), Fault::PartnerTooMuch),
        (with_files("untold-lines"), Fault::PartnerTooMuch),
        (with_files("endless-line"), Fault::PartnerTooMuch),
        (stranger, Fault::StrangersResource),
    ];
    at_once(&all, |(rules, fault)| {
        let pair = Pair::start(&bulk_script(rules));
        let (run, exchanges) = in_one_run(&pair);
        assert_eq!(run["state"], "failed", "{rules}: {run:#}\n{}", pair.payer.log());
        assert_eq!(run["fault"], fault.code(), "{rules}: {run:#}\n{}", pair.payer.log());
        assert_eq!(run["states"], json!({"alone": 2}), "{rules}");
        for (number, shown) in (1..).zip(&exchanges) {
            pair.assert_whole(number, shown, rules);
        }
        assert!(pair.sandbox.control().strays().is_empty(), "{rules}");
        let kept = std::fs::read_dir(pair.payer.exports()).map(|folder| folder.count());
        assert_eq!(kept.unwrap_or(0), 0, "{rules}: what was fetched is removed");
    });
}

#[test]
fn a_process_that_dies_at_any_step_of_a_run_loses_nothing_and_stores_nothing_twice() {
    if is_optimised() {
        // An optimised build has no such points.
        return;
    }
    let steps = [
        "ask-match",
        "await-match",
        // The partner says at the second time that it is done.
        "await-match:2",
        "end-match",
        "ask-export",
        "await-export",
        "await-export:2",
        "fetch",
        "hand-out",
        "check-receipt",
        "answer-receipt",
        "end-export",
    ];
    let around = ["bulk-ask", "bulk-ask-done"];
    let points: Vec<String> = steps
        .iter()
        .flat_map(|step| around.map(|whole| format!("{whole}.{step}")))
        .collect();
    at_once(&points, |point| dies_at(point));
}

/// The server dies at this point of a run, and one that is started again brings the run to its end.
fn dies_at(point: &str) {
    println!("{point}");
    let mut pair = Pair::prepare(&with_receipts(""));
    pair.payer.serve_with(&[(VARIABLE, point)]);
    two_enrolments(&pair);
    // The server may die before it can answer.
    let _ = pair.payer.command(&["exchange", "import", "two.ndjson", "--bulk"]);
    let status = pair.payer.await_end(WAIT);
    assert_eq!(status.signal(), Some(9), "{point}: {status}");
    pair.end_leases();
    pair.payer.serve();
    let (run, exchanges) = run_of_two(&pair);
    assert_eq!(run["state"], "done", "{point}: {run:#}\n{}", pair.payer.log());
    assert_eq!(run["receipt"], "complete", "{point}: {run:#}\n{}", pair.payer.log());
    assert_eq!(pair.sandbox.control().receipts().len(), 1, "{point}");
    assert_eq!(
        pair.count("ledger_entry WHERE action = 'bulk.receipt-answered'"),
        1,
        "{point}"
    );
    let asked: std::collections::BTreeSet<String> = pair
        .sandbox
        .control()
        .requests_to(SandboxRoute::BulkMatch)
        .iter()
        .flat_map(|one| one.headers.iter().filter(|(name, _)| name == "idempotency-key"))
        .map(|(_, key)| key.clone())
        .collect();
    assert_eq!(asked.len(), 1, "{point}: the question is the same in all attempts");
    for (number, shown) in (1..).zip(&exchanges) {
        pair.assert_whole(number, shown, point);
    }
}

#[test]
fn a_run_that_gets_on_between_kills_is_not_parked() {
    if is_optimised() {
        return;
    }
    let mut pair = Pair::prepare(&with_receipts(""));
    // More kills in a row, without a wait that ends an attempt, than a job may cause that does not get on.
    let points = [
        "bulk-ask.fetch",
        "bulk-ask-done.fetch",
        "bulk-ask.hand-out",
        "bulk-ask-done.hand-out",
        "bulk-ask.check-receipt",
        "bulk-ask-done.check-receipt",
        "bulk-ask.answer-receipt",
    ];
    for (at, point) in points.into_iter().enumerate() {
        if at == 0 {
            pair.payer.serve_with(&[(VARIABLE, point)]);
            two_enrolments(&pair);
            let _ = pair.payer.command(&["exchange", "import", "two.ndjson", "--bulk"]);
        } else {
            // What waits may bring it to the point before it is ready.
            pair.payer.begin_with(&[(VARIABLE, point)]);
        }
        let status = pair.payer.await_end(WAIT);
        assert_eq!(status.signal(), Some(9), "{point}: {status}");
        pair.end_leases();
    }
    pair.payer.serve();
    let (run, exchanges) = run_of_two(&pair);
    assert_eq!(run["state"], "done", "{run:#}\n{}", pair.payer.log());
    for (number, shown) in (1..).zip(&exchanges) {
        pair.assert_whole(number, shown, "killed again and again");
    }
}

#[test]
fn where_the_partner_has_no_bulk_each_member_is_asked_for_alone() {
    let pair = Pair::start("[members]\ncount = 2\nresources = 12\n");
    let (run, exchanges) = in_one_run(&pair);
    assert_eq!(
        (&run["state"], &run["states"]),
        (&json!("done"), &json!({"alone": 2})),
        "{run:#}"
    );
    for (number, shown) in (1..).zip(&exchanges) {
        pair.assert_whole(number, shown, "no bulk");
    }
    pair.assert_asked_once(2);
}

#[test]
fn what_a_run_began_is_deleted_at_the_partner_when_nobody_waits_for_it_any_more() {
    // It never comes to the end of the match, or of the export.
    for (requests, what) in [("1+", "a match"), ("4+", "an export")] {
        let pair = Pair::start(&bulk_script(&format!(
            "[[rule]]\nroute = \"bulk-status\"\nrequests = \"{requests}\"\n\
             acts = [{{ answer = {{ status = 202, retry_after = \"300\", processed = true }} }}]\n"
        )));
        two_enrolments(&pair);
        let told = pair.payer.json_command(&["exchange", "import", "two.ndjson", "--bulk"]);
        assert_eq!(told["bulk_runs"], 1, "{told}");
        let control = pair.sandbox.control();
        let began = Instant::now();
        let statuses = || control.requests_to(SandboxRoute::BulkStatus);
        let is_waiting = || {
            let run = &pair.payer.json_command(&["bulk", "list"])["runs"][0];
            let step = run["step"].as_str().unwrap_or_default().to_owned();
            let wanted = if what == "a match" {
                "await-match"
            } else {
                "await-export"
            };
            step == wanted && statuses().iter().any(|one| one.status == Some(202))
        };
        while !is_waiting() {
            assert!(began.elapsed() < WAIT, "{what}: {:?}\n{}", statuses(), pair.payer.log());
            std::thread::sleep(Duration::from_millis(200));
        }
        let deletes = || statuses().iter().filter(|one| one.method == "DELETE").count();
        let before = deletes();
        let listed = pair.payer.json_command(&["exchange", "list"]);
        let ids: Vec<&str> = listed
            .as_array()
            .expect("a list")
            .iter()
            .filter_map(|one| one["id"].as_str())
            .collect();
        assert_eq!(ids.len(), 2);
        run(&pair.payer, &["exchange", "cancel", ids[0], "--reason", "a test"]);
        std::thread::sleep(Duration::from_secs(2));
        assert_eq!(deletes(), before, "{what}: the other one still waits");
        run(&pair.payer, &["exchange", "cancel", ids[1], "--reason", "a test"]);
        // At once, although the partner asked for five minutes.
        let began = Instant::now();
        while deletes() == before {
            assert!(
                began.elapsed() < Duration::from_secs(200),
                "{what}\n{}",
                pair.payer.log()
            );
            std::thread::sleep(Duration::from_millis(200));
        }
        let (ended, exchanges) = run_of_two(&pair);
        assert_eq!(
            (&ended["state"], &ended["states"]),
            (&json!("done"), &json!({"left": 2})),
            "{what}: {ended:#}"
        );
        assert!(exchanges.iter().all(|one| one["phase"] == "cancelled"), "{what}");
        assert_eq!(pair.payer.count("ingest_piece"), 0, "{what}: nothing of it is kept");
    }
}

/// The members of a run have no work of their own: one whose work is parked, or does not see its deadline, must not keep them.
#[test]
fn a_run_whose_work_does_not_go_on_ends_and_its_members_go_on_alone() {
    let parked = "UPDATE job SET state = 'parked', parked_at_ms = 1, lease_token = NULL, lease_until_ms = NULL WHERE kind = 'bulk-ask'";
    let late = "UPDATE bulk_run SET deadline_ms = 1";
    for (stops, why) in [(parked, "its work is parked"), (late, "it is late")] {
        // It never comes to the end of the export.
        let pair = Pair::start(&bulk_script(
            "[[rule]]\nroute = \"bulk-status\"\nrequests = \"4+\"\n\
             acts = [{ answer = { status = 202, retry_after = \"300\", processed = true } }]\n",
        ));
        two_enrolments(&pair);
        pair.payer.json_command(&["exchange", "import", "two.ndjson", "--bulk"]);
        let waits = "bulk_run JOIN job ON job.live_key = bulk_run.id WHERE bulk_run.step = 'await-export' \
                     AND job.kind = 'bulk-ask' AND job.lease_token IS NULL AND job.due_ms > bulk_run.updated_ms + 200000";
        let began = Instant::now();
        while pair.count(waits) == 0 {
            assert!(began.elapsed() < WAIT, "{why}\n{}", pair.payer.log());
            std::thread::sleep(Duration::from_millis(200));
        }
        assert_eq!(
            pair.count("job WHERE kind = 'exchange'"),
            0,
            "{why}: no work of their own"
        );
        assert_eq!(pair.count("job WHERE kind = 'bulk-ask-end'"), 1, "{why}: the watch");
        pair.payer.execute(stops);
        pair.payer
            .execute("UPDATE job SET due_ms = 0 WHERE kind = 'bulk-ask-end'");
        let (run, exchanges) = run_of_two(&pair);
        assert_eq!(
            (&run["state"], &run["fault"], &run["states"]),
            (&json!("failed"), &json!(Fault::BulkLate.code()), &json!({"alone": 2})),
            "{why}: {run:#}\n{}",
            pair.payer.log()
        );
        for (number, shown) in (1..).zip(&exchanges) {
            pair.assert_whole(number, shown, why);
        }
        assert_eq!(pair.count("job WHERE kind = 'bulk-ask'"), 0, "{why}: nothing is parked");
        let left = || std::fs::read_dir(pair.payer.exports()).map_or(0, Iterator::count);
        let began = Instant::now();
        while left() > 0 || pair.count("job WHERE kind IN ('bulk-end', 'bulk-ask-end')") > 0 {
            assert!(began.elapsed() < WAIT, "{why}: {}\n{}", left(), pair.payer.log());
            std::thread::sleep(Duration::from_millis(200));
        }
    }
}
