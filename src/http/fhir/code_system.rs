//! The fault table as a FHIR CodeSystem.

use crate::error::{ActWithin, Fault, FaultOwner};
use crate::fhir::outcome::fault_system;
use serde_json::{Value, json};

/// The CodeSystem: one concept for each fault, with the columns of its row as properties.
pub fn fault_code_system(base_url: &str) -> Value {
    let concepts: Vec<Value> = Fault::ALL.iter().copied().map(concept).collect();
    json!({
        "resourceType": "CodeSystem", "id": "causeway-fault", "url": fault_system(base_url), "version": env!("CARGO_PKG_VERSION"),
        "name": "CausewayFault", "title": "Faults of this server", "status": "active", "experimental": false,
        "description": "What can go wrong. Each code has its HTTP status, its FHIR issue type, what to do, who has to do it, and how soon.",
        "caseSensitive": true, "content": "complete", "count": concepts.len(), "property": properties(),
        "concept": concepts,
    })
}

fn concept(fault: Fault) -> Value {
    let row = fault.row();
    json!({"code": row.code, "display": row.text, "definition": row.remedy, "property": [
        {"code": "http", "valueInteger": row.http},
        {"code": "issue", "valueCode": row.issue},
        {"code": "severity", "valueCode": row.severity.code()},
        {"code": "retry", "valueCode": row.retry.code()},
        {"code": "owner", "valueCode": row.owner.code()},
        {"code": "act-within", "valueCode": row.within.code()},
        {"code": "remedy", "valueString": row.remedy},
    ]})
}

fn properties() -> Value {
    let owners: Vec<String> = FaultOwner::ALL.iter().map(|one| said(one.code(), one.text())).collect();
    let times: Vec<String> = ActWithin::ALL.iter().map(|one| said(one.code(), one.text())).collect();
    json!([
        {"code": "http", "description": "HTTP status", "type": "integer"},
        {"code": "issue", "description": "FHIR issue type", "type": "code"},
        {"code": "severity", "description": "FHIR issue severity", "type": "code"},
        {"code": "retry", "description": "Whether trying again can help: never, backoff or fresh-token", "type": "code"},
        {"code": "owner", "description": format!("Who has to act so that the fault ends. {}.", owners.join("; ")), "type": "code"},
        {"code": "act-within", "description": format!("How soon the owner has to act. {}.", times.join("; ")), "type": "code"},
        {"code": "remedy", "description": "What to do", "type": "string"},
    ])
}

/// A word of the table and what it means.
fn said(code: &str, text: &str) -> String {
    format!("{code}: {text}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    #[test]
    fn the_code_system_defines_each_property_that_its_concepts_have() {
        let system = fault_code_system("https://p.example/fhir");
        causeway_fhir_types::check(system.to_string().as_bytes()).expect("a typed CodeSystem");
        let codes = |list: &Value| -> HashSet<String> {
            let all = list.as_array().into_iter().flatten();
            all.filter_map(|one| Some(one["code"].as_str()?.to_owned())).collect()
        };
        let defined = codes(&system["property"]);
        for name in ["severity", "owner", "remedy", "act-within"] {
            assert!(defined.contains(name), "{name}");
        }
        let concepts = system["concept"].as_array().expect("concepts");
        assert_eq!(concepts.len(), Fault::ALL.len());
        for concept in concepts {
            assert_eq!(codes(&concept["property"]), defined, "{}", concept["code"]);
        }
    }
}
