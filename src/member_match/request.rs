//! Reads a member-match request: turns untrusted bytes into the values that a decision needs, or into a fault with its place.
//!
//! The checks run in this order: pre-screen, amount of text, parameter names, profile, rules that concern several elements, and the typed
//! model as a second check. No value of the request gets into a failure.

use super::{profile, shape, size};
use crate::consent;
use crate::error::{Failure, Fault};
use crate::fhir::elements::{Consent, Coverage, Patient, Reference};
use crate::fhir::prescreen::{self, ScreenLimits, Screened, screen};
use crate::ids::is_fhir_id;
use bytes::Bytes;
use serde_json::Value;
use std::borrow::Cow;

const NAMES: [&str; 4] = ["MemberPatient", "CoverageToMatch", "CoverageToLink", "Consent"];
const BIRTHSEX: &str = "http://hl7.org/fhir/us/core/StructureDefinition/us-core-birthsex";

/// A member-match request as it came in, from a caller that is allowed to ask.
#[derive(Clone, Debug)]
pub struct MatchRequest {
    /// The body.
    pub body: Bytes,
    /// Its media type, as the route accepted it.
    pub media_type: String,
    /// The values of all `Idempotency-Key` headers.
    pub idempotency_key: Vec<Vec<u8>>,
}

/// A request that conforms to its profile.
#[derive(Debug)]
pub struct Request {
    /// The person who is asked about.
    pub patient: Patient,
    /// The reference to that person within the request, `Patient/<id>`.
    pub member: String,
    /// The person's coverage with this payer.
    pub coverage: Coverage,
    /// The place of this coverage as a FHIRPath expression.
    pub coverage_place: String,
    /// The person's coverage with the partner, if the request has one.
    pub link: Option<Coverage>,
    /// The consent.
    pub consent: Consent,
    /// The digest that distinguishes this consent from others.
    pub consent_digest: [u8; 32],
    /// The Consent as it was sent.
    pub consent_bytes: Vec<u8>,
    /// The place of the consent as a FHIRPath expression.
    pub consent_place: String,
}

/// Reads `body`.
///
/// # Errors
/// 400 for a body that is not a FHIR Parameters resource; 413 for one with too many values or too much text; 422 ([`Fault::MatchInvalid`]
/// and the other faults of the profile) for one that breaks the profile.
pub fn read(body: &[u8]) -> Result<Request, Failure> {
    let screened = screen(body, &ScreenLimits::request())?;
    if screened.resource_type() != "Parameters" {
        return Err(Failure::new(Fault::ResourceInvalid)
            .at("resourceType")
            .remedy("Send a Parameters resource."));
    }
    size::check(&screened)?;
    let request = match at_once(&screened) {
        Some(request) => request,
        None => step_by_step(&screened)?,
    };
    shape::check(&screened)?;
    Ok(request)
}

/// The fast path: reads a valid request from its screened bytes. Returns `None` for any other request.
fn at_once(screened: &Screened<'_>) -> Option<Request> {
    if !profile::is_kept(screened.root()) {
        return None;
    }
    let list = screened.root().get("parameter")?;
    let names = list.items().map(|parameter| parameter.get("name")?.text());
    let names = names.map(Option::unwrap_or_default);
    let places = parameters(names).ok()?;
    let resources = places.map(|place| list.items().nth(place?)?.get("resource"));
    let source = Source {
        resources: resources.map(|resource| resource.map(|resource| resource.raw())),
        consent: resources[CONSENT]?,
    };
    typed(&source, &places).ok()
}

/// The slow path: reads any request, and says what is wrong with it.
fn step_by_step(screened: &Screened<'_>) -> Result<Request, Failure> {
    let document: Value =
        serde_json::from_slice(screened.bytes()).map_err(|error| Failure::new(Fault::NotJson).because(error))?;
    let list = document
        .get("parameter")
        .and_then(Value::as_array)
        .map(Vec::as_slice)
        .unwrap_or_default();
    let name = |parameter: &Value| {
        let name = parameter.get("name").and_then(Value::as_str).unwrap_or_default();
        Cow::<'static, str>::Owned(name.to_owned())
    };
    let places = parameters(list.iter().map(name))?;
    profile::check(&document)?;
    // The profile holds here, so every parameter has a resource.
    let list = screened.root().get("parameter");
    let resources = places.map(|place| list?.items().nth(place?)?.get("resource"));
    let source = Source {
        resources: resources.map(|resource| resource.map(|resource| resource.raw())),
        consent: resources[CONSENT].unwrap_or(screened.root()),
    };
    typed(&source, &places)
}

/// The index of each parameter, in the order of [`NAMES`].
fn parameters<'n>(names: impl Iterator<Item = Cow<'n, str>>) -> Result<[Option<usize>; 4], Failure> {
    let mut places = [None; 4];
    for (index, name) in names.enumerate() {
        match NAMES.iter().position(|known| *known == name) {
            Some(known) if places[known].is_none() => places[known] = Some(index),
            known => {
                let remedy = match known {
                    Some(known) => format!("Twice: send {} once.", NAMES[known]),
                    None => format!("Unknown: send only {}; names are case-sensitive.", NAMES.join(", ")),
                };
                return Err(Failure::new(Fault::MatchParameterUnknown)
                    .at(format!("Parameters.parameter[{index}]"))
                    .remedy(remedy));
            }
        }
    }
    let missing = |known: &usize| *known != LINK && places[*known].is_none();
    match (0..NAMES.len()).find(missing) {
        Some(known) => Err(Failure::new(Fault::MatchParameterMissing)
            .at(format!("Parameters.parameter.where(name = '{}')", NAMES[known]))
            .remedy(format!("Missing: send {} once.", NAMES[known]))),
        None => Ok(places),
    }
}

const PATIENT: usize = 0;
const MATCH: usize = 1;
const LINK: usize = 2;
const CONSENT: usize = 3;

/// The resources of a request as raw bytes, in the order of [`NAMES`].
struct Source<'s> {
    resources: [Option<&'s [u8]>; 4],
    consent: prescreen::Value<'s>,
}

fn typed(source: &Source<'_>, places: &[Option<usize>; 4]) -> Result<Request, Failure> {
    let invalid = |place: String, remedy: &'static str| Failure::new(Fault::MatchInvalid).at(place).remedy(remedy);
    let place = |known: usize| match places[known] {
        Some(index) => format!("Parameters.parameter[{index}].resource"),
        None => format!("Parameters.parameter.where(name = '{}').resource", NAMES[known]),
    };
    let resource = |known: usize| source.resources[known];

    let patient: Patient = element(resource(PATIENT), &place(PATIENT))?;
    let id = patient.id.as_deref().filter(|id| is_fhir_id(id)).ok_or_else(|| {
        let place = format!("{}.id", place(PATIENT));
        invalid(place, "Wrong format: Use 1 to 64 letters, digits, hyphens and dots.")
    })?;
    let member = format!("Patient/{id}");
    let named =
        |name: &crate::fhir::elements::HumanName| name.family.is_some() && name.given.iter().any(Option::is_some);
    if !patient.name.iter().any(named) {
        let place = format!("{}.name", place(PATIENT));
        return Err(invalid(place, "Missing: send a name with family and given."));
    }
    let birthsex = patient
        .extension
        .iter()
        .any(|e| e.url.as_deref() == Some(BIRTHSEX) && e.value_code.is_some());
    if patient.gender.is_none() && !birthsex {
        let place = format!("{}.gender", place(PATIENT));
        return Err(invalid(
            place,
            "Missing: send gender (male, female, other or unknown) or the extension us-core-birthsex.",
        ));
    }
    if patient.birth_date.as_deref().is_some_and(|date| !is_day(date)) {
        let place = format!("{}.birthDate", place(PATIENT));
        return Err(invalid(
            place,
            "No such day: the calendar does not have it. Use YYYY-MM-DD.",
        ));
    }

    let coverage: Coverage = element(resource(MATCH), &place(MATCH))?;
    covers(&coverage, &member, &place(MATCH))?;
    let mut link = None;
    if places[LINK].is_some() {
        let sent: Coverage = element(resource(LINK), &place(LINK))?;
        covers(&sent, &member, &place(LINK))?;
        link = Some(sent);
    }

    let consent: Consent = element(resource(CONSENT), &place(CONSENT))?;
    refers(consent.patient.as_ref(), &member, || {
        format!("{}.patient", place(CONSENT))
    })?;
    for (index, performer) in consent.performer.iter().enumerate() {
        if may_be_patient(performer) {
            refers(Some(performer), &member, || {
                format!("{}.performer[{index}]", place(CONSENT))
            })?;
        }
    }
    let (coverage_place, consent_place) = (place(MATCH), place(CONSENT));
    if is_contained_other(source.consent, consent.source_reference.as_ref()) {
        let place = format!("{consent_place}.sourceReference");
        return Err(invalid(place, "Wrong type: refer to a DocumentReference."));
    }
    Ok(Request {
        patient,
        coverage,
        coverage_place,
        link,
        consent,
        consent_digest: consent::digest(source.consent, &member),
        consent_bytes: source.consent.raw().to_vec(),
        consent_place,
        member,
    })
}

fn element<T: serde::de::DeserializeOwned>(bytes: Option<&[u8]>, place: &str) -> Result<T, Failure> {
    let invalid = || {
        Failure::new(Fault::MatchInvalid)
            .at(place)
            .remedy("Wrong type: send each element of this resource in the JSON form that R4 gives it.")
    };
    // The parser's message could contain values of the request; the place is enough.
    serde_json::from_slice(bytes.ok_or_else(invalid)?).map_err(|_| invalid())
}

fn covers(coverage: &Coverage, member: &str, place: &str) -> Result<(), Failure> {
    refers(coverage.beneficiary.as_ref(), member, || format!("{place}.beneficiary"))?;
    let says = |text: &String| !text.trim().is_empty();
    let identified = coverage
        .identifier
        .iter()
        .any(|identifier| identifier.value.as_ref().is_some_and(says));
    if identified || coverage.subscriber_id.as_ref().is_some_and(says) {
        Ok(())
    } else {
        Err(Failure::new(Fault::MatchInvalid)
            .at(format!("{place}.identifier"))
            .remedy("Missing: send the member number as identifier (type MB), or subscriberId."))
    }
}

/// Whether a date that has the right form exists in the calendar. True for a year or a month alone.
fn is_day(date: &str) -> bool {
    date.len() != 10 || chrono::NaiveDate::parse_from_str(date, "%Y-%m-%d").is_ok()
}

/// Whether a reference points to a contained resource that is not a DocumentReference.
fn is_contained_other(consent: prescreen::Value<'_>, reference: Option<&Reference>) -> bool {
    let Some(id) = reference.and_then(|source| source.reference.as_deref()?.strip_prefix('#')) else {
        return false;
    };
    // A reference to the Consent itself: `#` alone, or its own id.
    if id.is_empty() {
        return true;
    }
    let is_one = |one: &prescreen::Value<'_>, name: &str, text: &str| one.get(name).is_some_and(|value| value.is(text));
    let contained = consent.get("contained");
    let mut meant = contained
        .iter()
        .flat_map(prescreen::Value::items)
        .filter(|one| is_one(one, "id", id))
        .peekable();
    if meant.peek().is_none() {
        return is_one(&consent, "id", id);
    }
    meant.any(|one| !is_one(&one, "resourceType", "DocumentReference"))
}

/// mm-6: the reference must point to the MemberPatient of this request.
fn refers(reference: Option<&Reference>, member: &str, place: impl Fn() -> String) -> Result<(), Failure> {
    let text = reference.and_then(|reference| reference.reference.as_deref());
    if text == Some(member) {
        Ok(())
    } else {
        Err(Failure::new(Fault::MatchReference).at(place()))
    }
}

/// Whether a performer is or could be a Patient: true unless it is clearly of another type.
fn may_be_patient(performer: &Reference) -> bool {
    const OTHERS: [&str; 4] = ["RelatedPerson", "Practitioner", "PractitionerRole", "Organization"];
    if let Some(kind) = performer.kind.as_deref() {
        return !OTHERS.contains(&kind);
    }
    let kind = performer.reference.as_deref().and_then(|text| text.rsplit('/').nth(1));
    !kind.is_some_and(|kind| OTHERS.contains(&kind))
}

#[cfg(test)]
#[path = "request_refusal_tests.rs"]
mod refusal_tests;
#[cfg(test)]
#[path = "request_tests.rs"]
mod tests;
