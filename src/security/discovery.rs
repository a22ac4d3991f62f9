//! The discovery documents, which a client may read before it is known. They name no partner.

use super::oauth::OauthSettings;
use super::receipt_keys::ReceiptKeys;
use causeway_jose::Algorithm;
use serde_json::{Value, json};

/// The canonical URL of HRex `$member-match`, which is also the scope that allows it.
pub const MEMBER_MATCH: &str = "http://hl7.org/fhir/us/davinci-hrex/OperationDefinition/member-match";

/// `/.well-known/smart-configuration` (SMART App Launch 2.2).
pub fn smart_configuration(settings: &OauthSettings) -> Value {
    json!({
        "token_endpoint": settings.token_url,
        "grant_types_supported": ["client_credentials"],
        "token_endpoint_auth_methods_supported": ["private_key_jwt"],
        "token_endpoint_auth_signing_alg_values_supported": Algorithm::ALL.map(Algorithm::name),
        "introspection_endpoint": settings.introspection_url,
        "revocation_endpoint": settings.revocation_url,
        "scopes_supported": ["system/*.rs", "system/*.read", MEMBER_MATCH],
        "code_challenge_methods_supported": ["S256"],
        "capabilities": ["client-confidential-asymmetric", "permission-v1", "permission-v2"],
        "tls_client_certificate_bound_access_tokens": settings.client_certificates,
    })
}

/// `/.well-known/davinci-configuration`: the addresses of this payer's Da Vinci interactions.
pub fn davinci_configuration(settings: &OauthSettings) -> Value {
    let base = &settings.base_url;
    let origin = settings.token_url.strip_suffix("/oauth/token").unwrap_or(base);
    json!({
        "fhir_base": base,
        "capability_statement": format!("{base}/metadata"),
        "smart_configuration": format!("{base}/.well-known/smart-configuration"),
        "jwks_uri": format!("{origin}/.well-known/jwks.json"),
        "payer_to_payer": { "member_match": format!("{base}/Patient/$member-match"), "scope": MEMBER_MATCH },
    })
}

/// `/.well-known/jwks.json`: the public keys with which this server signs receipts. There are none before its first sealed file.
pub fn jwks(keys: Option<&ReceiptKeys>) -> Value {
    json!({ "keys": keys.map(ReceiptKeys::public).unwrap_or_default() })
}
