//! Another person's data: what a resource contains must be about this member or about nobody, or the resource is withheld.
//!
//! Only positive findings let a resource leave: each contained resource is of a type that describes no person and names none,
//! or its own owner element refers to exactly this member. What is not recognized withholds. References in a resource's own
//! elements are pointers and leave; [`edits`] removes a name or number of another person that stands beside one. This module
//! judges one resource by its bytes; it never looks anything up, and text, notes and attachments are not judged.
//!
//! Source: FHIR R4 2.3.0.2 (contained resources do not inherit the context of the resource that contains them).

mod own_elements;
mod target;
#[cfg(test)]
mod tests;

pub use own_elements::{edits, merged};

use super::compartment::{self, Kind as Compartment, Owner};
use crate::fhir::prescreen::{Kind, Screened, Value};
use target::Target;

/// A contained resource could be about another person than the owner of the record.
pub const OTHER_PATIENT: i64 = 1 << 61;
/// A resource that all members share names, or could name, a person.
pub const SHARED_NAMES_PERSON: i64 = 1 << 59;

/// Elements that say who a person is, where R4 allows a person only, or a person for all that is known of them.
const PERSON_ELEMENTS: &[(&str, &[&str])] = &[
    ("Consent", &["verification", "verifiedWith"]),
    ("Coverage", &["policyHolder"]),
    ("Coverage", &["subscriber"]),
    ("DocumentReference", &["context", "sourcePatientInfo"]),
    ("Patient", &["link", "other"]),
];

/// Names of elements that may refer to a person in some type that is kept; in any other an identifier is not a person's.
/// Source: the targets of each Reference in the R4 StructureDefinitions (Patient, RelatedPerson, Person, Group, Resource).
#[rustfmt::skip]
const MAY_NAME_A_PERSON: &[&str] = &[
    "about", "actor", "asserter", "author", "beneficiary", "candidate", "content", "contentReference", "contributor", "deliverTo",
    "detail", "enterer", "entry", "evaluatedResource", "expressedBy", "focus", "implicated", "individual", "information",
    "informationSource", "item", "member", "onBehalfOf", "operator", "other", "outcomeReference", "participant", "party", "patient",
    "performer", "policyHolder", "receiver", "recipient", "recorder", "ref", "reference", "related", "reportedReference",
    "requester", "resource", "sender", "source", "sourcePatientInfo", "subject", "subscriber", "supportingInfo",
    "supportingInformation", "supportingPatientInformation", "target", "valueReference", "verifiedWith", "what", "who",
];

/// Systems that number providers, payers and laboratories, never members: NPI, NAIC, CLIA.
const PROVIDER_SYSTEMS: &[&str] = &[
    "http://hl7.org/fhir/sid/us-npi",
    "urn:oid:2.16.840.1.113883.4.6",
    "urn:oid:2.16.840.1.113883.6.300",
    "http://terminology.hl7.org/NamingSystem/CLIA",
    "urn:oid:2.16.840.1.113883.4.7",
];

/// The record that a resource belongs to.
#[derive(Clone, Copy, Debug)]
pub struct Record<'a> {
    /// Id of the member's Patient; `None` when it belongs to nobody, or the member cannot be told from the resource.
    pub member: Option<&'a str>,
    /// Our own FHIR base.
    pub base_url: &'a str,
}

/// The bits of [`OTHER_PATIENT`] and [`SHARED_NAMES_PERSON`] for a resource of `owner`; 0 when it may leave.
pub fn bits(resource: &Screened<'_>, owner: &Owner, record: &Record<'_>) -> i64 {
    let root = resource.root();
    let mut bits = 0;
    if let Some(contained) = root.get("contained") {
        let all_known = contained.kind() == Kind::Array && contained.items().all(|inner| is_known(&inner, record));
        if !all_known {
            bits |= OTHER_PATIENT;
        }
    }
    if is_shared(owner) {
        let rtype = resource.resource_type();
        let check = Check::new(&rtype, record, false);
        let own = root.members().filter(|member| member.key() != "contained");
        if !own.into_iter().all(|member| check.member(&member, &mut Vec::new())) {
            bits |= SHARED_NAMES_PERSON;
        }
    }
    bits
}

/// Whether a resource of this owner is everybody's: a Provenance is, when all that it is about may be.
fn is_shared(owner: &Owner) -> bool {
    match owner {
        Owner::Nobody => true,
        Owner::Targets(targets) => targets.iter().all(|(rtype, ..)| target::is_nobody(rtype)),
        Owner::Patient | Owner::Member { .. } | Owner::Named(_) => false,
    }
}

/// Whether a contained resource is about this member, or describes no person.
fn is_known(inner: &Value<'_>, record: &Record<'_>) -> bool {
    let Some(rtype) = inner.get("resourceType").and_then(|name| name.text()) else {
        return false;
    };
    let owner_path = match compartment::kind(&rtype) {
        Some(Compartment::Shared) => None,
        Some(Compartment::MemberOrNobody(paths)) if paths.iter().all(|path| inner.first(path).is_none()) => None,
        // It is about the relative, whoever's relative that is.
        Some(Compartment::Member(_)) if rtype == "RelatedPerson" => return false,
        Some(Compartment::Member(paths) | Compartment::MemberOrNobody(paths)) => paths.first().copied(),
        Some(Compartment::Provenance) => Some(["target"].as_slice()),
        // A Patient is a person, and types that are not kept may hold anything.
        // Its bytes may hold anything, and who may see them is not judged inside of another resource.
        Some(Compartment::Patient | Compartment::Binary) | None => return false,
    };
    if owner_path.is_some_and(|path| !names_member(inner, path, record)) {
        return false;
    }
    let check = Check::new(&rtype, record, owner_path.is_some());
    inner.members().all(|member| {
        member.key() == "resourceType" || member.key() != "contained" && check.member(&member, &mut Vec::new())
    })
}

/// Whether the element that says whose `inner` is names this member, and beside the member nobody.
fn names_member(inner: &Value<'_>, path: &[&str], record: &Record<'_>) -> bool {
    let mut named = false;
    inner.all(path).iter().all(|value| {
        let text = value.get("reference").and_then(|reference| reference.text());
        let target = text.map_or(Target::Unknown, |text| target::of(&text, record));
        named |= target == Target::Member;
        matches!(target, Target::Member | Target::Nobody)
    }) && named
}

/// Goes through one resource and finds whether anything in it refers to a person, or to something unknown.
struct Check<'a> {
    rtype: &'a str,
    record: &'a Record<'a>,
    /// It is this member's: a reference to an encounter or the like is then a pointer within what is the member's.
    of_member: bool,
}

impl<'a> Check<'a> {
    fn new(rtype: &'a str, record: &'a Record<'a>, of_member: bool) -> Self {
        Check {
            rtype,
            record,
            of_member,
        }
    }

    /// Whether the element `member` and all under it refers to nobody else. The pre-screen bounds the depth.
    fn member<'s>(&self, member: &Value<'s>, path: &mut Vec<&'s str>) -> bool {
        // A resource inside of what is contained is not FHIR, and nobody knows whose it is.
        let nested = !path.is_empty() && matches!(member.key(), "resourceType" | "contained");
        if nested {
            return false;
        }
        path.push(member.key());
        let clean = self.value(member, path);
        path.pop();
        clean
    }

    fn value<'s>(&self, value: &Value<'s>, path: &mut Vec<&'s str>) -> bool {
        match value.kind() {
            Kind::Array => value.items().all(|item| self.value(&item, path)),
            Kind::Object => self.reference(value, path) && value.members().all(|member| self.member(&member, path)),
            Kind::String => !is_person_element(self.rtype, path),
            _ => !is_person_element(self.rtype, path) && path.last() != Some(&"reference"),
        }
    }

    /// Whether `value`, if it is a Reference, is none to a person.
    fn reference(&self, value: &Value<'_>, path: &[&str]) -> bool {
        let Some(literal) = value.get("reference").filter(|literal| literal.kind() == Kind::String) else {
            return self.logical(value, path);
        };
        match target::of(&literal.text().unwrap_or_default(), self.record) {
            Target::Member => true,
            Target::Nobody | Target::Contained => !target::says_person(value),
            Target::Other => self.of_member && !target::says_person(value),
            Target::Person | Target::Unknown => false,
        }
    }

    /// The same without a literal reference: an identifier, or a label alone.
    fn logical(&self, value: &Value<'_>, path: &[&str]) -> bool {
        if target::says_person(value) {
            return false;
        }
        if target::says_nobody(value) {
            return true;
        }
        let key = path.last().copied().unwrap_or_default();
        // What an extension or a focus refers to has no other sign of what it is.
        let person = is_person_element(self.rtype, path) || matches!(key, "valueReference" | "focus");
        let has_number = value.get("identifier").is_some_and(|one| one.kind() == Kind::Object);
        // `payor` is the plan: a contained Coverage names it by its number among payers, or by its name.
        !person && (!has_number || key == "payor" || MAY_NAME_A_PERSON.binary_search(&key).is_err())
    }
}

fn is_person_element(rtype: &str, path: &[&str]) -> bool {
    PERSON_ELEMENTS
        .iter()
        .any(|(of, element)| *of == rtype && *element == path)
}
