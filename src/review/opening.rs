//! What a match leaves when it has to be looked at: the review with its candidates, and the links it proposes.
//!
//! Values only; the match writes them in its own transaction.

use crate::audit::{Action, Actor, Entry, Object, Outcome};
use crate::context::Context;
use crate::error::Failure;
use crate::identity::graph::{self, Cause, Link, Origin, SourceId};
use crate::store::reviews::{CANDIDATES_MAX, CandidateRow, ReviewRow};
use crate::store::steps::{GiveBack, Step};
use crate::telemetry::Correlation;
use serde::{Deserialize, Serialize};

/// How one field of a candidate compared.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Note {
    /// The field's name in a policy.
    pub field: String,
    /// Its level.
    pub level: String,
    /// Its weight in bits, when fields have weights.
    pub weight: Option<f64>,
}

/// A member who may be meant.
#[derive(Clone, Debug)]
pub struct Ranked {
    /// Id of its Patient.
    pub patient_id: String,
    /// Evidence over the prior, bits.
    pub total: f64,
    /// How each field compared.
    pub notes: Vec<Note>,
}

/// A match that has to be looked at.
#[derive(Clone, Debug)]
pub struct Doubt<'a> {
    /// Who asked.
    pub partner_id: &'a str,
    /// Hash of what was asked.
    pub asked: [u8; 32],
    /// What was asked, JSON.
    pub request: String,
    /// Why it is doubtful: a guard's word.
    pub reason: &'a str,
    /// The decision that found it so.
    pub decision_id: &'a str,
    /// Version of the policy that decided.
    pub policy_version: &'a str,
    /// The ids of the request.
    pub correlation: &'a Correlation,
    /// Whom it may be about, the best first.
    pub candidates: &'a [Ranked],
}

/// The rows of a new review, and its ledger entry. `now_ms` is UTC milliseconds.
pub fn opened(ctx: &Context, doubt: &Doubt<'_>, now_ms: i64) -> (ReviewRow, Vec<CandidateRow>, Entry) {
    let id = ctx.ids.new_id(now_ms);
    let row = ReviewRow {
        id: id.clone(),
        partner_id: doubt.partner_id.to_owned(),
        asked: doubt.asked.to_vec(),
        state: super::State::Open.code().to_owned(),
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
    };
    let actor = Actor {
        kind: "system",
        ..Actor::default()
    };
    let mut entry = Entry::new(Action::ReviewOpened, actor, doubt.correlation.clone());
    entry.partner = Some(doubt.partner_id.to_owned()).filter(|partner| !partner.is_empty());
    entry.object = Some(Object { kind: "Review", id });
    entry.outcome = Outcome {
        class: "ok",
        http: None,
        reason: None,
    };
    entry.policy_version = Some(doubt.policy_version.to_owned()).filter(|version| !version.is_empty());
    (row, candidate_rows(doubt.candidates), entry)
}

/// Candidates as they are kept.
pub fn candidate_rows(candidates: &[Ranked]) -> Vec<CandidateRow> {
    candidates
        .iter()
        .take(CANDIDATES_MAX)
        .zip(1..)
        .map(|(one, place)| CandidateRow {
            place,
            patient_id: one.patient_id.clone(),
            // Evidence is tens of bits; what is no number counts as none.
            total_tenths: (one.total.clamp(-1e6, 1e6) * 10.0).round() as i64,
            fields: serde_json::to_string(&one.notes).unwrap_or_else(|_| "[]".to_owned()),
        })
        .collect()
}

/// The links that a review proposes: from the partner's number to each candidate. `held` are all links of that number.
///
/// # Errors
/// Those of [`graph::step`]; there are none for a proposal.
pub fn proposed(
    ctx: &Context,
    from: &SourceId,
    held: &[Link],
    review: &ReviewRow,
    candidates: &[Ranked],
    now_ms: i64,
) -> Result<Step, Failure> {
    let mut changes = Vec::new();
    for one in candidates.iter().take(CANDIDATES_MAX) {
        let cause = Cause {
            origin: Origin::Review,
            confidence: graph::confidence(one.total),
            decision_id: Some(review.decision_id.clone()),
            review_id: Some(review.id.clone()),
            now_ms,
        };
        let fresh = ctx.ids.new_id(now_ms);
        let event = graph::Event::Propose;
        changes.extend(graph::step(held, from, &one.patient_id, event, &cause, &fresh)?);
    }
    Ok(Step {
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

/// The link that an automatic match makes, or none when it is there. `held` are all links of that number.
///
/// # Errors
/// [`Fault::LinkMoveRefused`](crate::error::Fault::LinkMoveRefused) when the link is disputed.
pub fn again(
    ctx: &Context,
    from: &SourceId,
    held: &[Link],
    patient_id: &str,
    event: graph::Event,
    cause: &Cause,
) -> Result<Option<Step>, Failure> {
    let fresh = ctx.ids.new_id(cause.now_ms);
    let changes = graph::step(held, from, patient_id, event, cause, &fresh)?;
    if changes.is_empty() {
        return Ok(None);
    }
    Ok(Some(Step {
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
