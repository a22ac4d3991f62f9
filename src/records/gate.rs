//! The second half of the gate: turns a draft into a candidate with its columns, or refuses it with the place of the fault.
//!
//! In order: shape by R4, rules, owner, columns, released form. The first half is `records::draft`. The gate has no side effects: it writes
//! nothing, and no value of the input gets into a failure.

use super::compartment::{self, Owner};
use super::demographics::{self, Demographics, KnownIdentifier};
pub use super::draft::{Draft, draft, stored_draft};
use super::meta::meta_edits;
use super::released::{self, Money};
use super::source_version::SourceVersion;
use super::splice::splice;
use super::{
    attachment, dependencies, labels, other_person, prior_authorization, rules, search_index, sensitivity, service,
};
use crate::clock::rfc3339_ms;
use crate::error::{Failure, Fault};
use crate::fhir::prescreen::{ScreenLimits, Screened, screen};
use crate::fhir::search::IndexedValues;
use crate::fhir::shape;
use crate::secret::sha256;
use crate::store::release_rule::is_received;
use crate::store::withheld::{CONTAINS_CLAIM, DISGUISED, SHARED_WITH_CLAIM};

/// The version of everything that this gate decides. Raise it with every change of a rule, a release column or the released form: at its
/// next start, a store that was checked by another version is checked again before anything is served ([`super::rejudge`]).
pub const GATE_VERSION: i64 = 4;

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
    pub identifiers: Vec<KnownIdentifier>,
    pub indexed: IndexedValues,
    pub says: dependencies::Says,
    pub demographics: Option<Demographics>,
    /// Version and time that its source gives it.
    pub source: SourceVersion,
    /// Ids of the Binaries that it references as attachments.
    pub attachments: Vec<String>,
    /// The position of `meta.lastUpdated` in `body`, and in `released`.
    stamps: (usize, Option<usize>),
}

impl Candidate {
    /// Sets the time (UTC milliseconds) at which this version becomes visible here, also in its bytes, and computes their digest.
    pub fn stamp(&mut self, at_ms: i64) {
        let time = rfc3339_ms(at_ms);
        let put = |bytes: &mut [u8], at: usize| {
            if let Some(place) = bytes.get_mut(at..at + time.len()) {
                place.copy_from_slice(time.as_bytes());
            }
        };
        put(&mut self.body, self.stamps.0);
        if let (Some(bytes), Some(at)) = (&mut self.released, self.stamps.1) {
            put(bytes, at);
        }
        self.last_updated_ms = at_ms;
        self.sha256 = sha256(&self.body);
    }
}

/// Second half: shape, rules, owner, columns, released form, and the bytes as they will be stored as version `version`.
///
/// `now_ms` (UTC milliseconds) is the present time; [`Candidate::stamp`] sets the time of the commit later.
///
/// # Errors
/// Those of [`shape::judge`]; [`Fault::ValueInvalid`] and [`Fault::ReferenceUnresolved`], with the place.
pub fn judge(draft: &Draft<'_>, version: i64, now_ms: i64, base_url: &str) -> Result<Candidate, Failure> {
    let again;
    let resource = match &draft.screened {
        Some(screened) => screened,
        None => {
            again = screen(&draft.content, &ScreenLimits::record())?;
            &again
        }
    };
    shape::judge(resource)?;
    rules::check(resource)?;
    let owner = compartment::owner(resource, base_url)?;
    let service = service::dates(resource)?;
    let source = SourceVersion::of(resource)?;

    let record = other_person::RecordOwner {
        member: named_owner(&owner, &draft.id),
        base_url,
    };
    let (pa_state, pa_changed_ms) = prior_authorization::state(resource, service.to_ms, now_ms);
    let says = dependencies::of(resource, draft.rtype, pa_state, base_url);
    let meta = meta_edits(resource, version, now_ms);
    let body = splice(resource.bytes(), &meta.edits);
    if body.len() > ScreenLimits::record().bytes {
        // With the version added it would be too large to be read again.
        return Err(Failure::new(Fault::TooLarge).at(draft.rtype));
    }
    let body_stamp = meta.stamp_in(&meta.edits);
    let money = released::money(draft.rtype);
    let money_cuts = released::edits(resource);
    let has_money = money == Money::Whole || money_cuts.is_some();
    let names = other_person::edits(resource, &record);
    let cuts = match money_cuts {
        // Without amounts to remove, only names are removed; a resource that is nothing but money must not get a released form.
        None if names.is_empty() || money == Money::Whole => None,
        cuts => Some(other_person::merged(cuts.unwrap_or_default(), names)),
    };
    let released = cuts.map(|cuts| {
        // A stable sort: inserted text must come before a cut that begins at the same byte.
        let mut edits: Vec<_> = meta.edits.iter().cloned().chain(cuts).collect();
        edits.sort_by_key(|(span, _)| span.start);
        (splice(resource.bytes(), &edits), meta.stamp_in(&edits))
    });
    let (released, released_stamp) = released.unzip();
    let mut candidate = Candidate {
        rtype: draft.rtype,
        id: draft.id.clone(),
        version,
        last_updated_ms: now_ms,
        service_from_ms: service.from_ms,
        service_to_ms: service.to_ms,
        sensitivity: sensitivity::bits(resource)
            | other_person::bits(resource, &owner, &record)
            | withheld_bits(resource, &owner, &says),
        pa_state,
        pa_changed_ms,
        financial: i64::from(has_money),
        source_sha256: draft.source_sha256,
        sha256: [0; 32],
        identifiers: demographics::identifiers(resource),
        indexed: indexed(resource, released.as_deref(), record.member, base_url)?,
        demographics: (owner == Owner::Patient).then(|| demographics::read(resource)),
        owner,
        source,
        attachments: attachment::named(resource, draft.rtype, base_url),
        stamps: (body_stamp, released_stamp),
        body,
        released,
        says,
    };
    if is_received(&candidate.id) {
        of_what_came_alone(&mut candidate);
    }
    Ok(candidate)
}

/// What a partner sent says nothing of what is ours: its numbers recognize nobody here, and it moves and withholds only what came as well.
fn of_what_came_alone(candidate: &mut Candidate) {
    candidate.identifiers.clear();
    candidate.attachments.retain(|id| is_received(id));
    candidate.says.holds.retain(|(_, id)| is_received(id));
}

/// Returns the bits for findings under which a resource is never released, besides those of `sensitivity`.
fn withheld_bits(resource: &Screened<'_>, owner: &Owner, says: &dependencies::Says) -> i64 {
    let rtype = resource.resource_type();
    let bit = |is: bool, bit: i64| if is { bit } else { 0 };
    bit(released::contains_claim(resource), CONTAINS_CLAIM)
        | bit(prior_authorization::is_disguised(resource, &rtype), DISGUISED)
        | bit(*owner == Owner::Nobody && !says.on.is_empty(), SHARED_WITH_CLAIM)
        | labels::bits(resource, &rtype)
}

/// Returns the released form of a stored body by this gate; `None` when it is released as stored.
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

/// Indexes the released form: no search reveals what was removed from it.
fn indexed(
    resource: &Screened<'_>,
    released: Option<&[u8]>,
    owner_id: Option<&str>,
    base_url: &str,
) -> Result<IndexedValues, Failure> {
    match released {
        Some(bytes) => Ok(search_index::of(
            &screen(bytes, &ScreenLimits::record())?,
            owner_id,
            base_url,
        )),
        None => Ok(search_index::of(resource, owner_id, base_url)),
    }
}

/// Returns the Patient id of the member that the resource itself names.
fn named_owner<'o>(owner: &'o Owner, own_id: &'o str) -> Option<&'o str> {
    match owner {
        Owner::Patient => Some(own_id),
        Owner::Member { id, .. } => Some(id),
        Owner::Targets(targets) => targets
            .iter()
            .find(|target| target.0 == "Patient")
            .map(|target| target.1.as_str()),
        Owner::Named(context) => context.as_ref().map(|(id, _)| id.as_str()),
        Owner::Nobody => None,
    }
}

/// Returns the same candidate with another version, when the stored version turned out to be a newer one than expected.
///
/// # Errors
/// None in practice: the bytes have passed before.
pub fn with_version(candidate: &Candidate, version: i64) -> Result<Candidate, Failure> {
    let rewrite = |bytes: &[u8]| -> Result<(Vec<u8>, usize), Failure> {
        let screened = screen(bytes, &ScreenLimits::record())?;
        let meta = meta_edits(&screened, version, candidate.last_updated_ms);
        Ok((splice(bytes, &meta.edits), meta.stamp_in(&meta.edits)))
    };
    let (body, body_stamp) = rewrite(&candidate.body)?;
    let (released, released_stamp) = candidate.released.as_deref().map(rewrite).transpose()?.unzip();
    Ok(Candidate {
        version,
        sha256: sha256(&body),
        body,
        released,
        stamps: (body_stamp, released_stamp),
        ..candidate.clone()
    })
}

#[cfg(test)]
mod tests;
