//! The ingest gate: from bytes as received to a candidate with its columns, or a refusal with its place.
//!
//! In order: pre-screen, rules, references of the source made local, owner, typed model, columns, released form. Pure but
//! for the look-ups that [`Links`] does; it writes nothing, and no value of the input gets into a failure.

use super::compartment::{self, Owner};
use super::demographics::{self, Demographics, Identifier};
use super::released::{self, Money};
use super::splice::{compact, splice};
use super::{dependencies, labels, prior_authorization, rules, search_index, sensitivity, service};
use crate::clock::rfc3339_ms;
use crate::error::{Failure, Fault};
use crate::fhir::prescreen::{Kind, Limits, Screened, Value, screen};
use crate::fhir::search::Indexed;
use crate::secret::sha256;
use crate::store::withheld::{CONTAINS_CLAIM, DISGUISED, SHARED_WITH_CLAIM};
use causeway_fhir_types::{Kind as Refusal, Refused};
use std::borrow::Cow;
use std::ops::Range;

/// The version of everything that this gate decides. Raise it with every change of a rule, a release column or the released form:
/// at its next start a store that was judged by another version is judged anew, before anything is served ([`super::rejudge`]).
pub const GATE_VERSION: i64 = 1;

/// Makes references of a source local.
pub trait Links {
    /// `Type/id` for a reference (or full URL) of the source that means a resource of ours; `None` to leave it as it is.
    fn local(&self, reference: &str) -> Option<String>;

    /// Whether URLs outside references may mean resources of the source too (entries of a Bundle).
    fn has_urls(&self) -> bool {
        false
    }
}

/// No references to make local.
pub struct NoLinks;

impl Links for NoLinks {
    fn local(&self, _: &str) -> Option<String> {
        None
    }
}

/// A resource that passed the pre-screen, with its references made local: enough to know whether it is there already.
pub struct Draft<'b> {
    /// Its type.
    pub rtype: &'static str,
    /// Its id, as received.
    pub id: String,
    /// SHA-256 of its content, before `meta` is written.
    pub source_sha256: [u8; 32],
    content: Cow<'b, [u8]>,
    /// There while the content is as received.
    screened: Option<Screened<'b>>,
}

/// A resource fit to be stored.
#[derive(Clone, Debug)]
#[allow(missing_docs)] // the columns, as the migrations tell them
pub struct Candidate {
    pub rtype: &'static str,
    pub id: String,
    pub owner: Owner,
    pub version: i64,
    pub last_updated_ms: i64,
    pub service_from_ms: Option<i64>,
    pub service_to_ms: Option<i64>,
    pub sensitivity: i64,
    pub pa_state: i64,
    pub pa_changed_ms: Option<i64>,
    pub financial: i64,
    pub source_sha256: [u8; 32],
    pub sha256: [u8; 32],
    pub body: Vec<u8>,
    pub released: Option<Vec<u8>>,
    pub identifiers: Vec<Identifier>,
    pub indexed: Indexed,
    pub says: dependencies::Says,
    pub demographics: Option<Demographics>,
}

/// First half: pre-screen, id, references. `fallback_id` is the id of an entry that brings none of its own.
///
/// # Errors
/// Those of [`screen`], [`Fault::TypeUnsupported`], and [`Fault::ValueInvalid`] for an id that breaks its grammar.
pub fn draft<'b>(bytes: &'b [u8], links: &dyn Links, fallback_id: Option<&str>) -> Result<Draft<'b>, Failure> {
    let screened = screen(bytes, &Limits::record())?;
    let rtype = causeway_fhir_types::type_name(&screened.resource_type())
        .filter(|rtype| compartment::kind(rtype).is_some())
        .ok_or_else(|| Failure::new(Fault::TypeUnsupported).at("Resource"))?;
    let edits = local_edits(&screened, links, fallback_id);
    let several_lines = bytes.iter().any(|byte| matches!(byte, b'\n' | b'\r'));
    if edits.is_empty() && !several_lines {
        let (id, source_sha256) = (rules::id(&screened)?, sha256(bytes));
        return Ok(Draft {
            rtype,
            id,
            source_sha256,
            content: Cow::Borrowed(bytes),
            screened: Some(screened),
        });
    }
    let mut content = splice(bytes, &edits);
    if several_lines {
        // One resource is one line wherever it leaves as NDJSON.
        content = compact(&content);
    }
    let id = rules::id(&screen(&content, &Limits::record())?)?;
    Ok(Draft {
        rtype,
        id,
        source_sha256: sha256(&content),
        content: Cow::Owned(content),
        screened: None,
    })
}

/// Second half: rules, owner, typed model, columns, released form, and the bytes as they will be stored as `version`.
///
/// `now_ms` (UTC milliseconds) becomes `meta.lastUpdated` when the source brings none.
///
/// # Errors
/// [`Fault::ValueInvalid`], [`Fault::ReferenceUnresolved`] and [`Fault::ResourceInvalid`], with the place.
pub fn judge(draft: &Draft<'_>, version: i64, now_ms: i64, base_url: &str) -> Result<Candidate, Failure> {
    let again;
    let resource = match &draft.screened {
        Some(screened) => screened,
        None => {
            again = screen(&draft.content, &Limits::record())?;
            &again
        }
    };
    rules::check(resource)?;
    let owner = compartment::owner(resource, base_url)?;
    let service = service::dates(resource)?;
    let own_last_updated = rules::last_updated_ms(resource)?;
    causeway_fhir_types::check(resource.bytes()).map_err(|refused| shape(resource, refused))?;

    let owner_id = match &owner {
        Owner::Patient => Some(draft.id.as_str()),
        Owner::Member { id, .. } => Some(id.as_str()),
        Owner::Targets(_) | Owner::Nobody => None,
    };
    let (pa_state, pa_changed_ms) = prior_authorization::state(resource, service.to_ms, now_ms);
    let says = dependencies::of(resource, draft.rtype, pa_state, base_url);
    let meta = meta_edits(resource, version, now_ms);
    let body = splice(resource.bytes(), &meta);
    let money = released::money(draft.rtype);
    let released = released::edits(resource).map(|cuts| {
        // Stable, so that what is inserted comes before a cut that begins at the same byte.
        let mut edits: Vec<_> = meta.iter().cloned().chain(cuts).collect();
        edits.sort_by_key(|(span, _)| span.start);
        splice(resource.bytes(), &edits)
    });
    Ok(Candidate {
        rtype: draft.rtype,
        id: draft.id.clone(),
        version,
        last_updated_ms: own_last_updated.unwrap_or(now_ms),
        service_from_ms: service.from_ms,
        service_to_ms: service.to_ms,
        sensitivity: sensitivity::bits(resource, owner_id) | withheld_bits(resource, &owner, &says),
        pa_state,
        pa_changed_ms,
        financial: i64::from(money == Money::Whole || released.is_some()),
        source_sha256: draft.source_sha256,
        sha256: sha256(&body),
        identifiers: demographics::identifiers(resource),
        indexed: indexed(resource, released.as_deref(), named_owner(&owner, &draft.id), base_url)?,
        demographics: (owner == Owner::Patient).then(|| demographics::read(resource)),
        owner,
        body,
        released,
        says,
    })
}

/// What keeps a resource from leaving under every consent, besides what `sensitivity` finds.
fn withheld_bits(resource: &Screened<'_>, owner: &Owner, says: &dependencies::Says) -> i64 {
    let rtype = resource.resource_type();
    let bit = |is: bool, bit: i64| if is { bit } else { 0 };
    bit(released::contains_claim(resource), CONTAINS_CLAIM)
        | bit(prior_authorization::is_disguised(resource, &rtype), DISGUISED)
        | bit(*owner == Owner::Nobody && !says.on.is_empty(), SHARED_WITH_CLAIM)
        | labels::bits(resource, &rtype)
}

/// A stored body as a draft, to be judged once more.
///
/// # Errors
/// Those of [`screen`]; [`Fault::TypeUnsupported`] for a type that is no longer kept.
pub fn stored_draft<'b>(body: &'b [u8], id: &str, source_sha256: &[u8]) -> Result<Draft<'b>, Failure> {
    let screened = screen(body, &Limits::record())?;
    let rtype = causeway_fhir_types::type_name(&screened.resource_type())
        .filter(|rtype| compartment::kind(rtype).is_some())
        .ok_or_else(|| Failure::new(Fault::TypeUnsupported).at("Resource"))?;
    Ok(Draft {
        rtype,
        id: id.to_owned(),
        source_sha256: source_sha256.try_into().unwrap_or([0; 32]),
        content: Cow::Borrowed(body),
        screened: Some(screened),
    })
}

/// The released form that this gate makes of a stored body; `None` when it leaves as it is stored.
///
/// # Errors
/// Those of [`judge`].
pub fn form_of(
    body: &[u8],
    id: &str,
    version: i64,
    last_updated_ms: i64,
    base_url: &str,
) -> Result<Option<Vec<u8>>, Failure> {
    let draft = stored_draft(body, id, &[])?;
    Ok(judge(&draft, version, last_updated_ms, base_url)?.released)
}

/// What is indexed is what leaves: no search tells what was cut from the released form.
fn indexed(
    resource: &Screened<'_>,
    released: Option<&[u8]>,
    owner_id: Option<&str>,
    base_url: &str,
) -> Result<Indexed, Failure> {
    match released {
        Some(bytes) => Ok(search_index::of(&screen(bytes, &Limits::record())?, owner_id, base_url)),
        None => Ok(search_index::of(resource, owner_id, base_url)),
    }
}

/// The member that the resource itself names.
fn named_owner<'o>(owner: &'o Owner, own_id: &'o str) -> Option<&'o str> {
    match owner {
        Owner::Patient => Some(own_id),
        Owner::Member { id, .. } => Some(id),
        Owner::Targets(targets) => targets
            .iter()
            .find(|target| target.0 == "Patient")
            .map(|target| target.1.as_str()),
        Owner::Nobody => None,
    }
}

/// The same candidate under another version, when it turns out that the store has moved on.
///
/// # Errors
/// None in practice: its own bytes have passed before.
pub fn with_version(candidate: &Candidate, version: i64) -> Result<Candidate, Failure> {
    let rewrite = |bytes: &[u8]| -> Result<Vec<u8>, Failure> {
        let screened = screen(bytes, &Limits::record())?;
        Ok(splice(
            bytes,
            &meta_edits(&screened, version, candidate.last_updated_ms),
        ))
    };
    let body = rewrite(&candidate.body)?;
    let released = candidate.released.as_deref().map(rewrite).transpose()?;
    Ok(Candidate {
        version,
        sha256: sha256(&body),
        body,
        released,
        ..candidate.clone()
    })
}

fn local_edits(resource: &Screened<'_>, links: &dyn Links, fallback_id: Option<&str>) -> Vec<(Range<usize>, String)> {
    let mut edits = Vec::new();
    let root = resource.root();
    if let (None, Some(id), Some(rtype)) = (root.get("id"), fallback_id, root.get("resourceType")) {
        edits.push((rtype.span().end..rtype.span().end, format!(",\"id\":\"{id}\"")));
    }
    for reference in resource.references() {
        if let Some(local) = links.local(&reference.text()) {
            edits.push((reference.span(), local));
        }
    }
    if links.has_urls() {
        let urls = resource
            .values()
            .filter(|value| value.kind() == Kind::String && value.key() == "url");
        for url in urls {
            if let Some(local) = url.text().and_then(|text| links.local(&text)) {
                edits.push((url.span(), format!("\"{local}\"")));
            }
        }
    }
    edits.sort_by_key(|(span, _)| span.start);
    edits
}

/// Writes our version, and the time where the source has none.
fn meta_edits(resource: &Screened<'_>, version: i64, now_ms: i64) -> Vec<(Range<usize>, String)> {
    let root = resource.root();
    let stamp = format!("\"lastUpdated\":\"{}\"", rfc3339_ms(now_ms));
    let Some(meta) = root.get("meta").filter(|meta| meta.kind() == Kind::Object) else {
        let after = root
            .get("id")
            .or_else(|| root.get("resourceType"))
            .map_or(0, |value| value.span().end);
        return vec![(
            after..after,
            format!(",\"meta\":{{\"versionId\":\"{version}\",{stamp}}}"),
        )];
    };
    let mut edits = Vec::new();
    let mut first = String::new();
    match meta.get("versionId") {
        Some(old) => edits.push((old.span(), format!("\"{version}\""))),
        None => first.push_str(&format!("\"versionId\":\"{version}\",")),
    }
    if meta.get("lastUpdated").is_none() {
        first.push_str(&stamp);
        first.push(',');
    }
    if !first.is_empty() {
        let start = meta.span().start + 1;
        edits.insert(0, (start..start, first));
    }
    edits
}

/// A refusal of the typed model with the best place that can be told: the model itself names none.
fn shape(resource: &Screened<'_>, refused: Refused) -> Failure {
    let rtype = resource.resource_type().into_owned();
    let failure = Failure::new(Fault::ResourceInvalid);
    match (refused.kind, refused.element) {
        (Refusal::Unknown, Some(name)) => {
            let mut places = resource.values().filter(|value| value.key() == name);
            let place = match (places.next(), places.next()) {
                (Some(only), None) => only.path(),
                _ => rtype,
            };
            failure.at(place).remedy("R4 has no such element here.")
        }
        (Refusal::Missing, Some(name)) => failure
            .at(rtype)
            .remedy(format!("The required element {name} is missing.")),
        _ => failure
            .at(culprit(resource).unwrap_or(rtype))
            .remedy("An element is not of the type that R4 gives it."),
    }
}

/// The only member of the root without which the model's refusal changes, by leaving out one after the other.
fn culprit(resource: &Screened<'_>) -> Option<String> {
    const TRIES: usize = 40;
    let root = resource.root();
    let before = causeway_fhir_types::check(resource.bytes()).err();
    let members: Vec<Value<'_>> = root.members().collect();
    for (i, member) in members.iter().enumerate().take(TRIES) {
        if member.key() == "resourceType" {
            continue;
        }
        let span = match i {
            0 => member.member_span().start..members.get(1)?.member_span().start,
            _ => members[i - 1].member_span().end..member.member_span().end,
        };
        if causeway_fhir_types::check(&splice(resource.bytes(), &[(span, String::new())])).err() != before {
            return Some(member.path());
        }
    }
    None
}

#[cfg(test)]
mod tests;
