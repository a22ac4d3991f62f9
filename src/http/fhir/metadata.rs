//! The CapabilityStatement, written from the table of routes, so that it cannot claim what is not there.

use crate::app::App;
use crate::http::negotiate::{self, Form};
use crate::http::page;
use crate::http::reply::{FHIR_JSON, HttpFailure};
use crate::http::routes::{Access, EVERYTHING, Interaction, MEMBER_MATCH, ROUTES};
use actix_web::http::header;
use actix_web::{HttpRequest, HttpResponse, web};
use serde_json::{Value, json};

/// `GET metadata`.
pub async fn get(request: HttpRequest, app: web::Data<App>) -> Result<HttpResponse, HttpFailure> {
    let form = negotiate::form(&request)?;
    let statement = capability_statement(&app.ctx.payer.base_url, &app.ctx.payer.name);
    let mut response = HttpResponse::Ok();
    response.insert_header((header::ETAG, concat!("W/\"", env!("CARGO_PKG_VERSION"), "\"")));
    Ok(match form {
        Form::Json => response
            .insert_header((header::CONTENT_TYPE, FHIR_JSON))
            .body(statement.to_string()),
        Form::Html => page::capability(&mut response, &statement),
    })
}

/// The bases: the readable CapabilityStatement for browsers and programs alike.
pub async fn home(request: HttpRequest, app: web::Data<App>) -> Result<HttpResponse, HttpFailure> {
    get(request, app).await
}

/// The CapabilityStatement of this server.
pub fn capability_statement(base_url: &str, payer_name: &str) -> Value {
    let has = |interaction: Interaction| ROUTES.iter().any(|route| route.interaction == interaction);
    let mut patient_interactions = Vec::new();
    let mut search_params = Vec::new();
    if has(Interaction::PatientRead) {
        patient_interactions.push(json!({"code": "read"}));
    }
    if has(Interaction::PatientSearch) {
        patient_interactions.push(json!({"code": "search-type"}));
        search_params.push(json!({"name": "_id", "type": "token", "documentation": "The logical id of a member granted to the caller."}));
        search_params.push(json!({"name": "identifier", "type": "token", "documentation": "system|value of a member granted to the caller; the UMB answered by $member-match among them."}));
    }
    let mut operations = Vec::new();
    if has(Interaction::Everything) {
        operations.push(json!({"name": "everything", "definition": EVERYTHING,
            "documentation": "The member's record under the caller's grant. Parameters: start, end, _since, _type, _count."}));
    }
    if has(Interaction::MemberMatch) {
        operations.push(json!({"name": "member-match", "definition": MEMBER_MATCH,
            "documentation": "HRex 1.0 and 1.1 or later. Consent is required. Scope: the definition's canonical. Bodies up to 1 MiB. Idempotency-Key is honoured for 7 days."}));
    }
    let mut resources = vec![json!({
        "type": "Patient", "profile": "http://hl7.org/fhir/us/core/StructureDefinition/us-core-patient",
        "interaction": patient_interactions, "versioning": "versioned", "readHistory": false, "updateCreate": false,
        "searchParam": search_params, "operation": operations,
    })];
    if has(Interaction::FaultCodeSystem) {
        resources.push(json!({"type": "CodeSystem", "interaction": [{"code": "read"}],
            "documentation": "causeway-fault: what can go wrong here, and what to do about it."}));
    }
    let open: Vec<&str> = ROUTES
        .iter()
        .filter(|route| route.access == Access::Public && route.path.starts_with("/fhir/"))
        .map(|route| route.path)
        .collect();
    json!({
        "resourceType": "CapabilityStatement", "id": "causeway", "url": format!("{base_url}/metadata"),
        "version": env!("CARGO_PKG_VERSION"), "name": "CausewayCapabilityStatement", "title": "Causeway payer-to-payer exchange",
        "status": "active", "experimental": false, "date": "2026-11-21", "publisher": payer_name, "kind": "instance",
        "description": "Payer-to-payer exchange: match a member with consent, then fetch the record.",
        "software": {"name": "Causeway", "version": env!("CARGO_PKG_VERSION")},
        "implementation": {"description": payer_name, "url": base_url},
        "fhirVersion": "4.0.1", "format": ["application/fhir+json", "json"],
        "implementationGuide": ["http://hl7.org/fhir/us/davinci-hrex/ImplementationGuide/hl7.fhir.us.davinci-hrex"],
        "rest": [{
            "mode": "server",
            "documentation": format!("Open without a token: {}. Everything else needs a SMART Backend Services token.", open.join(", ")),
            "security": {
                "cors": false,
                "service": [{"coding": [{"system": "http://terminology.hl7.org/CodeSystem/restful-security-service",
                    "code": "SMART-on-FHIR", "display": "SMART-on-FHIR"}]}],
                "description": "SMART Backend Services (private_key_jwt, RS384 or ES384) over mutual TLS; tokens are bound to the client certificate. See .well-known/smart-configuration.",
            },
            "resource": resources,
        }],
    })
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
        let operations: Vec<&str> = statement["rest"][0]["resource"][0]["operation"]
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
