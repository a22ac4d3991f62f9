//! Exchanges as operators see them: states, clocks, every attempt, what came and what is missing, and what to do next.

use super::View;
use super::bulk_runs::BulkReceiptItem;
use super::opt_ins::OptInItem;
use super::partner_checkpoint::{self, PartnerCheckpointItem};
use super::recipients::{self, ReceivedItem};
use crate::clock::rfc3339_ms;
use crate::error::{Failure, Fault};
use crate::exchange::clocks::DueState;
use crate::exchange::phase::Phase;
use crate::store::Db;
use crate::store::exchanges::{self, AskRow, AttemptRow, ExchangeResultRow, ExchangeRow, MissingRow};
use crate::store::opt_ins;
use crate::store::run_receipts;
use serde::Serialize;
use std::collections::BTreeMap;

pub use crate::store::exchanges::ExchangeFilter;

/// Most attempts that are shown of one exchange.
const ATTEMPTS: i64 = 1_000;

/// An exchange.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct ExchangeItem {
    /// Its id.
    pub id: String,
    /// `outbound` or `inbound`.
    pub direction: String,
    /// `single`.
    pub kind: String,
    /// The other payer.
    pub partner: String,
    /// Its correlation id, which the other payer is told too.
    pub correlation_id: String,
    /// The phase.
    pub phase: String,
    /// Whether the member's identity is known at the other side.
    pub identity_state: String,
    /// Whether the consent permits it.
    pub consent_state: String,
    /// What the connection does.
    pub transport_state: String,
    /// How far the record has come.
    pub delivery_state: String,
    /// Whether the ledger holds the whole exchange.
    pub audit_state: String,
    /// Who makes the next move: `us`, `partner` or `operator`.
    pub owner: String,
    /// The fault that is the reason of where it stands.
    pub reason: Option<String>,
    /// The versions of the rules that decided.
    pub policy_versions: PolicyVersions,
    /// When it was accepted.
    pub created_at: String,
    /// By when it has to be asked, or answered once it was asked.
    pub due_at: String,
    /// `on_track`, `at_risk` or `breached`.
    pub sla: &'static str,
    /// The match decision of an inbound exchange.
    pub decision_id: Option<String>,
    /// The opt-in or consent under which it runs.
    pub consent_id: Option<String>,
    /// The grant of an inbound exchange.
    pub grant_id: Option<String>,
    /// The step that comes next.
    pub step: String,
    /// The round of that step.
    pub round: i64,
    /// When it goes on by itself.
    pub wakes_at: Option<String>,
    /// When it was parked.
    pub parked_at: Option<String>,
    /// When it ended.
    pub ended_at: Option<String>,
    /// What an operator does next, if it waits for one.
    pub next_action: Option<&'static str>,
    /// The exchange that this one runs again.
    pub run_of: Option<String>,
    /// The exchange that took its place.
    pub superseded_by: Option<String>,
    /// The member, in the full view.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub patient_id: Option<Option<String>>,
}

/// The versions of the rules that decided.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct PolicyVersions {
    /// Of the matcher, for an inbound exchange.
    pub matching: Option<String>,
    /// Of the release rules, for an inbound exchange.
    pub release: Option<String>,
    /// Of the retry tables, for an outbound exchange.
    pub retry: Option<String>,
}

/// An exchange with its timeline.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct ExchangeDetail {
    /// The exchange.
    #[serde(flatten)]
    pub exchange: ExchangeItem,
    /// Why it was asked for.
    pub asked_for: Option<String>,
    /// `previous` or `concurrent`.
    pub cover: Option<String>,
    /// Only what changed since then was asked for.
    pub since: Option<String>,
    /// The opt-in.
    pub opt_in: Option<OptInItem>,
    /// What came.
    pub counts: ExchangeCounts,
    /// What was sent, of an inbound exchange.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sent: Option<SentItem>,
    /// Who received something of what it stored, once it is asked to take that out again.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub received_since: Option<Vec<ReceivedItem>>,
    /// Whether what it stored is out of the store again: `pending` while that goes on, then `done`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub retraction: Option<&'static str>,
    /// The receipt of the bulk run that asked for it with others.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub bulk_receipt: Option<BulkReceiptItem>,
    /// The newest checkpoint of the partner's ledger that came with its answers, or with those to the bulk run that asked for it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub partner_checkpoint: Option<PartnerCheckpointItem>,
    /// Exactly what is missing.
    pub missing: Vec<MissingItem>,
    /// The attempts, oldest first.
    pub steps: Vec<AttemptItem>,
    /// Whether attempts were left out of `steps`.
    pub has_more_steps: bool,
    /// Whether others may have received something too, who are not in `received_since`.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub has_more_received: bool,
}

/// What was sent under an inbound exchange.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct SentItem {
    /// Resources by type; one that was sent twice counts twice.
    pub resources: BTreeMap<String, u64>,
    /// Bytes of the answers.
    pub bytes: u64,
    /// How many disclosures were made.
    pub disclosures: u64,
    /// Whether there may be more than these numbers say: not all disclosures were looked at.
    pub is_at_least: bool,
}

impl ExchangeDetail {
    /// An exchange without a timeline.
    pub(super) fn of(exchange: ExchangeItem) -> ExchangeDetail {
        ExchangeDetail {
            exchange,
            asked_for: None,
            cover: None,
            since: None,
            opt_in: None,
            counts: ExchangeCounts::default(),
            sent: None,
            received_since: None,
            has_more_received: false,
            retraction: None,
            bulk_receipt: None,
            partner_checkpoint: None,
            missing: Vec::new(),
            has_more_steps: false,
            steps: Vec::new(),
        }
    }
}

/// What an exchange brought.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct ExchangeCounts {
    /// Resources that came.
    pub received: i64,
    /// Bytes that came.
    pub bytes: i64,
    /// Resources that were stored.
    pub stored: i64,
    /// Resources that were held already.
    pub unchanged: i64,
    /// Resources in quarantine.
    pub quarantined: i64,
}

/// Something that is missing.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct MissingItem {
    /// Type of the resources.
    pub resource_type: String,
    /// How many, if that is known.
    pub count: Option<i64>,
    /// The first page that is missing.
    pub page: Option<i64>,
    /// Code of the fault for which the partner does not give it, if that is known.
    pub reason: Option<String>,
}

/// An attempt of a step.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct AttemptItem {
    /// The step.
    pub step: String,
    /// The attempt in its round.
    pub attempt: i64,
    /// When it began.
    pub started_at: String,
    /// When its end was known; `null` when that is not known yet, or was lost.
    pub ended_at: Option<String>,
    /// `ok`, or the class of the failure.
    pub class: Option<String>,
    /// HTTP status of the other payer's answer.
    pub http_status: Option<i64>,
    /// The other payer's id of the call.
    pub partner_request_id: Option<String>,
    /// The key that was sent.
    pub idempotency_key: String,
    /// The round of the step.
    pub round: i64,
    /// The fault.
    pub fault: Option<String>,
    /// Bytes that came.
    pub bytes: i64,
}

/// The exchanges of ours on a page, oldest first, and one more when there are more.
///
/// # Errors
/// Those of the database.
pub(super) fn rows(
    db: &mut Db,
    filter: &ExchangeFilter,
    view: View,
    now_ms: i64,
) -> Result<Vec<ExchangeItem>, Failure> {
    let rows = exchanges::page(db, filter)?;
    Ok(rows.into_iter().map(|row| item(row, None, view, now_ms)).collect())
}

/// One exchange with its timeline.
///
/// # Errors
/// [`Fault::ExchangeUnknown`]; those of the database.
pub fn one(db: &mut Db, id: &str, view: View, now_ms: i64) -> Result<ExchangeDetail, Failure> {
    let row = exchanges::find(db, id)?.ok_or(Fault::ExchangeUnknown)?;
    let ask = exchanges::ask_of(db, id)?;
    let opt_in = match &ask {
        Some(ask) => opt_ins::find(db, &ask.opt_in_id)?,
        None => None,
    };
    let result = exchanges::result_of(db, id)?;
    let missing = exchanges::missing_of(db, id)?;
    let mut attempts = exchanges::attempts_of(db, id, ATTEMPTS + 1)?;
    let has_more_steps = i64::try_from(attempts.len()).is_ok_and(|found| found > ATTEMPTS);
    attempts.truncate(usize::try_from(ATTEMPTS).unwrap_or(usize::MAX));
    let in_run = run_receipts::of_exchange(db, id)?;
    let run_id = in_run.as_ref().map(|found| found.run_id.clone());
    let bulk_receipt = in_run.filter(|found| found.is_brought);
    let received = recipients::of(db, &row, &attempts)?;
    let (received_since, has_more_received) = received.map_or((None, false), |(found, more)| (Some(found), more));
    Ok(ExchangeDetail {
        asked_for: ask.as_ref().map(|ask| ask.asked_for.clone()),
        cover: ask.as_ref().map(|ask| ask.cover.clone()),
        since: ask.as_ref().and_then(|ask| ask.since_ms).map(rfc3339_ms),
        exchange: item(row, ask.as_ref(), view, now_ms),
        opt_in: opt_in.map(|row| OptInItem::of(row, now_ms)),
        counts: result.map_or_else(ExchangeCounts::default, |row| counts(&row)),
        sent: None,
        received_since,
        has_more_received,
        retraction: recipients::retraction(db, id)?,
        bulk_receipt: bulk_receipt.map(BulkReceiptItem::of),
        partner_checkpoint: partner_checkpoint::of(db, id, run_id.as_deref())?,
        has_more_steps,
        missing: missing.into_iter().map(missing_item).collect(),
        steps: attempts.into_iter().map(attempt).collect(),
    })
}

fn item(row: ExchangeRow, ask: Option<&AskRow>, view: View, now_ms: i64) -> ExchangeItem {
    let due_ms = row.answer_due_ms.unwrap_or(row.due_ms);
    let next_action = next_action(&row);
    ExchangeItem {
        sla: DueState::of(row.created_ms, due_ms, row.ended_ms, now_ms).code(),
        due_at: rfc3339_ms(due_ms),
        patient_id: view.full(row.member_id),
        id: row.id,
        direction: row.direction,
        kind: row.kind,
        partner: row.partner_id,
        correlation_id: row.correlation_id,
        phase: row.phase,
        identity_state: row.identity_state,
        consent_state: row.consent_state,
        transport_state: row.transport_state,
        delivery_state: row.delivery_state,
        audit_state: row.audit_state,
        owner: row.owner,
        reason: row.reason,
        policy_versions: PolicyVersions {
            matching: None,
            release: None,
            retry: Some(row.policy_version),
        },
        created_at: rfc3339_ms(row.created_ms),
        decision_id: None,
        consent_id: ask.map(|ask| ask.opt_in_id.clone()),
        grant_id: None,
        step: row.step,
        round: row.round,
        // One that is paused keeps its wait, and does not go on by itself.
        wakes_at: row.wake_ms.filter(|_| row.parked_at_ms.is_none()).map(rfc3339_ms),
        parked_at: row.parked_at_ms.map(rfc3339_ms),
        ended_at: row.ended_ms.map(rfc3339_ms),
        next_action,
        run_of: row.run_of,
        superseded_by: row.superseded_by,
    }
}

/// What an operator does next with an exchange that waits for one.
fn next_action(row: &ExchangeRow) -> Option<&'static str> {
    let waits = row.parked_at_ms.is_some() || row.phase == Phase::ManualReview.code();
    let reason = row.reason.as_deref().filter(|_| waits)?;
    let fault = Fault::ALL.iter().find(|fault| fault.code() == reason)?;
    Some(fault.operator_remedy().unwrap_or(fault.row().remedy))
}

fn counts(row: &ExchangeResultRow) -> ExchangeCounts {
    ExchangeCounts {
        received: row.received,
        bytes: row.bytes,
        stored: row.stored,
        unchanged: row.unchanged,
        quarantined: row.quarantined,
    }
}

fn missing_item(row: MissingRow) -> MissingItem {
    MissingItem {
        resource_type: row.resource_type,
        count: row.missing,
        page: row.page,
        reason: row.reason,
    }
}

fn attempt(row: AttemptRow) -> AttemptItem {
    AttemptItem {
        step: row.step,
        attempt: row.attempt,
        started_at: rfc3339_ms(row.started_ms),
        ended_at: row.ended_ms.map(rfc3339_ms),
        class: row.class,
        http_status: row.http_status,
        partner_request_id: row.partner_request_id,
        idempotency_key: row.idempotency_key,
        round: row.round,
        fault: row.fault,
        bytes: row.bytes,
    }
}
