//! The profile of this server's OperationOutcomes as a StructureDefinition, so that clients know what they can rely on.
//!
//! Pure data with a base URL. It has only a differential, because a snapshot would add nothing.

use super::outcome::fault_system;
use serde_json::{Value, json};

/// The logical id of the profile.
pub const OUTCOME: &str = "causeway-outcome";

/// The StructureDefinition of every OperationOutcome that this server sends, below `base_url` (without a slash at its end).
pub fn outcome(base_url: &str) -> Value {
    let element = |path: &str, min: u8, short: &str| json!({"id": path, "path": path, "min": min, "short": short});
    let mut system = element(
        "OperationOutcome.issue.details.coding.system",
        1,
        "The table of faults of this server",
    );
    system["fixedUri"] = json!(fault_system(base_url));
    json!({
        "resourceType": "StructureDefinition", "id": OUTCOME, "url": format!("{base_url}/StructureDefinition/{OUTCOME}"),
        "version": env!("CARGO_PKG_VERSION"), "name": "CausewayOutcome", "title": "OperationOutcome of this server",
        "status": "active", "experimental": false, "date": "2026-11-25",
        "description": "What an error answer of this server always has: a fault of its table, a text, and what to do.",
        "fhirVersion": "4.0.1", "kind": "resource", "abstract": false, "type": "OperationOutcome",
        "baseDefinition": "http://hl7.org/fhir/StructureDefinition/OperationOutcome", "derivation": "constraint",
        "differential": {"element": [
            {"id": "OperationOutcome", "path": "OperationOutcome"},
            element("OperationOutcome.issue.details", 1, "The fault"),
            element("OperationOutcome.issue.details.coding", 1, "The fault's row in the table"),
            system,
            element("OperationOutcome.issue.details.coding.code", 1, "The fault's code, which never changes"),
            element("OperationOutcome.issue.details.text", 1, "What happened"),
            element("OperationOutcome.issue.diagnostics", 1, "What to do about it"),
        ]},
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::{Failure, Fault};

    #[test]
    fn the_profile_is_typed_r4_and_our_outcomes_have_what_it_asks() {
        let base_url = "https://p.example/fhir";
        let profile = outcome(base_url);
        causeway_fhir_types::check(profile.to_string().as_bytes()).expect("a typed StructureDefinition");
        let made: Value =
            serde_json::from_slice(&super::super::outcome::bytes(&Failure::new(Fault::NotFound), base_url))
                .expect("json");
        for element in profile["differential"]["element"].as_array().expect("elements") {
            let path = element["path"].as_str().expect("a path");
            let pointer = path
                .replace("OperationOutcome", "")
                .replace('.', "/")
                .replace("/issue", "/issue/0")
                .replace("/coding", "/coding/0");
            let found = made
                .pointer(&pointer)
                .unwrap_or_else(|| panic!("{path} is not in our outcome"));
            assert!(element["fixedUri"].is_null() || element["fixedUri"] == *found, "{path}");
        }
    }
}
