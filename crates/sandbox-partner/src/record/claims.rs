//! Claims without money (CARIN's Basis profiles) and prior authorizations (PDex).

use super::clinical::DIAGNOSES;
use super::{RecordPlace, SandboxRecord, code, concept};
use crate::script::PdexVersion;
use chrono::Days;
use serde_json::{Value, json};

const CPT: &str = "http://www.ama-assn.org/go/cpt";
const CLAIM_TYPE: &str = "http://terminology.hl7.org/CodeSystem/claim-type";
const CARIN: &str = "http://hl7.org/fhir/us/carin-bb";
const PDEX: &str = "http://hl7.org/fhir/us/davinci-pdex";
const PAS: &str = "http://hl7.org/fhir/us/davinci-pas/StructureDefinition";

/// The profile and the content.
pub(super) fn content(record: &SandboxRecord, place: RecordPlace, index: u64) -> (String, Value) {
    if place == RecordPlace::PriorAuthorization {
        return (
            format!("{PDEX}/StructureDefinition/pdex-priorauthorization"),
            prior_authorization(record, index),
        );
    }
    // The Basis profiles came with CARIN 2.1, which PDex 2.1 is built on.
    let basis = if record.pdex >= PdexVersion::V2_1 { "-Basis" } else { "" };
    let profile = format!("{CARIN}/StructureDefinition/C4BB-ExplanationOfBenefit-Professional-NonClinician{basis}");
    (profile, claim(record, index))
}

fn common(record: &SandboxRecord, index: u64, what: &str) -> Value {
    let day = record.day(index);
    json!({
        "status": "active",
        "type": code(CLAIM_TYPE, "professional"),
        "use": what,
        "patient": record.patient(),
        "created": day.checked_add_days(Days::new(1)).unwrap_or(day).to_string(),
        "insurer": record.reference(2),
        "provider": record.reference(3),
        "outcome": "complete",
        "insurance": [{ "focal": true, "coverage": record.reference(1) }]
    })
}

fn claim(record: &SandboxRecord, index: u64) -> Value {
    let (diagnosis, display) = DIAGNOSES[record.random(index).below(5) as usize];
    let day = record.day(index).to_string();
    let mut claim = common(record, index, "claim");
    claim["identifier"] = json!([{
        "type": code(&format!("{CARIN}/CodeSystem/C4BBIdentifierType"), "uc"),
        "system": "http://sandbox-payer.example/identifiers/claim",
        "value": format!("CLM-{}", record.id(index))
    }]);
    claim["billablePeriod"] = json!({ "start": day, "end": day });
    claim["careTeam"] = json!([{
        "sequence": 1, "provider": record.reference(4), "responsible": true,
        "role": code("http://terminology.hl7.org/CodeSystem/claimcareteamrole", "primary")
    }]);
    claim["diagnosis"] = json!([{
        "sequence": 1,
        "diagnosisCodeableConcept": concept("http://hl7.org/fhir/sid/icd-10-cm", diagnosis, display),
        "type": [code("http://terminology.hl7.org/CodeSystem/ex-diagnosistype", "principal")]
    }]);
    claim["item"] = json!([{
        "sequence": 1,
        "careTeamSequence": [1],
        "diagnosisSequence": [1],
        "productOrService": concept(CPT, "99213", "Office visit, established patient"),
        "servicedDate": day,
        "locationCodeableConcept": code("https://www.cms.gov/Medicare/Coding/place-of-service-codes/Place_of_Service_Code_Set", "11"),
        "encounter": [record.reference(record.visit(index))]
    }]);
    claim
}

fn prior_authorization(record: &SandboxRecord, index: u64) -> Value {
    let day = record.day(index);
    let end = day.checked_add_days(Days::new(90)).unwrap_or(day);
    let mut decision = common(record, index, "preauthorization");
    decision["preAuthRef"] = json!([format!("AUTH-{}", record.id(index))]);
    decision["preAuthRefPeriod"] = json!([{ "start": day.to_string(), "end": end.to_string() }]);
    let review = json!({
        "url": format!("{PAS}/extension-reviewAction"),
        "extension": [
            { "url": format!("{PAS}/extension-reviewActionCode"),
              "valueCodeableConcept": concept("https://codesystem.x12.org/005010/306", "A1", "Certified in total") },
            { "url": "number", "valueString": format!("AUTH-{}", record.id(index)) }
        ]
    });
    decision["item"] = json!([{
        "sequence": 1,
        "productOrService": concept(CPT, "70551", "MRI of the brain, without contrast"),
        "servicedPeriod": { "start": day.to_string(), "end": end.to_string() },
        "adjudication": [{
            "extension": [review],
            "category": code(&format!("{PDEX}/CodeSystem/PDexAdjudicationCS"), "allowedunits"),
            "value": 1
        }]
    }]);
    decision
}
