//! The OperationOutcome of a failure. Its texts come from the fault table; nothing of the request is repeated.

use crate::error::{Failure, Fault, text_for};
use serde::Serialize;
use std::borrow::Cow;

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct OperationOutcome<'a> {
    resource_type: &'static str,
    issue: [Issue<'a>; 1],
}

#[derive(Serialize)]
struct Issue<'a> {
    severity: &'static str,
    code: &'static str,
    details: Details,
    diagnostics: &'a str,
    #[serde(skip_serializing_if = "<[String]>::is_empty")]
    expression: &'a [String],
}

#[derive(Serialize)]
struct Details {
    coding: [Coding; 1],
    text: &'static str,
}

#[derive(Serialize)]
struct Coding {
    system: String,
    code: &'static str,
    display: &'static str,
}

/// The canonical URL of the CodeSystem of faults below `base_url` (without a slash at its end).
pub fn fault_system(base_url: &str) -> String {
    format!("{base_url}/CodeSystem/causeway-fault")
}

/// The OperationOutcome of `failure` as JSON: the coding and text of its fault, the remedy, and the place.
pub fn bytes(failure: &Failure, base_url: &str) -> Vec<u8> {
    bytes_with(failure, base_url, None)
}

/// The same for a partner with texts of its own ([`text_for`]), of which the one for this fault follows the remedy.
pub fn bytes_with(failure: &Failure, base_url: &str, texts: Option<&str>) -> Vec<u8> {
    let row = failure.fault().row();
    let own = texts.and_then(|texts| text_for(texts, row.code));
    let remedy = match own {
        Some(own) => Cow::Owned(format!("{} {own}", failure.remedy_text())),
        None => Cow::Borrowed(failure.remedy_text()),
    };
    let outcome = OperationOutcome {
        resource_type: "OperationOutcome",
        issue: [Issue {
            severity: row.severity.code(),
            code: row.issue,
            details: Details {
                coding: [Coding {
                    system: fault_system(base_url),
                    code: row.code,
                    display: row.text,
                }],
                text: row.text,
            },
            diagnostics: &remedy,
            expression: failure.expressions(),
        }],
    };
    serde_json::to_vec(&outcome).unwrap_or_else(|_| br#"{"resourceType":"OperationOutcome"}"#.to_vec())
}
/// An OperationOutcome of warnings: the fault, text and place of each.
pub fn warnings(notes: &[(Fault, String, Option<String>)], base_url: &str) -> Vec<u8> {
    let issues: Vec<serde_json::Value> = notes
        .iter()
        .map(|(fault, text, place)| {
            let row = fault.row();
            let mut issue = serde_json::json!({
                "severity": "warning", "code": row.issue,
                "details": {
                    "coding": [{"system": fault_system(base_url), "code": row.code, "display": row.text}],
                    "text": row.text,
                },
                "diagnostics": text,
            });
            if let Some(place) = place {
                issue["expression"] = serde_json::json!([place]);
            }
            issue
        })
        .collect();
    serde_json::json!({"resourceType": "OperationOutcome", "issue": issues})
        .to_string()
        .into_bytes()
}
