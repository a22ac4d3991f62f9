//! Builds the resources that describe this server: its fault codes, operations, search parameters and profile.
//!
//! Reads and searches of them are in `super::conformance`.

use super::code_system::fault_code_system;
use crate::fhir::search::params::{COMMON, PARAMS, Param};
use crate::fhir::{operations, outcome_profile};
use crate::release;
use serde_json::{Value, json};

/// The types of the resources that describe this server.
pub const TYPES: &[&str] = &[
    "CodeSystem",
    "OperationDefinition",
    "SearchParameter",
    "StructureDefinition",
];

/// The search parameters of conformance resources, with their types. Each one has the name of the element that it searches.
pub const SEARCHED_BY: &[(&str, &str)] = &[
    ("_id", "token"),
    ("name", "string"),
    ("status", "token"),
    ("url", "uri"),
];

/// The resources of a conformance type.
pub fn resources(rtype: &str, base_url: &str) -> Vec<Value> {
    match rtype {
        "CodeSystem" => vec![fault_code_system(base_url)],
        "SearchParameter" => {
            let served = |param: &&Param| param.rtype.is_empty() || release::is_served(param.rtype);
            let tables = COMMON.iter().chain(PARAMS).filter(served);
            tables.map(|param| search_parameter(param, base_url)).collect()
        }
        "OperationDefinition" => operations::definitions(base_url),
        "StructureDefinition" => vec![outcome_profile::outcome(base_url)],
        _ => Vec::new(),
    }
}

/// Whether resources of this type describe the server.
pub fn is_one(rtype: &str) -> bool {
    TYPES.contains(&rtype)
}

/// The id of the SearchParameter resource for a parameter.
pub fn search_parameter_id(param: &Param) -> String {
    let rtype = if param.rtype.is_empty() {
        "Resource"
    } else {
        param.rtype
    };
    format!("{rtype}-{}", param.name.trim_start_matches('_'))
}

fn search_parameter(param: &Param, base_url: &str) -> Value {
    use crate::fhir::search::ParamKind;
    let id = search_parameter_id(param);
    let rtype = if param.rtype.is_empty() {
        "Resource"
    } else {
        param.rtype
    };
    let name: String = id
        .split(['-', '_'])
        .map(|part| {
            let mut letters = part.chars();
            letters
                .next()
                .map(|first| first.to_uppercase().collect::<String>() + letters.as_str())
                .unwrap_or_default()
        })
        .collect();
    let mut resource = json!({
        "resourceType": "SearchParameter", "id": id, "url": format!("{base_url}/SearchParameter/{id}"),
        "version": env!("CARGO_PKG_VERSION"), "name": name, "status": "active", "experimental": false,
        "description": format!("{} of {rtype}, as this server indexes it.", param.name),
        "code": param.name, "base": [rtype], "type": param.kind.code(), "expression": param.expression(),
        "multipleOr": true, "multipleAnd": true,
    });
    match param.kind {
        ParamKind::Reference(targets) if !targets.is_empty() => resource["target"] = json!(targets),
        ParamKind::Reference(_) => resource["target"] = json!(["Resource"]),
        ParamKind::Owner => resource["target"] = json!(["Patient"]),
        ParamKind::Date => {
            resource["comparator"] = json!(["eq", "ne", "gt", "ge", "lt", "le", "sa", "eb", "ap"]);
            resource["modifier"] = json!(["missing"]);
        }
        ParamKind::Text => resource["modifier"] = json!(["missing", "exact", "contains"]),
        ParamKind::Token | ParamKind::Code(_) => resource["modifier"] = json!(["missing", "not"]),
        ParamKind::Uri => resource["modifier"] = json!(["missing"]),
        ParamKind::Canonical => {
            resource["target"] = json!(["Questionnaire"]);
            resource["modifier"] = json!(["missing"]);
        }
    }
    resource
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_search_parameter_is_a_typed_resource_with_its_own_id() {
        let all = resources("SearchParameter", "https://p.example/fhir");
        let mut ids: Vec<&str> = all.iter().filter_map(|one| one["id"].as_str()).collect();
        assert!(ids.len() > 200, "{}", ids.len());
        for one in &all {
            causeway_fhir_types::check(one.to_string().as_bytes()).expect("a typed SearchParameter");
        }
        ids.sort_unstable();
        let before = ids.len();
        ids.dedup();
        assert_eq!(ids.len(), before);
    }
}
