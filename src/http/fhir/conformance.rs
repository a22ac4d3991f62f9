//! Reads and searches of the resources that describe this server: its fault codes and its search parameters. Public.

use super::code_system::fault_code_system;
use super::search::posted;
use crate::app::App;
use crate::error::{Failure, Fault};
use crate::fhir::search::params::{COMMON, PARAMS, Param};
use crate::fhir::{operations, outcome_profile};
use crate::http::documents::{Described, Documents};
use crate::http::negotiate::{self, encode};
use crate::http::reply::{FHIR_JSON, HttpFailure};
use crate::release;
use actix_web::http::header;
use actix_web::{HttpRequest, HttpResponse, web};
use serde_json::{Value, json};

/// The types that describe this server.
pub const TYPES: &[&str] = &[
    "CodeSystem",
    "OperationDefinition",
    "SearchParameter",
    "StructureDefinition",
];

/// What conformance resources can be searched by: the name of the parameter is that of the element.
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

/// Whether a type describes this server.
pub fn is_one(rtype: &str) -> bool {
    TYPES.contains(&rtype)
}

/// The id of a parameter's SearchParameter.
pub fn search_parameter_id(param: &Param) -> String {
    let rtype = if param.rtype.is_empty() {
        "Resource"
    } else {
        param.rtype
    };
    format!("{rtype}-{}", param.name.trim_start_matches('_'))
}

fn search_parameter(param: &Param, base_url: &str) -> Value {
    use crate::fhir::search::Kind;
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
        Kind::Reference(targets) if !targets.is_empty() => resource["target"] = json!(targets),
        Kind::Reference(_) => resource["target"] = json!(["Resource"]),
        Kind::Owner => resource["target"] = json!(["Patient"]),
        Kind::Date => {
            resource["comparator"] = json!(["eq", "ne", "gt", "ge", "lt", "le", "sa", "eb", "ap"]);
            resource["modifier"] = json!(["missing"]);
        }
        Kind::Text => resource["modifier"] = json!(["missing", "exact", "contains"]),
        Kind::Token | Kind::Code(_) => resource["modifier"] = json!(["missing", "not"]),
        Kind::Uri => resource["modifier"] = json!(["missing"]),
        Kind::Canonical => {
            resource["target"] = json!(["Questionnaire"]);
            resource["modifier"] = json!(["missing"]);
        }
    }
    resource
}

fn rtype(request: &HttpRequest) -> &str {
    request.match_info().get("type").unwrap_or_default()
}

/// `GET [type]/[id]`.
pub async fn read(
    request: HttpRequest,
    path: web::Path<(String, String)>,
    documents: web::Data<Documents>,
) -> Result<HttpResponse, HttpFailure> {
    negotiate::form(&request)?;
    let made = documents.now();
    let mut all = made.described(rtype(&request)).iter();
    let found = all.find(|one| one.element("id") == path.1).ok_or(Fault::NotFound)?;
    Ok(found.document.answer(&request))
}

/// `GET [type]?…`.
pub async fn search(
    request: HttpRequest,
    app: web::Data<App>,
    documents: web::Data<Documents>,
) -> Result<HttpResponse, HttpFailure> {
    let pairs = negotiate::pairs(request.query_string())?;
    answer(&request, &app, &documents, &pairs)
}

/// `POST [type]/_search`.
pub async fn search_post(
    request: HttpRequest,
    payload: web::Payload,
    app: web::Data<App>,
    documents: web::Data<Documents>,
) -> Result<HttpResponse, HttpFailure> {
    let pairs = posted(&request, payload).await?;
    answer(&request, &app, &documents, &pairs)
}

fn answer(
    request: &HttpRequest,
    app: &App,
    documents: &Documents,
    pairs: &[(String, String)],
) -> Result<HttpResponse, HttpFailure> {
    let pairs = negotiate::filled(pairs.to_vec(), negotiate::form(request)?);
    let (rtype, base_url, made) = (rtype(request), &app.ctx.payer.base_url, documents.now());
    let bytes = bundle_of(
        made.described(rtype),
        rtype,
        &pairs,
        base_url,
        negotiate::is_strict(request),
    )?;
    Ok(HttpResponse::Ok()
        .insert_header((header::CONTENT_TYPE, FHIR_JSON))
        .body(bytes))
}

/// The resources of a conformance type, made ready to be found and sent.
pub fn described(rtype: &str, base_url: &str) -> Vec<Described> {
    resources(rtype, base_url).iter().map(Described::new).collect()
}

/// All that match, on one page: there are few.
///
/// # Errors
/// [`Fault::ParameterUnknown`].
pub fn bundle(rtype: &str, pairs: &[(String, String)], base_url: &str, strict: bool) -> Result<Vec<u8>, Failure> {
    bundle_of(&described(rtype, base_url), rtype, pairs, base_url, strict)
}

fn bundle_of(
    all: &[Described],
    rtype: &str,
    pairs: &[(String, String)],
    base_url: &str,
    strict: bool,
) -> Result<Vec<u8>, Failure> {
    let mut found: Vec<&Described> = all.iter().collect();
    let mut own = Vec::new();
    let mut only_count = false;
    for (name, value) in pairs {
        match SEARCHED_BY.iter().find(|(known, _)| known == name) {
            Some((known, kind)) => {
                let element = known.trim_start_matches('_');
                let wanted: Vec<&str> = value.split(',').collect();
                found.retain(|one| {
                    let text = one.element(element);
                    wanted.iter().any(|wanted| match *kind {
                        "string" => text.to_lowercase().starts_with(&wanted.to_lowercase()),
                        _ => text == *wanted,
                    })
                });
                own.push(format!("{known}={}", encode(value)));
            }
            None if name == "_summary" && value == "count" => only_count = true,
            None if matches!(name.as_str(), "_format" | "_pretty" | "_count" | "_summary" | "_total") => {}
            None if strict || name.contains([':', '.']) => {
                let names: Vec<&str> = SEARCHED_BY.iter().map(|(name, _)| *name).collect();
                return Err(Failure::new(Fault::ParameterUnknown).at(rtype).remedy(format!(
                    "{rtype} is searched by {} here, without modifiers.",
                    names.join(", ")
                )));
            }
            None => {}
        }
    }
    let total = found.len();
    if only_count {
        found.clear();
    }
    let sign = if own.is_empty() { "" } else { "?" };
    let bundle = json!({
        "resourceType": "Bundle", "type": "searchset", "total": total,
        "link": [{"relation": "self", "url": format!("{base_url}/{rtype}{sign}{}", own.join("&"))}],
    });
    let mut bytes = bundle.to_string().into_bytes();
    if !found.is_empty() {
        // The resources go in as the bytes they are.
        bytes.pop();
        bytes.extend_from_slice(b",\"entry\":[");
        for (at, one) in found.into_iter().enumerate() {
            let comma = if at == 0 { "" } else { "," };
            let url = Value::from(one.element("url"));
            bytes.extend_from_slice(format!("{comma}{{\"fullUrl\":{url},\"resource\":").as_bytes());
            bytes.extend_from_slice(one.document.bytes());
            bytes.extend_from_slice(b",\"search\":{\"mode\":\"match\"}}");
        }
        bytes.extend_from_slice(b"]}");
    }
    Ok(bytes)
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

    #[test]
    fn they_are_found_by_what_names_them() {
        let of = |name: &str, value: &str| {
            let bytes = bundle(
                "SearchParameter",
                &[(name.to_owned(), value.to_owned())],
                "https://p/fhir",
                false,
            );
            serde_json::from_slice::<Value>(&bytes.expect("a bundle")).expect("JSON")["total"]
                .as_u64()
                .expect("a number")
        };
        assert_eq!(of("_id", "Observation-code,Patient-name"), 2);
        assert_eq!(of("url", "https://p/fhir/SearchParameter/Observation-code"), 1);
        assert_eq!(of("_id", "nothing"), 0);
        assert!(of("name", "observation") > 5);
        assert!(
            bundle(
                "CodeSystem",
                &[("url:below".to_owned(), "x".to_owned())],
                "https://p/fhir",
                false
            )
            .is_err()
        );
    }
}
