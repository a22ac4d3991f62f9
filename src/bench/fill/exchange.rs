//! An exchange of ours with a partner, from its opt-in to its end: its rows, its attempts and its entries.

use super::rows::{FillBatch, FilledMember};
use super::story::{StoryTeller, of_member};
use crate::audit::{Action, Actor, EntryOutcome, LedgerEvent};
use crate::dev::PARTNER_ID;
use crate::error::Fault;
use crate::exchange::kind::WORKFLOW;
use crate::exchange::phase::{
    AskedFor, AuditState, ConsentState, CoverKind, DeliveryState, IdentityState, NextMover, Phase, TransportState,
};
use crate::exchange::retry;
use crate::exchange::steps::StepName;
use crate::secret::hex;
use crate::store::exchanges::{AskRow, AttemptRow, ExchangeResultRow, ExchangeRow};
use crate::store::opt_ins::OptInRow;

/// Time for the whole exchange, milliseconds.
const DEADLINE_MS: i64 = 7 * 86_400_000;
/// The steps of an exchange that is completed: the step, and what is written before and after it.
const STEPS: [(StepName, bool, Action); 5] = [
    (StepName::MemberMatch, true, Action::ExchangeMemberMatched),
    (StepName::Retrieve, true, Action::ExchangeRetrieved),
    (StepName::Check, false, Action::ExchangeChecked),
    (StepName::Store, true, Action::ExchangeStored),
    (StepName::Acknowledge, true, Action::ExchangeAcknowledged),
];
/// What a failed call is recorded as.
const UNKNOWN: &str = "unknown";

/// An exchange being told.
struct ToldExchange {
    id: String,
    correlation_id: String,
    member: FilledMember,
    number: i64,
}

impl StoryTeller {
    /// An exchange that has ended: completed, or refused because the partner knows no such member.
    pub(super) fn exchange(&mut self, batch: &mut FillBatch) {
        let (id, began_ms, member) = (self.new_id(), self.ms(), self.member());
        let mut told = ToldExchange {
            correlation_id: id.clone(),
            id,
            member,
            number: 0,
        };
        let opt_in_id = self.opted_in(&told, batch);
        let started = self.event(&told, Action::ExchangeStarted, None);
        self.tell(&started, batch);
        let is_refused = self.below(12) == 0;
        for (step, sends, done) in STEPS {
            if sends {
                self.pass(300);
                let sending = self.event(&told, Action::ExchangeSending, Some((step.code(), 1)));
                self.tell(&sending, batch);
            }
            let repeats = step == StepName::Retrieve && self.below(10) == 0;
            if repeats {
                self.failed(&mut told, step, batch);
            }
            let attempt = if repeats { 2 } else { 1 };
            let ends_here = is_refused && step == StepName::MemberMatch;
            self.done(
                &mut told,
                (step, attempt),
                if ends_here { Action::ExchangeNoMatch } else { done },
                batch,
            );
            if ends_here {
                break;
            }
        }
        self.rows(&told, (began_ms, is_refused), &opt_in_id, batch);
        self.told += 1;
    }

    fn event(&self, told: &ToldExchange, action: Action, step: Option<(&'static str, u32)>) -> LedgerEvent {
        let system = Actor {
            kind: "system",
            ..Actor::default()
        };
        let mut event = LedgerEvent::new(action, system, self.request(&told.correlation_id));
        event.partner = Some(PARTNER_ID.to_owned());
        event.exchange = Some(told.id.clone());
        event.object = Some(of_member(&told.member.patient_id));
        event.policy_version = Some(retry::version().to_owned());
        event.step = step;
        event
    }

    fn opted_in(&mut self, told: &ToldExchange, batch: &mut FillBatch) -> String {
        let id = self.new_id();
        let recorded = self.event(told, Action::OptInRecorded, None);
        self.tell(&recorded, batch);
        batch.opt_ins.push(OptInRow {
            id: id.clone(),
            member_id: told.member.patient_id.clone(),
            partner_id: PARTNER_ID.to_owned(),
            policy: "regular".to_owned(),
            from_ms: self.ms() - 3_600_000,
            to_ms: None,
            attested_by: "enrollment desk".to_owned(),
            attested_ms: self.ms() - 3_600_000,
            attested_how: "portal".to_owned(),
            recorded_ms: self.ms(),
            revoked_ms: None,
            revoked_by: None,
            revoked_why: None,
        });
        self.pass(20);
        id
    }

    /// An attempt whose answer did not come.
    fn failed(&mut self, told: &mut ToldExchange, step: StepName, batch: &mut FillBatch) {
        let started_ms = self.ms();
        self.pass(30_000);
        let fault = Fault::PartnerUnreachable.code();
        let mut event = self.event(told, Action::ExchangeAttemptFailed, Some((step.code(), 1)));
        event.outcome = EntryOutcome {
            class: "failed",
            http: None,
            reason: Some(fault),
        };
        self.tell(&event, batch);
        self.attempt(told, (step, 1), started_ms, (UNKNOWN, Some(fault), None), batch);
        self.pass(120_000);
    }

    /// An attempt with an answer.
    fn done(&mut self, told: &mut ToldExchange, step: (StepName, u32), action: Action, batch: &mut FillBatch) {
        let started_ms = self.ms();
        self.pass(900);
        let mut event = self.event(told, action, Some((step.0.code(), step.1)));
        let refused = (action == Action::ExchangeNoMatch).then(|| Fault::NoUniqueMember.row());
        if let Some(row) = refused {
            event.outcome = EntryOutcome {
                class: "refused",
                http: Some(row.http),
                reason: Some(row.code),
            };
        } else if step.0.calls() {
            event.outcome.http = Some(200);
        }
        event.response_digest = step.0.calls().then(|| self.digest());
        self.tell(&event, batch);
        let status = event.outcome.http.map(i64::from);
        self.attempt(
            told,
            step,
            started_ms,
            ("ok", refused.map(|row| row.code), status),
            batch,
        );
    }

    fn attempt(
        &self,
        told: &mut ToldExchange,
        (step, attempt): (StepName, u32),
        started_ms: i64,
        (class, fault, http_status): (&str, Option<&str>, Option<i64>),
        batch: &mut FillBatch,
    ) {
        told.number += 1;
        let answered = http_status.is_some();
        batch.attempts.push(AttemptRow {
            exchange_id: told.id.clone(),
            number: told.number,
            step: step.code().to_owned(),
            round: 1,
            attempt: i64::from(attempt),
            started_ms,
            ended_ms: Some(self.ms()),
            class: Some(class.to_owned()),
            fault: fault.map(str::to_owned),
            http_status,
            partner_request_id: answered.then(|| hex(&self.chance.token())),
            idempotency_key: format!("{}-{}", told.id, step.code()),
            request_digest: step.calls().then(|| self.digest().to_vec()),
            response_digest: answered.then(|| self.digest().to_vec()),
            bytes: if step == StepName::Retrieve { 60_000 } else { 0 },
        });
    }

    /// Its rows, with the states in which it has ended.
    fn rows(&self, told: &ToldExchange, (began_ms, is_refused): (i64, bool), opt_in_id: &str, batch: &mut FillBatch) {
        batch.exchanges.push(self.row(told, began_ms, is_refused));
        batch.asks.push(AskRow {
            exchange_id: told.id.clone(),
            asked_for: AskedFor::Enrolment.code().to_owned(),
            cover: CoverKind::Previous.code().to_owned(),
            opt_in_id: opt_in_id.to_owned(),
            own_coverage_id: None,
            member_number: format!("OTHER-{}", self.told),
            subscriber_number: None,
            group_number: None,
            plan: None,
            number_system: None,
            begins: None,
            ends: None,
            coverage_digest: hex(&self.digest()),
            since_ms: None,
            request_key: None,
            request_digest: None,
            started_by: "system".to_owned(),
        });
        let stored = if is_refused { 0 } else { 43 };
        batch.results.push(ExchangeResultRow {
            exchange_id: told.id.clone(),
            patient_id: (!is_refused).then(|| hex(&self.chance.token())),
            method: (!is_refused).then(|| "everything".to_owned()),
            received: stored,
            bytes: stored * 1_400,
            stored,
            ..ExchangeResultRow::default()
        });
    }

    fn row(&self, told: &ToldExchange, began_ms: i64, is_refused: bool) -> ExchangeRow {
        let (phase, identity, delivery, step) = match is_refused {
            true => (
                Phase::Refused,
                IdentityState::NoMatch,
                DeliveryState::None,
                StepName::MemberMatch,
            ),
            false => (
                Phase::Completed,
                IdentityState::Matched,
                DeliveryState::Acknowledged,
                StepName::Acknowledge,
            ),
        };
        ExchangeRow {
            id: told.id.clone(),
            direction: "outbound".to_owned(),
            kind: "single".to_owned(),
            partner_id: PARTNER_ID.to_owned(),
            member_id: Some(told.member.patient_id.clone()),
            live_key: None,
            correlation_id: told.correlation_id.clone(),
            workflow: WORKFLOW,
            policy_version: retry::version().to_owned(),
            phase: phase.code().to_owned(),
            identity_state: identity.code().to_owned(),
            consent_state: ConsentState::Permitted.code().to_owned(),
            transport_state: TransportState::Idle.code().to_owned(),
            delivery_state: delivery.code().to_owned(),
            audit_state: AuditState::Complete.code().to_owned(),
            owner: NextMover::Us.code().to_owned(),
            reason: is_refused.then(|| Fault::NoUniqueMember.code().to_owned()),
            step: step.code().to_owned(),
            round: 1,
            attempts: 0,
            wake_ms: None,
            parked_at_ms: None,
            deadline_ms: began_ms + DEADLINE_MS,
            due_ms: began_ms + DEADLINE_MS,
            answer_due_ms: None,
            run_of: None,
            superseded_by: None,
            version: told.number + 2,
            created_ms: began_ms,
            updated_ms: self.ms(),
            ended_ms: Some(self.ms()),
            asked_at: None,
        }
    }
}
