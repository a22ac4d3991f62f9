//! Exchanges that other payers began, in the form of our own: the match is the first step, and each disclosure under it a further one.
//!
//! A read view: the id of the exchange is that of the decision, and nothing is stored for it.

use super::View;
use super::disclosures::{self, DisclosureFilter, DisclosureItem};
use super::exchanges::{AttemptItem, ExchangeDetail, ExchangeFilter, ExchangeItem, PolicyVersions, SentItem};
use crate::clock::rfc3339_ms;
use crate::error::Failure;
use crate::exchange::clocks::{DueState, answer_due_ms};
use crate::exchange::inbound::{GrantFacts, InboundFacts, InboundStates, ReviewFacts, SentFacts, outcomes_in, states};
use crate::exchange::phase::Phase;
use crate::exchange::steps::StepName;
use crate::review::ReviewState;
use crate::store::Db;
use crate::store::inbound::{self, InboundFilter, InboundRow};
use chrono_tz::Tz;

/// Matches that are read at once.
const BATCH: i64 = 100;
/// Batches that are looked through for one page; a page may end before it is full.
const BATCHES: usize = 20;
/// Disclosures of an exchange that are looked at for a list.
const FEW: i64 = 20;
/// Disclosures that are shown of one exchange.
const SHOWN: i64 = 200;

/// How exchanges are shown.
#[derive(Clone, Copy, Debug)]
pub struct ExchangeView {
    /// How much of an item.
    pub view: View,
    /// The time now, UTC milliseconds; decides what is late.
    pub now_ms: i64,
    /// The payer's time zone, of its business days.
    pub zone: Tz,
}

/// An exchange that another payer began, with what was sent under it.
pub struct InboundExchange {
    /// What the match left.
    pub row: InboundRow,
    /// The disclosures, oldest first.
    pub sent: Vec<DisclosureItem>,
    /// Where it stands.
    pub states: InboundStates,
}

/// Some of the exchanges that a filter wants, in the order of their ids.
#[derive(Default)]
pub(super) struct InboundPage {
    pub(super) items: Vec<ExchangeItem>,
    /// The id up to which was looked, when there may be more after it.
    pub(super) upto: Option<String>,
}

/// Up to `wanted` exchanges of `filter`, oldest first.
///
/// # Errors
/// Those of the database.
pub(super) fn page(
    db: &mut Db,
    filter: &ExchangeFilter,
    wanted: usize,
    shown: ExchangeView,
) -> Result<InboundPage, Failure> {
    let mut found = InboundPage::default();
    let phase = filter.phase.as_deref().and_then(Phase::parse);
    let outcomes = match phase.map(outcomes_in) {
        Some(None) => return Ok(found),
        Some(Some(outcomes)) => Some(outcomes),
        None => None,
    };
    let mut asked = InboundFilter {
        partner: filter.partner.clone(),
        outcomes,
        fault: filter.fault.clone(),
        correlation: filter.correlation.clone(),
        member: filter.member.clone(),
        since_ms: filter.since_ms,
        after: filter.cursor.clone().unwrap_or_default(),
        limit: BATCH,
        ..InboundFilter::default()
    };
    if filter.state.as_deref() == Some("parked") {
        return Ok(found);
    }
    for _ in 0..BATCHES {
        let rows = inbound::page(db, &asked)?;
        let is_last = i64::try_from(rows.len()).is_ok_and(|rows| rows < BATCH);
        let Some(last) = rows.last() else { return Ok(found) };
        asked.after.clone_from(&last.decision.id);
        for row in rows {
            let exchange = exchange(db, row, FEW, shown.now_ms)?;
            if fits(&exchange.states, phase, filter.state.as_deref()) {
                found.items.push(item(&exchange, shown));
            }
            if found.items.len() == wanted {
                return Ok(found);
            }
        }
        if is_last {
            return Ok(found);
        }
    }
    found.upto = Some(asked.after);
    Ok(found)
}

fn fits(states: &InboundStates, phase: Option<Phase>, state: Option<&str>) -> bool {
    let codes = [
        states.identity.code(),
        states.consent.code(),
        states.transport.code(),
        states.delivery.code(),
        states.audit.code(),
    ];
    phase.is_none_or(|phase| phase == states.phase) && state.is_none_or(|state| codes.contains(&state))
}

/// The exchange with this id, with its timeline.
///
/// # Errors
/// Those of the database.
pub(super) fn one(db: &mut Db, id: &str, shown: ExchangeView) -> Result<Option<ExchangeDetail>, Failure> {
    let Some(row) = inbound::find(db, id)? else {
        return Ok(None);
    };
    let exchange = exchange(db, row, SHOWN, shown.now_ms)?;
    let mut steps = vec![match_step(&exchange)];
    for (at, sent) in exchange.sent.iter().enumerate() {
        steps.push(retrieve_step(at, sent));
    }
    let mut sent = SentItem::default();
    for one in &exchange.sent {
        sent.bytes += one.bytes.unwrap_or(0);
        for (rtype, count) in one.resources.iter().flatten() {
            *sent.resources.entry(rtype.clone()).or_insert(0) += count;
        }
    }
    Ok(Some(ExchangeDetail {
        sent: Some(sent),
        steps,
        ..ExchangeDetail::of(item(&exchange, shown))
    }))
}

/// Exchanges that one partner began, the newest first, with at most `few` disclosures of each. It is a partner who asks, so `filter`
/// must name it.
///
/// # Errors
/// Those of the database.
pub fn of_partner(db: &mut Db, filter: &InboundFilter, few: i64, now_ms: i64) -> Result<Vec<InboundExchange>, Failure> {
    let rows = inbound::page(db, filter)?;
    rows.into_iter().map(|row| exchange(db, row, few, now_ms)).collect()
}

fn exchange(db: &mut Db, row: InboundRow, few: i64, now_ms: i64) -> Result<InboundExchange, Failure> {
    let decision = &row.decision;
    let mut sent = Vec::new();
    if let Some(member) = decision.patient_id.as_ref().filter(|_| row.grant.is_some()) {
        let filter = DisclosureFilter {
            member: member.clone(),
            partner: Some(decision.partner_id.clone()),
            from_ms: Some(decision.created_ms),
            limit: few,
            ..DisclosureFilter::default()
        };
        sent = disclosures::list(db, &filter)?.items;
        // A later match that renewed the grant has its own.
        sent.retain(|one| one.under.decision_id.as_deref().is_none_or(|id| id == decision.id));
    }
    let grant = row.grant.as_ref().map(|grant| {
        let consent = row.consent.as_ref();
        let consent_until = consent.map_or(i64::MAX, |consent| consent.period_to_ms);
        let revoked = [grant.revoked_ms, consent.and_then(|consent| consent.revoked_ms)];
        GrantFacts {
            until_ms: grant.valid_until_ms.min(consent_until),
            revoked_ms: revoked.into_iter().flatten().min(),
            renewed_ms: (grant.decision_id != decision.id).then_some(grant.renewed_ms),
        }
    });
    let review = row.review.as_ref().map(|review| ReviewFacts {
        decided_ms: review.decided_ms,
        is_confirmed: ReviewState::parse(&review.state) == Some(ReviewState::Confirmed),
    });
    let states = states(&InboundFacts {
        outcome: &decision.outcome,
        names_member: decision.patient_id.is_some(),
        decided_ms: decision.created_ms,
        grant,
        review,
        sent: SentFacts {
            begun: sent.len(),
            whole: sent.iter().filter(|one| is_whole(one)).count(),
            is_open: sent.iter().any(|one| one.outcome == "begun"),
        },
        now_ms,
    });
    Ok(InboundExchange { row, sent, states })
}

/// Whether resources left, and the answer was sent to its end.
fn is_whole(sent: &DisclosureItem) -> bool {
    sent.outcome == "completed" && sent.resources.as_ref().is_some_and(|resources| !resources.is_empty())
}

fn item(exchange: &InboundExchange, shown: ExchangeView) -> ExchangeItem {
    let InboundExchange { row, states, .. } = exchange;
    let decision = &row.decision;
    let due_ms = answer_due_ms(decision.created_ms, shown.zone);
    let later = row.grant.as_ref().filter(|grant| grant.decision_id != decision.id);
    ExchangeItem {
        id: decision.id.clone(),
        direction: "inbound".to_owned(),
        kind: "single".to_owned(),
        partner: decision.partner_id.clone(),
        correlation_id: decision.correlation_id.clone(),
        phase: states.phase.code().to_owned(),
        identity_state: states.identity.code().to_owned(),
        consent_state: states.consent.code().to_owned(),
        transport_state: states.transport.code().to_owned(),
        delivery_state: states.delivery.code().to_owned(),
        audit_state: states.audit.code().to_owned(),
        owner: states.owner.code().to_owned(),
        reason: decision.reason.clone(),
        policy_versions: PolicyVersions {
            matching: Some(decision.policy_version.clone()),
            release: exchange.sent.iter().rev().find_map(|one| one.policy_version.clone()),
            retry: None,
        },
        created_at: rfc3339_ms(decision.created_ms),
        due_at: rfc3339_ms(due_ms),
        sla: DueState::of(decision.created_ms, due_ms, states.answered_ms, shown.now_ms).code(),
        decision_id: Some(decision.id.clone()),
        consent_id: decision.consent_id.clone(),
        grant_id: decision.grant_id.clone(),
        step: if decision.grant_id.is_some() {
            StepName::Retrieve
        } else {
            StepName::MemberMatch
        }
        .code()
        .to_owned(),
        round: 1,
        wakes_at: None,
        parked_at: None,
        ended_at: states.ended_ms.map(rfc3339_ms),
        next_action: None,
        run_of: None,
        superseded_by: later.map(|grant| grant.decision_id.clone()),
        patient_id: shown.view.full(decision.patient_id.clone()),
    }
}

/// The request that began it. A partner's key is not shown: it belongs to the partner.
fn match_step(exchange: &InboundExchange) -> AttemptItem {
    let decision = &exchange.row.decision;
    let at = rfc3339_ms(decision.created_ms);
    let is_granted = decision.grant_id.is_some();
    let is_theirs = decision.correlation_id != decision.request_id;
    AttemptItem {
        step: StepName::MemberMatch.code().to_owned(),
        attempt: 1,
        started_at: at.clone(),
        ended_at: Some(at),
        class: Some(if is_granted { "ok" } else { "refused" }.to_owned()),
        http_status: Some(if is_granted { 200 } else { 422 }),
        partner_request_id: is_theirs.then(|| decision.correlation_id.clone()),
        idempotency_key: String::new(),
        round: 1,
        fault: decision.reason.clone(),
        bytes: 0,
    }
}

fn retrieve_step(at: usize, sent: &DisclosureItem) -> AttemptItem {
    let class = match sent.outcome {
        "completed" => Some("ok"),
        "incomplete" => Some("broken-off"),
        _ => None,
    };
    AttemptItem {
        step: StepName::Retrieve.code().to_owned(),
        attempt: i64::try_from(at).unwrap_or(0) + 1,
        started_at: sent.at.clone(),
        ended_at: sent.ended_at.clone(),
        class: class.map(str::to_owned),
        http_status: sent.http.map(i64::from),
        partner_request_id: Some(sent.correlation_id.clone()).filter(|id| *id != sent.request_id),
        idempotency_key: String::new(),
        round: 1,
        fault: None,
        bytes: sent.bytes.map_or(0, |bytes| i64::try_from(bytes).unwrap_or(i64::MAX)),
    }
}
