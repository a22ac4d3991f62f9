//! The identity graph as operators see it: links, the steps behind them, the surviving view of a member, and both as FHIR.

use super::linkage::{Linkage, PatientLink, linkage, patient_link};
use super::reviews::held;
use super::{OpsPage, page};
use crate::clock::rfc3339_ms;
use crate::error::{Failure, Fault};
use crate::identity::graph::{LinkChange, PersonLink, State};
use crate::identity::survive::{Attribute, SourceKind, SourceSays, Survivor};
use crate::review::ShownPerson;
use crate::store::Db;
use crate::store::links;
use crate::store::members;
use crate::store::reviews;
use crate::store::steps::{self, StepRow};
use serde::Serialize;

pub use crate::store::links::LinkFilter;

/// A link from a number to a member.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct LinkItem {
    /// Its id.
    pub id: String,
    /// Whose number it is; empty for numbers of our own.
    pub source: String,
    /// Whether the number stands for a person or a household.
    pub kind: &'static str,
    /// System of the number.
    pub system: String,
    /// How it stands.
    pub state: &'static str,
    /// Chance that it is right.
    pub confidence: f64,
    /// Where it comes from.
    pub origin: &'static str,
    /// The member.
    pub patient_id: String,
    /// The decision that last moved it.
    pub decision_id: Option<String>,
    /// The review that last moved it.
    pub review_id: Option<String>,
    /// In effect since.
    pub effective_from: String,
    /// In effect until.
    pub effective_until: Option<String>,
    /// Counts its moves.
    pub version: i64,
    /// The number, where words are shown.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub value: Option<String>,
}

/// Everything on one member.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct MemberGraph {
    /// The member.
    pub patient_id: String,
    /// Links to it.
    pub links: Vec<LinkItem>,
    /// What was done to them.
    pub steps: Vec<StepItem>,
    /// What survives of what is said of it.
    pub view: SurvivingView,
    /// `Patient.link` of FHIR.
    pub patient_link: Vec<PatientLink>,
    /// `Linkage` of FHIR.
    pub linkage: Option<Linkage>,
}

/// A step on links.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct StepItem {
    /// Its id.
    pub id: String,
    /// When.
    pub at: String,
    /// What happened.
    pub event: String,
    /// Who, when a person did it.
    pub operator: Option<String>,
    /// Why, when a person did it.
    pub reason: Option<String>,
    /// The step it took back.
    pub undoes: Option<String>,
    /// What it changed.
    pub changes: Vec<ChangeItem>,
}

/// The states of a link around a step.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct ChangeItem {
    /// The link.
    pub link: String,
    /// Its state before; none when it was not there.
    pub from: Option<&'static str>,
    /// Its state after.
    pub to: Option<&'static str>,
}

/// What survives, attribute by attribute.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct SurvivingView {
    /// The rules by which it survives.
    pub policy_version: String,
    /// The attributes.
    pub attributes: Vec<SurvivorItem>,
}

/// What survives of one attribute.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct SurvivorItem {
    /// Its code.
    pub attribute: &'static str,
    /// The value.
    pub value: String,
    /// Who says so.
    pub origin: String,
    /// As of when.
    pub as_of: String,
    /// Others who say the same.
    pub agree: usize,
    /// Others who say something else.
    pub differ: usize,
}

/// A page of links. `words` also shows the numbers themselves (role `reviewer`).
///
/// # Errors
/// Those of the database.
pub fn list(db: &mut Db, filter: &LinkFilter, words: bool) -> Result<OpsPage<LinkItem>, Failure> {
    let rows = links::page(db, filter)?;
    page(
        rows,
        filter.limit,
        |link| link.id.clone(),
        |link| Ok(link_item(link, words)),
    )
}

/// Everything on one member at `now_ms` (UTC milliseconds): links, steps, the surviving view with its origins, `Patient.link` and `Linkage`.
///
/// # Errors
/// [`Fault::LinkUnknown`] when there is no such member; those of the database.
pub fn graph(db: &mut Db, patient_id: &str, umb_system: &str, now_ms: i64) -> Result<MemberGraph, Failure> {
    if members::subject(db, patient_id)?.is_none() {
        return Err(Failure::new(Fault::LinkUnknown).at("member"));
    }
    let filter = LinkFilter {
        member: Some(patient_id.to_owned()),
        limit: 200,
        ..LinkFilter::default()
    };
    let edges = links::page(db, &filter)?;
    let steps = steps::steps_of(db, patient_id)?;
    let others = same_person(db, &edges, umb_system)?;
    let policy = crate::policy::survivorship(db, now_ms)?;
    let survivors = policy.view(&sources(db, patient_id, &others)?);
    let survivor = |one: Survivor| SurvivorItem {
        attribute: one.attribute.code(),
        value: one.value,
        origin: one.origin,
        as_of: rfc3339_ms(one.as_of_ms),
        agree: one.agree,
        differ: one.differ,
    };
    Ok(MemberGraph {
        patient_id: patient_id.to_owned(),
        patient_link: patient_link(&others),
        linkage: linkage(patient_id, &edges, &others),
        links: edges.into_iter().map(|link| link_item(link, true)).collect(),
        steps: steps.into_iter().map(step_item).collect(),
        view: SurvivingView {
            policy_version: policy.version(),
            attributes: survivors.into_iter().map(survivor).collect(),
        },
    })
}

/// Patients of other records of ours that are confirmed to be the same person.
fn same_person(db: &mut Db, edges: &[PersonLink], umb_system: &str) -> Result<Vec<String>, Failure> {
    let mut others = Vec::new();
    let ours = edges
        .iter()
        .filter(|link| link.state == State::Confirmed && link.from.source.is_empty() && link.from.system == umb_system);
    for link in ours {
        others.extend(members::patient_of_umb(db, &link.from.value)?);
    }
    Ok(others)
}

/// Who speaks of this person: its record, records linked to it, and what partners asked when a person confirmed it.
fn sources(db: &mut Db, patient_id: &str, others: &[String]) -> Result<Vec<SourceSays>, Failure> {
    let mut sources = Vec::new();
    let ours = std::iter::once((SourceKind::Ours, patient_id));
    let linked = others.iter().map(|id| (SourceKind::Linked, id.as_str()));
    for (kind, id) in ours.chain(linked) {
        let as_of_ms = members::subject(db, id)?.map_or(0, |found| found.last_updated_ms);
        if let Some(subject) = held(db, id)? {
            sources.push(source(kind, format!("Patient/{id}"), as_of_ms, &subject));
        }
    }
    for review in reviews::confirmed_of(db, patient_id)? {
        let Some(text) = review.request.as_deref() else {
            continue;
        };
        let subject: ShownPerson =
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

fn source(kind: SourceKind, origin: String, as_of_ms: i64, subject: &ShownPerson) -> SourceSays {
    let field = |attribute| match attribute {
        Attribute::BirthDate => "birth",
        Attribute::MemberId => "member_id",
        other => other.code(),
    };
    let says = Attribute::ALL.into_iter().map(|one| (one, subject.shown(field(one))));
    SourceSays {
        kind,
        origin,
        as_of_ms,
        // A partner's word for our own number says nothing of the person.
        says: says
            .filter(|(one, _)| kind != SourceKind::Partner || *one != Attribute::MemberId)
            .collect(),
    }
}

fn link_item(link: PersonLink, words: bool) -> LinkItem {
    LinkItem {
        id: link.id,
        source: link.from.source,
        kind: link.from.kind.code(),
        system: link.from.system,
        state: link.state.code(),
        confidence: link.confidence as f64 / 1000.0,
        origin: link.origin.code(),
        patient_id: link.patient_id,
        decision_id: link.decision_id,
        review_id: link.review_id,
        effective_from: rfc3339_ms(link.from_ms),
        effective_until: link.until_ms.map(rfc3339_ms),
        version: link.version,
        value: words.then_some(link.from.value),
    }
}

fn step_item(step: StepRow) -> StepItem {
    let state = |link: &Option<PersonLink>| link.as_ref().map(|link| link.state.code());
    let change = |change: &LinkChange| ChangeItem {
        link: change.link_id().to_owned(),
        from: state(&change.before),
        to: state(&change.after),
    };
    StepItem {
        id: step.id,
        at: rfc3339_ms(step.at_ms),
        event: step.event,
        operator: step.operator,
        reason: step.reason,
        undoes: step.undoes,
        changes: step.changes.iter().map(change).collect(),
    }
}
