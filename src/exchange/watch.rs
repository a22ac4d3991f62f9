//! Finds exchanges that nobody works on: those whose job kept ending without a result, those that have no job, and those that wait for a
//! person under an opt-in that has ended meanwhile. The first are parked, the second get a job, the third end. Without it they would wait
//! for ever.

use super::change::ExchangeChange;
use super::intake::wake;
use super::kind::{CARRIER, EXCHANGE};
use super::loaded::{Circumstances, LoadedExchange};
use super::moves::WORKING;
use super::permit::refusal_of;
use super::phase::Phase;
use super::work::is_awake;
use crate::context::Context;
use crate::error::{Failure, Fault};
use crate::jobs::sweeps::Sweep;
use crate::jobs::{self, HeldJob, JobStep, Priority, WorkKind};
use crate::store::Db;
use crate::store::exchanges;
use crate::telemetry::metrics as families;
use std::sync::Arc;
use std::time::Duration;

/// Looks for exchanges that nobody works on.
pub static WATCH: WorkKind = WorkKind {
    name: "exchange-watch",
    priority: Priority::First,
    every: Some(Duration::from_secs(60)),
    timeout: Duration::from_secs(600),
    renews: true,
    safe_because: "it does not select exchanges that were parked, have a job or have ended",
};

/// Exchanges that are looked at in one transaction.
const AT_ONCE: i64 = 100;

/// The step of [`WATCH`].
pub fn step() -> Arc<dyn JobStep> {
    metrics::gauge!(families::EXCHANGES_PARKED).set(0.0);
    metrics::gauge!(families::EXCHANGES_PARKED_AGE).set(0.0);
    Sweep::step(&WATCH, watch)
}

fn watch(held: &HeldJob) -> Result<(), Failure> {
    tell(held)?;
    loop {
        let ctx = held.ctx().clone();
        let found = held.write_blocking(move |db| {
            let fallen = exchanges::with_lost_jobs(db, EXCHANGE.name, AT_ONCE)?;
            for (id, class) in &fallen {
                park(db, &ctx, id, class)?;
            }
            let phases: Vec<&str> = WORKING.iter().map(|phase| phase.code()).collect();
            let forgotten = exchanges::without_job(db, (EXCHANGE.name, CARRIER), &phases, AT_ONCE)?;
            for row in &forgotten {
                tracing::error!(exchange = row.id, "an exchange had no job; it gets one");
                wake(db, &ctx, row, row.wake_ms.unwrap_or(ctx.clock.now_ms()))?;
            }
            let over = exchanges::waiting_under_ended(db, ctx.clock.now_ms(), Phase::ManualReview.code(), AT_ONCE)?;
            for id in &over {
                end(db, &ctx, id)?;
            }
            Ok(fallen.len() + forgotten.len() + over.len())
        })?;
        if i64::try_from(found).is_ok_and(|found| found < AT_ONCE) {
            return Ok(());
        }
    }
}

/// Sets the metrics of parked exchanges.
#[allow(clippy::cast_precision_loss)] // counts and ages of this size are exact
fn tell(held: &HeldJob) -> Result<(), Failure> {
    let ctx = held.ctx();
    let (parked, oldest_ms) = ctx.store.read_blocking(exchanges::parked)?;
    let age_ms = oldest_ms.map_or(0, |since| (ctx.clock.now_ms() - since).max(0));
    metrics::gauge!(families::EXCHANGES_PARKED).set(parked as f64);
    metrics::gauge!(families::EXCHANGES_PARKED_AGE).set((age_ms / 1_000) as f64);
    Ok(())
}

/// Ends an exchange that waits for a person, and whose opt-in has ended by its period. One that goes on by itself notices that before its
/// next step.
fn end(db: &mut Db, ctx: &Context, id: &str) -> Result<(), Failure> {
    let Some(exchange) = LoadedExchange::hold(db, id)? else {
        return Ok(());
    };
    let around = Circumstances::read(db, &exchange)?;
    let row = &exchange.row;
    let refused = refusal_of(
        &around.opt_in,
        row.member_id.as_deref(),
        &row.partner_id,
        ctx.clock.now_ms(),
    );
    let here = exchange.position()?;
    match refused {
        Some((event, fault)) if !here.phase.is_terminal() && !is_awake(&exchange)? => {
            ExchangeChange::of(here.over(event, "refused", fault))
                .apply(db, ctx, &exchange)
                .map(drop)
        }
        _ => Ok(()),
    }
}

/// Parks an exchange whose job is parked, and drops the job.
fn park(db: &mut Db, ctx: &Context, id: &str, class: &str) -> Result<(), Failure> {
    let Some(exchange) = LoadedExchange::hold(db, id)? else {
        jobs::take_back(db, &EXCHANGE, id)?;
        return Ok(());
    };
    jobs::take_back(db, &EXCHANGE, id)?;
    if !is_awake(&exchange)? {
        return Ok(());
    }
    tracing::error!(
        exchange = id,
        class,
        "an exchange is parked: its job kept ending without a result"
    );
    let here = exchange.position()?;
    ExchangeChange::of(here.parked("timeout", Fault::ExchangeFell))
        .apply(db, ctx, &exchange)
        .map(drop)
}
