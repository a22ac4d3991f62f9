//! The begin of a step, in the caller's transaction: whether it may begin, its row before anything is sent, and the entry in the ledger
//! before data moves.

use super::clocks::answer_due_ms;
use super::conclude::{Conclusion, OK};
use super::entry::entry;
use super::event::ExchangeEvent;
use super::gate::{MayBegin, may_begin};
use super::health;
use super::loaded::{Circumstances, LoadedExchange, idempotency_key, small};
use super::phase::{ConsentState, NextMover, TransportState};
use super::step_table::needs;
use super::steps::StepName;
use crate::audit::{ConsentNote, ledger};
use crate::context::Context;
use crate::error::{Failure, Fault};
use crate::store::Db;
use crate::store::exchanges::{self, AttemptRow};
use crate::store::partner_health;

/// What became of the wish to begin a step.
#[derive(Clone, Debug)]
pub enum BeginStep {
    /// It has begun: these steps are to be run, each with the number of its attempt.
    Begun(Box<BegunStep>),
    /// It may not begin, and this follows.
    Refused(Box<LoadedExchange>, Conclusion),
}

impl BeginStep {
    /// The name of the step that has begun; empty when none has.
    pub fn step(&self) -> &'static str {
        match self {
            BeginStep::Begun(begun) => begun.steps.last().map_or("", |(step, _)| step.code()),
            BeginStep::Refused(..) => "",
        }
    }
}

/// A step that has begun.
#[derive(Clone, Debug)]
pub struct BegunStep {
    /// The exchange from now on.
    pub exchange: LoadedExchange,
    /// What was read for it.
    pub around: Circumstances,
    /// The steps, in order; the last one is the one that the exchange is at.
    pub steps: Vec<(StepName, i64)>,
}

/// What a session has done already, under a version of the partner's registration. It counts for nothing under another one.
#[derive(Clone, Debug, Default)]
pub struct ReadySteps {
    /// The version of the registration.
    pub version: i64,
    /// The steps.
    pub steps: Vec<StepName>,
}

/// Begins the next step of `exchange`. `ready` is what the session has done already; `unit` is a random number in `0.0..1.0`.
///
/// # Errors
/// [`Fault::LeaseLost`] when the exchange was changed since it was read; those of the database.
pub fn begin(
    db: &mut Db,
    ctx: &Context,
    exchange: &LoadedExchange,
    ready: &ReadySteps,
    unit: f64,
) -> Result<BeginStep, Failure> {
    let now_ms = ctx.clock.now_ms();
    let around = Circumstances::read(db, exchange, now_ms)?;
    let refused = |conclusion| Ok(BeginStep::Refused(Box::new(exchange.clone()), conclusion));
    let here = exchange.position()?;
    let may = may_begin(exchange, &around, now_ms, unit)?;
    match may {
        MayBegin::No(conclusion) => return refused(conclusion),
        MayBegin::Probe => {
            if !partner_health::take_probe(db, &exchange.row.partner_id, now_ms + health::PROBE_MS, now_ms)? {
                return refused(here.held_back(now_ms + health::PROBE_MS / 2));
            }
        }
        MayBegin::Yes if here.at.calls() => {
            if let Err(wake_ms) = pay(db, exchange, &around, now_ms, unit)? {
                return refused(here.held_back(wake_ms));
            }
        }
        MayBegin::Yes => {}
    }
    let mut next = exchange.clone();
    if here.at.calls() {
        let row = &mut next.row;
        row.transport_state = TransportState::Sending.code().into();
        row.consent_state = ConsentState::Permitted.code().into();
        row.owner = NextMover::Partner.code().into();
        row.reason = None;
        row.wake_ms = None;
        row.updated_ms = now_ms;
        if here.at == StepName::MemberMatch {
            row.asked_at = around.address();
            let zone = ctx.payer.time_zone;
            row.answer_due_ms.get_or_insert_with(|| answer_due_ms(now_ms, zone));
        }
        if !exchanges::replace(db, row)? {
            return Err(Fault::LeaseLost.into());
        }
        row.version += 1;
        let mut entry = entry(ctx, &next, ExchangeEvent::Sending.action(), None);
        entry.step = Some((here.at.code(), here.failed + 1));
        entry.consent = Some(ConsentNote {
            id: around.opt_in.id.clone(),
            decision: "permit",
            rule: "opt-in",
        });
        ledger::append(db, &entry, &ctx.ids.new_id(now_ms), ctx.clock.now_us())?;
    }
    let ready = match ready.version == around.partner.version {
        true => ready.steps.as_slice(),
        false => &[],
    };
    let steps = add_attempts(db, &next, here.at, ready, now_ms)?;
    Ok(BeginStep::Begun(Box::new(BegunStep {
        exchange: next,
        around,
        steps,
    })))
}

/// Takes a repetition out of the partner's budget, or notes a first attempt. The inner error is when there will be room, UTC milliseconds.
fn pay(
    db: &mut Db,
    exchange: &LoadedExchange,
    around: &Circumstances,
    now_ms: i64,
    unit: f64,
) -> Result<Result<(), i64>, Failure> {
    let is_replay = exchange.row.attempts == 0 && has_failed(db, exchange)?;
    // A partner without a row has its whole budget; the failure that made this a repetition has made a row. Replays of many exchanges at once
    // are within the budget too, also when the partner is well.
    if around.health.is_none() && !is_replay {
        return Ok(Ok(()));
    }
    let partner = &exchange.row.partner_id;
    // Others may have taken from it since it was read.
    let mut row = partner_health::hold(db, partner)?.unwrap_or_else(|| health::well(partner, now_ms));
    let paid = if exchange.row.attempts > 0 || is_replay {
        health::take_repetition(&mut row, now_ms, unit)
    } else {
        health::first_attempt(&mut row, now_ms);
        Ok(())
    };
    partner_health::put(db, &row)?;
    Ok(paid)
}

/// Whether the last attempt ended without success in this round of the step that begins. When no attempt of it counts as failed any more, a
/// person lets the exchange go on.
fn has_failed(db: &mut Db, exchange: &LoadedExchange) -> Result<bool, Failure> {
    let row = &exchange.row;
    Ok(exchanges::last_attempt(db, &row.id)?.is_some_and(|last| {
        last.step == row.step && last.round == row.round && last.class.is_some_and(|class| class != OK)
    }))
}

fn add_attempts(
    db: &mut Db,
    exchange: &LoadedExchange,
    at: StepName,
    ready: &[StepName],
    now_ms: i64,
) -> Result<Vec<(StepName, i64)>, Failure> {
    let row = &exchange.row;
    let first = exchanges::last_attempt(db, &row.id)?.map_or(1, |last| last.number + 1);
    let wanted = needs(at).iter().copied().filter(|step| !ready.contains(step));
    let steps: Vec<(StepName, i64)> = wanted.chain([at]).zip(first..).collect();
    let attempts: Vec<AttemptRow> = steps
        .iter()
        .map(|(step, number)| AttemptRow {
            exchange_id: row.id.clone(),
            number: *number,
            step: step.code().into(),
            round: row.round,
            attempt: row.attempts + 1,
            started_ms: now_ms,
            ended_ms: None,
            class: None,
            fault: None,
            http_status: None,
            partner_request_id: None,
            idempotency_key: idempotency_key(&row.id, *step, small(row.round), &row.partner_id),
            request_digest: None,
            response_digest: None,
            bytes: 0,
        })
        .collect();
    exchanges::begin_attempts(db, &attempts)?;
    Ok(steps)
}
