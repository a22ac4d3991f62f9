//! One change of an exchange, in the caller's transaction: the move, the ends of its attempts, what it brought, the ledger entry, the
//! partner's health, and the work that follows. All or nothing.

use super::conclude::{Conclusion, Then};
use super::entry::{ESCALATION, entry};
use super::event::ExchangeEvent;
use super::follow_up;
use super::health;
use super::loaded::LoadedExchange;
use super::moves::{LeadsTo, Move, NextStep, allowed};
use super::partner_checkpoint;
use super::phase::{AuditState, NextMover, TransportState};
use super::steps::{MissingPart, Quarantined, Resume, StepGain};
use super::traced;
use crate::audit::{EntryOutcome, ledger};
use crate::consent::WithdrawnBy;
use crate::context::Context;
use crate::error::{Failure, Fault};
use crate::jobs::Write;
use crate::store::Db;
use crate::store::exchanges::{self, AttemptEnd, MissingRow};
use crate::store::partner_health;

/// A change that is about to be written.
#[derive(Clone)]
pub struct ExchangeChange {
    /// What follows.
    pub conclusion: Conclusion,
    /// The attempts that ended, by their numbers.
    pub attempts: Vec<(i64, AttemptEnd)>,
    /// The step and the attempt that the ledger entry names.
    pub step: Option<(&'static str, u32)>,
    /// What was gained.
    pub gain: Option<StepGain>,
    /// What is missing from now on; `None` leaves it as it is.
    pub missing: Option<Vec<MissingPart>>,
    /// What the next attempt of the step needs.
    pub resume: Option<Resume>,
    /// What the partner's server showed: `Some(true)` that it answered, `Some(false)` that it is in trouble.
    pub server_answered: Option<bool>,
    /// Whether the step should have called the partner and got no answer, so that a probe that it may have taken is free again.
    pub asked_nothing: bool,
    /// HTTP status of the last call.
    pub http_status: Option<u16>,
    /// The checkpoint of the partner's ledger that came with the last answer.
    pub partner_checkpoint: Option<String>,
    /// The rows of the step itself.
    pub with: Option<Write>,
    /// The operator who caused it.
    pub by: Option<WithdrawnBy>,
    /// A random number in `0.0..1.0`.
    pub unit: f64,
}

impl ExchangeChange {
    /// A change without anything but its conclusion.
    pub fn of(conclusion: Conclusion) -> ExchangeChange {
        ExchangeChange {
            conclusion,
            attempts: Vec::new(),
            step: None,
            gain: None,
            missing: None,
            resume: None,
            server_answered: None,
            asked_nothing: false,
            http_status: None,
            partner_checkpoint: None,
            with: None,
            by: None,
            unit: 0.0,
        }
    }

    /// Writes the change and returns the exchange as it is from now on.
    ///
    /// # Errors
    /// [`Fault::ExchangeMoveRefused`] for a move that is not in the table, [`Fault::LeaseLost`] when the exchange was changed since it was
    /// read; those of the database.
    pub fn apply(&self, db: &mut Db, ctx: &Context, exchange: &LoadedExchange) -> Result<LoadedExchange, Failure> {
        let event = self.conclusion.event;
        let (phase, step) = (exchange.phase()?, exchange.step()?);
        let found = allowed(phase, step, event).ok_or(Fault::ExchangeMoveRefused)?;
        if let Some(with) = &self.with {
            with(db)?;
        }
        let now_ms = ctx.clock.now_ms();
        let mut next = exchange.clone();
        self.put(&mut next, found, now_ms);
        if !exchanges::replace(db, &next.row)? {
            return Err(Fault::LeaseLost.into());
        }
        next.row.version += 1;
        for (number, end) in &self.attempts {
            exchanges::end_attempt(db, &next.row.id, *number, end)?;
        }
        self.write_result(db, &mut next)?;
        if let Some(note) = &self.partner_checkpoint {
            partner_checkpoint::keep(db, (&next.row.partner_id, &next.row.id), note, now_ms)?;
        }
        if matches!(self.gain, Some(StepGain::Matched(_))) || self.conclusion.then == Then::End {
            exchanges::forget_question(db, &next.row.id)?;
        }
        self.write_health(db, &next, now_ms)?;
        let escalates = self.is_escalated() || next.row.deadline_ms != exchange.row.deadline_ms;
        self.note(db, ctx, &next, escalates)?;
        if self.conclusion.then == Then::End {
            follow_up::after_end(db, ctx, &next, event, step)?;
            traced::ended(ctx, &next);
        }
        Ok(next)
    }

    /// The states after the move.
    fn put(&self, next: &mut LoadedExchange, found: &Move, now_ms: i64) {
        let (row, conclusion) = (&mut next.row, &self.conclusion);
        if let LeadsTo::Phase(phase) = found.to {
            row.phase = phase.code().into();
        }
        if let NextStep::Step(step) = found.next {
            row.step = step.code().into();
        }
        for (state, column) in [
            (
                found.identity.map(super::phase::IdentityState::code),
                &mut row.identity_state,
            ),
            (
                found.consent.map(super::phase::ConsentState::code),
                &mut row.consent_state,
            ),
            (
                found.delivery.map(super::phase::DeliveryState::code),
                &mut row.delivery_state,
            ),
        ] {
            if let Some(code) = state {
                *column = code.into();
            }
        }
        let (mut owner, mut transport) = (found.owner, found.transport);
        // Whoever pauses an exchange does not shorten its wait: a replay goes on with what is left of it.
        if conclusion.event != ExchangeEvent::Paused {
            row.wake_ms = None;
        }
        match conclusion.then {
            Then::Wait(wake_ms) => row.wake_ms = Some(wake_ms),
            Then::Park(_) => {
                row.parked_at_ms = Some(now_ms);
                (owner, transport) = (NextMover::Operator, TransportState::Idle);
            }
            Then::End => {
                row.ended_ms = Some(now_ms);
                row.live_key = None;
                row.parked_at_ms = None;
            }
            Then::GoOn | Then::Review => {}
        }
        row.owner = owner.code().into();
        row.transport_state = transport.code().into();
        row.audit_state = match conclusion.then {
            Then::End => AuditState::Complete.code().into(),
            _ => AuditState::Open.code().into(),
        };
        let parked_for = match conclusion.then {
            Then::Park(fault) => Some(fault),
            _ => conclusion.fault,
        };
        row.reason = parked_for.map(|fault| fault.code().to_owned());
        row.round = i64::from(conclusion.round);
        row.attempts = i64::from(conclusion.failed);
        row.deadline_ms = conclusion.deadline_ms;
        row.updated_ms = now_ms;
        next.was_unauthorized = conclusion.class == "unauthorized";
    }

    fn write_result(&self, db: &mut Db, next: &mut LoadedExchange) -> Result<(), Failure> {
        let mut result = next.result.clone();
        result.resume = self.resume.as_ref().map(|resume| resume.0.clone());
        match &self.gain {
            Some(StepGain::Matched(found)) => {
                result.patient_id.clone_from(&found.patient_id);
                result.identifier_system.clone_from(&found.identifier_system);
                result.identifier.clone_from(&found.identifier);
            }
            Some(StepGain::Retrieved {
                counts,
                bytes,
                method,
                as_of_ms,
            }) => {
                result.received = big(counts.values().sum());
                result.bytes = big(*bytes);
                result.method = Some((*method).to_owned());
                result.as_of_ms = result.as_of_ms.or(*as_of_ms);
            }
            Some(StepGain::Checked { quarantined, .. }) => result.quarantined = sum(quarantined),
            Some(StepGain::Stored {
                stored,
                unchanged,
                quarantined,
            }) => {
                result.stored = big(*stored);
                result.unchanged = big(*unchanged);
                result.quarantined = sum(quarantined);
            }
            Some(StepGain::Ready | StepGain::TakenOut { .. }) | None => {}
        }
        result.count_as_received();
        if result != next.result {
            exchanges::put_result(db, &result)?;
            next.result = result;
        }
        if let Some(missing) = &self.missing {
            let id = next.row.id.clone();
            let rows: Vec<MissingRow> = missing
                .iter()
                .zip(0..)
                .map(|(part, number)| missing_row(&id, number, part))
                .collect();
            if rows != next.missing {
                exchanges::set_missing(db, &id, &rows)?;
                next.missing = rows;
            }
        }
        Ok(())
    }

    fn write_health(&self, db: &mut Db, next: &LoadedExchange, now_ms: i64) -> Result<(), Failure> {
        let partner = &next.row.partner_id;
        let Some(answered) = self.server_answered else {
            return match self.asked_nothing {
                true => partner_health::free_probe(db, partner),
                false => Ok(()),
            };
        };
        let before = partner_health::hold(db, partner)?;
        if answered && before.is_none() {
            return Ok(());
        }
        let mut row = before.unwrap_or_else(|| health::well(partner, now_ms));
        let turned = if answered {
            health::answered(&mut row, now_ms)
        } else {
            health::failed(&mut row, now_ms, self.unit)
        };
        if turned {
            let state = if answered { "closed" } else { "open" };
            tracing::warn!(
                partner,
                state,
                until_ms = row.open_until_ms,
                "the circuit of a partner changed"
            );
        }
        if health::is_well(&row) {
            partner_health::forget(db, partner)
        } else {
            partner_health::put(db, &row)
        }
    }

    /// Whether the exchange goes to an operator because its time for automatic attempts is over.
    fn is_escalated(&self) -> bool {
        matches!(self.conclusion.then, Then::Park(Fault::DeadlineOver))
            || self.conclusion.fault == Some(Fault::DeadlineOver)
    }

    /// The ledger entries: one for the event, and one more when the exchange is parked by it.
    fn note(&self, db: &mut Db, ctx: &Context, next: &LoadedExchange, escalates: bool) -> Result<(), Failure> {
        let conclusion = &self.conclusion;
        if matches!(conclusion.event, ExchangeEvent::HeldBack | ExchangeEvent::WentOn) {
            return Ok(());
        }
        self.append(db, ctx, next, (conclusion.event, conclusion.fault, escalates))?;
        match conclusion.then {
            Then::Park(fault) if !matches!(conclusion.event, ExchangeEvent::Parked | ExchangeEvent::Paused) => {
                self.append(db, ctx, next, (ExchangeEvent::Parked, Some(fault), escalates))
            }
            _ => Ok(()),
        }
    }

    fn append(
        &self,
        db: &mut Db,
        ctx: &Context,
        next: &LoadedExchange,
        (event, fault, escalates): (ExchangeEvent, Option<Fault>, bool),
    ) -> Result<(), Failure> {
        let mut entry = entry(ctx, next, event.action(), self.by.as_ref());
        if escalates {
            entry.tables = vec![(ESCALATION, next.tables.escalation_digest())];
        }
        entry.step = self.step;
        entry.outcome = EntryOutcome {
            class: class_of(event, fault),
            http: self.http_status,
            reason: fault.map(Fault::code),
        };
        if let Some(StepGain::Retrieved { counts, bytes, .. }) = &self.gain {
            entry.counts.clone_from(counts);
            entry.bytes = Some(*bytes);
        }
        if let Some(StepGain::Stored { stored, unchanged, .. }) = &self.gain {
            entry.counts.insert("stored".into(), *stored);
            entry.counts.insert("unchanged".into(), *unchanged);
        }
        if let Some(StepGain::Checked { quarantined, .. } | StepGain::Stored { quarantined, .. }) = &self.gain {
            for one in quarantined {
                entry.counts.insert(format!("quarantined.{}", one.reason), one.count);
            }
        }
        ledger::append(db, &entry, &ctx.ids.new_id(ctx.clock.now_ms()), ctx.clock.now_us())
    }
}

fn class_of(event: ExchangeEvent, fault: Option<Fault>) -> &'static str {
    match event {
        ExchangeEvent::PartnerRefused
        | ExchangeEvent::ConsentRefused
        | ExchangeEvent::ConsentExpired
        | ExchangeEvent::ConsentRevoked
        | ExchangeEvent::NoMatch
        | ExchangeEvent::Unmatched
        | ExchangeEvent::Ambiguous => "refused",
        _ if fault.is_some() => "failed",
        _ => "ok",
    }
}

fn missing_row(id: &str, number: i64, part: &MissingPart) -> MissingRow {
    MissingRow {
        exchange_id: id.to_owned(),
        number,
        resource_type: part.resource_type.clone(),
        missing: part.count.map(big),
        page: part.page.map(big),
        resume: part.resume.clone().map(|resume| resume.0),
        reason: part.reason.clone(),
    }
}

fn sum(quarantined: &[Quarantined]) -> i64 {
    big(quarantined.iter().map(|one| one.count).sum())
}

fn big(count: u64) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}
