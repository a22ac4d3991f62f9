//! The operations we serve, as OperationDefinitions: ours, each naming the published one that it narrows as its `base`.
//!
//! Pure data under a base URL. What routes and authorises them is `http`'s.

use serde_json::{Value, json};

/// Canonical of `$member-match` (HRex), which is also its scope (PDex, "Scopes for Operations").
pub const MEMBER_MATCH: &str = "http://hl7.org/fhir/us/davinci-hrex/OperationDefinition/member-match";
/// Canonical of `Patient/$everything` (FHIR R4).
pub const EVERYTHING: &str = "http://hl7.org/fhir/OperationDefinition/Patient-everything";

/// Day on which these definitions last changed.
const DATE: &str = "2026-11-25";

/// Our OperationDefinitions under `base_url` (no slash at its end).
pub fn definitions(base_url: &str) -> Vec<Value> {
    vec![everything(base_url), member_match(base_url)]
}

fn everything(base_url: &str) -> Value {
    let input =
        |name: &str, max: &str, kind: &str, documentation: &str| parameter(name, "in", 0, max, kind, documentation);
    let mut definition = head(
        base_url,
        "patient-everything",
        "PatientEverything",
        "everything",
        EVERYTHING,
        "The member's record under the caller's grant, as one searchset Bundle or in pages.",
    );
    definition["affectsState"] = json!(false);
    definition["parameter"] = json!([
        input(
            "start",
            "1",
            "date",
            "Care on or after this day; a care date, not a record date."
        ),
        input("end", "1", "date", "Care on or before this day."),
        input("_since", "1", "instant", "Only what changed after this instant."),
        input("_type", "*", "code", "Only these types; in a URL a list with commas."),
        input(
            "_count",
            "1",
            "integer",
            "Entries on a page; without it everything comes in one answer."
        ),
        parameter(
            "return",
            "out",
            1,
            "1",
            "Bundle",
            "A searchset Bundle of the Patient, its compartment and what that refers to."
        ),
    ]);
    definition
}

fn member_match(base_url: &str) -> Value {
    let input =
        |name: &str, min: u8, kind: &str, documentation: &str| parameter(name, "in", min, "1", kind, documentation);
    let mut definition = head(
        base_url,
        "member-match",
        "MemberMatch",
        "member-match",
        MEMBER_MATCH,
        "Finds the one member that a new payer describes, when the member's consent allows what follows.",
    );
    definition["affectsState"] = json!(true);
    definition["instance"] = json!(false);
    definition["type"] = json!(true);
    definition["parameter"] = json!([
        input("MemberPatient", 1, "Patient", "The member as the new payer knows them."),
        input(
            "CoverageToMatch",
            1,
            "Coverage",
            "The coverage with us, as on the card."
        ),
        input("CoverageToLink", 0, "Coverage", "The coverage with the new payer."),
        input(
            "Consent",
            1,
            "Consent",
            "The member's consent that we give the record to the new payer."
        ),
        parameter(
            "MemberIdentifier",
            "out",
            1,
            "1",
            "Identifier",
            "The member's UMB identifier with us."
        ),
        parameter(
            "MemberId",
            "out",
            0,
            "1",
            "Reference",
            "The Patient to ask for afterwards."
        ),
    ]);
    definition
}

fn head(base_url: &str, id: &str, name: &str, code: &str, base: &str, description: &str) -> Value {
    json!({
        "resourceType": "OperationDefinition", "id": id, "url": format!("{base_url}/OperationDefinition/{id}"),
        "version": env!("CARGO_PKG_VERSION"), "name": name, "title": format!("${code}"), "status": "active",
        "kind": "operation", "experimental": false, "date": DATE, "description": description, "code": code, "base": base,
        "resource": ["Patient"], "system": false, "type": false, "instance": true,
    })
}

fn parameter(name: &str, direction: &str, min: u8, max: &str, kind: &str, documentation: &str) -> Value {
    json!({"name": name, "use": direction, "min": min, "max": max, "documentation": documentation, "type": kind})
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    #[test]
    fn each_definition_is_typed_r4_and_its_parameters_are_named_once() {
        for definition in definitions("https://p.example/fhir") {
            causeway_fhir_types::check(definition.to_string().as_bytes()).expect("a typed OperationDefinition");
            let all = definition["parameter"].as_array().expect("parameters");
            let names: HashSet<(&str, &str)> = all
                .iter()
                .filter_map(|one| Some((one["name"].as_str()?, one["use"].as_str()?)))
                .collect();
            assert_eq!(names.len(), all.len(), "{definition}");
        }
    }
}
