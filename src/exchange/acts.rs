//! What operators do with an exchange: pause, replay, reopen, cancel, supersede, close, revoke its opt-in, take out what it stored. Each act
//! is one transaction with its ledger entry; an act that is not allowed changes nothing and is on record too.

use super::change::ExchangeChange;
use super::conclude::{Conclusion, OK, Position, Then};
use super::entry::entry;
use super::event::ExchangeEvent;
use super::follow_up;
use super::intake::{self, AcceptedWish};
use super::kind::{EXCHANGE, WORKFLOW};
use super::loaded::{Circumstances, LoadedExchange, small};
use super::moves::allowed;
use super::permit::refusal_of;
use super::phase::{AskedFor, Phase};
use super::steps::StepName;
use super::work::is_awake;
use crate::audit::{Action, ConsentNote, EntryOutcome, ledger};
use crate::consent::WithdrawnBy;
use crate::context::Context;
use crate::error::{Failure, Fault};
use crate::jobs;
use crate::retention::hold;
use crate::store::Db;
use crate::store::{exchanges, ops_queries, opt_ins};

/// Something that an operator does with an exchange.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ExchangeAct {
    /// Stop it until it is replayed.
    Pause,
    /// Let a parked one go on, reopen one in review, or run again one that has ended.
    Replay,
    /// Withdraw it.
    Cancel,
    /// Replace it by a new one that asks the same.
    Supersede,
    /// End it without a result.
    Close,
    /// Take out again what it stored.
    Retract,
}

impl ExchangeAct {
    /// Its name in commands and routes.
    pub const fn code(self) -> &'static str {
        match self {
            ExchangeAct::Pause => "pause",
            ExchangeAct::Replay => "replay",
            ExchangeAct::Cancel => "cancel",
            ExchangeAct::Supersede => "supersede",
            ExchangeAct::Close => "close",
            ExchangeAct::Retract => "retract",
        }
    }
}

/// What became of an act.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ActResult {
    /// It was done, or had been done before. `exchange_id` is the exchange that goes on: another one after a new run.
    Done {
        /// Its id.
        exchange_id: String,
    },
    /// It is not allowed; the ledger has an entry of it.
    NotAllowed,
}

/// Does `act` with the exchange `id`, in the caller's transaction.
///
/// # Errors
/// [`Fault::ExchangeUnknown`]; [`Fault::ExchangeMoveRefused`] for one that another payer began; for a replay [`Fault::PartnerStopped`], [`Fault::WorkflowUnknown`] and those of [`intake::start_in`]; for a retraction [`Fault::HoldInForce`]; those
/// of the database.
pub fn act(db: &mut Db, ctx: &Context, id: &str, act: ExchangeAct, by: &WithdrawnBy) -> Result<ActResult, Failure> {
    let Some(exchange) = LoadedExchange::hold(db, id)? else {
        return Err(not_ours(db, id)?);
    };
    let here = exchange.position()?;
    match act {
        ExchangeAct::Pause if is_paused(&exchange) => Ok(done(id)),
        ExchangeAct::Pause => {
            let paused = Conclusion {
                event: ExchangeEvent::Paused,
                ..here.parked(OK, Fault::ExchangePaused)
            };
            moved(db, ctx, &exchange, paused, by)
        }
        ExchangeAct::Cancel if here.phase == Phase::Cancelled => Ok(done(id)),
        ExchangeAct::Cancel => moved(db, ctx, &exchange, ended(&here, ExchangeEvent::Cancelled), by),
        ExchangeAct::Close if here.phase == Phase::Failed => Ok(done(id)),
        ExchangeAct::Close => moved(db, ctx, &exchange, ended(&here, ExchangeEvent::Closed), by),
        ExchangeAct::Supersede => supersede(db, ctx, exchange, &here, by),
        ExchangeAct::Replay => replay(db, ctx, exchange, &here, by),
        ExchangeAct::Retract => retract(db, ctx, &exchange, by),
    }
}

/// Replays an exchange as [`act`] does, in the caller's transaction, if it is parked, and has been since `seen_ms` (UTC milliseconds); `None` for
/// any other one. Of many that somebody chose from a list, none may so be asked for a second time, or go on from what nobody has looked at.
///
/// # Errors
/// As [`act`].
pub fn replay_parked(
    db: &mut Db,
    ctx: &Context,
    id: &str,
    seen_ms: i64,
    by: &WithdrawnBy,
) -> Result<Option<ActResult>, Failure> {
    let Some(exchange) = LoadedExchange::hold(db, id)? else {
        return Err(not_ours(db, id)?);
    };
    if exchange.row.parked_at_ms.is_none_or(|at_ms| at_ms > seen_ms) {
        return Ok(None);
    }
    act(db, ctx, id, ExchangeAct::Replay, by).map(Some)
}

/// Revokes an opt-in and ends all live exchanges under it, in the caller's transaction. Revoking it again changes nothing. Returns how many
/// exchanges ended.
///
/// # Errors
/// [`Fault::OptInUnknown`]; those of the database.
pub fn revoke_opt_in(db: &mut Db, ctx: &Context, id: &str, by: &WithdrawnBy) -> Result<usize, Failure> {
    let row = opt_ins::find(db, id)?.ok_or(Fault::OptInUnknown)?;
    if !opt_ins::revoke(db, id, &by.operator, &by.reason, ctx.clock.now_ms())? {
        return Ok(0);
    }
    let mut entry = crate::audit::LedgerEvent::new(
        Action::OptInRevoked,
        crate::security::Operator::actor(by.role),
        by.correlation.clone(),
    );
    entry.partner = Some(row.partner_id.clone());
    entry.object = Some(crate::audit::Object {
        kind: "Patient",
        id: row.member_id.clone(),
    });
    entry.consent = Some(ConsentNote {
        id: row.id.clone(),
        decision: "refuse",
        rule: "revoked",
    });
    entry.note = Some(crate::audit::OperatorNote {
        operator: by.operator.clone(),
        reason: by.reason.clone(),
    });
    ledger::append(db, &entry, &ctx.ids.new_id(ctx.clock.now_ms()), ctx.clock.now_us())?;
    let mut ended = 0;
    for one in exchanges::live_under(db, id)? {
        let Some((exchange, here)) = held_whole(db, &one.id)? else {
            continue;
        };
        if here.phase.is_terminal() {
            // It ended while this waited for the worker that ended it.
            continue;
        }
        let revoked = here.over(ExchangeEvent::ConsentRevoked, OK, Fault::OptInRevoked);
        moved(db, ctx, &exchange, revoked, by)?;
        ended += 1;
    }
    Ok(ended)
}

/// An exchange that is held, and where it stands; `None` for one whose rows are damaged. Such a one cannot go on, and must not keep an opt-in in
/// force that its member has revoked.
fn held_whole(db: &mut Db, id: &str) -> Result<Option<(LoadedExchange, Position)>, Failure> {
    let held = LoadedExchange::hold(db, id).and_then(|found| {
        let exchange = found.ok_or(Fault::ExchangeUnknown)?;
        let here = exchange.position()?;
        Ok((exchange, here))
    });
    match held {
        Err(failure) if failure.fault() == Fault::StoreDamaged => {
            tracing::error!(
                exchange = id,
                "an exchange under a revoked opt-in is damaged, and cannot be ended"
            );
            Ok(None)
        }
        other => other.map(Some),
    }
}

/// What is said about an exchange that is not ours: it is another payer's, or there is none.
fn not_ours(db: &mut Db, id: &str) -> Result<Failure, Failure> {
    Ok(match ops_queries::decision(db, id)? {
        Some(_) => Failure::new(Fault::ExchangeMoveRefused).remedy(
            "The other payer began this exchange. To end what it may read, use `causeway grant revoke` or `causeway consent revoke`.",
        ),
        None => Fault::ExchangeUnknown.into(),
    })
}

fn done(id: &str) -> ActResult {
    ActResult::Done {
        exchange_id: id.to_owned(),
    }
}

fn is_paused(exchange: &LoadedExchange) -> bool {
    exchange.row.parked_at_ms.is_some() && exchange.row.reason.as_deref() == Some(Fault::ExchangePaused.code())
}

fn ended(here: &Position, event: ExchangeEvent) -> Conclusion {
    here.over(event, OK, Fault::ClosedByOperator)
}

/// Makes the move, and takes the job away from whoever runs it.
fn moved(
    db: &mut Db,
    ctx: &Context,
    exchange: &LoadedExchange,
    conclusion: Conclusion,
    by: &WithdrawnBy,
) -> Result<ActResult, Failure> {
    if allowed(exchange.phase()?, exchange.step()?, conclusion.event).is_none() {
        return not_allowed(db, ctx, exchange, by);
    }
    jobs::take_back(db, &EXCHANGE, &exchange.row.id)?;
    let change = ExchangeChange {
        by: Some(by.clone()),
        ..ExchangeChange::of(conclusion)
    };
    change.apply(db, ctx, exchange)?;
    Ok(done(&exchange.row.id))
}

fn not_allowed(db: &mut Db, ctx: &Context, exchange: &LoadedExchange, by: &WithdrawnBy) -> Result<ActResult, Failure> {
    let mut entry = entry(ctx, exchange, Action::ExchangeMoveRefused, Some(by));
    entry.outcome = EntryOutcome {
        class: "refused",
        http: None,
        reason: Some(Fault::ExchangeMoveRefused.code()),
    };
    ledger::append(db, &entry, &ctx.ids.new_id(ctx.clock.now_ms()), ctx.clock.now_us())?;
    Ok(ActResult::NotAllowed)
}

fn supersede(
    db: &mut Db,
    ctx: &Context,
    exchange: LoadedExchange,
    here: &Position,
    by: &WithdrawnBy,
) -> Result<ActResult, Failure> {
    if let Some(next) = &exchange.row.superseded_by {
        return Ok(done(next));
    }
    if moved(db, ctx, &exchange, ended(here, ExchangeEvent::Superseded), by)? == ActResult::NotAllowed {
        return Ok(ActResult::NotAllowed);
    }
    let next = run_again(db, ctx, &exchange, by)?;
    let mut row = exchanges::find(db, &exchange.row.id)?.ok_or(Fault::ExchangeUnknown)?;
    row.superseded_by = Some(next.exchange_id.clone());
    if !exchanges::replace(db, &row)? {
        return Err(Fault::LeaseLost.into());
    }
    Ok(done(&next.exchange_id))
}

/// A new exchange that asks what this one asked, and is linked to it.
fn run_again(db: &mut Db, ctx: &Context, exchange: &LoadedExchange, by: &WithdrawnBy) -> Result<AcceptedWish, Failure> {
    let asked_for = AskedFor::parse(&exchange.ask.asked_for).unwrap_or(AskedFor::Request);
    let mut wish = intake::again(exchange, asked_for);
    wish.since_ms = exchange.ask.since_ms;
    wish.by = Some(by.clone());
    intake::start_in(db, ctx, &wish)
}

fn replay(
    db: &mut Db,
    ctx: &Context,
    exchange: LoadedExchange,
    here: &Position,
    by: &WithdrawnBy,
) -> Result<ActResult, Failure> {
    if here.phase.is_terminal() {
        return Ok(done(&run_again(db, ctx, &exchange, by)?.exchange_id));
    }
    if is_awake(&exchange)? {
        // It goes on already: a replay that is asked for twice.
        return Ok(done(&exchange.row.id));
    }
    let now_ms = ctx.clock.now_ms();
    let around = Circumstances::read(db, &exchange, now_ms)?;
    let row = &exchange.row;
    if let Some((event, fault)) = refusal_of(&around.opt_in, row.member_id.as_deref(), &row.partner_id, now_ms) {
        return moved(db, ctx, &exchange, here.over(event, OK, fault), by);
    }
    if row.workflow > WORKFLOW {
        return Err(Fault::WorkflowUnknown.into());
    }
    if !around.partner.is_active() {
        return Err(Fault::PartnerStopped.into());
    }
    let event = match here.phase {
        Phase::ManualReview => ExchangeEvent::Reopened,
        _ => ExchangeEvent::Replayed,
    };
    let wake_ms = wake_after_pause(&exchange, here.at, now_ms);
    let conclusion = Conclusion {
        event,
        class: OK,
        fault: None,
        then: Then::Wait(wake_ms),
        round: next_round(db, &exchange)?,
        failed: 0,
        deadline_ms: wake_ms + exchange.tables.escalation.automatic_ms,
    };
    // Every live phase has one of the two moves. Were one missing, the replay would be refused and on record, as any other act.
    if allowed(here.phase, here.at, event).is_none() {
        return not_allowed(db, ctx, &exchange, by);
    }
    jobs::take_back(db, &EXCHANGE, &row.id)?;
    let change = ExchangeChange {
        by: Some(by.clone()),
        ..ExchangeChange::of(conclusion)
    };
    let mut next = change.apply(db, ctx, &exchange)?;
    next.row.parked_at_ms = None;
    if !exchanges::replace(db, &next.row)? {
        return Err(Fault::LeaseLost.into());
    }
    intake::wake(db, ctx, &next.row, wake_ms)?;
    Ok(done(&next.row.id))
}

/// When an exchange goes on after a replay: at once, or after what is left of the wait for the next match in which it was paused. A partner
/// that counts guesses is not asked sooner because somebody paused.
fn wake_after_pause(exchange: &LoadedExchange, at: StepName, now_ms: i64) -> i64 {
    let between_matches = at == StepName::MemberMatch && is_paused(exchange);
    let waits = exchange.row.wake_ms.filter(|_| between_matches);
    waits.map_or(now_ms, |wake_ms| wake_ms.max(now_ms))
}

/// The round after a replay. A step whose last question has no answer is asked again with the same key; one whose answer is on record needs
/// a new one. The reason alone does not tell that: a pause has its own.
fn next_round(db: &mut Db, exchange: &LoadedExchange) -> Result<u32, Failure> {
    let answered = [
        Fault::RestNotGiven,
        Fault::NotAcknowledged,
        Fault::SeveralThere,
        Fault::IdempotencyKeyReused,
    ]
    .map(Fault::code);
    let is_answered = exchange
        .row
        .reason
        .as_deref()
        .is_some_and(|reason| answered.contains(&reason));
    let row = &exchange.row;
    let mut ended = |step: &str, classes: &[&str]| exchanges::was_answered(db, &row.id, step, row.round, classes);
    // A turn of a step ends well too, without an answer to all of it: that goes on in its round, where it stopped. A retrieval has its answer
    // when what it brought was stored in the same round.
    let is_answered = is_answered
        || ended(&row.step, &ANSWERED)?
        || exchange.step()? == StepName::Retrieve && ended(StepName::Store.code(), &[OK])?;
    Ok(small(row.round) + u32::from(is_answered))
}

/// The classes of attempts whose question has its answer: the same key would only bring the same one.
const ANSWERED: [&str; 2] = ["no-match", "not-yet"];

fn retract(db: &mut Db, ctx: &Context, exchange: &LoadedExchange, by: &WithdrawnBy) -> Result<ActResult, Failure> {
    if !exchange.phase()?.is_terminal() || !follow_up::brought(db, exchange)? {
        return not_allowed(db, ctx, exchange, by);
    }
    hold::lock(db)?;
    hold::demand_free(hold::held_exchange(db, &exchange.row.id)?)?;
    let entry = entry(ctx, exchange, Action::ExchangeRetractAsked, Some(by));
    ledger::append(db, &entry, &ctx.ids.new_id(ctx.clock.now_ms()), ctx.clock.now_us())?;
    follow_up::retract(db, ctx, exchange)?;
    Ok(done(&exchange.row.id))
}
