//! The authenticated partner behind a request.

use crate::audit::Actor;
use crate::telemetry::Correlation;

/// The versions of the implementation guides that a partner speaks. Requests are read tolerantly; answers are written in exactly these
/// versions.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Dialect {
    /// HRex: `1.0`, `1.1` or `1.2`.
    pub hrex: String,
    /// PDex: `2.0`, `2.1` or `2.2`.
    pub pdex: String,
    /// US Core: `3.1.1` or `6.1.0`.
    pub us_core: String,
}

/// What a request handler needs to know about the partner.
#[derive(Clone, Debug)]
pub struct PartnerRef {
    /// The id of the partner on this server.
    pub id: String,
    /// Its National Provider Identifier, compared as a string.
    pub npi: String,
    /// Its dialect.
    pub dialect: Dialect,
}

/// The authenticated caller of one request. Only the security layer builds it.
#[derive(Clone, Debug)]
pub struct Caller {
    /// The partner.
    pub partner: PartnerRef,
    /// Its OAuth client id.
    pub client_id: String,
    /// The scope string granted with the token, SMART v1 or v2 and operation URLs, space separated.
    pub scope: String,
    /// The only patient that the token allows, if it is limited to one.
    pub patient_id: Option<String>,
    /// SHA-256 of the client certificate of this connection, if one was presented.
    pub certificate_sha256: Option<[u8; 32]>,
    /// SHA-256 of the `jti` of the assertion for which the token was issued.
    pub jti_sha256: [u8; 32],
    /// SHA-256 of the token.
    pub token_sha256: [u8; 32],
    /// When the token ends, in UTC milliseconds of lasting time.
    pub token_expires_ms: i64,
    /// The version of the partner's registration by which the caller was authenticated.
    pub partner_version: i64,
    /// The correlation ids of this request.
    pub correlation: Correlation,
}

impl Caller {
    /// This caller as the actor of a ledger entry.
    pub fn actor(&self) -> Actor {
        Actor {
            kind: "partner",
            id: Some(self.partner.id.clone()),
            client_id: Some(self.client_id.clone()),
            certificate_sha256: self.certificate_sha256,
            jti_sha256: Some(self.jti_sha256),
        }
    }
}
