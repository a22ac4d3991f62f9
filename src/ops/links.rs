//! The identity graph as operators see it: links, the steps behind them, the surviving view of a member, and both as FHIR.

use super::reviews::held;
use super::{Page, page};
use crate::clock::rfc3339_ms;
use crate::error::{Failure, Fault};
use crate::identity::graph::{Link, State};
use crate::identity::survive::{Attribute, Source, SourceKind};
use crate::review::Subject;
use crate::store::Db;
use crate::store::links;
use crate::store::reviews;
use crate::store::steps::{self, StepRow};
use serde_json::{Value, json};

pub use crate::store::links::LinkFilter;

/// A page of links. `words` also shows the numbers themselves (role `reviewer`).
///
/// # Errors
/// Those of the database.
pub fn list(db: &mut Db, filter: &LinkFilter, words: bool) -> Result<Page, Failure> {
    let rows = links::page(db, filter)?;
    page(
        rows,
        filter.limit,
        |link| link.id.clone(),
        |link| Ok(link_item(&link, words)),
    )
}

/// Everything on one member: links, steps, the surviving view with its origins, `Patient.link` and `Linkage`.
///
/// # Errors
/// [`Fault::LinkUnknown`] when there is no such member; those of the database.
pub fn graph(db: &mut Db, patient_id: &str, umb_system: &str) -> Result<Value, Failure> {
    if reviews::subject(db, patient_id)?.is_none() {
        return Err(Failure::new(Fault::LinkUnknown).at("member"));
    }
    let filter = LinkFilter {
        member: Some(patient_id.to_owned()),
        limit: 200,
        ..LinkFilter::default()
    };
    let edges = links::page(db, &filter)?;
    let steps: Vec<Value> = steps::steps_of(db, patient_id)?.iter().map(step_item).collect();
    let others = same_person(db, &edges, umb_system)?;
    let policy = crate::policy::survivorship(db)?;
    let view = policy.view(&sources(db, patient_id, &others)?);
    let shown: Vec<Value> = view
        .iter()
        .map(|one| {
            json!({"attribute": one.attribute.code(), "value": one.value, "origin": one.origin,
                "as_of": rfc3339_ms(one.as_of_ms), "agree": one.agree, "differ": one.differ})
        })
        .collect();
    Ok(json!({
        "patient_id": patient_id,
        "links": edges.iter().map(|link| link_item(link, true)).collect::<Vec<_>>(),
        "steps": steps,
        "view": {"policy_version": policy.version(), "attributes": shown},
        "patient_link": patient_link(&others),
        "linkage": linkage(patient_id, &edges, &others),
    }))
}

/// Patients of other records of ours that are confirmed to be the same person.
fn same_person(db: &mut Db, edges: &[Link], umb_system: &str) -> Result<Vec<String>, Failure> {
    let mut others = Vec::new();
    let ours = edges
        .iter()
        .filter(|link| link.state == State::Confirmed && link.from.source.is_empty() && link.from.system == umb_system);
    for link in ours {
        others.extend(reviews::patient_of_umb(db, &link.from.value)?);
    }
    Ok(others)
}

/// Who speaks of this person: its record, records linked to it, and what partners asked when a person confirmed it.
fn sources(db: &mut Db, patient_id: &str, others: &[String]) -> Result<Vec<Source>, Failure> {
    let mut sources = Vec::new();
    let ours = std::iter::once((SourceKind::Ours, patient_id));
    let linked = others.iter().map(|id| (SourceKind::Linked, id.as_str()));
    for (kind, id) in ours.chain(linked) {
        let as_of_ms = reviews::subject(db, id)?.map_or(0, |found| found.last_updated_ms);
        if let Some(subject) = held(db, id)? {
            sources.push(source(kind, format!("Patient/{id}"), as_of_ms, &subject));
        }
    }
    for review in reviews::confirmed_of(db, patient_id)? {
        let Some(text) = review.request.as_deref() else {
            continue;
        };
        let subject: Subject =
            serde_json::from_str(text).map_err(|error| Failure::new(Fault::StoreDamaged).because(error))?;
        sources.push(source(
            SourceKind::Partner,
            review.partner_id,
            review.asked_ms,
            &subject,
        ));
    }
    Ok(sources)
}

fn source(kind: SourceKind, origin: String, as_of_ms: i64, subject: &Subject) -> Source {
    let field = |attribute| match attribute {
        Attribute::BirthDate => "birth",
        Attribute::MemberId => "member_id",
        other => other.code(),
    };
    let says = Attribute::ALL.into_iter().map(|one| (one, subject.shown(field(one))));
    Source {
        kind,
        origin,
        as_of_ms,
        // A partner's word for our own number says nothing of the person.
        says: says
            .filter(|(one, _)| kind != SourceKind::Partner || *one != Attribute::MemberId)
            .collect(),
    }
}

fn link_item(link: &Link, words: bool) -> Value {
    let mut item = json!({
        "id": link.id, "source": link.from.source, "kind": link.from.kind.code(), "system": link.from.system,
        "state": link.state.code(), "confidence": link.confidence as f64 / 1000.0, "origin": link.origin.code(),
        "patient_id": link.patient_id, "decision_id": link.decision_id, "review_id": link.review_id,
        "effective_from": rfc3339_ms(link.from_ms), "effective_until": link.until_ms.map(rfc3339_ms), "version": link.version,
    });
    if words {
        item["value"] = link.from.value.clone().into();
    }
    item
}

fn step_item(step: &StepRow) -> Value {
    let changes: Vec<Value> = step
        .changes
        .iter()
        .map(|change| {
            let state = |link: &Option<Link>| link.as_ref().map(|link| link.state.code());
            json!({"link": change.link_id(), "from": state(&change.before), "to": state(&change.after)})
        })
        .collect();
    json!({"id": step.id, "at": rfc3339_ms(step.at_ms), "event": step.event, "operator": step.operator, "reason": step.reason,
        "undoes": step.undoes, "changes": changes})
}

/// `Patient.link` of the member's Patient (FHIR R4): other records of the same person, none of which replaces it.
fn patient_link(others: &[String]) -> Vec<Value> {
    others
        .iter()
        .map(|id| json!({"other": {"reference": format!("Patient/{id}")}, "type": "seealso"}))
        .collect()
}

/// A `Linkage` (FHIR R4): the member's Patient as source, other records and partners' numbers as alternates; none when it would
/// link nothing (lnk-1).
fn linkage(patient_id: &str, edges: &[Link], others: &[String]) -> Value {
    let mut items = vec![json!({"type": "source", "resource": {"reference": format!("Patient/{patient_id}")}})];
    items.extend(
        others
            .iter()
            .map(|id| json!({"type": "alternate", "resource": {"reference": format!("Patient/{id}")}})),
    );
    let theirs = edges
        .iter()
        .filter(|link| link.state == State::Confirmed && !link.from.source.is_empty());
    for link in theirs {
        let mut identifier = json!({"value": link.from.value, "assigner": {"display": link.from.source}});
        if !link.from.system.is_empty() {
            identifier["system"] = link.from.system.clone().into();
        }
        items.push(json!({"type": "alternate", "resource": {"type": "Patient", "identifier": identifier}}));
    }
    if items.len() < 2 {
        return Value::Null;
    }
    json!({"resourceType": "Linkage", "active": true, "item": items})
}
