//! What a match that needs a review produces: the review with its candidates, and the links that it proposes.
//!
//! Only values; the match writes them in its own transaction.

use crate::audit::{Action, Actor, EntryOutcome, LedgerEvent, Object};
use crate::context::Context;
use crate::error::Failure;
use crate::identity::graph::{self, Cause, Origin, PersonLink, SourceId};
use crate::store::reviews::{CANDIDATES_MAX, CandidateRow, ReviewRow};
use crate::store::steps::{GiveBack, LinkStep};
use crate::telemetry::Correlation;
use serde::{Deserialize, Serialize};

/// How one field of a candidate compared.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct FieldNote {
    /// The field's name in a policy.
    pub field: String,
    /// The code of its level of agreement.
    pub level: String,
    /// Its weight in bits; `None` when the field has no weight.
    pub weight: Option<f64>,
}

/// A candidate with its evidence.
#[derive(Clone, Debug)]
pub struct Ranked {
    /// Id of the member's Patient.
    pub patient_id: String,
    /// Evidence beyond the prior, in bits.
    pub total: f64,
    /// How each field compared.
    pub notes: Vec<FieldNote>,
}

/// A match that a reviewer must decide.
#[derive(Clone, Debug)]
pub struct DoubtfulMatch<'a> {
    /// Id of the partner that asked.
    pub partner_id: &'a str,
    /// Keyed hash of the question.
    pub asked: [u8; 32],
    /// The content of the request, JSON.
    pub request: String,
    /// Why it is doubtful: the code of a guard.
    pub reason: &'a str,
    /// Id of the decision that found it doubtful.
    pub decision_id: &'a str,
    /// Version of the policy that decided.
    pub policy_version: &'a str,
    /// The ids of the request.
    pub correlation: &'a Correlation,
    /// The candidates, best first.
    pub candidates: &'a [Ranked],
}

/// Makes the rows of a new review, and its ledger entry. `now_ms` is UTC milliseconds.
pub fn opened(ctx: &Context, doubt: &DoubtfulMatch<'_>, now_ms: i64) -> (ReviewRow, Vec<CandidateRow>, LedgerEvent) {
    let id = ctx.ids.new_id(now_ms);
    let row = ReviewRow {
        id: id.clone(),
        partner_id: doubt.partner_id.to_owned(),
        asked: doubt.asked.to_vec(),
        state: super::ReviewState::Open.code().to_owned(),
        reason: doubt.reason.to_owned(),
        decision_id: doubt.decision_id.to_owned(),
        correlation_id: doubt.correlation.correlation_id.clone(),
        policy_version: doubt.policy_version.to_owned(),
        request: Some(doubt.request.clone()).filter(|text| !text.is_empty()),
        owner: None,
        due_ms: now_ms + ctx.review.due_ms,
        opened_ms: now_ms,
        asked_count: 1,
        asked_ms: now_ms,
        proposed: None,
        proposed_patient: None,
        proposed_by: None,
        proposed_token: None,
        patient_id: None,
        decided_ms: None,
        version: 1,
        proposed_hand: None,
    };
    let actor = Actor {
        kind: "system",
        ..Actor::default()
    };
    let mut entry = LedgerEvent::new(Action::ReviewOpened, actor, doubt.correlation.clone());
    entry.partner = Some(doubt.partner_id.to_owned()).filter(|partner| !partner.is_empty());
    entry.object = Some(Object { kind: "Review", id });
    entry.outcome = EntryOutcome {
        class: "ok",
        http: None,
        reason: None,
    };
    entry.policy_version = Some(doubt.policy_version.to_owned()).filter(|version| !version.is_empty());
    (row, candidate_rows(doubt.candidates), entry)
}

/// Converts candidates to the rows that are stored.
pub fn candidate_rows(candidates: &[Ranked]) -> Vec<CandidateRow> {
    candidates
        .iter()
        .take(CANDIDATES_MAX)
        .zip(1..)
        .map(|(one, place)| CandidateRow {
            place,
            patient_id: one.patient_id.clone(),
            // Evidence is some tens of bits; a value that is not a number becomes 0.
            total_tenths: (one.total.clamp(-1e6, 1e6) * 10.0).round() as i64,
            fields: serde_json::to_string(&one.notes).unwrap_or_else(|_| "[]".to_owned()),
        })
        .collect()
}

/// Makes the step that proposes the links of a review: from the partner's identifier to
/// each candidate. `held` must be all links of that identifier.
///
/// # Errors
/// Those of [`graph::step`]; there is none for a proposal.
pub fn proposed(
    ctx: &Context,
    from: &SourceId,
    held: &[PersonLink],
    review: &ReviewRow,
    candidates: &[Ranked],
    now_ms: i64,
) -> Result<LinkStep, Failure> {
    let mut changes = Vec::new();
    for one in candidates.iter().take(CANDIDATES_MAX) {
        let cause = Cause {
            origin: Origin::Review,
            confidence: graph::confidence(one.total),
            // A disputed link that no decision made has none.
            decision_id: Some(review.decision_id.clone()).filter(|id| !id.is_empty()),
            review_id: Some(review.id.clone()),
            now_ms,
        };
        let fresh = ctx.ids.new_id(now_ms);
        let event = graph::Event::Propose;
        changes.extend(graph::step(held, from, &one.patient_id, event, &cause, &fresh)?);
    }
    Ok(LinkStep {
        id: ctx.ids.new_id(now_ms),
        at_ms: now_ms,
        event: graph::Event::Propose.code(),
        operator: None,
        reason: None,
        undoes: None,
        changes,
        revokes: Vec::new(),
        gives_back: GiveBack::Nothing,
    })
}

/// Makes the step of an automatic match on its link; `None` when the link is confirmed
/// already. `held` must be all links of that identifier.
///
/// # Errors
/// [`Fault::LinkMoveRefused`](crate::error::Fault::LinkMoveRefused) when the link is disputed.
pub fn again(
    ctx: &Context,
    from: &SourceId,
    held: &[PersonLink],
    patient_id: &str,
    event: graph::Event,
    cause: &Cause,
) -> Result<Option<LinkStep>, Failure> {
    let fresh = ctx.ids.new_id(cause.now_ms);
    let changes = graph::step(held, from, patient_id, event, cause, &fresh)?;
    if changes.is_empty() {
        return Ok(None);
    }
    Ok(Some(LinkStep {
        id: ctx.ids.new_id(cause.now_ms),
        at_ms: cause.now_ms,
        event: event.code(),
        operator: None,
        reason: None,
        undoes: None,
        changes,
        revokes: Vec::new(),
        gives_back: GiveBack::Nothing,
    }))
}
