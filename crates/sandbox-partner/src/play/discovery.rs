//! What the payer says of itself: SMART and Da Vinci discovery, its keys, its CapabilityStatement.

use super::token::scopes_supported;
use super::visit::PlayedVisit;
use super::{Play, target};
use crate::record::TYPES;
use crate::script::{ClientCertificates, HrexVersion, PdexVersion, SandboxOffer, UsCoreVersion};
use crate::wire::PlayedReply;
use causeway_jose::{Algorithm, SigningKey};
use serde_json::{Value, json};

/// `.well-known/smart-configuration`.
pub(super) fn smart(by: &PlayedVisit<'_>) -> PlayedReply {
    let play = by.play;
    let token_endpoint = match &by.treatment.token_endpoint {
        None => play.token_url(),
        Some(to) => match target(play, by.request, to) {
            // Another origin would have the token endpoint under the same path.
            url if url.ends_with(&by.request.target) => url.replace(&by.request.target, "/auth/token"),
            url => url,
        },
    };
    let mut document = json!({
        "token_endpoint": token_endpoint,
        "token_endpoint_auth_methods_supported": ["private_key_jwt"],
        "token_endpoint_auth_signing_alg_values_supported": Algorithm::ALL.map(Algorithm::name),
        "grant_types_supported": ["client_credentials"],
        "code_challenge_methods_supported": ["S256"],
        "scopes_supported": scopes_supported(&play.script.offers),
        "capabilities": ["client-confidential-asymmetric", "permission-v1", "permission-v2"],
        "jwks_uri": format!("{}/.well-known/jwks.json", play.base)
    });
    if play.script.mtls != ClientCertificates::Off {
        document["tls_client_certificate_bound_access_tokens"] = json!(true);
    }
    PlayedReply::json(200, &document)
}

/// `.well-known/davinci-configuration` (HRex, endpoint discovery).
pub(super) fn davinci(by: &PlayedVisit<'_>) -> PlayedReply {
    let play = by.play;
    let versioned = format!("davinci_pdex_payer_endpoint#{}", play.script.pdex.text());
    let mut endpoints = serde_json::Map::new();
    if play.script.hrex < HrexVersion::V1_2 {
        endpoints.insert("davinci_pdex_payer_endpoint".into(), json!(play.base));
    }
    endpoints.insert(versioned, json!(play.base));
    PlayedReply::json(
        200,
        &json!({ "identifier": play.script.payer.npi, "endpoints": endpoints }),
    )
}

/// `.well-known/jwks.json`: a key that is there to be compared, and the one that signs receipts.
pub(super) fn jwks(by: &PlayedVisit<'_>) -> PlayedReply {
    let key = by.play.payer_key(by.treatment.changed_keys);
    let of_receipts = by.play.receipt_key().filter(|_| by.play.has_receipts());
    let keys: Vec<Value> = key.into_iter().chain(of_receipts.map(SigningKey::public_jwk)).collect();
    PlayedReply::json(200, &json!({ "keys": keys }))
}

impl Play {
    /// The payer's public key, or the one that it has after a change.
    pub(crate) fn payer_key(&self, changed: bool) -> Option<Value> {
        let kid = if changed { "sandbox-changed" } else { "sandbox-1" };
        let made = || {
            SigningKey::generate(Algorithm::Es384, kid)
                .ok()
                .map(|key| key.public_jwk())
        };
        self.keys().entry(kid).or_insert_with(made).clone()
    }
}

/// The CapabilityStatement.
pub(super) fn metadata(by: &PlayedVisit<'_>) -> PlayedReply {
    let script = &by.play.script;
    let offers = |offer| script.offers.contains(&offer);
    let (searches, everything) = (offers(SandboxOffer::Search), offers(SandboxOffer::Everything));
    let mut resources: Vec<Value> = TYPES.iter().map(|kind| resource(kind, searches)).collect();
    if let Some(patient) = resources.iter_mut().find(|resource| resource["type"] == "Patient") {
        let mut operations = vec![json!({
            "name": "member-match",
            "definition": "http://hl7.org/fhir/us/davinci-hrex/OperationDefinition/member-match"
        })];
        if everything {
            operations.push(json!({
                "name": "everything", "definition": "http://hl7.org/fhir/OperationDefinition/Patient-everything"
            }));
        }
        patient["operation"] = json!(operations);
    }
    if offers(SandboxOffer::Bulk) {
        resources.push(
            json!({ "type": "Group", "interaction": [{ "code": "read" }], "operation": [
            { "name": "bulk-member-match",
              "definition": "http://hl7.org/fhir/us/davinci-pdex/OperationDefinition/BulkMemberMatch" },
            { "name": "davinci-data-export",
              "definition": "http://hl7.org/fhir/us/davinci-atr/OperationDefinition/davinci-data-export" }
        ] }),
        );
    }
    resources.push(
        json!({ "type": "Task", "interaction": [{ "code": "create" }, { "code": "read" }], "conditionalCreate": true }),
    );
    let hrex = match script.hrex {
        HrexVersion::V1_0 => "1.0.0",
        HrexVersion::V1_1 => "1.1.0",
        HrexVersion::V1_2 => "1.2.0",
    };
    let (pdex, us_core) = match (script.pdex, script.us_core) {
        (pdex, UsCoreVersion::V3_1_1) => (pdex, "3.1.1"),
        (pdex, UsCoreVersion::V6_1_0) => (pdex, "6.1.0"),
    };
    let server = if us_core == "6.1.0" && pdex > PdexVersion::V2_0 {
        "pdex-server-6-1"
    } else {
        "pdex-server"
    };
    let statement = json!({
        "resourceType": "CapabilityStatement",
        "status": "active",
        "date": "2026-11-01",
        "publisher": script.payer.name,
        "kind": "instance",
        "instantiates": [format!("http://hl7.org/fhir/us/davinci-pdex/CapabilityStatement/{server}")],
        "software": { "name": "A payer in a sandbox", "version": "1" },
        "implementation": { "description": format!("{}; nobody in it exists", script.payer.name), "url": by.play.base },
        "fhirVersion": by.treatment.fhir_version.as_deref().unwrap_or("4.0.1"),
        "format": ["application/fhir+json"],
        "implementationGuide": [
            format!("http://hl7.org/fhir/us/davinci-hrex/ImplementationGuide/hl7.fhir.us.davinci-hrex|{hrex}"),
            format!("http://hl7.org/fhir/us/davinci-pdex/ImplementationGuide/hl7.fhir.us.davinci-pdex|{}.0", pdex.text()),
            format!("http://hl7.org/fhir/us/core/ImplementationGuide/hl7.fhir.us.core|{us_core}")
        ],
        "rest": [{
            "mode": "server",
            "security": { "service": [{ "coding": [{
                "system": "http://terminology.hl7.org/CodeSystem/restful-security-service", "code": "SMART-on-FHIR"
            }] }] },
            "resource": resources
        }]
    });
    PlayedReply::resource(200, &statement)
}

fn resource(kind: &str, searches: bool) -> Value {
    let mut resource = json!({ "type": kind });
    if searches {
        let mut parameters = vec![
            json!({ "name": "_id", "type": "token" }),
            json!({ "name": "_lastUpdated", "type": "date" }),
        ];
        match kind {
            "Patient" => parameters.push(json!({ "name": "identifier", "type": "token" })),
            "Organization" | "Practitioner" | "Location" | "Provenance" => {}
            _ => parameters.push(json!({ "name": "patient", "type": "reference" })),
        }
        resource["interaction"] = json!([{ "code": "read" }, { "code": "search-type" }]);
        resource["searchRevInclude"] = json!(["Provenance:target"]);
        resource["searchParam"] = json!(parameters);
    } else {
        resource["interaction"] = json!([{ "code": "read" }]);
    }
    resource
}
