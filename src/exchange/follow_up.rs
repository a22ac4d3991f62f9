//! What has to be done after an exchange has ended: taking back what it began at the partner and here, and asking again ([`super::series`]).
//! Each is a job of its own, enqueued in the transaction that ends the exchange.

use super::entry::entry;
use super::event::ExchangeEvent;
use super::failpoints::{AFTER_EFFECT, BEFORE_EFFECT, TAKEN_OUT};
use super::kind::{CARRIER, TAKES_BACK};
use super::loaded::{Circumstances, LoadedExchange};
use super::series;
use super::steps::{PartnerSessions, StepEnd, StepGain, StepName};
use crate::audit::{Action, ledger};
use crate::context::Context;
use crate::error::{Failure, Fault};
use crate::failpoint;
use crate::jobs::retry::FailureClass;
use crate::jobs::{self, AttemptEnding, Doing, HeldJob, JobStep, NewJob, Priority, WorkKind, enqueue};
use crate::records::ingest::{forget_retraction, withdraw};
use crate::store::ingest as received;
use crate::store::{Db, bulk_runs};
use std::sync::Arc;
use std::time::Duration;

/// Takes back what an exchange began; its key is the exchange's id.
pub static TAKE_BACK: WorkKind = WorkKind {
    name: TAKES_BACK,
    priority: Priority::Ordinary,
    every: None,
    timeout: Duration::from_secs(1_800),
    renews: true,
    safe_because: "what was taken back cannot be taken back again",
};

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
    series::after_end(db, ctx, exchange, event)?;
    if event == ExchangeEvent::Acknowledged {
        return Ok(());
    }
    // A run that works for it looks at once whether anybody still waits, and ends what it has begun at the partner if not.
    for run_id in bulk_runs::carrying(db, &exchange.row.id)? {
        jobs::hasten(db, CARRIER, &run_id, now_ms)?;
    }
    if brought(db, exchange)? && (takes_out(event) || !is_stored(exchange)) {
        return retract(db, ctx, exchange);
    }
    if step != StepName::MemberMatch {
        enqueue(
            db,
            &ctx.ids.new_id(now_ms),
            &new(&TAKE_BACK, exchange, "", now_ms),
            now_ms,
        )?;
    }
    Ok(())
}

/// Whether what an exchange stored is taken out when it ends by this event. What was stored while the opt-in held stays when it merely ends.
const fn takes_out(event: ExchangeEvent) -> bool {
    matches!(
        event,
        ExchangeEvent::Cancelled
            | ExchangeEvent::Superseded
            | ExchangeEvent::ConsentRevoked
            | ExchangeEvent::ConsentRefused
    )
}

/// Whether a step of storing has come to its end: what it stored is not half of something.
const fn is_stored(exchange: &LoadedExchange) -> bool {
    exchange.result.stored + exchange.result.unchanged > 0
}

/// Whether something is in the store because of this exchange; a step of storing that was broken off counts too.
///
/// # Errors
/// Those of the database.
pub(super) fn brought(db: &mut Db, exchange: &LoadedExchange) -> Result<bool, Failure> {
    Ok(is_stored(exchange) || received::has_received(db, &exchange.row.id)?)
}

/// Takes out what an exchange stored: from this transaction on nothing counts on it, and the job does the work. A job that only takes back
/// what was begun is replaced.
pub(super) fn retract(db: &mut Db, ctx: &Context, exchange: &LoadedExchange) -> Result<(), Failure> {
    let now_ms = ctx.clock.now_ms();
    withdraw(db, &exchange.row.id, now_ms)?;
    jobs::take_back(db, &TAKE_BACK, &exchange.row.id)?;
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
            let now_ms = ctx.clock.now_ms();
            let read = move |db: &mut Db| {
                let Some(exchange) = LoadedExchange::read(db, &id)? else {
                    return Ok(None);
                };
                let around = Circumstances::read(db, &exchange, now_ms)?;
                Ok(Some((exchange, around)))
            };
            let Some((exchange, around)) = ctx.store.read(read).await? else {
                return Ok(AttemptEnding::done());
            };
            // What is here comes first: a partner that does not answer must not keep it here.
            let retracts = held.job().payload == RETRACT;
            let taken = match retracts {
                true => {
                    let report = self.0.retract(&exchange.row.id, &held).await;
                    if matches!(report.end, StepEnd::More) {
                        return Ok(AttemptEnding::again(ctx.clock.now_ms()));
                    }
                    let StepEnd::Done(StepGain::TakenOut { resources }) = report.end else {
                        return Err(not_done(&report.end, "what an exchange stored could not be taken out"));
                    };
                    Some(resources)
                }
                false => {
                    let report = self.0.drop_unstored(&exchange.row.id, &held).await;
                    if !matches!(report.end, StepEnd::Done(_)) {
                        return Err(not_done(&report.end, "what an exchange fetched could not be dropped"));
                    }
                    None
                }
            };
            failpoint::pass(TAKES_BACK, TAKEN_OUT);
            if around.partner.is_active() && around.partner.endpoint.is_some() {
                let facts = exchange.facts(StepName::Retrieve, &around)?;
                failpoint::pass(TAKES_BACK, BEFORE_EFFECT);
                let report = self.0.open(&facts).take_back(&facts, &held).await;
                failpoint::pass(TAKES_BACK, AFTER_EFFECT);
                match report.end {
                    StepEnd::Done(_) => {}
                    StepEnd::Transport { retry_after_ms, .. } => {
                        return Ok(AttemptEnding::retry(FailureClass::Timeout.row(), retry_after_ms));
                    }
                    end => {
                        return Err(not_done(
                            &end,
                            "what an exchange began at the partner could not be taken back",
                        ));
                    }
                }
            }
            // With the end of the job, so that it is never missing.
            Ok(AttemptEnding::done().with(Arc::new(move |db| note(db, &ctx, &exchange, taken))))
        })
    }
}

/// The failure of a job whose step ended like this.
fn not_done(end: &StepEnd, what: &'static str) -> Failure {
    let fault = match end {
        StepEnd::OwnTrouble { fault }
        | StepEnd::NeedsPerson { fault }
        | StepEnd::NotPermitted { fault }
        | StepEnd::OurFault { fault }
        | StepEnd::Refused { fault }
        | StepEnd::Back { fault, .. } => *fault,
        _ => Fault::Internal,
    };
    Failure::new(fault).because(what)
}

fn note(db: &mut Db, ctx: &Context, exchange: &LoadedExchange, resources: Option<u64>) -> Result<(), Failure> {
    let action = match resources {
        Some(_) => Action::ExchangeRetracted,
        None => Action::ExchangeTakenBack,
    };
    let mut entry = entry(ctx, exchange, action, None);
    if let Some(count) = resources {
        forget_retraction(db, &exchange.row.id)?;
        entry.counts.insert("resources".into(), count);
    }
    ledger::append(db, &entry, &ctx.ids.new_id(ctx.clock.now_ms()), ctx.clock.now_us())
}
