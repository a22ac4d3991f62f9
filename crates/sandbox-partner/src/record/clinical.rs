//! What happened at a visit.

use super::{RecordPlace, SandboxRecord, code, concept, us_core};
use crate::script::UsCoreVersion;
use serde_json::{Value, json};

const ICD10: &str = "http://hl7.org/fhir/sid/icd-10-cm";
const CPT: &str = "http://www.ama-assn.org/go/cpt";
const LOINC: &str = "http://loinc.org";
const RXNORM: &str = "http://www.nlm.nih.gov/research/umls/rxnorm";
const UCUM: &str = "http://unitsofmeasure.org";

pub(super) const DIAGNOSES: [(&str, &str); 5] = [
    ("I10", "Essential (primary) hypertension"),
    ("E11.9", "Type 2 diabetes mellitus without complications"),
    ("J45.909", "Unspecified asthma, uncomplicated"),
    ("M54.50", "Low back pain, unspecified"),
    ("J06.9", "Acute upper respiratory infection, unspecified"),
];
const DRUGS: [(&str, &str); 3] = [
    ("314076", "lisinopril 10 MG Oral Tablet"),
    ("860975", "metformin hydrochloride 500 MG Extended Release Oral Tablet"),
    ("745679", "albuterol 0.09 MG/ACTUAT Metered Dose Inhaler"),
];
/// "Seen today. Well. Return in six months."
const NOTE: &str = "U2VlbiB0b2RheS4gV2VsbC4gUmV0dXJuIGluIHNpeCBtb250aHMu";

/// The profile and the content.
pub(super) fn content(record: &SandboxRecord, place: RecordPlace, index: u64) -> (String, Value) {
    match place {
        RecordPlace::Encounter => (us_core("encounter"), encounter(record, index)),
        RecordPlace::Condition => {
            let name = match record.us_core {
                UsCoreVersion::V3_1_1 => "condition",
                UsCoreVersion::V6_1_0 => "condition-encounter-diagnosis",
            };
            (us_core(name), condition(record, index))
        }
        RecordPlace::Weight => (us_core("body-weight"), weight(record, index)),
        RecordPlace::Glucose => (us_core("observation-lab"), glucose(record, index)),
        RecordPlace::Procedure => (us_core("procedure"), procedure(record, index)),
        RecordPlace::MedicationRequest => (us_core("medicationrequest"), medication_request(record, index)),
        RecordPlace::Immunization => (us_core("immunization"), immunization(record, index)),
        RecordPlace::DiagnosticReport => (us_core("diagnosticreport-lab"), diagnostic_report(record, index)),
        RecordPlace::DocumentReference => (us_core("documentreference"), document_reference(record, index)),
        RecordPlace::Allergy => (us_core("allergyintolerance"), allergy(record, index)),
        RecordPlace::CarePlan => (us_core("careplan"), care_plan(record, index)),
        _ => (us_core("goal"), goal(record, index)),
    }
}

fn at(record: &SandboxRecord, index: u64) -> String {
    format!("{}T14:30:00Z", record.day(index))
}

fn terminology(name: &str, value: &str) -> Value {
    code(&format!("http://terminology.hl7.org/CodeSystem/{name}"), value)
}

fn encounter(record: &SandboxRecord, index: u64) -> Value {
    json!({
        "status": "finished",
        "class": { "system": "http://terminology.hl7.org/CodeSystem/v3-ActCode", "code": "AMB", "display": "ambulatory" },
        "type": [concept(CPT, "99213", "Office visit, established patient")],
        "subject": record.patient(),
        "participant": [{ "individual": record.reference(4) }],
        "period": { "start": at(record, index), "end": format!("{}T15:00:00Z", record.day(index)) },
        "location": [{ "location": record.reference(5) }],
        "serviceProvider": record.reference(3)
    })
}

fn condition(record: &SandboxRecord, index: u64) -> Value {
    let (diagnosis, display) = DIAGNOSES[record.random(index).below(5) as usize];
    json!({
        "clinicalStatus": terminology("condition-clinical", "active"),
        "verificationStatus": terminology("condition-ver-status", "confirmed"),
        "category": [terminology("condition-category", "encounter-diagnosis")],
        "code": concept(ICD10, diagnosis, display),
        "subject": record.patient(),
        "encounter": record.reference(record.visit(index)),
        "onsetDateTime": record.day(index).to_string(),
        "recordedDate": record.day(index).to_string()
    })
}

fn observation(record: &SandboxRecord, index: u64, category: &str, what: Value, value: Value) -> Value {
    json!({
        "status": "final",
        "category": [terminology("observation-category", category)],
        "code": what,
        "subject": record.patient(),
        "encounter": record.reference(record.visit(index)),
        "effectiveDateTime": at(record, index),
        "performer": [record.reference(4)],
        "valueQuantity": value
    })
}

fn weight(record: &SandboxRecord, index: u64) -> Value {
    let tenths = 550 + record.random(index).below(500);
    let value = serde_json::Number::from_f64(tenths as f64 / 10.0);
    let value = json!({ "value": value, "unit": "kg", "system": UCUM, "code": "kg" });
    observation(
        record,
        index,
        "vital-signs",
        concept(LOINC, "29463-7", "Body weight"),
        value,
    )
}

fn glucose(record: &SandboxRecord, index: u64) -> Value {
    let value =
        json!({ "value": 75 + record.random(index).below(90), "unit": "mg/dL", "system": UCUM, "code": "mg/dL" });
    observation(
        record,
        index,
        "laboratory",
        concept(LOINC, "2339-0", "Glucose [Mass/volume] in Blood"),
        value,
    )
}

fn procedure(record: &SandboxRecord, index: u64) -> Value {
    json!({
        "status": "completed",
        "code": concept(CPT, "93000", "Electrocardiogram, complete"),
        "subject": record.patient(),
        "encounter": record.reference(record.visit(index)),
        "performedDateTime": at(record, index)
    })
}

fn medication_request(record: &SandboxRecord, index: u64) -> Value {
    let (drug, display) = DRUGS[record.random(index).below(3) as usize];
    json!({
        "status": "active",
        "intent": "order",
        "medicationCodeableConcept": concept(RXNORM, drug, display),
        "subject": record.patient(),
        "encounter": record.reference(record.visit(index)),
        "authoredOn": record.day(index).to_string(),
        "requester": record.reference(4),
        "dosageInstruction": [{ "text": "One each morning" }]
    })
}

fn immunization(record: &SandboxRecord, index: u64) -> Value {
    json!({
        "status": "completed",
        "vaccineCode": concept("http://hl7.org/fhir/sid/cvx", "140", "Influenza, seasonal, injectable, preservative free"),
        "patient": record.patient(),
        "occurrenceDateTime": record.day(index).to_string(),
        "primarySource": true
    })
}

fn diagnostic_report(record: &SandboxRecord, index: u64) -> Value {
    json!({
        "status": "final",
        "category": [code("http://terminology.hl7.org/CodeSystem/v2-0074", "LAB")],
        "code": concept(LOINC, "51990-0", "Basic metabolic panel - Blood"),
        "subject": record.patient(),
        "encounter": record.reference(record.visit(index)),
        "effectiveDateTime": at(record, index),
        "issued": format!("{}T18:00:00Z", record.day(index)),
        "performer": [record.reference(3)],
        "result": [record.reference(record.visit(index) + 3)]
    })
}

fn document_reference(record: &SandboxRecord, index: u64) -> Value {
    json!({
        "status": "current",
        "type": concept(LOINC, "11506-3", "Progress note"),
        "category": [code("http://hl7.org/fhir/us/core/CodeSystem/us-core-documentreference-category", "clinical-note")],
        "subject": record.patient(),
        "date": at(record, index),
        "author": [record.reference(4)],
        "content": [{ "attachment": { "contentType": "text/plain", "data": NOTE } }],
        "context": {
            "encounter": [record.reference(record.visit(index))],
            "period": { "start": at(record, index), "end": format!("{}T15:00:00Z", record.day(index)) }
        }
    })
}

fn allergy(record: &SandboxRecord, index: u64) -> Value {
    json!({
        "clinicalStatus": terminology("allergyintolerance-clinical", "active"),
        "verificationStatus": terminology("allergyintolerance-verification", "confirmed"),
        "code": concept(RXNORM, "7980", "penicillin G"),
        "patient": record.patient(),
        "recordedDate": record.day(index).to_string(),
        "reaction": [{ "manifestation": [concept("http://snomed.info/sct", "247472004", "Wheal")] }]
    })
}

fn care_plan(record: &SandboxRecord, index: u64) -> Value {
    json!({
        "text": {
            "status": "generated",
            "div": "<div xmlns=\"http://www.w3.org/1999/xhtml\">Walk half an hour each day; see us in six months.</div>"
        },
        "status": "active",
        "intent": "plan",
        "category": [code("http://hl7.org/fhir/us/core/CodeSystem/careplan-category", "assess-plan")],
        "subject": record.patient(),
        "period": { "start": record.day(index).to_string() }
    })
}

fn goal(record: &SandboxRecord, index: u64) -> Value {
    json!({
        "lifecycleStatus": "active",
        "description": { "text": "Blood pressure below 130/80" },
        "subject": record.patient(),
        "startDate": record.day(index).to_string(),
        "target": [{ "dueDate": record.day(index.saturating_sub(1)).to_string() }]
    })
}
