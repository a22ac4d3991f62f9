//! The CapabilityStatement, written from the table of routes, so that it cannot claim what is not there.

use super::conformance::{self, SEARCHED_BY, search_parameter_id};
use crate::error::{Failure, Fault};
use crate::fhir::profiles;
use crate::fhir::search::Kind;
use crate::fhir::search::params::{self, COMMON, PARAMS};
use crate::http::documents::Documents;
use crate::http::negotiate;
use crate::http::reply::HttpFailure;
use crate::http::routes::{Access, EVERYTHING, Interaction, MEMBER_MATCH, ROUTES};
use crate::records::compartment;
use crate::release;
use actix_web::{HttpRequest, HttpResponse, web};
use serde_json::{Value, json};

/// `GET metadata`, in the mode that is asked for.
pub async fn get(request: HttpRequest, documents: web::Data<Documents>) -> Result<HttpResponse, HttpFailure> {
    negotiate::form(&request)?;
    let made = documents.now();
    let document = match negotiate::query_value(request.query_string(), "mode").as_deref() {
        None | Some("full") => &made.capability,
        Some("normative") => &made.normative,
        Some("terminology") => &made.terminology,
        Some(_) => return Err(Failure::new(Fault::ParameterInvalid).at("metadata?mode").into()),
    };
    Ok(document.answer(&request))
}

/// The bases: the readable CapabilityStatement for browsers and programs alike.
pub async fn home(request: HttpRequest, documents: web::Data<Documents>) -> Result<HttpResponse, HttpFailure> {
    get(request, documents).await
}

/// The CapabilityStatement of this server.
pub fn capability_statement(base_url: &str, payer_name: &str) -> Value {
    let mut resources: Vec<Value> = compartment::TYPES
        .iter()
        .filter(|(rtype, _)| release::is_served(rtype))
        .map(|(rtype, _)| served(rtype, base_url))
        .collect();
    for rtype in conformance::TYPES {
        resources.push(described(rtype));
    }
    resources.sort_by(|a, b| a["type"].as_str().cmp(&b["type"].as_str()));
    let open: Vec<&str> = ROUTES
        .iter()
        .filter(|route| route.method == "GET" && route.access == Access::Public && route.path.starts_with("/fhir/"))
        .map(|route| route.path)
        .filter(|path| !path.contains('{'))
        .chain(conformance::TYPES.iter().copied())
        .collect();
    json!({
        "resourceType": "CapabilityStatement", "id": "causeway", "url": format!("{base_url}/metadata"),
        "version": env!("CARGO_PKG_VERSION"), "name": "CausewayCapabilityStatement", "title": "Causeway payer-to-payer exchange",
        "status": "active", "experimental": false, "date": "2026-11-25", "publisher": payer_name, "kind": "instance",
        "description": "Payer-to-payer exchange: match a member with consent, then fetch the record.",
        "instantiates": INSTANTIATES, "implementationGuide": GUIDES,
        "software": {"name": "Causeway", "version": env!("CARGO_PKG_VERSION")},
        "implementation": {"description": payer_name, "url": base_url},
        "fhirVersion": "4.0.1", "format": ["application/fhir+json", "json", "text/html"],
        "rest": [{
            "mode": "server",
            "documentation": format!("Open without a token: {}. Everything else needs a SMART Backend Services token. {SEARCHING}", open.join(", ")),
            "security": {
                "cors": true,
                "service": [{"coding": [{"system": "http://terminology.hl7.org/CodeSystem/restful-security-service",
                    "code": "SMART-on-FHIR", "display": "SMART-on-FHIR"}]}],
                "description": "SMART Backend Services (private_key_jwt, RS384 or ES384) over mutual TLS; tokens are bound to the client certificate. See .well-known/smart-configuration.",
            },
            "resource": resources,
            "interaction": [{"code": "batch", "documentation": "Reads and searches, at most 50; each is checked and recorded as its own request."}],
        }],
    })
}

/// Server statements whose demands this server means to meet.
const INSTANTIATES: &[&str] = &[
    "http://hl7.org/fhir/us/core/CapabilityStatement/us-core-server",
    "http://hl7.org/fhir/us/davinci-pdex/CapabilityStatement/pdex-server",
    "http://hl7.org/fhir/us/davinci-pdex/CapabilityStatement/pdex-server-6-1",
    "http://hl7.org/fhir/us/carin-bb/CapabilityStatement/c4bb",
];
/// The guides, in every generation that is served side by side.
const GUIDES: &[&str] = &[
    "http://hl7.org/fhir/us/core/ImplementationGuide/hl7.fhir.us.core|3.1.1",
    "http://hl7.org/fhir/us/core/ImplementationGuide/hl7.fhir.us.core|6.1.0",
    "http://hl7.org/fhir/us/carin-bb/ImplementationGuide/hl7.fhir.us.carin-bb|2.0.0",
    "http://hl7.org/fhir/us/carin-bb/ImplementationGuide/hl7.fhir.us.carin-bb|2.1.0",
    "http://hl7.org/fhir/us/carin-bb/ImplementationGuide/hl7.fhir.us.carin-bb|2.2.0",
    "http://hl7.org/fhir/us/davinci-hrex/ImplementationGuide/hl7.fhir.us.davinci-hrex|1.0.0",
    "http://hl7.org/fhir/us/davinci-hrex/ImplementationGuide/hl7.fhir.us.davinci-hrex|1.1.0",
    "http://hl7.org/fhir/us/davinci-hrex/ImplementationGuide/hl7.fhir.us.davinci-hrex|1.2.0",
    "http://hl7.org/fhir/us/davinci-pdex/ImplementationGuide/hl7.fhir.us.davinci-pdex|2.0.0",
    "http://hl7.org/fhir/us/davinci-pdex/ImplementationGuide/hl7.fhir.us.davinci-pdex|2.1.0",
    "http://hl7.org/fhir/us/davinci-pdex/ImplementationGuide/hl7.fhir.us.davinci-pdex|2.2.0",
];
const SEARCHING: &str = "Searches go over the members granted to the caller, by GET or by POST to _search. Besides the parameters \
    of a type: _count (at most 200), _sort, _total, _summary, _elements, _include, _revinclude, and :missing; :not for tokens, \
    :exact and :contains for strings. Other modifiers, chains, _has and _filter are refused; an unknown parameter is passed over and \
    told, or refused with Prefer: handling=strict.";

/// A type of members' records or of the directories beside them.
fn served(rtype: &str, base_url: &str) -> Value {
    if !release::is_searchable(rtype) {
        return json!({
            "type": rtype, "interaction": [{"code": "read"}, {"code": "vread"}],
            "versioning": "versioned", "readHistory": false, "updateCreate": false, "conditionalRead": "full-support",
            "documentation": "What an attachment of a DocumentReference, DiagnosticReport or Media names. It may be read by whoever \
                may read all that names it. As a resource when Accept or _format names FHIR JSON, else as its content.",
        });
    }
    let param = |name: &str, kind: &str, documentation: &str| json!({"name": name, "type": kind, "documentation": documentation});
    let mut params = vec![
        param("_id", "token", "The logical id."),
        param("_lastUpdated", "date", "When the resource was last changed."),
    ];
    let leads = |kind: Kind| matches!(kind, Kind::Reference(_) | Kind::Owner);
    for one in COMMON.iter().chain(params::of(rtype)) {
        let id = search_parameter_id(one);
        params.push(json!({
            "name": one.name, "definition": format!("{base_url}/SearchParameter/{id}"), "type": one.kind.code(),
            "documentation": one.expression(),
        }));
    }
    let mut includes: Vec<String> = params::of(rtype)
        .iter()
        .filter(|one| leads(one.kind))
        .map(|one| format!("{rtype}:{}", one.name))
        .collect();
    if !includes.is_empty() {
        includes.insert(0, format!("{rtype}:*"));
    }
    let mut revincludes = vec!["Provenance:target".to_owned()];
    revincludes.extend(
        PARAMS
            .iter()
            .filter(|one| matches!(one.kind, Kind::Reference(targets) if targets.contains(&rtype)))
            .map(|one| format!("{}:{}", one.rtype, one.name)),
    );
    let mut resource = json!({
        "type": rtype, "interaction": [{"code": "read"}, {"code": "vread"}, {"code": "search-type"}],
        "versioning": "versioned", "readHistory": false, "updateCreate": false, "conditionalRead": "full-support",
        "searchRevInclude": revincludes, "searchParam": params,
    });
    if !includes.is_empty() {
        resource["searchInclude"] = json!(includes);
    }
    let profiles = profiles::of(rtype);
    if !profiles.is_empty() {
        resource["supportedProfile"] = json!(profiles);
    }
    if rtype == "Patient" {
        resource["operation"] = json!(operations());
    }
    resource
}

/// A type of resources that describe this server.
fn described(rtype: &str) -> Value {
    let params: Vec<Value> = SEARCHED_BY
        .iter()
        .map(|(name, kind)| json!({"name": name, "type": kind}))
        .collect();
    json!({
        "type": rtype, "interaction": [{"code": "read"}, {"code": "search-type"}], "searchParam": params,
        "documentation": "Describes this server; open to all.",
    })
}

fn operations() -> Vec<Value> {
    let has = |interaction: Interaction| ROUTES.iter().any(|route| route.interaction == interaction);
    let mut operations = Vec::new();
    if has(Interaction::Everything) {
        operations.push(json!({"name": "everything", "definition": EVERYTHING,
            "documentation": "The member's record under the caller's grant. Parameters: start, end, _since, _type, _count."}));
    }
    if has(Interaction::MemberMatch) {
        operations.push(json!({"name": "member-match", "definition": MEMBER_MATCH,
            "documentation": "HRex 1.0 and 1.1 or later. Consent is required. Scope: the definition's canonical. Idempotency-Key is honoured for 7 days."}));
    }
    operations
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_statement_claims_what_the_table_routes() {
        let statement = capability_statement("https://p.example/fhir", "P");
        let bytes = statement.to_string().into_bytes();
        crate::fhir::prescreen::screen(&bytes, &crate::fhir::prescreen::Limits::request()).expect("our own statement");
        causeway_fhir_types::check(&bytes).expect("a typed CapabilityStatement");
        let resources = statement["rest"][0]["resource"].as_array().expect("resources");
        let patient = resources.iter().find(|one| one["type"] == "Patient").expect("Patient");
        let operations: Vec<&str> = patient["operation"]
            .as_array()
            .expect("operations")
            .iter()
            .filter_map(|operation| operation["name"].as_str())
            .collect();
        for name in operations {
            assert!(
                ROUTES.iter().any(|route| route.path.ends_with(&format!("${name}"))),
                "{name} is claimed, not routed"
            );
        }
    }
}
