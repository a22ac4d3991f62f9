//! What a script does to the resources of a record on their way out.

use super::SandboxRecord;
use crate::script::{DriftShape, SandboxAct};
use chrono::{DateTime, Days};
use serde_json::{Value, json};

/// The acts of a request that change resources.
#[derive(Clone, Debug, Default)]
pub(crate) struct Alterations {
    acts: Vec<SandboxAct>,
    stranger: Option<SandboxRecord>,
    elsewhere: String,
}

impl Alterations {
    /// `stranger` is the record of somebody else; `elsewhere` the FHIR base of another origin.
    pub(crate) fn of(acts: &[SandboxAct], stranger: SandboxRecord, elsewhere: &str) -> Alterations {
        Alterations {
            acts: acts.to_vec(),
            stranger: Some(stranger),
            elsewhere: elsewhere.to_owned(),
        }
    }

    /// What is sent in place of resource `index`: nothing, one resource, or two.
    pub(crate) fn apply(&self, record: &SandboxRecord, index: u64) -> Vec<Value> {
        let hits = |every: u64| every > 0 && (index + 1).is_multiple_of(every);
        if self.acts.iter().any(|act| match act {
            SandboxAct::LeaveOut { types, every, .. } => {
                hits(*every) || types.iter().any(|kind| kind == record.type_of(index))
            }
            _ => false,
        }) {
            return Vec::new();
        }
        let other = self
            .acts
            .iter()
            .any(|act| matches!(act, SandboxAct::WrongMember { every } if hits(*every)));
        let mut resource = match &self.stranger {
            Some(stranger) if other => stranger.resource(index.min(stranger.len().saturating_sub(1))),
            _ => record.resource(index),
        };
        let mut twice = None;
        for act in &self.acts {
            match act {
                SandboxAct::Stale { every, days } if hits(*every) => stale(&mut resource, *days),
                SandboxAct::Drift { shape, every } if hits(*every) => drift(&mut resource, *shape),
                SandboxAct::DanglingReferences { every, absolute } if hits(*every) => {
                    dangle(&mut resource, absolute.then_some(self.elsewhere.as_str()));
                }
                SandboxAct::Duplicates { every, changed } if hits(*every) => twice = Some(*changed),
                _ => {}
            }
        }
        match twice {
            None => vec![resource],
            Some(changed) => {
                let mut second = resource.clone();
                if changed {
                    second["language"] = json!("fr");
                }
                vec![resource, second]
            }
        }
    }
}

fn stale(resource: &mut Value, days: u32) {
    let before = resource["meta"]["lastUpdated"]
        .as_str()
        .and_then(|text| DateTime::parse_from_rfc3339(text).ok())
        .and_then(|time| time.checked_sub_days(Days::new(days.into())));
    if let Some(before) = before {
        resource["meta"]["lastUpdated"] = json!(before.format("%Y-%m-%dT%H:%M:%S%.3fZ").to_string());
    }
    resource["meta"]["versionId"] = json!("2");
}

fn dangle(resource: &mut Value, origin: Option<&str>) {
    let id = resource["id"].as_str().unwrap_or("x").to_owned();
    let target = match origin {
        None => format!("Encounter/gone-{id}"),
        Some(base) => format!("{base}/Encounter/{id}"),
    };
    match resource["resourceType"].as_str() {
        Some("Condition" | "Observation" | "Procedure" | "MedicationRequest" | "DiagnosticReport" | "Immunization") => {
            resource["encounter"] = json!({ "reference": target });
        }
        Some("Patient") => {
            resource["managingOrganization"] = json!({ "reference": target.replace("Encounter/", "Organization/") })
        }
        Some("Provenance") => resource["target"] = json!([{ "reference": target }]),
        _ => {
            let inside =
                json!({ "url": "http://sandbox-payer.example/seen-at", "valueReference": { "reference": target } });
            resource["extension"] = json!([inside]);
        }
    }
}

fn drift(resource: &mut Value, shape: DriftShape) {
    match shape {
        DriftShape::UnknownField => {
            resource["sandboxNewField"] = json!({ "since": "R9", "value": [1, 2, 3] });
        }
        DriftShape::NewCode => new_code(resource),
        DriftShape::R5Shape => r5(resource),
        DriftShape::UnknownType => {
            *resource = json!({
                "resourceType": "GenomicStudy",
                "id": resource["id"], "meta": resource["meta"],
                "status": "available",
                "subject": patient_of(resource)
            });
        }
    }
}

fn patient_of(resource: &Value) -> Value {
    let named = ["subject", "patient", "beneficiary"]
        .iter()
        .find_map(|name| resource.get(name));
    named
        .cloned()
        .unwrap_or_else(|| json!({ "reference": format!("Patient/{}", resource["id"].as_str().unwrap_or("x")) }))
}

fn new_code(resource: &mut Value) {
    let name = match resource["resourceType"].as_str() {
        Some("Patient") => "gender",
        Some("Goal") => "lifecycleStatus",
        Some("Condition" | "AllergyIntolerance") => {
            resource["clinicalStatus"]["coding"][0]["code"] = json!("sandbox-new-code");
            return;
        }
        Some("Organization" | "Practitioner") => {
            resource["telecom"] = json!([{ "system": "sandbox-new-code", "value": "x" }]);
            return;
        }
        Some("Provenance") => {
            resource["entity"] = json!([{ "role": "sandbox-new-code", "what": { "display": "x" } }]);
            return;
        }
        _ => "status",
    };
    resource[name] = json!("sandbox-new-code");
}

fn take(resource: &mut Value, name: &str) -> Value {
    resource
        .as_object_mut()
        .and_then(|fields| fields.remove(name))
        .unwrap_or(Value::Null)
}

/// Renames and reshapes as FHIR R5 did.
fn r5(resource: &mut Value) {
    match resource["resourceType"].as_str() {
        Some("Encounter") => {
            let class = take(resource, "class");
            resource["class"] = json!([{ "coding": [class] }]);
            resource["status"] = json!("completed");
            resource["actualPeriod"] = take(resource, "period");
        }
        Some("MedicationRequest") => {
            let concept = take(resource, "medicationCodeableConcept");
            resource["medication"] = json!({ "concept": concept });
        }
        Some("Procedure") => resource["occurrenceDateTime"] = take(resource, "performedDateTime"),
        Some("Immunization") => {
            resource["informationSource"] = json!({ "concept": { "text": "card" } });
        }
        Some("DocumentReference") => {
            let context = take(resource, "context");
            resource["context"] = context["encounter"].clone();
            resource["period"] = context["period"].clone();
        }
        Some("AllergyIntolerance") => resource["type"] = json!({ "coding": [{ "code": "allergy" }] }),
        Some("CarePlan") => resource["addresses"] = json!([{ "concept": { "text": "hypertension" } }]),
        Some("DiagnosticReport") => resource["composition"] = json!({ "reference": "Composition/1" }),
        Some("Coverage") => resource["kind"] = json!("insurance"),
        Some("ExplanationOfBenefit") => {
            resource["event"] = json!([{ "type": { "text": "received" }, "whenDateTime": "2026-01-01" }]);
        }
        Some("Provenance") => resource["authorization"] = json!([{ "concept": { "text": "consent" } }]),
        Some("Condition") => {
            resource["participant"] = json!([{ "actor": resource["subject"] }]);
        }
        Some("Observation") => {
            resource["triggeredBy"] = json!([{ "type": "reflex", "observation": { "display": "x" } }])
        }
        Some("Organization") => {
            resource["contact"] = json!([{ "name": [{ "family": "Whitcombe" }] }]);
        }
        Some("Practitioner") => resource["deceasedBoolean"] = json!(false),
        Some("Location") => resource["form"] = json!({ "text": "building" }),
        Some("Goal") => resource["acceptance"] = json!([{ "individual": resource["subject"] }]),
        _ => resource["versionAlgorithmString"] = json!("semver"),
    }
}
