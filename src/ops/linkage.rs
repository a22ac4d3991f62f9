//! A member's links in FHIR's own words: `Patient.link` and `Linkage` (R4).

use crate::identity::graph::{PersonLink, State};
use serde::Serialize;

/// An element of `Patient.link`: another record of the same person, which does not replace this one.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct PatientLink {
    /// The other record.
    pub other: LinkedRecord,
    /// Always `seealso`.
    #[serde(rename = "type")]
    pub kind: &'static str,
}

/// A `Linkage`.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Linkage {
    resource_type: &'static str,
    active: bool,
    /// The member's Patient as source; other records and partners' numbers as alternates.
    pub item: Vec<LinkageItem>,
}

/// What is linked.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct LinkageItem {
    /// `source` or `alternate`.
    #[serde(rename = "type")]
    pub kind: &'static str,
    /// What.
    pub resource: Linked,
}

/// A record of ours, or a number that a partner uses.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(untagged)]
#[allow(missing_docs)]
pub enum Linked {
    Record(LinkedRecord),
    Number {
        #[serde(rename = "type")]
        kind: &'static str,
        identifier: PartnerNumber,
    },
}

/// A literal reference.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[allow(missing_docs)]
pub struct LinkedRecord {
    pub reference: String,
}

/// A partner's number.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[allow(missing_docs)]
pub struct PartnerNumber {
    pub value: String,
    pub assigner: Assigner,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub system: Option<String>,
}

/// Who uses a number.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[allow(missing_docs)]
pub struct Assigner {
    pub display: String,
}

fn patient(id: &str) -> LinkedRecord {
    LinkedRecord {
        reference: format!("Patient/{id}"),
    }
}

/// `Patient.link` of a member's Patient: other records of the same person.
pub(super) fn patient_link(others: &[String]) -> Vec<PatientLink> {
    let link = |id: &String| PatientLink {
        other: patient(id),
        kind: "seealso",
    };
    others.iter().map(link).collect()
}

/// The `Linkage` of a member; none when it would link nothing (lnk-1).
pub(super) fn linkage(patient_id: &str, edges: &[PersonLink], others: &[String]) -> Option<Linkage> {
    let record = |kind: &'static str, id: &str| LinkageItem {
        kind,
        resource: Linked::Record(patient(id)),
    };
    let number = |link: &PersonLink| LinkageItem {
        kind: "alternate",
        resource: Linked::Number {
            kind: "Patient",
            identifier: PartnerNumber {
                value: link.from.value.clone(),
                assigner: Assigner {
                    display: link.from.source.clone(),
                },
                system: Some(link.from.system.clone()).filter(|system| !system.is_empty()),
            },
        },
    };
    let mut item = vec![record("source", patient_id)];
    item.extend(others.iter().map(|id| record("alternate", id)));
    let theirs = edges
        .iter()
        .filter(|link| link.state == State::Confirmed && !link.from.source.is_empty());
    item.extend(theirs.map(number));
    (item.len() > 1).then_some(Linkage {
        resource_type: "Linkage",
        active: true,
        item,
    })
}
