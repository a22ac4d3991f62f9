//! Data about other persons: what a resource contains must be about this member or about no person, or the resource is withheld.
//!
//! Only what is recognized is released: each contained resource must be of a type that describes no person and reference none, or its own
//! owner element must reference exactly this member. What is not recognized is withheld. References in a resource's own elements are only
//! pointers and are released; [`edits`] removes a name or number of another person next to one. This module looks at the bytes of one
//! resource; it never looks anything up, and it does not examine text, notes and attachments.
//!
//! Source: FHIR R4 2.3.0.2 (contained resources do not inherit the context of the resource that contains them).

mod own_elements;
mod record;
mod target;
#[cfg(test)]
mod tests;

pub use own_elements::{edits, merged};
pub use record::RecordOwner;

use super::compartment::{self, Owner, OwnerRule as Compartment};
use crate::fhir::prescreen::{JsonKind, Screened, Value};
use record::PERSON_ELEMENTS;
use target::ReferenceTarget;

/// Bit: a contained resource may be about another person than the owner of the record.
pub const OTHER_PATIENT: i64 = 1 << 61;
/// Bit: a resource that all members share names a person, or may name one.
pub const SHARED_NAMES_PERSON: i64 = 1 << 59;

/// Names of elements that may reference a person in some type that is stored; an identifier in any other element is not a person's. Source:
/// the targets of each Reference in the R4 StructureDefinitions (Patient, RelatedPerson, Person, Group, Resource).
#[rustfmt::skip]
const MAY_NAME_A_PERSON: &[&str] = &[
    "about", "actor", "asserter", "author", "beneficiary", "candidate", "content", "contentReference", "contributor", "deliverTo",
    "detail", "enterer", "entry", "evaluatedResource", "expressedBy", "focus", "implicated", "individual", "information",
    "informationSource", "item", "member", "onBehalfOf", "operator", "other", "outcomeReference", "participant", "party", "patient",
    "performer", "policyHolder", "receiver", "recipient", "recorder", "ref", "reference", "related", "reportedReference",
    "requester", "resource", "sender", "source", "sourcePatientInfo", "subject", "subscriber", "supportingInfo",
    "supportingInformation", "supportingPatientInformation", "target", "valueReference", "verifiedWith", "what", "who",
];

/// Returns the bits [`OTHER_PATIENT`] and [`SHARED_NAMES_PERSON`] for a resource of `owner`; 0 when it may be released.
pub fn bits(resource: &Screened<'_>, owner: &Owner, record: &RecordOwner<'_>) -> i64 {
    let root = resource.root();
    let mut bits = 0;
    if let Some(contained) = root.get("contained") {
        let all_known = contained.kind() == JsonKind::Array && contained.items().all(|inner| is_known(&inner, record));
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

/// Whether a resource of this owner is shared by all members. A Provenance is, when all its targets may be.
fn is_shared(owner: &Owner) -> bool {
    match owner {
        Owner::Nobody => true,
        Owner::Targets(targets) => targets.iter().all(|(rtype, ..)| target::is_nobody(rtype)),
        Owner::Patient | Owner::Member { .. } | Owner::Named(_) => false,
    }
}

/// Whether a contained resource is about this member, or describes no person.
fn is_known(inner: &Value<'_>, record: &RecordOwner<'_>) -> bool {
    let Some(rtype) = inner.get("resourceType").and_then(|name| name.text()) else {
        return false;
    };
    let owner_path = match compartment::kind(&rtype) {
        Some(Compartment::Shared) => None,
        Some(Compartment::MemberOrNobody(paths)) if paths.iter().all(|path| inner.first(path).is_none()) => None,
        // A RelatedPerson is about the relative, whoever the Patient is.
        Some(Compartment::Member(_)) if rtype == "RelatedPerson" => return false,
        Some(Compartment::Member(paths) | Compartment::MemberOrNobody(paths)) => paths.first().copied(),
        Some(Compartment::Provenance) => Some(["target"].as_slice()),
        // A contained Patient is a person; types that are not stored may contain anything. A Binary's bytes may contain anything, and its
        // access rules are not checked inside another resource.
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

/// Whether the owner element of `inner` references this member, and no other person.
fn names_member(inner: &Value<'_>, path: &[&str], record: &RecordOwner<'_>) -> bool {
    let mut named = false;
    inner.all(path).iter().all(|value| {
        let text = value.get("reference").and_then(|reference| reference.text());
        let target = text.map_or(ReferenceTarget::Unknown, |text| target::of(&text, record));
        named |= target == ReferenceTarget::Member;
        matches!(target, ReferenceTarget::Member | ReferenceTarget::Nobody)
    }) && named
}

/// Searches one resource for references to a person, or to something unknown.
struct Check<'a> {
    rtype: &'a str,
    record: &'a RecordOwner<'a>,
    /// Whether it belongs to this member: a reference to an encounter or the like then points to the member's own data.
    of_member: bool,
}

impl<'a> Check<'a> {
    fn new(rtype: &'a str, record: &'a RecordOwner<'a>, of_member: bool) -> Self {
        Check {
            rtype,
            record,
            of_member,
        }
    }

    /// Whether the element `member` and everything below it references no other person. The pre-screen limits the depth.
    fn member<'s>(&self, member: &Value<'s>, path: &mut Vec<&'s str>) -> bool {
        // A resource nested in a contained resource is not valid FHIR, and its owner is unknown.
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
            JsonKind::Array => value.items().all(|item| self.value(&item, path)),
            JsonKind::Object => self.reference(value, path) && value.members().all(|member| self.member(&member, path)),
            JsonKind::String => !is_person_element(self.rtype, path),
            _ => !is_person_element(self.rtype, path) && path.last() != Some(&"reference"),
        }
    }

    /// Whether `value`, if it is a Reference, does not reference another person.
    fn reference(&self, value: &Value<'_>, path: &[&str]) -> bool {
        let Some(literal) = value
            .get("reference")
            .filter(|literal| literal.kind() == JsonKind::String)
        else {
            return self.logical(value, path);
        };
        match target::of(&literal.text().unwrap_or_default(), self.record) {
            ReferenceTarget::Member => true,
            ReferenceTarget::Nobody | ReferenceTarget::Contained => !target::says_person(value),
            ReferenceTarget::Other => self.of_member && !target::says_person(value),
            ReferenceTarget::Person | ReferenceTarget::Unknown => false,
        }
    }

    /// The same for a Reference without a literal reference: with an identifier, or only a label.
    fn logical(&self, value: &Value<'_>, path: &[&str]) -> bool {
        if target::says_person(value) {
            return false;
        }
        if target::says_nobody(value) {
            return true;
        }
        let key = path.last().copied().unwrap_or_default();
        // For an extension or a focus, nothing else shows what the reference means.
        let person = is_person_element(self.rtype, path) || matches!(key, "valueReference" | "focus");
        let has_number = value
            .get("identifier")
            .is_some_and(|one| one.kind() == JsonKind::Object);
        // `payor` is the plan: a contained Coverage names it by its number among payers, or by its name.
        !person && (!has_number || key == "payor" || MAY_NAME_A_PERSON.binary_search(&key).is_err())
    }
}

fn is_person_element(rtype: &str, path: &[&str]) -> bool {
    PERSON_ELEMENTS
        .iter()
        .any(|(of, element)| *of == rtype && *element == path)
}
