//! An exchange for which a bulk run does a step: the run asks for many, and each exchange keeps its own states, attempts, ledger entries and
//! consent checks. The exchange has no job meanwhile; what it does next is said here, in the caller's transaction.
//!
//! An operator may change the exchange at any time. Then it is no longer the run's, and what the run brings is not written.

use super::begin::{BeginStep, ReadySteps, begin};
use super::change::ExchangeChange;
use super::conclude::{Conclusion, OWN_TROUBLE, Then};
use super::gate::{MayBegin, may_begin};
use super::intake::wake;
use super::kind::EXCHANGE;
use super::loaded::{Circumstances, LoadedExchange};
use super::moves::allowed;
use super::steps::{CallNotes, ExchangeFacts, StepEnd, StepName};
use super::work::{attempt_end, is_awake};
use crate::context::Context;
use crate::error::{Failure, Fault};
use crate::jobs;
use crate::store::Db;
use crate::store::exchanges::{self, AttemptRow};

/// A step of one exchange that a run does.
#[derive(Clone, Copy, Debug)]
pub struct CarriedStep<'a> {
    /// Id of the exchange.
    pub exchange_id: &'a str,
    /// The step.
    pub step: StepName,
    /// The number of the attempt that the run has begun; 0 for none.
    pub attempt: i64,
}

/// Whether the run may do the step for an exchange.
#[derive(Debug)]
pub enum CarriedBegin {
    /// It has begun, with this number; these are the facts.
    Begun(i64, Box<ExchangeFacts>),
    /// The exchange goes on without the run, or has ended.
    Left,
}

/// How an exchange goes on after the step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CarriedEnd {
    /// With its next step, which the run may do too; it has no job.
    GoesOn,
    /// Without the run, or not at all.
    Left,
}

/// Leaves an exchange that has just been accepted to a run: it gets no job of its own.
///
/// # Errors
/// Those of the database.
pub fn carry(db: &mut Db, exchange_id: &str) -> Result<(), Failure> {
    jobs::take_back(db, &EXCHANGE, exchange_id).map(drop)
}

/// Lets an exchange go on alone, from where it stands.
///
/// # Errors
/// Those of the database.
pub fn hand_over(db: &mut Db, ctx: &Context, exchange_id: &str) -> Result<(), Failure> {
    match LoadedExchange::hold(db, exchange_id)? {
        Some(exchange) if is_awake(&exchange)? => wake(db, ctx, &exchange.row, ctx.clock.now_ms()),
        _ => Ok(()),
    }
}

/// Whether the attempt is the last of the exchange, and has no end.
fn is_ours(exchange: &LoadedExchange, last: Option<&AttemptRow>, one: CarriedStep<'_>) -> Result<bool, Failure> {
    let is_last = last.is_some_and(|last| last.number == one.attempt && last.ended_ms.is_none());
    Ok(is_awake(exchange)? && exchange.step()? == one.step && is_last)
}

/// Whether the exchange still waits for this step of the run, begun or not: nobody has ended, paused or moved it meanwhile.
///
/// # Errors
/// Those of the database.
pub fn is_waiting(db: &mut Db, one: CarriedStep<'_>) -> Result<bool, Failure> {
    let Some(exchange) = LoadedExchange::read(db, one.exchange_id)? else {
        return Ok(false);
    };
    if one.attempt == 0 {
        return Ok(is_awake(&exchange)? && exchange.step()? == one.step);
    }
    let last = exchanges::last_attempt(db, one.exchange_id)?;
    is_ours(&exchange, last.as_ref(), one)
}

/// Begins the step, or judges again what permits one that has begun. What does not permit it is written.
///
/// # Errors
/// Those of [`begin`] and of the database.
pub fn begin_carried(db: &mut Db, ctx: &Context, one: CarriedStep<'_>, unit: f64) -> Result<CarriedBegin, Failure> {
    let Some(exchange) = LoadedExchange::hold(db, one.exchange_id)? else {
        return Ok(CarriedBegin::Left);
    };
    if one.attempt > 0 {
        return begin_again(db, ctx, &exchange, one, unit);
    }
    if !is_awake(&exchange)? || exchange.step()? != one.step {
        return Ok(CarriedBegin::Left);
    }
    // What the step needs is the run's, and is had once for all members.
    let ready = ReadySteps {
        version: Circumstances::read(db, &exchange, ctx.clock.now_ms())?.partner.version,
        steps: vec![StepName::FindPartner, StepName::Token, StepName::MemberToken],
    };
    match begin(db, ctx, &exchange, &ready, unit)? {
        BeginStep::Begun(begun) => {
            let number = begun.steps.last().map_or(0, |(_, number)| *number);
            let facts = begun.exchange.facts(one.step, &begun.around)?;
            Ok(CarriedBegin::Begun(number, Box::new(facts)))
        }
        BeginStep::Refused(exchange, conclusion) => {
            end(db, ctx, &exchange, (conclusion, 0), &CallNotes::default(), None)?;
            Ok(CarriedBegin::Left)
        }
    }
}

/// Judges again what permits a step that has begun.
fn begin_again(
    db: &mut Db,
    ctx: &Context,
    exchange: &LoadedExchange,
    one: CarriedStep<'_>,
    unit: f64,
) -> Result<CarriedBegin, Failure> {
    let last = exchanges::last_attempt(db, one.exchange_id)?;
    if !is_ours(exchange, last.as_ref(), one)? {
        return Ok(CarriedBegin::Left);
    }
    let (around, now_ms) = (
        Circumstances::read(db, exchange, ctx.clock.now_ms())?,
        ctx.clock.now_ms(),
    );
    let over = match may_begin(exchange, &around, now_ms, unit)? {
        MayBegin::No(conclusion) => conclusion,
        MayBegin::Yes | MayBegin::Probe if exchange.row.asked_at == around.address() => {
            let facts = exchange.facts(one.step, &around)?;
            return Ok(CarriedBegin::Begun(one.attempt, Box::new(facts)));
        }
        // The next attempt begins with the registration as it is then.
        MayBegin::Yes | MayBegin::Probe => {
            let fault = Fault::PartnerMoved;
            exchange.position()?.under(&exchange.tables).conclude(
                one.step,
                &StepEnd::OwnTrouble { fault },
                now_ms,
                unit,
            )
        }
    };
    end(db, ctx, exchange, (over, one.attempt), &CallNotes::default(), None)?;
    Ok(CarriedBegin::Left)
}

/// Writes how the step ended for an exchange. One that waits for another round gets a job of its own.
///
/// # Errors
/// Those of [`ExchangeChange::apply`] and of the database.
pub fn end_carried(
    db: &mut Db,
    ctx: &Context,
    one: CarriedStep<'_>,
    (said, call): (&StepEnd, &CallNotes),
    unit: f64,
) -> Result<CarriedEnd, Failure> {
    let Some(exchange) = LoadedExchange::hold(db, one.exchange_id)? else {
        return Ok(CarriedEnd::Left);
    };
    let last = exchanges::last_attempt(db, one.exchange_id)?;
    if !is_ours(&exchange, last.as_ref(), one)? {
        return Ok(CarriedEnd::Left);
    }
    let here = exchange.position()?;
    let mut conclusion = here
        .under(&exchange.tables)
        .conclude(one.step, said, ctx.clock.now_ms(), unit);
    if allowed(here.phase, here.at, conclusion.event).is_none() {
        conclusion = here.parked(OWN_TROUBLE, Fault::Internal);
    }
    end(db, ctx, &exchange, (conclusion, one.attempt), call, Some(said))
}

fn end(
    db: &mut Db,
    ctx: &Context,
    exchange: &LoadedExchange,
    (conclusion, attempt): (Conclusion, i64),
    call: &CallNotes,
    said: Option<&StepEnd>,
) -> Result<CarriedEnd, Failure> {
    let now_ms = ctx.clock.now_ms();
    let step = exchange.step()?;
    let mut change = ExchangeChange::of(conclusion);
    if attempt > 0 {
        let ended = attempt_end(now_ms, now_ms, conclusion.class, conclusion.fault, Some(call));
        change.attempts.push((attempt, ended));
        change.step = Some((step.code(), exchange.position()?.failed + 1));
        change.http_status = call.http_status;
        change.server_answered = call.http_status.map(|_| true);
    }
    match said {
        Some(StepEnd::Done(gain)) => {
            if step == StepName::Retrieve {
                change.missing = Some(Vec::new());
            }
            change.gain = Some(gain.clone());
        }
        Some(StepEnd::Partial { gain, missing }) => {
            change.missing = Some(missing.clone());
            change.gain = Some(gain.clone());
        }
        _ => {}
    }
    let next = change.apply(db, ctx, exchange)?;
    match conclusion.then {
        Then::GoOn => Ok(CarriedEnd::GoesOn),
        Then::Wait(wake_ms) => {
            wake(db, ctx, &next.row, wake_ms)?;
            Ok(CarriedEnd::Left)
        }
        Then::Park(_) | Then::Review | Then::End => Ok(CarriedEnd::Left),
    }
}
