//! A large record comes, is checked and is stored in many turns. Between two of them the process may die, the partner may change its answer, and
//! the opt-in, the registration or this program may be another one.

use super::bed::{World, patient_limits};
use causeway::error::Fault;
use causeway::exchange::acts::ExchangeAct;
use causeway::partner::peer::PeerLimits;
use causeway_sandbox_partner::SandboxRoute;
use std::collections::BTreeSet;
use std::time::Duration;

const PAGES: &str = "members = { count = 2, resources = 240 }\neverything_page_size = 10\n";

/// A world in which each attempt does as little as it can.
fn hasty(script: &str) -> World {
    World::with(
        script,
        PeerLimits {
            turn: Duration::ZERO,
            ..patient_limits()
        },
    )
}

/// Runs turn after turn until the exchange has had some turns of this step.
fn until_in(world: &World, id: &str, step: &str) {
    for _ in 0..200 {
        let own = world.bed.attempts(id);
        if own.iter().filter(|one| one.step == step).count() > 3 {
            return;
        }
        assert!(world.turn(true), "{step}: {:?}", world.bed.exchange(id));
    }
    panic!("never in {step}: {:?}", world.bed.exchange(id));
}

fn there(world: &World) -> i64 {
    world.sandbox.record(world.member()).count() as i64
}

#[track_caller]
fn assert_whole(world: &World, id: &str) {
    let row = world.run(id);
    assert_eq!(row.phase, "completed", "{row:?} {:?}", world.missing(id));
    let counts = world.counts(id);
    assert_eq!(counts.by_type.values().sum::<u64>() as i64, there(world), "{counts:?}");
    assert_eq!(
        (counts.stored as i64, counts.quarantined.len()),
        (there(world) - 1, 0),
        "{counts:?}"
    );
    assert_eq!(world.received_count(), there(world) - 1);
}

#[test]
fn a_process_that_dies_after_every_turn_does_no_turn_twice() {
    let world = hasty(PAGES);
    let id = world.start();
    for _ in 0..200 {
        if world.bed.exchange(&id).ended_ms.is_some() {
            break;
        }
        // What the turn did is there, and nobody knows that it ended.
        world.turn(false);
        world.turn(true);
    }
    assert_whole(&world, &id);
    let asked = world.sandbox.control().requests_to(SandboxRoute::Everything);
    let pages: BTreeSet<&str> = asked.iter().map(|one| one.target.as_str()).collect();
    assert!(pages.len() > 20 && asked.len() == pages.len(), "{}", asked.len());
    assert!(world.sandbox.control().repeated_effects().is_empty());
}

#[test]
fn a_record_that_gets_on_is_parked_by_no_number_of_kills_and_one_that_does_not_is() {
    let world = hasty(PAGES);
    let id = world.start();
    // No attempt ever tells how it ended: its process is killed each time.
    let mut kills = 0;
    while world.turn(false) {
        kills += 1;
        assert!(kills < 500, "{:?}", world.bed.exchange(&id));
    }
    let row = world.bed.exchange(&id);
    assert!(kills > 60, "{kills}: {row:?}");
    // The step that brings nothing of its own is at its end after five.
    assert_eq!((row.step.as_str(), row.ended_ms), ("acknowledge", None), "{row:?}");
    assert_eq!(
        world
            .bed
            .number("SELECT claims FROM job WHERE kind = 'exchange' AND state = 'parked'"),
        5
    );
    world.bed.block(world.runner().prepare()).expect("the watch has a row");
    let row = world.run(&id);
    assert_eq!(
        (row.reason.as_deref(), row.parked_at_ms.is_some()),
        (Some(Fault::ExchangeFell.code()), true)
    );
    world.bed.act(&id, ExchangeAct::Replay).expect("replayed");
    assert_whole(&world, &id);
    let asked = world.sandbox.control().requests_to(SandboxRoute::Everything);
    let pages: BTreeSet<&str> = asked.iter().map(|one| one.target.as_str()).collect();
    assert!(pages.len() > 20 && asked.len() == pages.len(), "{}", asked.len());
}

#[test]
fn what_ends_the_permission_between_two_turns_lets_no_further_one_move_anything() {
    let suspended = "UPDATE partner SET status = 'suspended'";
    let moved = "UPDATE partner SET version = version + 1, endpoint = REPLACE(endpoint, '/fhir', '/other')";
    let over = "UPDATE opt_in SET to_ms = 1";
    for (step, change, fault, is_over) in [
        ("retrieve", suspended, Fault::PartnerStopped, false),
        ("check", suspended, Fault::PartnerStopped, false),
        ("store", suspended, Fault::PartnerStopped, false),
        ("retrieve", moved, Fault::PartnerMoved, false),
        ("retrieve", over, Fault::OptInOver, true),
        ("check", over, Fault::OptInOver, true),
        ("store", over, Fault::OptInOver, true),
        ("retrieve", "", Fault::OptInRevoked, true),
        ("store", "", Fault::OptInRevoked, true),
    ] {
        let world = hasty(PAGES);
        let id = world.start();
        until_in(&world, &id, step);
        let (asked, stored) = (world.asked(SandboxRoute::Everything), world.received_count());
        assert_eq!(stored > 0, step == "store", "{step}");
        match change {
            "" => assert_eq!(world.bed.revoke(&id), 1),
            change => world.bed.sql(change),
        }
        let row = world.run(&id);
        assert_eq!(
            (
                row.reason.as_deref(),
                row.ended_ms.is_some(),
                row.parked_at_ms.is_some()
            ),
            (Some(fault.code()), is_over, !is_over),
            "{step} {fault:?}: {row:?}"
        );
        assert_eq!(world.asked(SandboxRoute::Everything), asked, "{step} {fault:?}");
        if is_over {
            let left = "SELECT COUNT(*) FROM resource WHERE id LIKE 'px.%'";
            assert_eq!(world.bed.number(left), 0, "{step} {fault:?}");
        } else {
            assert_eq!(world.received_count(), stored, "{step} {fault:?}");
        }
        if is_over {
            assert_eq!(
                world.bed.number("SELECT COUNT(*) FROM ingest_piece"),
                0,
                "{step} {fault:?}"
            );
        }
        if fault == Fault::PartnerStopped {
            world.bed.sql("UPDATE partner SET status = 'active'");
            world.bed.act(&id, ExchangeAct::Replay).expect("replayed");
            assert_whole(&world, &id);
        }
    }
}

#[test]
fn a_gate_that_is_upgraded_between_two_turns_judges_all_of_it() {
    for step in ["check", "store"] {
        let world = hasty(PAGES);
        let id = world.start();
        until_in(&world, &id, step);
        let before = world.bed.attempts(&id).iter().filter(|one| one.step == step).count();
        // As an earlier version noted it.
        world.bed.sql("UPDATE ingest_progress SET run = '1/0/1'");
        assert_whole(&world, &id);
        let after = world.bed.attempts(&id).iter().filter(|one| one.step == step).count();
        assert!(after - before > 20, "{step}: it began anew: {before} {after}");
    }
}

#[test]
fn a_partner_that_answers_otherwise_from_a_later_turn_on_gains_nothing() {
    // Other members' resources on later pages.
    let strangers = format!(
        "{PAGES}[[rule]]\nroute = \"everything\"\nrequests = \"6+\"\nacts = [{{ wrong-member = {{ every = 2 }} }}]"
    );
    let world = hasty(&strangers);
    let row = world.exchange();
    assert_ne!(row.phase, "completed", "{row:?}");
    assert!(
        !world.counts(&row.id).quarantined.is_empty(),
        "{:?}",
        world.counts(&row.id)
    );
    for condition in world.received("Condition") {
        assert_eq!(condition["subject"]["reference"], "Patient/m1");
    }
    // Links that lead back to a page of an earlier turn.
    let circle = format!(
        "offers = [\"everything\"]\n{PAGES}[[rule]]\nroute = \"everything\"\nrequests = \"6+\"\nacts = [{{ page-loop = {{ to_page = 2 }} }}]"
    );
    let world = hasty(&circle);
    let id = world.start();
    let row = world.run(&id);
    assert!(row.wake_ms.is_some(), "the rest is asked for later: {row:?}");
    // The link of the seventh page is its own.
    assert_eq!(world.asked(SandboxRoute::Everything), 7);
    assert_eq!(world.missing(&id), ["*"]);
}

#[test]
fn a_page_that_is_gone_again_and_again_lets_its_part_begin_anew_once() {
    let world = hasty(&format!(
        "offers = [\"everything\"]\n{PAGES}[[rule]]\nroute = \"everything\"\npage = 2\nacts = [{{ answer = {{ status = 404 }} }}]"
    ));
    let id = world.start();
    let row = world.run(&id);
    assert!(row.wake_ms.is_some(), "the rest is asked for later: {row:?}");
    assert_eq!(
        world.asked(SandboxRoute::Everything),
        4,
        "the first page twice, and the second one twice"
    );
    assert_eq!(world.missing(&id), ["*"]);
}

#[test]
fn what_is_missing_is_asked_for_once_in_each_round_however_many_turns_it_takes() {
    let short = |rtype: &str| {
        format!("[[rule]]\nroute = \"search\"\nresource = \"{rtype}\"\nacts = [{{ wrong-total = {{ by = 5 }} }}]\n")
    };
    let world = hasty(&format!(
        "offers = [\"search\"]\nmembers = {{ count = 2, resources = 120 }}\n{}{}",
        short("Observation"),
        short("Encounter")
    ));
    let id = world.start();
    let asked = || {
        let searches = world.sandbox.control().requests_to(SandboxRoute::Search);
        let of = |rtype: &str| {
            searches
                .iter()
                .filter(|one| one.resource.as_deref() == Some(rtype))
                .count()
        };
        [of("Observation"), of("Encounter")]
    };
    let row = world.run(&id);
    assert_eq!(world.missing(&id).len(), 2, "{row:?}");
    let first = asked();
    assert!(first.iter().all(|count| *count > 0), "{first:?}");
    // The second round, twelve hours later.
    let row = world.run_for(&id, 13 * 3_600_000);
    assert_eq!(world.missing(&id).len(), 2, "{row:?}");
    assert_eq!(asked(), first.map(|count| count * 2));
}

#[test]
fn a_large_record_is_taken_out_in_turns_and_told_once() {
    let world = hasty(PAGES);
    let row = world.exchange();
    assert_eq!(row.phase, "completed", "{row:?}");
    let made = world
        .bed
        .number("SELECT COUNT(*) FROM ingest_resource WHERE outcome = 'made'");
    let all = world.received_count() + made;
    world.bed.act(&row.id, ExchangeAct::Retract).expect("asked");
    let mut turns = 0;
    while world.bed.number("SELECT COUNT(*) FROM resource WHERE id LIKE 'px.%'") > 0 {
        // It dies before anybody knows of the turn, and goes on.
        world.turn(false);
        world.turn(true);
        turns += 1;
        assert!(turns < 50);
    }
    while world.turn(true) {}
    assert!(turns > 1, "{turns}");
    let told = world.bed.ledger(&row.id);
    assert_eq!(
        told.iter().filter(|action| *action == "retracted").count(),
        1,
        "{told:?}"
    );
    let said = format!(
        "SELECT COUNT(*) FROM ledger_entry WHERE action = 'exchange.retracted' AND exchange_id = '{}'",
        row.id
    );
    assert_eq!(world.bed.number(&said), 1);
    assert!(all > 200, "{all}");
    assert_eq!(
        world
            .bed
            .number("SELECT COUNT(*) FROM ingest_progress WHERE step = 'retract'"),
        0
    );
}
