//! The queue as operators see it: pages without a personal word, and one review side by side for those who decide it.

use super::detail::DecisionDetail;
use super::sum::BitSum;
use super::{OpsPage, page};
use crate::clock::rfc3339_ms;
use crate::error::{Failure, Fault};
use crate::fhir::elements::Patient;
use crate::review::{Done, FieldNote, OTHER_NUMBERS, SHOWN, ShownPerson};
use crate::store::Db;
use crate::store::reviews::{self, ActRow, CandidateRow, ReviewRow};
use crate::store::{members, ops_queries};
use serde::Serialize;

pub use crate::store::reviews::ReviewFilter;

/// Totals that are nearer than this are the same number, to a tenth.
const SAME_BITS: f64 = 0.05;

/// How much of a review may be shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReviewDetail {
    /// States, times and levels.
    Levels,
    /// Also the ids of Patients.
    Patients,
    /// Also what was asked and what is held, in words (role `reviewer`).
    Words,
}

impl ReviewDetail {
    /// What is shown to those alone who see Patients.
    fn patients<T>(self, value: T) -> Option<T> {
        (self != ReviewDetail::Levels).then_some(value)
    }
}

/// What came of an act on a review.
#[derive(Clone, Debug, Serialize)]
pub struct DecidedReview<'a> {
    /// The review.
    pub id: &'a str,
    /// Its state from now on.
    pub state: &'static str,
    /// Grants that were revoked, or that are live again.
    pub grants: usize,
    /// Its version.
    pub version: i64,
}

impl<'a> DecidedReview<'a> {
    /// Of this review.
    pub fn of(id: &'a str, done: &Done) -> DecidedReview<'a> {
        DecidedReview {
            id,
            state: done.state.code(),
            grants: done.grants,
            version: done.version,
        }
    }
}

/// A review, without a personal word and without a Patient.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct ReviewSummary {
    /// Its id.
    pub id: String,
    /// Whose request it is about.
    pub partner: String,
    /// How it stands.
    pub state: String,
    /// Why a person has to look: code of a guard, or a word of the queue's own.
    pub reason: String,
    /// Who took it.
    pub owner: Option<String>,
    /// When it is due.
    pub due_at: String,
    /// Whether it waits and is late.
    pub overdue: bool,
    /// When it was opened.
    pub opened_at: String,
    /// How often its question was asked.
    pub asked_count: i64,
    /// When it was last asked.
    pub asked_at: String,
    /// When it was decided.
    pub decided_at: Option<String>,
    /// What one operator proposes.
    pub proposed: Option<String>,
    /// Who proposes it.
    pub proposed_by: Option<String>,
    /// The decision that opened it.
    pub decision_id: String,
    /// The correlation id of that request.
    pub correlation_id: String,
    /// The rules that were in doubt.
    pub policy_version: String,
    /// Counts its changes.
    pub version: i64,
}

/// A review with its candidates, best first, and what was done with it.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct ReviewItem {
    /// The review itself.
    #[serde(flatten)]
    pub summary: ReviewSummary,
    /// Who may be meant.
    pub candidates: Vec<CandidateItem>,
    /// What was done.
    pub acts: Vec<ActItem>,
    /// Whether what was asked is still kept.
    pub request_kept: bool,
    /// Who was confirmed, where Patients are shown.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub patient_id: Option<Option<String>>,
    /// Who is proposed, where Patients are shown.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub proposed_patient: Option<Option<String>>,
}

/// A member who may be meant.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct CandidateItem {
    /// From 1, the best first.
    pub place: i64,
    /// Bits in all.
    pub total: f64,
    /// Field by field; numbers that are shown and were not compared come last.
    pub fields: Vec<FieldItem>,
    /// What is added to the bits of the fields to get the total, where the decision that opened the review holds it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sum: Option<BitSum>,
    /// The Patient, where Patients are shown.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub patient_id: Option<String>,
}

/// How a field compared.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct FieldItem {
    /// Its code.
    pub field: String,
    /// Code of the level; none where nothing was compared.
    pub level: Option<String>,
    /// `yes`, `no`, `partly` or `unknown`.
    pub agrees: &'static str,
    /// Bits.
    pub weight: Option<f64>,
    /// What was asked, where words are shown and the request is kept.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub asked: Option<Option<String>>,
    /// What is held, where words are shown.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub held: Option<String>,
}

/// What was done with a review.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct ActItem {
    /// Its id.
    pub id: String,
    /// When.
    pub at: String,
    /// What.
    pub act: String,
    /// The verdict, of a decision.
    pub verdict: Option<String>,
    /// Who.
    pub operator: String,
    /// The Patient it named, where Patients are shown.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub patient_id: Option<Option<String>>,
    /// Why, where words are shown.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

/// A page of reviews; those that wait for a person, unless the filter says more. No personal word, no Patient.
///
/// # Errors
/// Those of the database.
pub fn list(db: &mut Db, filter: &ReviewFilter, now_ms: i64) -> Result<OpsPage<ReviewSummary>, Failure> {
    let rows = reviews::page(db, filter)?;
    page(
        rows,
        filter.limit,
        |row| row.id.clone(),
        |row| Ok(summary(&row, now_ms)),
    )
}

/// One review with its candidates, best first, each side by side with what was asked.
///
/// # Errors
/// [`Fault::ReviewUnknown`]; those of the database.
pub fn one(db: &mut Db, id: &str, sight: ReviewDetail, now_ms: i64) -> Result<ReviewItem, Failure> {
    let row = reviews::find(db, id)?;
    let asked: Option<ShownPerson> = row
        .request
        .as_deref()
        .filter(|_| sight == ReviewDetail::Words)
        .map(serde_json::from_str)
        .transpose()
        .map_err(damaged)?;
    let sums = sums(db, &row.decision_id)?;
    let mut candidates = Vec::new();
    for (at, candidate) in reviews::candidates(db, id)?.into_iter().enumerate() {
        let mut item = candidate_item(db, &candidate, asked.as_ref(), sight)?;
        let sum = sums.get(at).copied().flatten();
        // A review that no comparison opened has candidates of its own.
        item.sum = sum.filter(|sum| {
            (sum.total - item.total).abs() < SAME_BITS && item.fields.iter().any(|field| field.weight.is_some())
        });
        candidates.push(item);
    }
    let acts = reviews::acts(db, id)?;
    Ok(ReviewItem {
        summary: summary(&row, now_ms),
        candidates,
        acts: acts.into_iter().map(|act| act_item(act, sight)).collect(),
        request_kept: row.request.is_some(),
        patient_id: sight.patients(row.patient_id),
        proposed_patient: sight.patients(row.proposed_patient),
    })
}

/// The sums of the candidates of a decision, best first; none where the decision is gone.
fn sums(db: &mut Db, decision_id: &str) -> Result<Vec<Option<BitSum>>, Failure> {
    let Some(decision) = ops_queries::decision(db, decision_id)? else {
        return Ok(Vec::new());
    };
    Ok(BitSum::all(&DecisionDetail::read(&decision.detail)?))
}

fn summary(row: &ReviewRow, now_ms: i64) -> ReviewSummary {
    let waits = reviews::WAITING.contains(&row.state.as_str());
    ReviewSummary {
        id: row.id.clone(),
        partner: row.partner_id.clone(),
        state: row.state.clone(),
        reason: row.reason.clone(),
        owner: row.owner.clone(),
        due_at: rfc3339_ms(row.due_ms),
        overdue: waits && row.due_ms <= now_ms,
        opened_at: rfc3339_ms(row.opened_ms),
        asked_count: row.asked_count,
        asked_at: rfc3339_ms(row.asked_ms),
        decided_at: row.decided_ms.map(rfc3339_ms),
        proposed: row.proposed.clone(),
        proposed_by: row.proposed_by.clone(),
        decision_id: row.decision_id.clone(),
        correlation_id: row.correlation_id.clone(),
        policy_version: row.policy_version.clone(),
        version: row.version,
    }
}

fn candidate_item(
    db: &mut Db,
    row: &CandidateRow,
    asked: Option<&ShownPerson>,
    sight: ReviewDetail,
) -> Result<CandidateItem, Failure> {
    let notes: Vec<FieldNote> = serde_json::from_str(&row.fields).map_err(damaged)?;
    let held = if sight == ReviewDetail::Words {
        held(db, &row.patient_id)?
    } else {
        None
    };
    let compared = |note: &FieldNote| FieldItem {
        field: note.field.clone(),
        level: Some(note.level.clone()),
        agrees: agrees(&note.level),
        weight: note.weight,
        ..FieldItem::default()
    };
    let mut fields: Vec<FieldItem> = notes.iter().map(compared).collect();
    if let Some(held) = &held {
        // A review that no comparison opened still shows what is held.
        for name in SHOWN.iter().filter(|_| notes.is_empty()) {
            let empty = held.shown(name).is_empty() && asked.is_none_or(|asked| asked.shown(name).is_empty());
            if !empty {
                fields.push(FieldItem {
                    field: (*name).to_owned(),
                    agrees: "unknown",
                    ..FieldItem::default()
                });
            }
        }
        for (name, _) in OTHER_NUMBERS {
            if !held.shown(name).is_empty() || asked.is_some_and(|asked| !asked.shown(name).is_empty()) {
                fields.push(FieldItem {
                    field: name.to_owned(),
                    agrees: "unknown",
                    ..FieldItem::default()
                });
            }
        }
        for field in &mut fields {
            field.asked = Some(asked.map(|asked| asked.shown(&field.field)));
            field.held = Some(held.shown(&field.field));
        }
    }
    Ok(CandidateItem {
        place: row.place,
        total: row.total_tenths as f64 / 10.0,
        fields,
        sum: None,
        patient_id: sight.patients(row.patient_id.clone()),
    })
}

/// What is held of a member, in the words of a comparison.
pub(super) fn held(db: &mut Db, patient_id: &str) -> Result<Option<ShownPerson>, Failure> {
    let Some(found) = members::subject(db, patient_id)? else {
        return Ok(None);
    };
    let patient: Patient = serde_json::from_str(&found.demographics).map_err(damaged)?;
    let mut subject = ShownPerson::of(&patient, None);
    for (kind, value) in found.numbers {
        if kind == "subscriber" {
            subject.subscribers.push(value);
        } else {
            subject.coverage.push((String::new(), value));
        }
    }
    Ok(Some(subject))
}

/// Whether a level speaks for the same person.
fn agrees(level: &str) -> &'static str {
    match level {
        "exact" | "agree" => "yes",
        "missing" => "unknown",
        "differ" | "disagree" | "foreign" => "no",
        _ => "partly",
    }
}

fn act_item(act: ActRow, sight: ReviewDetail) -> ActItem {
    ActItem {
        id: act.id,
        at: rfc3339_ms(act.at_ms),
        act: act.act,
        verdict: act.verdict,
        operator: act.operator,
        patient_id: sight.patients(act.patient_id),
        // Whoever wrote a reason looked at the person, and may have written of them.
        reason: Some(act.reason).filter(|_| sight == ReviewDetail::Words),
    }
}

fn damaged(error: serde_json::Error) -> Failure {
    Failure::new(Fault::StoreDamaged).because(error)
}
