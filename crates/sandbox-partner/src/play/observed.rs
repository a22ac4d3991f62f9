//! What a test can see afterwards.

use crate::script::SandboxRoute;
use serde::Serialize;
use serde_json::Value;

/// A request that arrived.
#[derive(Clone, Debug, Serialize)]
pub struct SandboxRequest {
    /// Its number among all requests, from 1.
    pub number: u64,
    /// When it arrived, by the sandbox's clock, UTC milliseconds.
    pub at_ms: i64,
    /// What it was for.
    pub route: SandboxRoute,
    /// The method.
    pub method: String,
    /// Path and query.
    pub target: String,
    /// The client, as claimed by its token or assertion.
    pub client: Option<String>,
    /// Patient id of the member whom it was about.
    pub member: Option<String>,
    /// Resource type of a search or a read.
    pub resource: Option<String>,
    /// The page.
    pub page: Option<u64>,
    /// `Idempotency-Key`.
    pub idempotency_key: Option<String>,
    /// `X-Correlation-Id`.
    pub correlation_id: Option<String>,
    /// `traceparent`.
    pub traceparent: Option<String>,
    /// All headers but `Authorization`; names in lower case.
    pub headers: Vec<(String, String)>,
    /// Whether there was an `Authorization` header.
    pub authorized: bool,
    /// SHA-256 of the client certificate, in hex.
    pub certificate: Option<String>,
    /// SHA-256 of the body, in hex.
    pub body_sha256: String,
    /// The first bytes of the body (`keep_body_bytes`).
    #[serde(serialize_with = "as_text")]
    pub body: Vec<u8>,
    /// The rules that fitted, by their place.
    pub rules: Vec<usize>,
    /// The status that was sent; none while it is worked on, and when nothing is sent.
    pub status: Option<u16>,
    /// Bytes of the body that were sent.
    pub sent_bytes: u64,
    /// Whether the request was processed, whatever was sent afterwards.
    pub processed: bool,
    /// Whether it is over.
    pub ended: bool,
    /// What a careful payer would say about it.
    pub complaints: Vec<String>,
}

fn as_text<S: serde::Serializer>(body: &[u8], to: S) -> Result<S::Ok, S::Error> {
    to.serialize_str(&String::from_utf8_lossy(body))
}

/// An effect at the sandbox: what a third party could see of a request.
#[derive(Clone, Debug, Serialize)]
pub struct SandboxEffect {
    /// Of which kind of request.
    pub route: SandboxRoute,
    /// The `Idempotency-Key`; without one `sha256:` and the digest of method, target and body. For a token its `jti`.
    pub key: String,
    /// The client.
    pub client: Option<String>,
    /// Patient id of the member whom it is about.
    pub member: Option<String>,
    /// How often it happened.
    pub count: u64,
    /// Numbers of the first sixteen requests that had it.
    pub requests: Vec<u64>,
}

/// A request that reached the second origin, where nobody should go.
#[derive(Clone, Debug, Serialize)]
pub struct SandboxStray {
    /// The method.
    pub method: String,
    /// Path and query.
    pub target: String,
    /// Whether it had an `Authorization` header.
    pub authorized: bool,
    /// Whether a client certificate was shown.
    pub certificate: bool,
}

/// An acknowledgement that was posted.
#[derive(Clone, Debug, Serialize)]
pub struct SandboxReceipt {
    /// Its id here.
    pub id: String,
    /// Its type.
    pub resource_type: String,
    /// Patient id of the member, where it names one that is known here.
    pub member: Option<String>,
    /// The resource as posted.
    pub resource: Value,
    /// The `Idempotency-Key`.
    pub idempotency_key: Option<String>,
    /// Whether it is confirmed by now.
    pub confirmed: bool,
}
