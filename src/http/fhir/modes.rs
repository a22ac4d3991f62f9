//! The other modes of `metadata` (FHIR R4 http, "capabilities"): the normative part, and the TerminologyCapabilities.

use crate::fhir::outcome::fault_system;
use serde_json::{Value, json};

/// The normative types of R4, among those that a server may list.
const NORMATIVE: &[&str] = &[
    "Binary",
    "Bundle",
    "CapabilityStatement",
    "CodeSystem",
    "Observation",
    "OperationDefinition",
    "OperationOutcome",
    "Parameters",
    "Patient",
    "StructureDefinition",
    "ValueSet",
];

/// The statement without the types that are not normative in R4.
pub fn normative(mut statement: Value) -> Value {
    if let Some(resources) = statement["rest"][0]["resource"].as_array_mut() {
        resources.retain(|row| NORMATIVE.iter().any(|rtype| row["type"] == *rtype));
    }
    statement
}

/// The TerminologyCapabilities: one code system, which is the table of faults, and no operations on it.
pub fn terminology(base_url: &str, payer_name: &str, date: &Value) -> Value {
    json!({
        "resourceType": "TerminologyCapabilities", "id": "causeway", "url": format!("{base_url}/metadata?mode=terminology"),
        "version": env!("CARGO_PKG_VERSION"), "name": "CausewayTerminologyCapabilities", "title": "Terminology of this server",
        "status": "active", "experimental": false, "date": date, "publisher": payer_name, "kind": "instance",
        "description": "The codes of this server's faults. No terminology operations are served.",
        "software": {"name": "Causeway", "version": env!("CARGO_PKG_VERSION")},
        "implementation": {"description": payer_name, "url": base_url},
        "lockedDate": false,
        "codeSystem": [{"uri": fault_system(base_url), "version": [{"code": env!("CARGO_PKG_VERSION"), "isDefault": true}], "subsumption": false}],
        "codeSearch": "explicit",
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_other_readings_are_typed_r4_and_say_less_not_more() {
        let base_url = "https://p.example/fhir";
        let terminology = terminology(base_url, "P", &json!("2026-11-25"));
        causeway_fhir_types::check(terminology.to_string().as_bytes()).expect("a typed TerminologyCapabilities");
        let statement = json!({"rest": [{"mode": "server", "resource": [{"type": "Patient"}, {"type": "Coverage"}]}]});
        assert_eq!(
            normative(statement)["rest"][0]["resource"],
            json!([{"type": "Patient"}])
        );
    }
}
