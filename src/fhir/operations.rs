//! The operations of this server as OperationDefinitions, each of which names the published operation that it narrows as its `base`.
//!
//! Pure data with a base URL. Routes and authorization are in `http`.

use super::operation_fields::{self, OperationFields, OperationPart};
use serde_json::{Value, json};

/// Canonical URL of `$member-match` (HRex), which is also its scope (PDex, "Scopes for Operations").
pub const MEMBER_MATCH: &str = "http://hl7.org/fhir/us/davinci-hrex/OperationDefinition/member-match";
/// Canonical URL of `$bulk-member-match` (PDex), which is also its scope.
pub const BULK_MEMBER_MATCH: &str = "http://hl7.org/fhir/us/davinci-pdex/OperationDefinition/BulkMemberMatch";
/// Canonical URL of `Patient/$everything` (FHIR R4).
pub const EVERYTHING: &str = "http://hl7.org/fhir/OperationDefinition/Patient-everything";
/// Canonical URL of `Patient/$export` (Bulk Data Access 2.0.0).
pub const PATIENT_EXPORT: &str = "http://hl7.org/fhir/uv/bulkdata/OperationDefinition/patient-export";
/// Canonical URL of `Group/[id]/$export` (Bulk Data Access).
pub const GROUP_EXPORT: &str = "http://hl7.org/fhir/uv/bulkdata/OperationDefinition/group-export";
/// Canonical URL of `Group/[id]/$davinci-data-export` (Da Vinci ATR, which PDex uses).
pub const DAVINCI_DATA_EXPORT: &str = "http://hl7.org/fhir/us/davinci-atr/OperationDefinition/davinci-data-export";

/// Day on which these definitions last changed.
const DATE: &str = "2026-11-27";

/// The OperationDefinitions below `base_url` (without a slash at its end).
pub fn definitions(base_url: &str) -> Vec<Value> {
    vec![everything(base_url), member_match(base_url)]
}

fn everything(base_url: &str) -> Value {
    let mut definition = head(
        base_url,
        "patient-everything",
        "PatientEverything",
        &operation_fields::EVERYTHING,
        EVERYTHING,
        "The member's record under the caller's grant, as one searchset Bundle or in pages.",
    );
    definition["affectsState"] = json!(false);
    definition
}

fn member_match(base_url: &str) -> Value {
    let mut definition = head(
        base_url,
        "member-match",
        "MemberMatch",
        &operation_fields::MEMBER_MATCH,
        MEMBER_MATCH,
        "Finds the one member that a new payer describes, if the member's consent permits the disclosure.",
    );
    definition["affectsState"] = json!(true);
    definition["instance"] = json!(false);
    definition["type"] = json!(true);
    definition
}

fn head(base_url: &str, id: &str, name: &str, fields: &OperationFields, base: &str, description: &str) -> Value {
    let code = fields.code;
    let parameters: Vec<Value> = fields.parts.iter().map(parameter).collect();
    json!({
        "resourceType": "OperationDefinition", "id": id, "url": format!("{base_url}/OperationDefinition/{id}"),
        "version": env!("CARGO_PKG_VERSION"), "name": name, "title": format!("${code}"), "status": "active",
        "kind": "operation", "experimental": false, "date": DATE, "description": description, "code": code,
        "comment": fields.comment(), "base": base,
        "resource": ["Patient"], "system": false, "type": false, "instance": true, "parameter": parameters,
    })
}

fn parameter(part: &OperationPart) -> Value {
    json!({
        "name": part.name, "use": part.direction, "min": part.min, "max": part.max, "documentation": part.documentation(),
        "type": part.kind,
    })
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

    #[test]
    fn each_parameter_says_what_must_may_and_must_not_be_sent() {
        for definition in definitions("https://p.example/fhir") {
            for one in definition["parameter"].as_array().expect("parameters") {
                let told = one["documentation"].as_str().expect("a text");
                let wanted = match (one["use"].as_str(), one["min"].as_u64()) {
                    (Some("out"), _) => "Derived. ",
                    (_, Some(0)) => "Optional. ",
                    _ => "Mandatory. ",
                };
                assert!(told.starts_with(wanted) && told.ends_with('.'), "{told}");
                if ["Patient", "Coverage", "Consent"]
                    .iter()
                    .any(|kind| one["type"] == *kind)
                {
                    assert!(
                        told.contains(" Mandatory: ") && told.contains(" Prohibited: "),
                        "{told}"
                    );
                }
            }
            let comment = definition["comment"].as_str().expect("a comment");
            assert!(comment.contains("\n* Derived: "), "{comment}");
        }
    }
}
