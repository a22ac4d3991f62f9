//! The job that deletes what is due, once a day in one process.

use super::in_force::in_force;
use super::run::run;
use super::time;
use crate::error::{ActWithin, Failure, RunbookRow};
use crate::ids::before_all_of;
use crate::jobs::runbook::parked;
use crate::jobs::sweeps::Sweep;
use crate::jobs::{HeldJob, JobStep, Priority, WorkKind};
use crate::keeping::{DataKind, table};
use crate::store::retention as rows;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

/// Deletes evidence whose period is over.
pub static RETENTION: WorkKind = WorkKind {
    name: table::JOB,
    priority: Priority::Last,
    every: Some(Duration::from_secs(86_400)),
    timeout: Duration::from_secs(3_600),
    renews: true,
    safe_because: "it looks for what is due again in each transaction, and what is deleted is not found again",
};

/// How long before the period of entries a run looks for values that an earlier run left, because they were held or came late, milliseconds.
const BEHIND_MS: i64 = 35 * 86_400_000;
/// Each time as much has passed, all entries are looked at again, milliseconds.
const ALL_MS: i64 = 30 * 86_400_000;

/// What people do when it is parked.
pub fn runbook() -> RunbookRow {
    parked(
        &RETENTION,
        ActWithin::Day,
        "Evidence whose period is over is not deleted, so that it is kept for longer than was promised.",
    )
}

/// The step of [`RETENTION`].
pub fn step() -> Arc<dyn JobStep> {
    let looked: Mutex<Option<i64>> = Mutex::new(None);
    Sweep::step(&RETENTION, move |held| turn(held, &looked))
}

/// One run: moves the time of the store by what has passed since this process `looked` last, and deletes what is due.
fn turn(held: &HeldJob, looked: &Mutex<Option<i64>>) -> Result<(), Failure> {
    let clock = &held.ctx().clock;
    let (surely_ms, running_ms) = (clock.surely_ms(), clock.running_ms());
    let last = *looked.lock().unwrap_or_else(PoisonError::into_inner);
    let passed_ms = last.map_or(0, |last| running_ms.saturating_sub(last));
    let (seen_ms, now_ms) = held.write_blocking(move |db| time::look(db, surely_ms, passed_ms))?;
    *looked.lock().unwrap_or_else(PoisonError::into_inner) = Some(running_ms);
    let after = match seen_ms.div_euclid(ALL_MS) == now_ms.div_euclid(ALL_MS) {
        true => held.ctx().store.read_blocking(rows::clock)?.from_id,
        false => String::new(),
    };
    run(held.ctx(), now_ms, &after, &|write| held.write_alone_blocking(write))?;
    if !held.ctx().store.read_blocking(rows::may_delete_beside_entries)? {
        // What this role may not delete is looked at again, once it may.
        return Ok(());
    }
    let (configured, wall_ms) = (&held.ctx().keeping, clock.now_ms());
    let periods = held.ctx().store.read_blocking(|db| in_force(db, configured, wall_ms))?;
    let before_ms = periods.before_ms(DataKind::Ledger, now_ms);
    let next = before_all_of(before_ms.unwrap_or(0).saturating_sub(BEHIND_MS));
    // A hold that was released meanwhile wants all of them to be looked at.
    held.write_blocking(move |db| match rows::clock(db)?.from_id == after {
        true => rows::look_after(db, &next),
        false => Ok(()),
    })
}
