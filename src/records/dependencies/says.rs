//! Reads from a resource which resources depend on which: the claims and authorizations
//! that it references, and what an authorization references.

use super::super::compartment::local;
use super::super::prior_authorization::{TYPES, is_claim_type};
use crate::fhir::prescreen::{JsonKind, Screened, Value};
use crate::store::dependencies::Name;
use crate::store::release_rule::PA_NONE;
use memchr::memmem;
use std::collections::BTreeSet;

/// The types of documents that depend on an authorization which references them. Clinical
/// facts that it references (an Observation, a Condition) do not.
pub(super) const DOCUMENTS: [&str; 9] = [
    "Binary",
    "Communication",
    "CommunicationRequest",
    "Composition",
    "DocumentManifest",
    "DocumentReference",
    "Media",
    "QuestionnaireResponse",
    "Task",
];

/// The id that is stored for a reference without a usable id.
const NOTHING: &str = "";
/// How many characters of a reference to another server are stored.
const ID_MAX: usize = 120;

/// The dependencies that a resource contains.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Says {
    /// The resources on which it depends.
    pub on: Vec<Name>,
    /// The resources that depend on it.
    pub holds: Vec<Name>,
}

/// Reads the dependencies of `resource`, whose own state is `pa_state`.
pub fn of(resource: &Screened<'_>, rtype: &str, pa_state: i64, base_url: &str) -> Says {
    let mut says = Says::default();
    if !is_claim_type(rtype) {
        says.on = claims(resource, base_url);
    } else if pa_state != PA_NONE {
        authorization(&resource.root(), rtype, base_url, &mut says);
    }
    says
}

/// Returns the claims and authorizations that a resource of another type references, without duplicates.
fn claims(resource: &Screened<'_>, base_url: &str) -> Vec<Name> {
    let mut found = BTreeSet::new();
    for reference in resource.references() {
        let text = reference.text();
        match local(&text, base_url) {
            Some((rtype, id)) if is_claim_type(rtype) => {
                found.insert((rtype.to_owned(), id.to_owned()));
            }
            Some(_) => {}
            None => found.extend(elsewhere(&text)),
        }
    }
    // A reference by identifier names only the type. When the type's name does not occur in the bytes, there is no such reference.
    let bytes = resource.bytes();
    const NAMES: [&[u8]; 3] = [b"Claim\"", b"ClaimResponse\"", b"ExplanationOfBenefit\""];
    let named = NAMES.iter().any(|name| memmem::find(bytes, name).is_some());
    if named || memmem::find(bytes, b"\\u").is_some() {
        logical(&resource.root(), base_url, &mut found);
    }
    found.into_iter().collect()
}

/// Recognizes a reference to a claim on another server.
fn elsewhere(text: &str) -> Option<Name> {
    let before = text.split(['?', '#']).next().unwrap_or_default();
    let before = before.split("/_history").next().unwrap_or_default();
    let mut parts = before.split('/').rev().filter(|part| !part.is_empty());
    // The type is before the id, or is the last part before the query of a search.
    let rtype = if text.contains('?') { parts.next() } else { parts.nth(1) }?;
    let rtype = TYPES.iter().find(|one| one.eq_ignore_ascii_case(rtype))?;
    // With the colon it can never equal an id of this store.
    let id: String = format!(":{text}").chars().take(ID_MAX).collect();
    Some(((*rtype).to_owned(), id))
}

/// Returns the claim type that `Reference.type` means, given as a name or as the URL of its definition.
fn claim_type_of(text: &str) -> Option<&'static str> {
    let name = text.split('|').next()?.trim_end_matches('/').rsplit('/').next()?;
    TYPES.iter().find(|one| **one == name).copied()
}

/// Finds references that name a claim type but no resource of this server.
fn logical(value: &Value<'_>, base_url: &str, found: &mut BTreeSet<Name>) {
    if value.kind() == JsonKind::Object
        && let Some(rtype) = value.get("type").and_then(|rtype| rtype.text())
        && let Some(rtype) = claim_type_of(&rtype)
        && value.get("resourceType").is_none()
    {
        let text = value.get("reference").and_then(|text| text.text()).unwrap_or_default();
        if local(&text, base_url).is_none() && !text.starts_with('#') {
            found.insert((rtype.to_owned(), NOTHING.to_owned()));
        }
    }
    for child in value.members().chain(value.items()) {
        if matches!(child.kind(), JsonKind::Object | JsonKind::Array) {
            logical(&child, base_url, found);
        }
    }
}

/// Reads what an authorization references: its documents, and the request to which it responds.
fn authorization(root: &Value<'_>, rtype: &str, base_url: &str, says: &mut Says) {
    let named = |path: &[&str]| -> Vec<Name> {
        let all = root.all(path);
        let texts = all.iter().filter_map(|reference| reference.get("reference")?.text());
        texts
            .filter_map(|text| local(&text, base_url).map(|(rtype, id)| (rtype.to_owned(), id.to_owned())))
            .collect()
    };
    let mut documents = named(&["supportingInfo", "valueReference"]);
    documents.extend(named(&["communicationRequest"]));
    // Its attachments.
    documents.extend(
        root.all(&["supportingInfo", "valueAttachment"])
            .iter()
            .filter_map(|value| value.get("url")?.text())
            .filter_map(|text| local(&text, base_url).map(|(rtype, id)| (rtype.to_owned(), id.to_owned()))),
    );
    documents.retain(|(rtype, _)| DOCUMENTS.contains(&rtype.as_str()));
    says.holds = documents;
    let request = match rtype {
        "ClaimResponse" => named(&["request"]),
        "ExplanationOfBenefit" => named(&["claim"]),
        _ => Vec::new(),
    };
    let request: Vec<Name> = request.into_iter().filter(|(rtype, _)| rtype == "Claim").collect();
    if rtype == "ClaimResponse" {
        // Only the request says what was asked for.
        says.on.clone_from(&request);
    }
    says.holds.extend(request);
    says.holds.sort();
    says.holds.dedup();
}
