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

/// What is wrong with an exchange that was found.
enum WrongWith {
    /// Its job is parked, with this class.
    JobFell(String),
    /// It has no job.
    Forgotten,
    /// It waits under an opt-in that has ended.
    OptInOver,
}

fn watch(held: &HeldJob) -> Result<(), Failure> {
    tell(held)?;
    jobs_that_fell(held)?;
    each(held, |db, skip| {
        let phases: Vec<&str> = WORKING.iter().map(|phase| phase.code()).collect();
        let rows = exchanges::without_job(db, (EXCHANGE.name, CARRIER), &phases, AT_ONCE, skip)?;
        Ok(rows.into_iter().map(|row| (row.id, WrongWith::Forgotten)).collect())
    })?;
    let now_ms = held.ctx().clock.now_ms();
    each(held, move |db, skip| {
        let ids = exchanges::waiting_under_ended(db, now_ms, Phase::ManualReview.code(), AT_ONCE, skip)?;
        Ok(ids.into_iter().map(|id| (id, WrongWith::OptInOver)).collect())
    })
}

fn jobs_that_fell(held: &HeldJob) -> Result<(), Failure> {
    each(held, |db, skip| {
        let found = exchanges::with_lost_jobs(db, EXCHANGE.name, AT_ONCE, skip)?;
        Ok(found
            .into_iter()
            .map(|(id, class)| (id, WrongWith::JobFell(class)))
            .collect())
    })
}

/// Mends what `find` finds after as many as are left as they are: each in its own transaction, so that one whose rows are damaged stops none of
/// the others. It is told each time, until somebody mends it.
fn each(
    held: &HeldJob,
    find: impl Fn(&mut Db, i64) -> Result<Vec<(String, WrongWith)>, Failure>,
) -> Result<(), Failure> {
    let mut skipped = 0;
    loop {
        let found = held.ctx().store.read_blocking(|db| find(db, skipped))?;
        let is_last = i64::try_from(found.len()).is_ok_and(|found| found < AT_ONCE);
        for (id, wrong) in found {
            let (ctx, own) = (held.ctx().clone(), id.clone());
            match held.write_blocking(move |db| mend(db, &ctx, &own, &wrong)) {
                Ok(true) => {}
                Ok(false) => skipped += 1,
                Err(failure) if matches!(failure.fault(), Fault::StoreDamaged | Fault::PartnerUnknown) => {
                    let cause = failure.cause().map(ToString::to_string).unwrap_or_default();
                    tracing::error!(
                        exchange = id,
                        fault = failure.fault().code(),
                        cause,
                        "the rows of an exchange are damaged; nobody works on it"
                    );
                    skipped += 1;
                }
                Err(failure) => return Err(failure),
            }
        }
        if is_last {
            return Ok(());
        }
    }
}

/// Mends one exchange. Returns whether it is not found again.
fn mend(db: &mut Db, ctx: &Context, id: &str, wrong: &WrongWith) -> Result<bool, Failure> {
    match wrong {
        WrongWith::JobFell(class) => park(db, ctx, id, class).map(|()| true),
        WrongWith::Forgotten => give_job(db, ctx, id),
        WrongWith::OptInOver => end(db, ctx, id),
    }
}

/// Gives a job to an exchange that has none. What was read before this transaction may have changed.
fn give_job(db: &mut Db, ctx: &Context, id: &str) -> Result<bool, Failure> {
    let Some(exchange) = LoadedExchange::hold(db, id)? else {
        return Ok(true);
    };
    if is_awake(&exchange)? {
        tracing::error!(exchange = id, "an exchange had no job; it gets one");
        let row = &exchange.row;
        wake(db, ctx, row, row.wake_ms.unwrap_or(ctx.clock.now_ms()))?;
    }
    Ok(true)
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
fn end(db: &mut Db, ctx: &Context, id: &str) -> Result<bool, Failure> {
    let Some(exchange) = LoadedExchange::hold(db, id)? else {
        return Ok(true);
    };
    let around = Circumstances::read(db, &exchange, ctx.clock.now_ms())?;
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
                .map(|_| true)
        }
        _ => Ok(false),
    }
}

/// Parks an exchange whose job is parked, and drops the job.
fn park(db: &mut Db, ctx: &Context, id: &str, class: &str) -> Result<(), Failure> {
    let Some(exchange) = LoadedExchange::hold(db, id)? else {
        jobs::take_back(db, &EXCHANGE, id)?;
        return Ok(());
    };
    if !exchanges::has_lost_job(db, EXCHANGE.name, id)? {
        // Somebody replayed it since it was found.
        return Ok(());
    }
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
