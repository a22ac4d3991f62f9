//! What has to be done after an exchange has ended: taking back what it began at the partner and here, asking again where cover is
//! concurrent, and asking a former payer for claims that reached it late. Each is a job of its own, enqueued in the transaction that ends
//! the exchange.

use super::clocks::{RUN_OFF_DAYS, quarter_due_ms, run_off_due_ms};
use super::entry::entry;
use super::event::ExchangeEvent;
use super::intake;
use super::loaded::{Circumstances, LoadedExchange};
use super::phase::{AskedFor, CoverKind, Phase};
use super::steps::{PartnerSessions, StepEnd, StepGain, StepName};
use crate::audit::{Action, ledger};
use crate::context::Context;
use crate::error::{Failure, Fault};
use crate::jobs::retry::FailureClass;
use crate::jobs::{AttemptEnding, Doing, HeldJob, JobStep, NewJob, Priority, WorkKind, enqueue};
use crate::store::{Db, exchanges};
use std::sync::Arc;
use std::time::Duration;

/// Takes back what an exchange began; its key is the exchange's id.
pub static TAKE_BACK: WorkKind = WorkKind {
    name: "exchange-take-back",
    priority: Priority::Ordinary,
    every: None,
    timeout: Duration::from_secs(1_800),
    renews: true,
    safe_because: "what was taken back cannot be taken back again",
};

/// Asks a partner again: with concurrent cover after a quarter, a former payer for late claims; its key is the id of the exchange before.
pub static ASK_AGAIN: WorkKind = WorkKind {
    name: "exchange-again",
    priority: Priority::Last,
    every: None,
    timeout: Duration::from_secs(45),
    renews: false,
    safe_because: "the same question has one live exchange",
};

/// The payload of [`ASK_AGAIN`] when it is for late claims.
const RUN_OFF: &str = "run-off";

/// The payload of [`TAKE_BACK`] when what was stored is to be taken out too.
const RETRACT: &str = "retract";

/// Enqueues what follows from the end of an exchange, which was at `step`.
pub(super) fn after_end(
    db: &mut Db,
    ctx: &Context,
    exchange: &LoadedExchange,
    event: ExchangeEvent,
    step: StepName,
) -> Result<(), Failure> {
    let now_ms = ctx.clock.now_ms();
    if event == ExchangeEvent::Acknowledged {
        let next = match CoverKind::parse(&exchange.ask.cover) {
            Some(CoverKind::Concurrent) => Some((quarter_due_ms(exchange.row.created_ms, ctx.payer.time_zone), "")),
            _ => run_off(db, ctx, exchange)?.map(|due_ms| (due_ms, RUN_OFF)),
        };
        if let Some((due_ms, payload)) = next {
            let job = new(&ASK_AGAIN, exchange, payload, due_ms.max(now_ms));
            enqueue(db, &ctx.ids.new_id(now_ms), &job, now_ms)?;
        }
        return Ok(());
    }
    let is_withdrawn = event == ExchangeEvent::ConsentRevoked && exchange.result.stored > 0;
    if step != StepName::MemberMatch {
        let payload = if is_withdrawn { RETRACT } else { "" };
        enqueue(
            db,
            &ctx.ids.new_id(now_ms),
            &new(&TAKE_BACK, exchange, payload, now_ms),
            now_ms,
        )?;
    }
    Ok(())
}

/// When the former payer is asked for late claims after this exchange, which has its receipt acknowledged; `None` when the series is over,
/// or when it does not belong to one: a series begins with an enrollment.
fn run_off(db: &mut Db, ctx: &Context, exchange: &LoadedExchange) -> Result<Option<i64>, Failure> {
    let is_run_off = |asked_for: &str| asked_for == AskedFor::RunOff.code();
    let (mut row, mut ask, mut done) = (exchange.row.clone(), exchange.ask.clone(), 0);
    while is_run_off(&ask.asked_for) {
        done += usize::from(row.id == exchange.row.id || row.phase == Phase::Completed.code());
        let Some(before) = row.run_of.clone().filter(|_| done <= RUN_OFF_DAYS.len()) else {
            return Ok(None);
        };
        let (Some(earlier), Some(asked)) = (exchanges::find(db, &before)?, exchanges::ask_of(db, &before)?) else {
            return Ok(None);
        };
        (row, ask) = (earlier, asked);
    }
    if ask.asked_for != AskedFor::Enrolment.code() {
        return Ok(None);
    }
    let zone = ctx.payer.time_zone;
    Ok(run_off_due_ms(row.created_ms, ask.ends.as_deref(), done, zone))
}

/// Enqueues that what an exchange stored is taken out again.
pub(super) fn retract(db: &mut Db, ctx: &Context, exchange: &LoadedExchange) -> Result<(), Failure> {
    let now_ms = ctx.clock.now_ms();
    enqueue(
        db,
        &ctx.ids.new_id(now_ms),
        &new(&TAKE_BACK, exchange, RETRACT, now_ms),
        now_ms,
    )?;
    Ok(())
}

fn new<'a>(kind: &'static WorkKind, exchange: &'a LoadedExchange, payload: &'a str, due_ms: i64) -> NewJob<'a> {
    NewJob {
        kind,
        partner: Some(&exchange.row.partner_id),
        key: &exchange.row.id,
        payload,
        due_ms,
    }
}

/// The step of [`TAKE_BACK`].
pub struct TakeBack(pub Arc<dyn PartnerSessions>);

impl JobStep for TakeBack {
    fn kind(&self) -> &'static WorkKind {
        &TAKE_BACK
    }

    fn run(&self, held: HeldJob) -> Doing<'_> {
        Box::pin(async move {
            let ctx = held.ctx().clone();
            let id = held.job().key.clone();
            let read = move |db: &mut Db| {
                let Some(exchange) = LoadedExchange::read(db, &id)? else {
                    return Ok(None);
                };
                let around = Circumstances::read(db, &exchange)?;
                Ok(Some((exchange, around)))
            };
            let Some((exchange, around)) = ctx.store.read(read).await? else {
                return Ok(AttemptEnding::done());
            };
            let facts = exchange.facts(StepName::Retrieve, &around)?;
            if around.partner.is_active() && around.partner.endpoint.is_some() {
                let report = self.0.open(&facts).take_back(&facts, &held).await;
                if let StepEnd::Transport { retry_after_ms, .. } = report.end {
                    return Ok(AttemptEnding::retry(FailureClass::Timeout.row(), retry_after_ms));
                }
            }
            let mut resources = None;
            if held.job().payload == RETRACT {
                let report = self.0.retract(&exchange.row.id, &held).await;
                let StepEnd::Done(StepGain::TakenOut { resources: count }) = report.end else {
                    return Err(Failure::new(Fault::Internal).because("what an exchange stored could not be taken out"));
                };
                resources = Some(count);
            }
            Ok(AttemptEnding::done().with(Arc::new(move |db| note(db, &ctx, &exchange, resources))))
        })
    }
}

fn note(db: &mut Db, ctx: &Context, exchange: &LoadedExchange, resources: Option<u64>) -> Result<(), Failure> {
    let action = match resources {
        Some(_) => Action::ExchangeRetracted,
        None => Action::ExchangeTakenBack,
    };
    let mut entry = entry(ctx, exchange, action, None);
    if let Some(count) = resources {
        entry.counts.insert("resources".into(), count);
    }
    ledger::append(db, &entry, &ctx.ids.new_id(ctx.clock.now_ms()), ctx.clock.now_us())
}

/// The step of [`ASK_AGAIN`].
pub struct AskAgain;

impl JobStep for AskAgain {
    fn kind(&self) -> &'static WorkKind {
        &ASK_AGAIN
    }

    fn run(&self, held: HeldJob) -> Doing<'_> {
        Box::pin(async move {
            let ctx = held.ctx().clone();
            let id = held.job().key.clone();
            let asked_for = match held.job().payload == RUN_OFF {
                true => AskedFor::RunOff,
                false => AskedFor::Quarter,
            };
            Ok(AttemptEnding::done().with(Arc::new(move |db| {
                let Some(before) = LoadedExchange::read(db, &id)? else {
                    return Ok(());
                };
                let asked = intake::again(&before, asked_for);
                match intake::start_in(db, &ctx, &asked) {
                    // An opt-in that is over, or a partner that is not asked any more, ends the series.
                    Err(failure) if failure.fault().code().starts_with("EX-") => {
                        tracing::info!(
                            exchange = id,
                            fault = failure.fault().code(),
                            "a further exchange is not started"
                        );
                        Ok(())
                    }
                    other => other.map(drop),
                }
            })))
        })
    }
}
