//! The queue as operators see it: pages without a personal word, and one review side by side for those who decide it.

use super::{Page, page};
use crate::clock::rfc3339_ms;
use crate::error::{Failure, Fault};
use crate::fhir::elements::Patient;
use crate::review::{Note, SHOWN, Subject};
use crate::store::Db;
use crate::store::reviews::{self, ActRow, CandidateRow, ReviewRow};
use serde_json::{Value, json};

pub use crate::store::reviews::ReviewFilter;

/// How much of a review may be shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sight {
    /// States, times and levels.
    Levels,
    /// Also the ids of Patients.
    Patients,
    /// Also what was asked and what is held, in words (role `reviewer`).
    Words,
}

/// A page of reviews; those that wait for a person, unless the filter says more. No personal word, no Patient.
///
/// # Errors
/// Those of the database.
pub fn list(db: &mut Db, filter: &ReviewFilter, now_ms: i64) -> Result<Page, Failure> {
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
pub fn one(db: &mut Db, id: &str, sight: Sight, now_ms: i64) -> Result<Value, Failure> {
    let row = reviews::find(db, id)?;
    let asked: Option<Subject> = row
        .request
        .as_deref()
        .filter(|_| sight == Sight::Words)
        .map(serde_json::from_str)
        .transpose()
        .map_err(damaged)?;
    let mut candidates = Vec::new();
    for candidate in reviews::candidates(db, id)? {
        candidates.push(candidate_item(db, &candidate, asked.as_ref(), sight)?);
    }
    let acts: Vec<Value> = reviews::acts(db, id)?.iter().map(|act| act_item(act, sight)).collect();
    let mut item = summary(&row, now_ms);
    item["candidates"] = candidates.into();
    item["acts"] = acts.into();
    item["request_kept"] = row.request.is_some().into();
    if sight != Sight::Levels {
        item["patient_id"] = row.patient_id.clone().into();
        item["proposed_patient"] = row.proposed_patient.clone().into();
    }
    Ok(item)
}

fn summary(row: &ReviewRow, now_ms: i64) -> Value {
    let waits = reviews::WAITING.contains(&row.state.as_str());
    json!({
        "id": row.id, "partner": row.partner_id, "state": row.state, "reason": row.reason, "owner": row.owner,
        "due_at": rfc3339_ms(row.due_ms), "overdue": waits && row.due_ms <= now_ms, "opened_at": rfc3339_ms(row.opened_ms),
        "asked_count": row.asked_count, "asked_at": rfc3339_ms(row.asked_ms), "decided_at": row.decided_ms.map(rfc3339_ms),
        "proposed": row.proposed, "proposed_by": row.proposed_by, "decision_id": row.decision_id,
        "correlation_id": row.correlation_id, "policy_version": row.policy_version, "version": row.version,
    })
}

fn candidate_item(db: &mut Db, row: &CandidateRow, asked: Option<&Subject>, sight: Sight) -> Result<Value, Failure> {
    let notes: Vec<Note> = serde_json::from_str(&row.fields).map_err(damaged)?;
    let held = if sight == Sight::Words {
        held(db, &row.patient_id)?
    } else {
        None
    };
    let mut fields: Vec<Value> = notes
        .iter()
        .map(|note| json!({"field": note.field, "level": note.level, "agrees": agrees(&note.level), "weight": note.weight}))
        .collect();
    if let Some(held) = &held {
        // A review that no comparison opened still shows what is held.
        for name in SHOWN
            .iter()
            .filter(|name| !notes.iter().any(|note| note.field == **name))
        {
            let empty = held.shown(name).is_empty() && asked.is_none_or(|asked| asked.shown(name).is_empty());
            if notes.is_empty() && !empty {
                fields.push(json!({"field": name, "level": null, "agrees": "unknown", "weight": null}));
            }
        }
        for field in &mut fields {
            let name = field["field"].as_str().unwrap_or_default().to_owned();
            field["asked"] = asked.map(|asked| asked.shown(&name)).into();
            field["held"] = held.shown(&name).into();
        }
    }
    let mut item = json!({"place": row.place, "total": row.total_tenths as f64 / 10.0, "fields": fields});
    if sight != Sight::Levels {
        item["patient_id"] = row.patient_id.clone().into();
    }
    Ok(item)
}

/// What is held of a member, in the words of a comparison.
pub(super) fn held(db: &mut Db, patient_id: &str) -> Result<Option<Subject>, Failure> {
    let Some(found) = reviews::subject(db, patient_id)? else {
        return Ok(None);
    };
    let patient: Patient = serde_json::from_str(&found.demographics).map_err(damaged)?;
    let mut subject = Subject::of(&patient, None);
    for (kind, value) in found.numbers {
        if kind == "subscriber" {
            subject.subscribers.push(value);
        } else if !subject.identifiers.iter().any(|(_, known)| *known == value) {
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

fn act_item(act: &ActRow, sight: Sight) -> Value {
    let mut item = json!({
        "id": act.id, "at": rfc3339_ms(act.at_ms), "act": act.act, "verdict": act.verdict, "operator": act.operator,
    });
    if sight != Sight::Levels {
        item["patient_id"] = act.patient_id.clone().into();
    }
    // Whoever wrote a reason looked at the person, and may have written of them.
    if sight == Sight::Words {
        item["reason"] = act.reason.clone().into();
    }
    item
}

fn damaged(error: serde_json::Error) -> Failure {
    Failure::new(Fault::StoreDamaged).because(error)
}
