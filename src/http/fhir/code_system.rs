//! The fault table as a FHIR CodeSystem.

use crate::error::Fault;
use crate::fhir::outcome::fault_system;
use serde_json::{Value, json};

/// The CodeSystem: one concept for each fault, with its HTTP status and retry class as properties.
pub fn fault_code_system(base_url: &str) -> Value {
    let concepts: Vec<Value> = Fault::ALL
        .iter()
        .map(|fault| {
            let row = fault.row();
            json!({"code": row.code, "display": row.text, "definition": row.remedy, "property": [
                {"code": "http", "valueInteger": row.http},
                {"code": "issue", "valueCode": row.issue},
                {"code": "retry", "valueCode": row.retry.code()},
            ]})
        })
        .collect();
    json!({
        "resourceType": "CodeSystem", "id": "causeway-fault", "url": fault_system(base_url), "version": env!("CARGO_PKG_VERSION"),
        "name": "CausewayFault", "title": "Faults of this server", "status": "active", "experimental": false,
        "description": "What can go wrong, with the HTTP status, the FHIR issue type and what to do.",
        "caseSensitive": true, "content": "complete", "count": concepts.len(),
        "property": [
            {"code": "http", "description": "HTTP status", "type": "integer"},
            {"code": "issue", "description": "FHIR issue type", "type": "code"},
            {"code": "retry", "description": "Whether trying again can help: never, backoff or fresh-token", "type": "code"},
        ],
        "concept": concepts,
    })
}
