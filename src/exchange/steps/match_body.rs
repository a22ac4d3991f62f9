//! The body of `$member-match`: from what is held of the member, only the elements that the HRex profiles mark as must-support (mm-5), with
//! local references throughout (mm-6). Pure.

use super::facts::{OptInFacts, OtherCoverage};
use crate::clock::rfc3339_ms;
use crate::context::Payer;
use crate::error::{Failure, Fault};
use serde_json::{Map, Value as Json, json};

const NPI: &str = "http://hl7.org/fhir/sid/us-npi";
const V2: &str = "http://terminology.hl7.org/CodeSystem/v2-0203";
const COVERAGE_CLASS: &str = "http://terminology.hl7.org/CodeSystem/coverage-class";
const RELATIONSHIP: &str = "http://terminology.hl7.org/CodeSystem/subscriber-relationship";
const BIRTHSEX: &str = "http://hl7.org/fhir/us/core/StructureDefinition/us-core-birthsex";
/// The id of the member within a request about one; it is none of a store.
const MEMBER: &str = "member";

/// The elements of the two profiles that may be sent, as paths. `id`, `beneficiary` and the references are made for the request.
///
/// Source: HRex 1.0 to 1.2, hrex-patient-demographics and hrex-coverage, elements marked as must-support or required.
pub const MUST_SUPPORT: &[(&str, &[&str])] = &[
    (
        "Patient",
        &[
            "name.family",
            "name.given",
            "gender",
            "birthDate",
            "address.line",
            "address.city",
            "address.state",
            "address.postalCode",
            "address.period.start",
            "address.period.end",
            "extension.url",
            "extension.valueCode",
        ],
    ),
    (
        "Coverage",
        &[
            "identifier.type.coding.system",
            "identifier.type.coding.code",
            "identifier.system",
            "identifier.value",
            "status",
            "type.coding.system",
            "type.coding.code",
            "subscriberId",
            "dependent",
            "relationship.coding.system",
            "relationship.coding.code",
            "period.start",
            "period.end",
            "class.type.coding.system",
            "class.type.coding.code",
            "class.value",
            "class.name",
        ],
    ),
];

/// What a request is made of.
pub struct MatchParts<'a> {
    /// Our Patient, as stored.
    pub patient: &'a [u8],
    /// Our Coverage of the member, as stored. A payer has to send one.
    pub own_coverage: Option<&'a [u8]>,
    /// The member's coverage at the other payer.
    pub coverage: &'a OtherCoverage,
    /// The opt-in.
    pub opt_in: &'a OptInFacts,
    /// When the exchange was accepted, UTC milliseconds.
    pub begun_ms: i64,
    /// Who we are.
    pub payer: &'a Payer,
    /// NPI of the other payer.
    pub partner_npi: &'a str,
    /// Name of the other payer.
    pub partner_name: &'a str,
    /// The version of HRex that it speaks.
    pub hrex: &'a str,
}

/// Makes the body.
///
/// # Errors
/// [`Fault::MemberIncomplete`], naming what is missing.
pub fn match_body(parts: &MatchParts<'_>) -> Result<Vec<u8>, Failure> {
    let body = json!({"resourceType": "Parameters", "parameter": match_parameters(parts, MEMBER)?});
    serde_json::to_vec(&body).map_err(|error| Failure::new(Fault::Internal).because(error))
}

/// Makes the parameters that ask for one member, whose Patient has this id within the request.
///
/// # Errors
/// As [`match_body`].
pub fn match_parameters(parts: &MatchParts<'_>, member: &str) -> Result<[Json; 4], Failure> {
    let mut patient = patient(parts.patient, member)?;
    let to_match = to_match(parts, member)?;
    if parts.hrex == "1.0" {
        // There the Patient is one of US Core, which has an identifier. The number that is sent anyway tells nothing more.
        let numbers = to_match.get("identifier").cloned();
        let subscriber = || json!([{"value": to_match["subscriberId"]}]);
        patient["identifier"] = numbers.unwrap_or_else(subscriber);
    }
    let own_coverage = parts.own_coverage.ok_or_else(|| lacks("Coverage"))?;
    Ok([
        json!({"name": "MemberPatient", "resource": patient}),
        json!({"name": "CoverageToMatch", "resource": to_match}),
        json!({"name": "CoverageToLink", "resource": to_link(parts, own_coverage, member)?}),
        json!({"name": "Consent", "resource": consent(parts, member)}),
    ])
}

fn lacks(place: &'static str) -> Failure {
    Failure::new(Fault::MemberIncomplete).at(place)
}

/// Keeps of `value` only what the paths name.
fn only(value: &Json, paths: &[&str]) -> Option<Json> {
    match value {
        Json::Array(items) => {
            let kept: Vec<Json> = items.iter().filter_map(|item| only(item, paths)).collect();
            (!kept.is_empty()).then_some(Json::Array(kept))
        }
        Json::Object(members) => {
            let mut kept = Map::new();
            for (name, value) in members {
                let below: Vec<&str> = paths
                    .iter()
                    .filter_map(|path| path.strip_prefix(name.as_str()))
                    .filter_map(|rest| {
                        if rest.is_empty() {
                            Some(rest)
                        } else {
                            rest.strip_prefix('.')
                        }
                    })
                    .collect();
                if !below.is_empty()
                    && let Some(value) = only(value, &below)
                {
                    kept.insert(name.clone(), value);
                }
            }
            (!kept.is_empty()).then_some(Json::Object(kept))
        }
        _ => paths.contains(&"").then(|| value.clone()),
    }
}

fn of_profile(bytes: &[u8], rtype: &'static str) -> Result<Map<String, Json>, Failure> {
    let paths = MUST_SUPPORT
        .iter()
        .find(|row| row.0 == rtype)
        .map_or(&[][..], |row| row.1);
    // The reader's own message would quote the record.
    let whole: Json = serde_json::from_slice(bytes).map_err(|_| lacks(rtype))?;
    match only(&whole, paths) {
        Some(Json::Object(mut kept)) => {
            kept.insert("resourceType".into(), rtype.into());
            Ok(kept)
        }
        _ => Err(lacks(rtype)),
    }
}

fn patient(bytes: &[u8], member: &str) -> Result<Json, Failure> {
    let mut patient = of_profile(bytes, "Patient")?;
    patient.insert("id".into(), member.into());
    let names = patient.get("name").and_then(Json::as_array);
    let named = names.is_some_and(|names| {
        names
            .iter()
            .any(|name| !name["family"].is_null() && !name["given"].is_null())
    });
    if !named {
        return Err(lacks("Patient.name"));
    }
    if let Some(Json::Array(names)) = patient.get_mut("name") {
        // A name of the profile has both parts.
        names.retain(|name| !name["family"].is_null() && !name["given"].is_null());
    }
    if let Some(Json::Array(extensions)) = patient.get_mut("extension") {
        extensions.retain(|extension| extension["url"] == BIRTHSEX && !extension["valueCode"].is_null());
        if extensions.is_empty() {
            patient.remove("extension");
        }
    }
    if !patient.contains_key("birthDate") {
        return Err(lacks("Patient.birthDate"));
    }
    if !patient.contains_key("gender") && !patient.contains_key("extension") {
        return Err(lacks("Patient.gender"));
    }
    Ok(Json::Object(patient))
}

fn member_number(system: Option<&str>, value: &str) -> Json {
    let mut identifier = json!({"type": {"coding": [{"system": V2, "code": "MB"}]}, "value": value});
    if let Some(system) = system {
        identifier["system"] = system.into();
    }
    identifier
}

fn payor(npi: &str, name: &str) -> Json {
    json!([{"identifier": {"system": NPI, "value": npi}, "display": name}])
}

fn class(code: &str, value: &str) -> Json {
    json!({"type": {"coding": [{"system": COVERAGE_CLASS, "code": code}]}, "value": value})
}

fn to_match(parts: &MatchParts<'_>, member: &str) -> Result<Json, Failure> {
    let told = parts.coverage;
    if told.member_number.is_empty() && told.subscriber_number.is_none() {
        return Err(lacks("Coverage.identifier"));
    }
    let mut coverage = json!({
        "resourceType": "Coverage",
        "id": "to-match",
        "status": "active",
        "beneficiary": {"reference": format!("Patient/{member}")},
        "relationship": {"coding": [{"system": "http://terminology.hl7.org/CodeSystem/data-absent-reason", "code": "unknown"}]},
        "payor": payor(parts.partner_npi, parts.partner_name),
    });
    if !told.member_number.is_empty() {
        coverage["identifier"] = json!([member_number(told.number_system.as_deref(), &told.member_number)]);
    }
    if let Some(number) = &told.subscriber_number {
        coverage["subscriberId"] = number.as_str().into();
    }
    let classes = [("group", &told.group_number), ("plan", &told.plan)];
    let classes: Vec<Json> = classes
        .into_iter()
        .filter_map(|(code, value)| Some(class(code, value.as_deref()?)))
        .collect();
    if !classes.is_empty() {
        coverage["class"] = classes.into();
    }
    for (end, day) in [("start", &told.begins), ("end", &told.ends)] {
        if let Some(day) = day {
            coverage["period"][end] = day.as_str().into();
        }
    }
    Ok(coverage)
}

fn to_link(parts: &MatchParts<'_>, bytes: &[u8], member: &str) -> Result<Json, Failure> {
    let mut coverage = of_profile(bytes, "Coverage")?;
    if let Some(Json::Array(identifiers)) = coverage.get_mut("identifier") {
        let is_member = |identifier: &Json| {
            let codings = identifier["type"]["coding"].as_array();
            codings.is_some_and(|all| all.iter().any(|one| one["system"] == V2 && one["code"] == "MB"))
        };
        identifiers.retain(|identifier| is_member(identifier) && !identifier["value"].is_null());
        if identifiers.is_empty() {
            coverage.remove("identifier");
        }
    }
    if let Some(Json::Array(classes)) = coverage.get_mut("class") {
        let known = |class: &Json| {
            let codings = class["type"]["coding"].as_array();
            codings.is_some_and(|all| all.iter().any(|one| one["code"] == "group" || one["code"] == "plan"))
        };
        classes.retain(|class| known(class) && !class["value"].is_null());
        if classes.is_empty() {
            coverage.remove("class");
        }
    }
    if !coverage.contains_key("identifier") && !coverage.contains_key("subscriberId") {
        return Err(lacks("Coverage.identifier"));
    }
    if !coverage.contains_key("relationship") {
        let own = json!({"coding": [{"system": RELATIONSHIP, "code": "other"}]});
        coverage.insert("relationship".into(), own);
    }
    coverage.insert("id".into(), "to-link".into());
    coverage.insert("beneficiary".into(), json!({"reference": format!("Patient/{member}")}));
    coverage.insert("payor".into(), payor(&parts.payer.npi, &parts.payer.name));
    Ok(Json::Object(coverage))
}

/// The day of an instant in the payer's time zone.
fn day(at_ms: i64, payer: &Payer) -> String {
    match chrono::DateTime::from_timestamp_millis(at_ms) {
        Some(at) => at.with_timezone(&payer.time_zone).date_naive().to_string(),
        None => rfc3339_ms(at_ms),
    }
}

fn consent(parts: &MatchParts<'_>, member: &str) -> Json {
    /// An opt-in that has no end holds until it is revoked, and HRex wants an end. What is sent then permits this exchange alone, for the
    /// time that PDex suggests (pdex-208), so that it never tells less or more than the member said about a later one.
    const THIS_EXCHANGE_MS: i64 = 90 * 86_400_000;
    let opt_in = parts.opt_in;
    let actor = |system: &str, code: &str, npi: &str| json!({"role": {"coding": [{"system": system, "code": code}]}, "reference": {"identifier": {"system": NPI, "value": npi}}});
    let concept = |system: &str, code: &str| json!({"coding": [{"system": system, "code": code}]});
    let end_ms = opt_in.to_ms.unwrap_or(parts.begun_ms + THIS_EXCHANGE_MS);
    json!({
        "resourceType": "Consent",
        "id": "opt-in",
        "status": "active",
        "scope": concept("http://terminology.hl7.org/CodeSystem/consentscope", "patient-privacy"),
        "category": [concept("http://terminology.hl7.org/CodeSystem/v3-ActCode", "IDSCL")],
        "patient": {"reference": format!("Patient/{member}")},
        "performer": [{"reference": format!("Patient/{member}")}],
        "sourceReference": {"reference": format!("{}/DocumentReference/{}", parts.payer.base_url, opt_in.id)},
        "policy": [{"uri": format!("http://hl7.org/fhir/us/davinci-hrex/StructureDefinition-hrex-consent.html#{}", opt_in.policy)}],
        "provision": {
            "type": "permit",
            "period": {"start": day(opt_in.from_ms, parts.payer), "end": day(end_ms, parts.payer)},
            "actor": [
                actor("http://terminology.hl7.org/CodeSystem/provenance-participant-type", "performer", parts.partner_npi),
                actor("http://terminology.hl7.org/CodeSystem/v3-ParticipationType", "IRCP", &parts.payer.npi),
            ],
            "action": [concept("http://terminology.hl7.org/CodeSystem/consentaction", "disclose")],
        },
    })
}

#[cfg(test)]
#[path = "match_body_tests.rs"]
mod tests;
