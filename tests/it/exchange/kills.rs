//! Processes that are killed at random instants, and one that is asked to stop: every exchange comes to its right end.
//!
//! `CAUSEWAY_TEST_EXCHANGE_KILLS` sets the number of kills; `CAUSEWAY_TEST_SEED` repeats a run, as far as the machine lets it.

use super::pair::{Pair, WAIT, Worker};
use crate::support::store::on_postgres;
use causeway::jobs::Chance;
use causeway_sandbox_partner::SandboxRoute;
use std::time::{Duration, Instant};

/// Kills in an ordinary run.
const KILLS: usize = 6;
/// Exchanges that begin before each kill.
const EACH: usize = 2;
/// Longest life of a process, milliseconds.
const LIFE_MS: f64 = 1_600.0;
/// Workers of a PostgreSQL store.
const WORKERS: usize = 3;

fn number(variable: &str) -> Option<u64> {
    std::env::var(variable).ok()?.parse().ok()
}

/// Kills processes at random while exchanges begin, and returns the ids of these.
fn storm(pair: &mut Pair, kills: usize, chance: &Chance) -> Vec<String> {
    let mut ids = Vec::new();
    let life = || Duration::from_micros((chance.unit() * LIFE_MS * 1_000.0) as u64);
    if on_postgres() {
        let mut workers: Vec<Worker> = (0..WORKERS).map(|_| Worker::start(&pair.payer, &[])).collect();
        for kill in 0..kills {
            ids.extend((0..EACH).map(|at| pair.ask_for(kill * EACH + at + 1)));
            std::thread::sleep(life());
            let at = (chance.unit() * WORKERS as f64) as usize;
            workers[at].kill();
            workers[at] = Worker::start(&pair.payer, &[]);
        }
        for worker in &mut workers {
            worker.kill();
        }
        pair.end_leases();
    } else {
        for kill in 0..kills {
            pair.payer.serve();
            ids.extend((0..EACH).map(|at| pair.ask_for(kill * EACH + at + 1)));
            std::thread::sleep(life());
            pair.payer.kill();
        }
    }
    ids
}

#[test]
fn kills_at_random_instants_lose_no_exchange_and_repeat_none() {
    let kills = number("CAUSEWAY_TEST_EXCHANGE_KILLS").map_or(KILLS, |kills| kills as usize);
    let seed = number("CAUSEWAY_TEST_SEED").unwrap_or_else(|| u64::from(std::process::id()));
    println!("CAUSEWAY_TEST_SEED={seed} CAUSEWAY_TEST_EXCHANGE_KILLS={kills}");
    let mut pair = Pair::prepare(&format!(
        "idempotency = \"honored\"\nmembers = {{ count = {}, resources = 12 }}\n\
         [[rule]]\nroute = \"member-match\"\nacts = [{{ delay = {{ ms = 60 }} }}]\n\
         [[rule]]\nroute = \"everything\"\nacts = [{{ delay = {{ ms = 120 }} }}]\n",
        kills * EACH
    ));
    let ids = storm(&mut pair, kills, &Chance::seeded(seed));
    let _workers = if on_postgres() {
        [(); WORKERS]
            .map(|()| Worker::start(&pair.payer, &[]))
            .into_iter()
            .collect()
    } else {
        pair.payer.serve();
        Vec::new()
    };
    let (mut replayed, mut unknown) = (0, 0);
    for (number, id) in (1..).zip(&ids) {
        let mut shown = pair.ended(id);
        if shown["reason"] == "EX-018" {
            // It was killed so often that it was left to an operator.
            pair.payer
                .json_command(&["exchange", "replay", id, "--reason", "the processes live again"]);
            replayed += 1;
            shown = pair.await_show(id, |shown| !shown["ended_at"].is_null());
        }
        pair.assert_whole(number, &shown, &format!("CAUSEWAY_TEST_SEED={seed}, exchange {number}"));
        let steps = shown["steps"].as_array().expect("steps");
        unknown += steps.iter().filter(|step| step["ended_at"].is_null()).count();
    }
    pair.assert_asked_once(ids.len());
    println!(
        "{kills} kills, {} exchanges, {unknown} attempts without an end, {replayed} replayed",
        ids.len()
    );
}

#[test]
fn a_process_that_is_asked_to_stop_hands_an_exchange_back_within_thirty_seconds() {
    let mut pair = Pair::prepare(
        "members = { count = 1, resources = 12 }\n[[rule]]\nroute = \"everything\"\nrequests = \"1\"\nacts = [{ delay = { ms = 120000 } }]\n",
    );
    let mut worker = on_postgres().then(|| Worker::start(&pair.payer, &[]));
    if worker.is_none() {
        pair.payer.serve();
    }
    let id = pair.ask();
    let began = Instant::now();
    while pair.sandbox.control().requests_to(SandboxRoute::Everything).is_empty() {
        assert!(began.elapsed() < WAIT, "{:#}", pair.show(&id));
        std::thread::sleep(Duration::from_millis(20));
    }
    let asked = Instant::now();
    let code = match &mut worker {
        Some(worker) => worker.terminate(),
        None => pair.payer.terminate(),
    };
    let took = asked.elapsed();
    assert_eq!(code, Some(0), "{}", pair.payer.log());
    // Its code says that it ended by its own limits, which are thirty seconds; a busy machine adds to them. The partner takes longer.
    assert!(took < Duration::from_secs(100), "{took:?}");
    assert_eq!(
        pair.count("job WHERE kind = 'exchange' AND claims = 0 AND lease_token IS NULL"),
        1
    );
    let _next = match worker {
        Some(_) => Some(Worker::start(&pair.payer, &[])),
        None => {
            pair.payer.serve();
            None
        }
    };
    let shown = pair.ended(&id);
    pair.assert_whole(1, &shown, "handed back");
}
