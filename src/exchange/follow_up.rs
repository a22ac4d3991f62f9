//! What has to be done after an exchange has ended: taking back what it began at the partner and here, asking again where cover is
//! concurrent, and asking a former payer for claims that reached it late. Each is a job of its own, enqueued in the transaction that ends
//! the exchange.

use super::clocks::{RUN_OFF_DAYS, quarter_due_ms, run_off_due_ms};
use super::entry::entry;
use super::event::ExchangeEvent;
use super::failpoints::{AFTER_COMMIT, AFTER_EFFECT, BEFORE_COMMIT, BEFORE_EFFECT, TAKEN_OUT};
use super::intake;
use super::kind::{ASKS_AGAIN, TAKES_BACK};
use super::loaded::{Circumstances, LoadedExchange};
use super::phase::{AskedFor, CoverKind, Phase};
use super::steps::{PartnerSessions, StepEnd, StepGain, StepName};
use crate::audit::{Action, ledger};
use crate::context::Context;
use crate::error::{Failure, Fault};
use crate::failpoint;
use crate::jobs::retry::FailureClass;
use crate::jobs::{self, AttemptEnding, Doing, HeldJob, JobStep, NewJob, Priority, WorkKind, enqueue};
use crate::records::ingest::{is_withdrawn, withdraw};
use crate::store::ingest as received;
use crate::store::{Db, exchanges};
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

/// Asks a partner again: with concurrent cover after a quarter, a former payer for late claims; its key is the id of the exchange before.
pub static ASK_AGAIN: WorkKind = WorkKind {
    name: ASKS_AGAIN,
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
            // What is here comes first: a partner that does not answer must not keep it here.
            let retracts = held.job().payload == RETRACT;
            let taken = match retracts {
                true => {
                    let report = self.0.retract(&exchange.row.id, &held).await;
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
            let own = ctx.clone();
            let asked = held
                .write(move |db| {
                    ask_again(db, &own, &id, asked_for)?;
                    failpoint::pass(ASKS_AGAIN, BEFORE_COMMIT);
                    Ok(())
                })
                .await;
            failpoint::pass(ASKS_AGAIN, AFTER_COMMIT);
            match asked {
                Ok(()) => Ok(AttemptEnding::done()),
                Err(failure) => match failure.fault() {
                    // Neither lasts: the series goes on when it is over.
                    Fault::QueueFull | Fault::PartnerStopped | Fault::PartnerHasNoEndpoint => {
                        Ok(AttemptEnding::again(ctx.clock.now_ms() + DAY_MS))
                    }
                    // An opt-in that is over, or a member or partner that is gone, ends the series.
                    fault @ (Fault::OptInOver
                    | Fault::OptInRevoked
                    | Fault::OptInUnknown
                    | Fault::EnrolmentInvalid
                    | Fault::MemberUnknown
                    | Fault::PartnerUnknown) => {
                        tracing::info!(
                            exchange = held.job().key,
                            fault = fault.code(),
                            "a further exchange is not started"
                        );
                        Ok(AttemptEnding::done())
                    }
                    _ => Err(failure),
                },
            }
        })
    }
}

/// Time until a further exchange that could not be started is tried again, milliseconds.
const DAY_MS: i64 = 24 * 3_600_000;

fn ask_again(db: &mut Db, ctx: &Context, id: &str, asked_for: AskedFor) -> Result<(), Failure> {
    let Some(before) = LoadedExchange::read(db, id)? else {
        return Ok(());
    };
    let mut asked = intake::again(&before, asked_for);
    if is_withdrawn(db, id)? {
        // What it brought was taken out again, so that there is nothing of which only the changes could be asked for.
        asked.since_ms = None;
    }
    intake::start_in(db, ctx, &asked).map(drop)
}
