//! Exchanges that other payers began, in the form of our own: the match is the first step, and each disclosure under it a further one.
//!
//! A read view: the id of the exchange is that of the decision, and nothing is stored for it.

use super::View;
use super::exchanges::{AttemptItem, ExchangeDetail, ExchangeFilter, ExchangeItem, PolicyVersions, SentItem};
use super::sent_under::{SentDepth, SentOf, SentOne, SentReader, SentUnder};
use crate::clock::rfc3339_ms;
use crate::error::Failure;
use crate::exchange::clocks::{DueState, answer_due_ms};
use crate::exchange::inbound::{GrantFacts, InboundFacts, InboundStates, ReviewFacts, SentFacts, outcomes_in, states};
use crate::exchange::phase::Phase;
use crate::exchange::steps::StepName;
use crate::ids::before_all_of;
use crate::review::ReviewState;
use crate::secret::member_keys::MemberKeys;
use crate::store::Db;
use crate::store::correlations::{self, CorrelatedRow};
use crate::store::inbound::{self, GrantRenewal, InboundFilter, InboundRow};
use chrono_tz::Tz;

/// Matches that are read at once.
const BATCH: i64 = 100;
/// Batches that are looked through for one page; a page may end before it is full.
const BATCHES: usize = 20;
/// Entries of the ledger that are looked at for a page of operators; then the page ends.
const PAGE_ENTRIES: usize = 20_000;
/// Entries that are looked at for one exchange of a list, and young ones for all exchanges of a batch.
const FEW: usize = 1_000;
/// Entries that are looked at for one exchange that is shown.
const MOST: usize = 10_000;
/// Disclosures that are shown of one exchange.
const SHOWN: usize = 200;

/// How exchanges are shown.
#[derive(Clone, Debug)]
pub struct ExchangeView {
    /// How much of an item.
    pub view: View,
    /// The time now, UTC milliseconds; decides what is late.
    pub now_ms: i64,
    /// The payer's time zone, of its business days.
    pub zone: Tz,
    /// What opens correlation ids that stand sealed.
    pub keys: MemberKeys,
}

/// An exchange that another payer began, with what was sent under it.
pub struct InboundExchange {
    /// What the match left.
    pub row: InboundRow,
    /// What was sent under it.
    pub sent: SentUnder,
    /// Where it stands.
    pub states: InboundStates,
}

impl CorrelatedRow for SentOne {
    fn place(&mut self) -> (&mut String, Option<&str>) {
        (&mut self.correlation_id, Some(self.request_id.as_str()))
    }
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
    shown: &ExchangeView,
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
        correlation: correlations::forms_of(db, &shown.keys, filter.correlation.as_deref())?,
        member: filter.member.clone(),
        since_ms: filter.since_ms,
        after: filter.cursor.clone().unwrap_or_default(),
        limit: BATCH,
        ..InboundFilter::default()
    };
    if filter.state.as_deref() == Some("parked") {
        return Ok(found);
    }
    let mut left = PAGE_ENTRIES;
    for _ in 0..BATCHES {
        let mut batch = InboundBatch::read(db, &asked, SentDepth::States, shown.now_ms)?;
        correlations::open(db, &shown.keys, &mut batch.rows)?;
        for row in &batch.rows {
            if left == 0 {
                found.upto = Some(asked.after);
                return Ok(found);
            }
            asked.after.clone_from(&row.decision.id);
            let exchange = batch.exchange(db, row, &mut left)?;
            if fits(&exchange.states, phase, filter.state.as_deref()) {
                found.items.push(item(&exchange, shown));
            }
            if found.items.len() == wanted {
                return Ok(found);
            }
        }
        if batch.is_last {
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
pub(super) fn one(db: &mut Db, id: &str, shown: &ExchangeView) -> Result<Option<ExchangeDetail>, Failure> {
    let Some(row) = inbound::find(db, id)? else {
        return Ok(None);
    };
    let row = correlations::open_one(db, &shown.keys, row)?;
    let batch = InboundBatch::of(db, vec![row], (SentDepth::Each, MOST), shown.now_ms)?;
    let Some(row) = batch.rows.first() else { return Ok(None) };
    let mut left = MOST;
    let mut exchange = batch.exchange(db, row, &mut left)?;
    correlations::open(db, &shown.keys, &mut exchange.sent.each)?;
    let sent = &exchange.sent;
    let hidden = sent.each.len().saturating_sub(SHOWN);
    let mut steps = vec![match_step(&exchange)];
    for (at, one) in sent.each.iter().enumerate().skip(hidden) {
        steps.push(retrieve_step(at, one));
    }
    Ok(Some(ExchangeDetail {
        sent: Some(SentItem {
            disclosures: sent.begun as u64,
            is_at_least: sent.is_cut,
            resources: sent.resources.clone(),
            bytes: sent.bytes,
        }),
        has_more_steps: hidden > 0 || sent.is_cut,
        steps,
        ..ExchangeDetail::of(item(&exchange, shown))
    }))
}

/// The match that is the exchange with this id, and the ids of the entries that began its disclosures; none when there is no such exchange.
/// The last says whether there may be more of them.
///
/// # Errors
/// Those of the database.
pub fn disclosed(db: &mut Db, id: &str, now_ms: i64) -> Result<Option<(InboundRow, Vec<String>, bool)>, Failure> {
    let Some(row) = inbound::find(db, id)? else {
        return Ok(None);
    };
    let batch = InboundBatch::of(db, vec![row.clone()], (SentDepth::Each, MOST), now_ms)?;
    let mut left = MOST;
    let sent = batch.exchange(db, &row, &mut left)?.sent;
    let ids = sent.each.into_iter().map(|one| one.entry_id).collect();
    Ok(Some((row, ids, sent.is_cut)))
}

/// Some matches in their order, of which each becomes an exchange when it is wanted.
pub struct InboundBatch {
    /// The matches.
    pub rows: Vec<InboundRow>,
    /// Whether none follows.
    pub is_last: bool,
    reader: SentReader,
    most: usize,
    now_ms: i64,
}

impl InboundBatch {
    /// The next matches of `filter`, with correlation ids as they stand: whoever shows one opens the rows first. If it is a partner who asks,
    /// `filter` must name it.
    ///
    /// # Errors
    /// Those of the database.
    pub fn read(db: &mut Db, filter: &InboundFilter, depth: SentDepth, now_ms: i64) -> Result<InboundBatch, Failure> {
        let rows = inbound::page(db, filter)?;
        let is_last = i64::try_from(rows.len()).is_ok_and(|rows| rows < filter.limit);
        let batch = InboundBatch::of(db, rows, (depth, FEW), now_ms)?;
        Ok(InboundBatch { is_last, ..batch })
    }

    fn of(
        db: &mut Db,
        rows: Vec<InboundRow>,
        (depth, most): (SentDepth, usize),
        now_ms: i64,
    ) -> Result<InboundBatch, Failure> {
        let granted = || rows.iter().filter(|row| row.grant.is_some());
        let mut partners: Vec<&str> = granted().map(|row| row.decision.partner_id.as_str()).collect();
        let mut members: Vec<&str> = granted().filter_map(|row| row.decision.patient_id.as_deref()).collect();
        for names in [&mut partners, &mut members] {
            names.sort_unstable();
            names.dedup();
        }
        let reader = SentReader::of(db, (&partners, &members), (depth, most), now_ms)?;
        Ok(InboundBatch {
            rows,
            is_last: true,
            reader,
            most,
            now_ms,
        })
    }

    /// The exchange of one of these matches. The entries that are looked at for it are taken from `left`.
    ///
    /// # Errors
    /// Those of the database.
    pub fn exchange(&self, db: &mut Db, row: &InboundRow, left: &mut usize) -> Result<InboundExchange, Failure> {
        let decision = &row.decision;
        let renewed = renewal(row);
        let mut sent = SentUnder::default();
        if let (Some(member), Some(grant)) = (&decision.patient_id, &row.grant) {
            let before = renewed.as_ref().map(|next| before_all_of(next.at_ms));
            let of = SentOf {
                member,
                partner: &decision.partner_id,
                consent: &grant.consent_id,
                from: &before_all_of(decision.created_ms),
                before: before.as_deref().unwrap_or_default(),
            };
            sent = self.reader.read(db, &of, self.most, left)?;
        }
        let grant = row.grant.as_ref().map(|grant| {
            let consent = row.consent.as_ref();
            let consent_until = consent.map_or(i64::MAX, |consent| consent.period_to_ms);
            let revoked = [grant.revoked_ms, consent.and_then(|consent| consent.revoked_ms)];
            GrantFacts {
                until_ms: grant.valid_until_ms.min(consent_until),
                revoked_ms: revoked.into_iter().flatten().min(),
                renewed_ms: renewed.map(|next| next.at_ms),
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
                begun: sent.begun,
                whole: sent.whole,
                is_open: sent.is_open,
            },
            now_ms: self.now_ms,
        });
        Ok(InboundExchange {
            row: row.clone(),
            sent,
            states,
        })
    }
}

/// The match that renewed the grant of this one next.
fn renewal(row: &InboundRow) -> Option<GrantRenewal> {
    let last = row
        .grant
        .as_ref()
        .filter(|grant| grant.decision_id != row.decision.id)?;
    Some(row.renewed.clone().unwrap_or_else(|| GrantRenewal {
        decision_id: last.decision_id.clone(),
        at_ms: last.renewed_ms,
    }))
}

fn item(exchange: &InboundExchange, shown: &ExchangeView) -> ExchangeItem {
    let InboundExchange { row, states, .. } = exchange;
    let decision = &row.decision;
    let due_ms = answer_due_ms(decision.created_ms, shown.zone);
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
            release: exchange.sent.release_version.clone(),
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
        superseded_by: renewal(row).map(|next| next.decision_id),
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

fn retrieve_step(at: usize, sent: &SentOne) -> AttemptItem {
    let class = match sent.end.outcome {
        "completed" => Some("ok"),
        "incomplete" => Some("broken-off"),
        _ => None,
    };
    AttemptItem {
        step: StepName::Retrieve.code().to_owned(),
        attempt: i64::try_from(at).unwrap_or(0) + 1,
        started_at: sent.at.clone(),
        ended_at: sent.end.ended_at.clone(),
        class: class.map(str::to_owned),
        http_status: sent.end.http.map(i64::from),
        partner_request_id: Some(sent.correlation_id.clone()).filter(|id| *id != sent.request_id),
        idempotency_key: String::new(),
        round: 1,
        fault: None,
        bytes: sent
            .end
            .bytes
            .map_or(0, |bytes| i64::try_from(bytes).unwrap_or(i64::MAX)),
    }
}
