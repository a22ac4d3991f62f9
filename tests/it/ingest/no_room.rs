//! The disk is full in the middle of an exchange: nothing that was kept is lost, nobody else is blamed, and it goes on by itself when there is
//! room.

use super::bed::{World, patient_limits};
use crate::support::store::on_postgres;
use causeway::error::Fault;
use causeway::partner::peer::PeerLimits;
use causeway_sandbox_partner::SandboxRoute;
use diesel::connection::SimpleConnection as _;
use std::collections::BTreeSet;
use std::time::Duration;

/// Lets the store grow by so many pages of 4 KiB from now on.
fn grow_by(world: &World, pages: Option<i64>) {
    let now = world.bed.number("SELECT page_count FROM pragma_page_count");
    let most = pages.map_or(1_000_000_000, |pages| now + pages);
    world
        .bed
        .write(move |db| Ok(db.batch_execute(&format!("PRAGMA max_page_count={most}"))?));
}

/// One turn of a worker whose store may refuse to write; returns the faults that it met.
fn turn(world: &World) -> Vec<Fault> {
    let (runner, mut faults) = (world.runner(), Vec::new());
    match world.bed.block(runner.claim(1, &[])) {
        Err(failure) => faults.push(failure.fault()),
        Ok(claimed) => {
            for held in claimed.held {
                let outcome = world.bed.block(runner.attempt(&held));
                let recorded = world.bed.block(runner.record(&held, outcome));
                faults.extend(recorded.err().map(|failure| failure.fault()));
            }
        }
    }
    world.bed.ctx.clock.advance_ms(61_000);
    world.sandbox.control().set_time_ms(world.bed.ctx.clock.now_ms());
    faults
}

#[test]
fn v5_a_disk_that_is_full_in_the_middle_of_an_exchange_loses_nothing_of_it() {
    if on_postgres() {
        return;
    }
    for step in ["retrieve", "check", "store"] {
        let world = World::with(
            "members = { count = 2, resources = 240 }\neverything_page_size = 10\n",
            PeerLimits {
                turn: Duration::ZERO,
                ..patient_limits()
            },
        );
        let id = world.start();
        let turns = |step: &str| world.bed.attempts(&id).iter().filter(|one| one.step == step).count();
        while turns(step) < 4 {
            assert!(world.turn(true), "{step}: {:?}", world.bed.exchange(&id));
        }
        let (kept, stored) = (
            world.bed.number("SELECT COUNT(*) FROM ingest_page"),
            world.received_count(),
        );
        grow_by(&world, Some(0));
        // Small rows may still find room in the pages that there are.
        let on_record = format!(
            "SELECT COUNT(*) FROM exchange_step WHERE fault = '{}'",
            Fault::NoRoom.code()
        );
        let again = "SELECT COALESCE(SUM(attempts), 0) FROM job WHERE last_class IS NOT NULL";
        let (mut faults, mut tried) = (Vec::new(), 0);
        while faults.len() as i64 + world.bed.number(&on_record) + world.bed.number(again) < 2 {
            faults.extend(turn(&world));
            tried += 1;
            assert!(
                tried < 60,
                "{step}: there is always room: {faults:?}, {:?}",
                world.bed.exchange(&id)
            );
        }
        assert!(faults.iter().all(|fault| *fault == Fault::NoRoom), "{step}: {faults:?}");
        assert!(!world.bed.store.is_broken(), "{step}");
        assert!(world.bed.number("SELECT COUNT(*) FROM ingest_page") >= kept, "{step}");
        assert!(world.received_count() >= stored, "{step}");
        grow_by(&world, None);
        let row = world.run(&id);
        assert_eq!(row.phase, "completed", "{step}: {row:?}");
        assert_eq!(world.bed.number("SELECT COUNT(*) FROM partner_health"), 0, "{step}");
        let there = world.sandbox.record(world.member()).count() as u64;
        let counts = world.counts(&id);
        assert_eq!(counts.by_type.values().sum::<u64>(), there, "{step}: {counts:?}");
        assert_eq!((counts.stored, counts.quarantined.len()), (there - 1, 0), "{step}");
        let asked = world.sandbox.control().requests_to(SandboxRoute::Everything);
        let pages: BTreeSet<&str> = asked.iter().map(|one| one.target.as_str()).collect();
        assert!(
            asked.len() <= pages.len() + 4,
            "{step}: what was kept is not asked for again: {} {}",
            asked.len(),
            pages.len()
        );
    }
}
