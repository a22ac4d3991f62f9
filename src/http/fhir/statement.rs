//! The CapabilityStatement, built from the table of routes, so that it claims nothing that is not served.

use super::describing::{SEARCHED_BY, TYPES, search_parameter_id};
use super::{bulk, task};
use crate::fhir::operations::{BULK_MEMBER_MATCH, DAVINCI_DATA_EXPORT, GROUP_EXPORT};
use crate::fhir::profiles;
use crate::fhir::search::ParamKind;
use crate::fhir::search::params::{self, COMMON, PARAMS};
use crate::http::routes::{EVERYTHING, Interaction, MEMBER_MATCH, PATIENT_EXPORT, ROUTES, RouteAccess};
use crate::keeping::{DataKind, Periods};
use crate::records::compartment;
use crate::release;
use serde_json::{Value, json};

/// The CapabilityStatement of this server, which says for how long an idempotency key is honored.
pub fn capability_statement(base_url: &str, payer_name: &str, periods: &Periods) -> Value {
    let mut resources: Vec<Value> = compartment::TYPES
        .iter()
        .filter(|(rtype, _)| release::is_served(rtype))
        .map(|(rtype, _)| served(rtype, base_url, periods))
        .collect();
    for rtype in TYPES {
        resources.push(described(rtype));
    }
    resources.push(exchanges());
    resources.push(groups());
    resources.sort_by(|a, b| a["type"].as_str().cmp(&b["type"].as_str()));
    let open: Vec<&str> = ROUTES
        .iter()
        .filter(|route| {
            route.method == "GET" && route.access == RouteAccess::Public && route.path.starts_with("/fhir/")
        })
        .map(|route| route.path)
        .filter(|path| !path.contains('{'))
        .chain(TYPES.iter().copied())
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

/// The CapabilityStatements of implementation guides whose requirements this server means to meet.
const INSTANTIATES: &[&str] = &[
    "http://hl7.org/fhir/us/core/CapabilityStatement/us-core-server",
    "http://hl7.org/fhir/us/davinci-pdex/CapabilityStatement/pdex-server",
    "http://hl7.org/fhir/us/davinci-pdex/CapabilityStatement/pdex-server-6-1",
    "http://hl7.org/fhir/us/carin-bb/CapabilityStatement/c4bb",
    "http://hl7.org/fhir/uv/bulkdata/CapabilityStatement/bulk-data",
];
/// The implementation guides, in all versions that are served.
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
    of a type: _count (at most 200), _sort (of up to 20,000 matches), _total, _summary, _elements, _include, _revinclude, and :missing; :not for tokens, \
    :exact and :contains for strings. Other modifiers, chains, _has and _filter are refused. The server ignores an unknown parameter and \
    names it in an OperationOutcome, or refuses it with Prefer: handling=strict.";

/// The entry of a type of member records, or of the directories that are served with them.
fn served(rtype: &str, base_url: &str, periods: &Periods) -> Value {
    if !release::is_searchable(rtype) {
        return json!({
            "type": rtype, "interaction": [{"code": "read"}, {"code": "vread"}],
            "versioning": "versioned", "readHistory": false, "updateCreate": false, "conditionalRead": "full-support",
            "documentation": "The content of an attachment of a DocumentReference, DiagnosticReport or Media. Whoever may read \
                every resource that names it may read it: as a resource when Accept or _format asks for FHIR JSON, else as its content.",
        });
    }
    let param = |name: &str, kind: &str, documentation: &str| json!({"name": name, "type": kind, "documentation": documentation});
    let mut params = vec![
        param("_id", "token", "The logical id."),
        param("_lastUpdated", "date", "When the resource was last changed."),
    ];
    let leads = |kind: ParamKind| matches!(kind, ParamKind::Reference(_) | ParamKind::Owner);
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
            .filter(|one| matches!(one.kind, ParamKind::Reference(targets) if targets.contains(&rtype)))
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
        resource["operation"] = json!(operations(periods));
    }
    resource
}

/// The entry of the exchanges that a caller began.
fn exchanges() -> Value {
    let params: Vec<Value> = task::SEARCHED_BY
        .iter()
        .map(|(name, kind)| json!({"name": name, "type": kind}))
        .collect();
    json!({
        "type": "Task", "interaction": [{"code": "read"}, {"code": "search-type"}], "versioning": "no-version", "searchParam": params,
        "documentation": "The exchanges that the caller began with $member-match, and how each stands. Read only; it starts nothing.",
    })
}

/// The entry of the groups that a caller made.
fn groups() -> Value {
    let params: Vec<Value> = bulk::groups::SEARCHED_BY
        .iter()
        .map(|(name, kind)| json!({"name": name, "type": kind}))
        .collect();
    json!({
        "type": "Group", "interaction": [{"code": "read"}, {"code": "search-type"}], "versioning": "no-version", "searchParam": params,
        "documentation": "The groups that the caller made with $bulk-member-match. A matched group has the members who are granted to the \
            caller now.",
        "operation": [
            {"name": "bulk-member-match", "definition": BULK_MEMBER_MATCH,
                "documentation": "PDex 2.1 and 2.2. POST with Prefer: respond-async. Scope: the definition's canonical."},
            {"name": "export", "definition": GROUP_EXPORT,
                "documentation": "The records of the members of a group, as files. Parameters as for Patient/$export."},
            {"name": "davinci-data-export", "definition": DAVINCI_DATA_EXPORT,
                "documentation": "As export, by POST. Parameters as for Patient/$export."},
        ],
    })
}

/// The entry of a type of resources that describe this server.
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

fn operations(periods: &Periods) -> Vec<Value> {
    let has = |interaction: Interaction| ROUTES.iter().any(|route| route.interaction == interaction);
    let mut operations = Vec::new();
    if has(Interaction::Everything) {
        operations.push(json!({"name": "everything", "definition": EVERYTHING,
            "documentation": "The member's record under the caller's grant. Parameters: start, end, _since, _type, _count."}));
    }
    if has(Interaction::MemberMatch) {
        let kept = periods.words(DataKind::Idempotency).unwrap_or_default();
        operations.push(json!({"name": "member-match", "definition": MEMBER_MATCH,
            "documentation": format!("HRex 1.0 and 1.1 or later. Consent is required. Scope: the definition's canonical. Idempotency-Key is honored for {kept}.")}));
    }
    if has(Interaction::PatientExport) {
        operations.push(json!({"name": "export", "definition": PATIENT_EXPORT,
            "documentation": "The records of all members on whom the caller has a grant, as files. GET or POST with Prefer: respond-async. \
                Parameters: _outputFormat, _type, _since, _until, patient."}));
    }
    operations
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_statement_claims_what_the_table_routes() {
        let statement = capability_statement("https://p.example/fhir", "P", &Periods::default());
        let bytes = statement.to_string().into_bytes();
        crate::fhir::prescreen::screen(&bytes, &crate::fhir::prescreen::ScreenLimits::record())
            .expect("our own statement");
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
