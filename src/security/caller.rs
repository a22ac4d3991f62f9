//! The authenticated partner behind a request.

use crate::audit::Actor;
use crate::error::{Failure, Fault};
use crate::store::partners::PartnerRow;
use crate::telemetry::Correlation;
use std::sync::Arc;

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
    /// What it is told besides the remedies of faults ([`crate::error::text_for`]).
    pub error_texts: Option<Arc<str>>,
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

/// What a job keeps of the caller who asked for it, as JSON in the job's row. The partner is read again when the job works.
#[derive(Clone, Debug, serde::Serialize, serde::Deserialize)]
pub struct JobCaller {
    client_id: String,
    certificate_sha256: Option<[u8; 32]>,
    jti_sha256: [u8; 32],
    correlation: (String, String, String),
}

impl From<&Caller> for JobCaller {
    fn from(caller: &Caller) -> JobCaller {
        let Correlation {
            request_id,
            correlation_id,
            traceparent,
        } = caller.correlation.clone();
        JobCaller {
            client_id: caller.client_id.clone(),
            certificate_sha256: caller.certificate_sha256,
            jti_sha256: caller.jti_sha256,
            correlation: (request_id, correlation_id, traceparent),
        }
    }
}

impl JobCaller {
    /// The caller, for work in the name of `partner` as it is registered now. No token stands behind it.
    ///
    /// # Errors
    /// [`Fault::StoreDamaged`] for a dialect that cannot be read.
    pub fn caller(&self, partner: &PartnerRow) -> Result<Caller, Failure> {
        let dialect =
            serde_json::from_str(&partner.dialect).map_err(|error| Failure::new(Fault::StoreDamaged).because(error))?;
        let (request_id, correlation_id, traceparent) = self.correlation.clone();
        Ok(Caller {
            partner: PartnerRef {
                id: partner.id.clone(),
                npi: partner.npi.clone(),
                dialect,
                error_texts: None,
            },
            client_id: self.client_id.clone(),
            scope: String::new(),
            patient_id: None,
            certificate_sha256: self.certificate_sha256,
            jti_sha256: self.jti_sha256,
            token_sha256: [0; 32],
            token_expires_ms: 0,
            partner_version: partner.version,
            correlation: Correlation {
                request_id,
                correlation_id,
                traceparent,
            },
        })
    }
}
