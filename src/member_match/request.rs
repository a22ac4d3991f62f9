//! Reading a member-match request: from untrusted bytes to the few things a decision needs, or a fault with its place.
//!
//! Order: pre-screen, parameter names, profile, rules over several elements, and the typed model as a second opinion.
//! No value of the request gets into a failure.

use super::{profile, shape};
use crate::error::{Failure, Fault};
use crate::fhir::elements::{Consent, Coverage, Patient, Reference};
use crate::fhir::prescreen::{Limits, screen};
use crate::ids::is_fhir_id;
use serde_json::{Map, Value};

const NAMES: [&str; 4] = ["MemberPatient", "CoverageToMatch", "CoverageToLink", "Consent"];
const BIRTHSEX: &str = "http://hl7.org/fhir/us/core/StructureDefinition/us-core-birthsex";

/// A request that keeps its profile.
#[derive(Debug)]
pub struct Request {
    /// Who is asked for.
    pub patient: Patient,
    /// The local reference to them, `Patient/<id>`.
    pub member: String,
    /// Their coverage with us.
    pub coverage: Coverage,
    /// Where that stands, as an expression.
    pub coverage_place: String,
    /// Their coverage with the partner, when it says.
    pub link: Option<Coverage>,
    /// The consent.
    pub consent: Consent,
    /// The consent as sent.
    pub consent_raw: Map<String, Value>,
    /// Where it stands, as an expression.
    pub consent_place: String,
}

/// Reads `body`.
///
/// # Errors
/// 400 for what is no FHIR Parameters; 422 ([`Fault::MatchInvalid`] and its neighbours) for what breaks the profile.
pub fn read(body: &[u8]) -> Result<Request, Failure> {
    let screened = screen(body, &Limits::request())?;
    if screened.resource_type() != "Parameters" {
        return Err(Failure::new(Fault::ResourceInvalid)
            .at("resourceType")
            .remedy("Send a Parameters resource."));
    }
    let mut document: Value =
        serde_json::from_slice(body).map_err(|error| Failure::new(Fault::NotJson).because(error))?;
    let places = parameters(&document)?;
    profile::check(&document)?;
    let request = typed(&mut document, &places)?;
    shape::check(&screened)?;
    Ok(request)
}

/// The index of each parameter, in the order of [`NAMES`].
fn parameters(document: &Value) -> Result<[Option<usize>; 4], Failure> {
    let mut places = [None; 4];
    let list = document
        .get("parameter")
        .and_then(Value::as_array)
        .map(Vec::as_slice)
        .unwrap_or_default();
    for (index, parameter) in list.iter().enumerate() {
        let name = parameter.get("name").and_then(Value::as_str).unwrap_or_default();
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

fn typed(document: &mut Value, places: &[Option<usize>; 4]) -> Result<Request, Failure> {
    let invalid = |place: String, remedy: &'static str| Failure::new(Fault::MatchInvalid).at(place).remedy(remedy);
    let place = |known: usize| format!("Parameters.parameter[{}].resource", places[known].unwrap_or_default());
    let resource = |known: usize| document.get("parameter")?.get(places[known]?)?.get("resource");

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
    let taken = places[CONSENT].and_then(|index| document.get_mut("parameter")?.get_mut(index)?.get_mut("resource"));
    let Some(Value::Object(consent_raw)) = taken.map(Value::take) else {
        return Err(invalid(consent_place, "Wrong type: send a Consent."));
    };
    if is_contained_other(&consent_raw, consent.source_reference.as_ref()) {
        let place = format!("{consent_place}.sourceReference");
        return Err(invalid(place, "Wrong type: refer to a DocumentReference."));
    }
    Ok(Request {
        patient,
        member,
        coverage,
        coverage_place,
        link,
        consent,
        consent_raw,
        consent_place,
    })
}

fn element<'v, T: serde::Deserialize<'v>>(value: Option<&'v Value>, place: &str) -> Result<T, Failure> {
    let invalid = || {
        Failure::new(Fault::MatchInvalid)
            .at(place)
            .remedy("Wrong type: send each element of this resource in the JSON form that R4 gives it.")
    };
    // The parser's message would carry values of the request; the place says enough.
    T::deserialize(value.ok_or_else(invalid)?).map_err(|_| invalid())
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

/// Whether a date that has the form of one is in the calendar; a month or a year alone always is.
fn is_day(date: &str) -> bool {
    date.len() != 10 || chrono::NaiveDate::parse_from_str(date, "%Y-%m-%d").is_ok()
}

/// Whether a reference leads to something contained that is no DocumentReference.
fn is_contained_other(consent: &Map<String, Value>, reference: Option<&Reference>) -> bool {
    let Some(id) = reference.and_then(|source| source.reference.as_deref()?.strip_prefix('#')) else {
        return false;
    };
    let contained = consent.get("contained").and_then(Value::as_array);
    let mut meant = contained.into_iter().flatten().filter(|one| one["id"] == id);
    meant.any(|one| one["resourceType"] != "DocumentReference")
}

/// mm-6: a local reference to the MemberPatient, and nothing else.
fn refers(reference: Option<&Reference>, member: &str, place: impl Fn() -> String) -> Result<(), Failure> {
    let text = reference.and_then(|reference| reference.reference.as_deref());
    if text == Some(member) {
        Ok(())
    } else {
        Err(Failure::new(Fault::MatchReference).at(place()))
    }
}

/// Whether a performer is, or could be, a Patient: everything that is not plainly another type.
fn may_be_patient(performer: &Reference) -> bool {
    const OTHERS: [&str; 4] = ["RelatedPerson", "Practitioner", "PractitionerRole", "Organization"];
    if let Some(kind) = performer.kind.as_deref() {
        return !OTHERS.contains(&kind);
    }
    let kind = performer.reference.as_deref().and_then(|text| text.rsplit('/').nth(1));
    !kind.is_some_and(|kind| OTHERS.contains(&kind))
}

#[cfg(test)]
#[path = "request_tests.rs"]
mod tests;
