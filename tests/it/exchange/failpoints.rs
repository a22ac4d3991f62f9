//! The process dies by SIGKILL at every named point of an exchange, and is started again: nothing is lost, the partner sees nothing twice
//! that the table of steps does not allow, and the exchange comes to its right end.

use super::pair::{Pair, Worker};
use crate::support::payer::{is_optimised, program};
use crate::support::store::on_postgres;
use causeway::exchange::failpoints;
use causeway::failpoint::{AFTER, BEFORE, SEND, SIGN, VARIABLE};
use diesel::connection::SimpleConnection as _;
use std::os::unix::process::ExitStatusExt as _;
use std::time::{Duration, Instant};

/// Time for a process to come to its point.
const SOON: Duration = Duration::from_secs(120);
/// The member whose record has so many resources that it does not come in one piece.
const LARGE: usize = 1;

fn pair(points: &[String]) -> Pair {
    Pair::prepare(&format!(
        "idempotency = \"honored\"\nmembers = {{ count = {}, resources = 12 }}\n[[member]]\nresources = 1500\n",
        points.len()
    ))
}

/// The number of the member with whom each point is tried.
fn numbered(points: &[String]) -> impl Iterator<Item = (usize, &str)> {
    let number = |(at, point): (usize, &String)| if point.ends_with(".pieces-kept") { LARGE } else { at + 2 };
    points.iter().enumerate().map(move |one| (number(one), one.1.as_str()))
}

/// The id of the only exchange of this member, which is started when there is none.
fn only_exchange(pair: &Pair, number: usize) -> String {
    let member = format!("Patient/m{number}");
    let listed = pair.payer.json_command(&["exchange", "list", "--member", &member]);
    let all = listed.as_array().expect("a list");
    assert!(all.len() <= 1, "{listed}");
    match all.first() {
        Some(one) => one["id"].as_str().expect("an id").to_owned(),
        None => pair.ask_for(number),
    }
}

/// The server dies at the point; one that is started again brings the exchange to its end.
fn one_process(pair: &mut Pair, point: &str, number: usize) {
    pair.payer.serve_with(&[(VARIABLE, point)]);
    let file = pair.enrolment(number);
    // The server may die before it can answer.
    let _ = pair.payer.command(&["exchange", "start", &file, "--json"]);
    let status = pair.payer.await_end(SOON);
    assert_eq!(status.signal(), Some(9), "{point}: {status}");
    pair.payer.serve();
    let id = only_exchange(pair, number);
    let shown = pair.ended(&id);
    pair.assert_whole(number, &shown, point);
    assert_eq!(pair.payer.terminate(), Some(0));
}

/// A worker dies at the point, or the command does where an exchange is taken in.
fn dies(pair: &Pair, point: &str, number: usize) {
    let file = pair.enrolment(number);
    if point.starts_with(failpoints::INTAKE) {
        let mut command = program(pair.payer.home());
        let done = command.args(["exchange", "start", &file]).env(VARIABLE, point).output();
        assert_eq!(done.expect("it runs").status.signal(), Some(9), "{point}");
        return;
    }
    let mut worker = Worker::start(&pair.payer, &[(VARIABLE, point)]);
    pair.payer.json_command(&["exchange", "start", &file]);
    assert!(worker.was_killed(SOON), "{point}: {}", pair.payer.log());
    // The workers that die next leave this exchange alone, however long all of them take: else it may be had by too many that die.
    pair.payer
        .execute("UPDATE job SET lease_until_ms = lease_until_ms + 86400000 WHERE kind = 'exchange' AND lease_until_ms IS NOT NULL");
}

#[test]
fn a_process_that_dies_at_any_point_of_an_exchange_loses_nothing_and_does_nothing_twice() {
    if is_optimised() {
        // An optimised build has no such points.
        return;
    }
    walk(&failpoints::all());
}

#[test]
fn a_process_that_dies_around_a_request_or_a_signature_loses_nothing_and_does_nothing_twice() {
    if is_optimised() {
        return;
    }
    // The first requests only read; the later ones ask for a token, and about the member, and for the record.
    let requests = (1..=6).flat_map(|pass| [BEFORE, AFTER].map(|point| format!("{SEND}.{point}:{pass}")));
    let signatures = [BEFORE, AFTER].map(|point| format!("{SIGN}.{point}"));
    walk(&requests.chain(signatures).collect::<Vec<_>>());
}

/// Dies at each of these points, each with a member of its own, and comes to the right end of all of them.
fn walk(points: &[String]) {
    let mut pair = pair(points);
    if on_postgres() {
        for (number, point) in numbered(points) {
            dies(&pair, point, number);
        }
        pair.end_leases();
        let _workers = [(); 3].map(|()| Worker::start(&pair.payer, &[]));
        for (number, point) in numbered(points) {
            let shown = pair.ended(&only_exchange(&pair, number));
            pair.assert_whole(number, &shown, point);
        }
    } else {
        for (number, point) in numbered(points) {
            one_process(&mut pair, point, number);
        }
    }
    pair.assert_asked_once(points.len());
}

/// A process dies at the point, to which `cause` brings it.
fn dies_when(pair: &mut Pair, point: &str, cause: impl FnOnce(&Pair)) {
    if on_postgres() {
        let mut worker = Worker::start(&pair.payer, &[(VARIABLE, point)]);
        cause(pair);
        assert!(worker.was_killed(SOON), "{point}: {}", pair.payer.log());
        pair.end_leases();
    } else {
        pair.payer.serve_with(&[(VARIABLE, point)]);
        cause(pair);
        let status = pair.payer.await_end(SOON);
        assert_eq!(status.signal(), Some(9), "{point}: {status}");
    }
}

/// Does this while a process works.
fn while_working<T>(pair: &mut Pair, what: impl FnOnce(&Pair) -> T) -> T {
    if on_postgres() {
        let _worker = Worker::start(&pair.payer, &[]);
        what(pair)
    } else {
        pair.payer.serve();
        let done = what(pair);
        assert_eq!(pair.payer.terminate(), Some(0));
        done
    }
}

#[track_caller]
fn await_count(pair: &Pair, table_and_condition: &str, count: i64, point: &str) {
    let began = Instant::now();
    while pair.count(table_and_condition) != count {
        assert!(
            began.elapsed() < SOON,
            "{point}: {table_and_condition}\n{}",
            pair.payer.log()
        );
        std::thread::sleep(Duration::from_millis(50));
    }
}

/// A complete exchange about `Patient/m<number>`; its id.
fn complete(pair: &mut Pair, number: usize, point: &str) -> String {
    while_working(pair, |pair| {
        let shown = pair.ended(&pair.ask_for(number));
        pair.assert_whole(number, &shown, point);
        shown["id"].as_str().expect("an id").to_owned()
    })
}

#[test]
fn a_process_that_dies_while_it_takes_an_exchange_back_takes_out_all_of_it() {
    if is_optimised() {
        return;
    }
    let points = failpoints::of_taking_back();
    let mut pair = pair(&points);
    for (number, point) in numbered(&points) {
        let before = pair.count("resource");
        let id = complete(&mut pair, number, point);
        assert!(pair.count("resource") > before, "{point}");
        dies_when(&mut pair, point, |pair| {
            // The server may die before it can answer.
            let _ = pair
                .payer
                .command(&["exchange", "retract", &id, "--reason", "a test", "--json"]);
        });
        while_working(&mut pair, |pair| {
            let told = format!(
                "ledger_entry WHERE exchange_id = '{id}' AND action IN ('exchange.retracted', 'exchange.retract-asked')"
            );
            await_count(pair, &told, 2, point);
            let left = format!("job WHERE live_key = '{id}' AND kind = 'exchange-take-back'");
            await_count(pair, &left, 0, point);
        });
        assert_eq!(pair.count("resource"), before, "{point}");
        assert_eq!(
            pair.count(&format!("ingest_piece WHERE exchange_id = '{id}'")),
            0,
            "{point}"
        );
    }
}

#[test]
fn a_process_that_dies_while_it_asks_again_asks_once() {
    if is_optimised() {
        return;
    }
    let points = failpoints::of_asking_again();
    let mut pair = pair(&points);
    for (number, point) in numbered(&points) {
        let id = complete(&mut pair, number, point);
        let job = format!("job WHERE payload LIKE '% {id}' AND kind = 'exchange-again'");
        assert_eq!(pair.count(&job), 1, "{point}");
        dies_when(&mut pair, point, |pair| {
            // As if the days had passed.
            let due = format!("UPDATE job SET due_ms = 1 WHERE payload LIKE '% {id}' AND kind = 'exchange-again'");
            pair.payer.db().batch_execute(&due).expect("written");
        });
        while_working(&mut pair, |pair| {
            let complete = format!("exchange WHERE run_of = '{id}' AND phase = 'completed'");
            await_count(pair, &complete, 1, point);
            await_count(pair, &job, 0, point);
        });
        assert_eq!(pair.count(&format!("exchange WHERE run_of = '{id}'")), 1, "{point}");
    }
}

#[test]
fn a_name_that_is_no_point_stops_nothing() {
    let mut pair = Pair::prepare("members = { count = 1, resources = 12 }");
    pair.payer.serve_with(&[(VARIABLE, "nowhere")]);
    let shown = pair.ended(&pair.ask());
    assert_eq!(shown["phase"], "completed", "{shown:#}");
}
