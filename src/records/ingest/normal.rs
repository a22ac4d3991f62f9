//! Makes a resource of a partner one of this store: its own id, references that hold here, and the member's Patient for that of the partner.
//!
//! Only references to the partner's own server are rewritten. Others stay as they came and are never fetched; when such a reference
//! decides whose the resource is, the resource is kept apart.

use super::super::compartment::{self, Owner};
use super::super::splice::splice;
use super::masked;
use super::scope::IngestScope;
use crate::error::{Failure, Fault};
use crate::fhir::prescreen::{JsonKind, ScreenLimits, Screened, screen};
use crate::ids::is_fhir_id;
use crate::store::release_rule::is_received;
use std::ops::Range;

/// A resource of a partner, as it can be given to the gate.
#[derive(Debug)]
pub(super) struct Normal {
    /// Its id here.
    pub id: String,
    /// Its bytes.
    pub bytes: Vec<u8>,
    /// Whose it is.
    pub whose: Whose,
}

/// Whose a resource is.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Whose {
    /// It is the partner's Patient for our member.
    Person,
    /// It is the member's, or belongs to nobody.
    Fits,
    /// It is a Provenance, and the store has to say whose its targets are (type, id).
    Targets(Vec<(String, String)>),
}

/// Makes the resource with these bytes one of this store.
///
/// # Errors
/// Those of [`screen`]; [`Fault::TypeUnsupported`], [`Fault::IdMissing`], [`Fault::ValueInvalid`] for an id; [`Fault::StrangersResource`]
/// for one of another person; [`Fault::ReferenceUnresolved`] when nothing says whose it is.
pub(super) fn normal(scope: &IngestScope, bytes: &[u8]) -> Result<Normal, Failure> {
    let screened = screen(bytes, &ScreenLimits::record())?;
    let rtype = causeway_fhir_types::type_name(&screened.resource_type())
        .filter(|rtype| compartment::kind(rtype).is_some())
        .ok_or_else(|| Failure::new(Fault::TypeUnsupported).at("Resource"))?;
    let id = screened.root().get("id").filter(|id| id.kind() == JsonKind::String);
    let place = id.ok_or_else(|| Failure::new(Fault::IdMissing).at(format!("{rtype}.id")))?;
    let theirs = place.text().unwrap_or_default();
    if !is_fhir_id(&theirs) {
        return Err(Failure::new(Fault::ValueInvalid).at(format!("{rtype}.id")));
    }
    if rtype == "Patient" {
        return match theirs == scope.matched.their_patient {
            true => Ok(Normal {
                id: scope.names.id(rtype, &theirs),
                bytes: bytes.to_vec(),
                whose: Whose::Person,
            }),
            false => Err(Failure::new(Fault::StrangersResource).at("Patient.id")),
        };
    }
    let id = scope.names.id(rtype, &theirs);
    if let Some(at) = names_ours(scope, &screened) {
        return Err(Failure::new(Fault::StrangersResource).at(at));
    }
    let mut edits = vec![(place.span(), format!("\"{id}\""))];
    edits.extend(references(scope, &screened));
    edits.extend(masked::stand_ins(&screened));
    edits.sort_by_key(|(span, _)| span.start);
    let mut bytes = splice(bytes, &edits);
    if rtype == "Provenance" {
        // It says something of what came only: a target of ours, or of another server, is not the partner's to tell of.
        let theirs = |rtype: &str, id: &str| may_be_target(scope, rtype, id);
        bytes = with_targets(&bytes, "", &theirs)?
            .ok_or_else(|| Failure::new(Fault::StrangersResource).at("Provenance.target"))?;
    }
    let whose = whose(scope, &screen(&bytes, &ScreenLimits::record())?)?;
    Ok(Normal { id, bytes, whose })
}

fn references(scope: &IngestScope, screened: &Screened<'_>) -> Vec<(Range<usize>, String)> {
    let mut edits: Vec<(Range<usize>, String)> = screened
        .references()
        .filter_map(|reference| Some((reference.span(), local(scope, &reference.text())?)))
        .collect();
    // A url may be a resource of the partner's server of a type that is stored, such as the Binary with a document's bytes.
    let urls = screened
        .values()
        .filter(|value| value.key() == "url" && value.kind() == JsonKind::String);
    edits.extend(urls.filter_map(|url| {
        let found = local(scope, &url.text()?)?;
        let (rtype, _) = found.split_once('/')?;
        compartment::kind(rtype)?;
        Some((url.span(), format!("\"{found}\"")))
    }));
    edits
}

/// The place of a reference or url by which a partner names something of this server other than the member's Patient. No partner has a say
/// about that (threats E07). Targets of a Provenance are judged one by one ([`with_targets`]).
fn names_ours(scope: &IngestScope, screened: &Screened<'_>) -> Option<String> {
    let ours = scope.matched.our_patient.as_str();
    let is_ours = |text: &str| {
        let is_absolute = scope.base.strip(text).is_none() && compartment::local(text, "").is_none();
        is_absolute && compartment::local(text, scope.base_url()).is_some_and(|name| name != ("Patient", ours))
    };
    let is_target = |at: &str| at.starts_with("Provenance.target");
    let of_reference = screened
        .references()
        .filter(|one| is_ours(&one.text()))
        .map(|one| one.path())
        .find(|at| !is_target(at));
    of_reference.or_else(|| {
        let mut urls = screened
            .values()
            .filter(|value| value.key() == "url" && value.kind() == JsonKind::String);
        urls.find(|url| url.text().is_some_and(|text| is_ours(&text)))
            .map(|url| url.path())
    })
}

/// Returns what a reference of the partner means here; `None` when it does not mean a resource of the partner's server.
fn local(scope: &IngestScope, reference: &str) -> Option<String> {
    let relative = scope.base.strip(reference).unwrap_or(reference);
    let (rtype, id) = compartment::local(relative, "")?;
    Some(match rtype == "Patient" && id == scope.matched.their_patient {
        true => format!("Patient/{}", scope.matched.our_patient),
        false => format!("{rtype}/{}", scope.names.id(rtype, id)),
    })
}

/// Finds whose a resource is whose references hold here.
fn whose(scope: &IngestScope, resource: &Screened<'_>) -> Result<Whose, Failure> {
    let (ours, base_url) = (scope.matched.our_patient.as_str(), scope.base_url());
    let stranger = |at: &str| Failure::new(Fault::StrangersResource).at(at);
    match compartment::owner(resource, base_url)? {
        Owner::Nobody | Owner::Named(None) => Ok(Whose::Fits),
        Owner::Member { id, .. } | Owner::Named(Some((id, _))) if id == ours => Ok(Whose::Fits),
        Owner::Member { at, .. } | Owner::Named(Some((_, at))) => Err(stranger(&at)),
        Owner::Patient => Err(stranger("Patient")),
        Owner::Targets(targets) => Ok(Whose::Targets(
            targets.into_iter().map(|(rtype, id, _)| (rtype, id)).collect(),
        )),
    }
}

/// Returns a Provenance without the targets for which `stays` is false; `None` when none would be left.
///
/// # Errors
/// Those of [`screen`].
pub(super) fn with_targets(
    bytes: &[u8],
    base_url: &str,
    stays: &dyn Fn(&str, &str) -> bool,
) -> Result<Option<Vec<u8>>, Failure> {
    let screened = screen(bytes, &ScreenLimits::record())?;
    let Some(list) = screened.root().get("target") else {
        return Ok(None);
    };
    let mut kept: Vec<&[u8]> = Vec::new();
    let mut all = 0;
    for target in list.items() {
        all += 1;
        let text = target.get("reference").and_then(|reference| reference.text());
        let name = text.as_deref().and_then(|text| compartment::local(text, base_url));
        if name.is_some_and(|(rtype, id)| stays(rtype, id)) {
            kept.push(target.raw());
        }
    }
    if kept.is_empty() {
        return Ok(None);
    }
    if kept.len() == all {
        return Ok(Some(bytes.to_vec()));
    }
    let text = kept.join(&b","[..]);
    let text = String::from_utf8(text).map_err(|_| Failure::new(Fault::NotUtf8))?;
    Ok(Some(splice(bytes, &[(list.span(), format!("[{text}]"))])))
}

/// Whether a target of a partner's Provenance may be one: what came from the partner, or the member itself. Never a resource of ours.
fn may_be_target(scope: &IngestScope, rtype: &str, id: &str) -> bool {
    is_received(id) || (rtype == "Patient" && id == scope.matched.our_patient)
}
