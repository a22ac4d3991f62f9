//! The authenticated partner behind a request.

use crate::audit::Actor;
use crate::telemetry::Correlation;

/// The wire versions a partner speaks; read tolerantly, written exactly.
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

/// What a request needs to know of the partner that sent it.
#[derive(Clone, Debug)]
pub struct PartnerRef {
    /// Our id of the partner.
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
    /// The one patient the token is narrowed to, if it is.
    pub patient_id: Option<String>,
    /// SHA-256 of the client certificate of this connection, if one was given.
    pub certificate_sha256: Option<[u8; 32]>,
    /// SHA-256 of the assertion's `jti` that the token was issued for.
    pub jti_sha256: [u8; 32],
    /// SHA-256 of the token.
    pub token_sha256: [u8; 32],
    /// Which state of the partner's registration it was judged by.
    pub partner_version: i64,
    /// The ids of this request.
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
