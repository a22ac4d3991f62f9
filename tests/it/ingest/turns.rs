//! A large record takes as long as it takes: each attempt goes on where the last one ended, and only what brings nothing counts as failed.

use super::bed::{World, patient_limits};
use crate::support::store::on_postgres;
use causeway::partner::peer::PeerLimits;
use causeway_sandbox_partner::SandboxRoute;
use serde_json::json;
use std::collections::BTreeSet;
use std::time::Duration;

const PAGES: &str = "members = { count = 2, resources = 240 }\neverything_page_size = 10\n";

#[test]
fn a_record_of_many_turns_comes_whole_and_each_page_is_asked_for_once() {
    let limits = PeerLimits {
        turn: Duration::ZERO,
        ..patient_limits()
    };
    let world = World::with(PAGES, limits);
    let row = world.exchange();
    assert_eq!((row.phase.as_str(), row.attempts), ("completed", 0), "{row:?}");
    let attempts = world.bed.attempts(&row.id);
    for step in ["retrieve", "check", "store"] {
        let own: Vec<_> = attempts.iter().filter(|one| one.step == step).collect();
        assert!(own.len() > 10, "{step}: {}", own.len());
        assert!(
            own.iter()
                .all(|one| one.class.as_deref() == Some("ok") && one.fault.is_none()),
            "{step}: {own:?}"
        );
    }
    let asked = world.sandbox.control().requests_to(SandboxRoute::Everything);
    let pages: BTreeSet<&str> = asked.iter().map(|one| one.target.as_str()).collect();
    assert!(pages.len() > 20 && asked.len() == pages.len(), "{}", asked.len());
    let there = world.sandbox.record(world.member()).count() as u64;
    assert_eq!(world.counts(&row.id).by_type.values().sum::<u64>(), there);
    let told = world.bed.ledger(&row.id);
    assert!(!told.iter().any(|action| action == "went-on"), "{told:?}");
}

#[test]
fn a_partner_that_breaks_off_often_is_not_given_up_while_something_comes() {
    let world = World::new(&format!(
        "{PAGES}[[rule]]\nroute = \"everything\"\nrequests = \"every 2\"\nacts = [{{ answer = {{ status = 503 }} }}]"
    ));
    let id = world.start();
    let row = world.run_for(&id, 24 * 3_600_000);
    assert_eq!(row.phase, "completed", "{row:?}");
    let attempts = world.bed.attempts(&id);
    let failed = attempts
        .iter()
        .filter(|one| one.class.as_deref() == Some("told-to-wait"));
    assert!(failed.count() > 8, "more than may fail in vain");
}

#[test]
fn all_attempts_of_a_question_send_the_same_bytes() {
    let world =
        World::new("[[rule]]\nroute = \"member-match\"\nrequests = \"1-2\"\nacts = [{ answer = { status = 503 } }]");
    let id = world.start();
    let waits = world.run_for(&id, 0);
    assert!(waits.wake_ms.is_some(), "{waits:?}");
    assert_eq!(world.bed.number("SELECT COUNT(*) FROM exchange_question"), 1);
    // What is held of the member changes while the question is open.
    let mut changed = world.member().demographics("m1");
    changed["address"] = json!([{"city": "Springfield", "postalCode": "62701"}]);
    world.import(&changed);
    let row = world.run(&id);
    assert_eq!(row.phase, "completed", "{row:?}");
    let attempts = world.bed.attempts(&id);
    let asked: Vec<_> = attempts.iter().filter(|one| one.step == "member_match").collect();
    assert_eq!(asked.len(), 3);
    assert!(asked[0].request_digest.is_some());
    assert!(
        asked.iter().all(|one| one.request_digest == asked[0].request_digest
            && one.idempotency_key == asked[0].idempotency_key)
    );
    assert_eq!(
        world.bed.number("SELECT COUNT(*) FROM exchange_question"),
        0,
        "it goes with the answer"
    );
}

#[test]
fn what_was_judged_again_is_told_once_also_after_a_crash() {
    if on_postgres() {
        return;
    }
    let world = World::new("members = { count = 2, resources = 60 }");
    let row = world.exchange();
    assert_eq!(row.phase, "completed", "{row:?}");
    // As an earlier version left it.
    world
        .bed
        .sql("UPDATE ingest_resource SET outcome = 'quarantined', reason = 'RQ-001', gate_version = 0 WHERE type = 'Condition'");
    // The transaction that tells it does not commit, as in a crash right before its end.
    world.bed.sql(
        "CREATE TRIGGER crash BEFORE INSERT ON ledger_entry WHEN NEW.action = 'exchange.judged-again' \
         BEGIN SELECT RAISE(ABORT, 'crash'); END",
    );
    let told = |world: &World| {
        let all = world.bed.ledger(&row.id);
        all.iter().filter(|one| *one == "judged-again").count()
    };
    let judge = |world: &World| {
        world.bed.ctx.clock.advance_ms(2 * 86_400_000);
        let runner = world.runner();
        world
            .bed
            .block(runner.prepare())
            .expect("the recurring work has its row");
        world.bed.block(runner.run_due()).expect("run");
    };
    judge(&world);
    assert_eq!(world.counts(&row.id).quarantined.len(), 0, "it is judged");
    assert_eq!(told(&world), 0);
    world.bed.sql("DROP TRIGGER crash");
    judge(&world);
    assert_eq!(told(&world), 1);
    judge(&world);
    assert_eq!(told(&world), 1);
    assert_eq!(
        world
            .bed
            .number("SELECT COUNT(*) FROM ingest_progress WHERE step = 'judged-again'"),
        0
    );
}
