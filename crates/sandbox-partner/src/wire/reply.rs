//! An answer before it goes out.

use serde_json::Value;

/// A body: whole, or made piece by piece while it is sent, so that memory stays bounded.
pub(crate) enum ReplyBody {
    /// All of it; sent with its length.
    Whole(Vec<u8>),
    /// Pieces of some kilobytes; sent in chunks.
    Pieces(Box<dyn Iterator<Item = Vec<u8>> + Send>),
}

/// An answer.
pub(crate) struct PlayedReply {
    /// The status.
    pub(crate) status: u16,
    /// The headers, without those of the connection.
    pub(crate) headers: Vec<(String, String)>,
    /// The body.
    pub(crate) body: ReplyBody,
}

/// The media type of FHIR.
pub(crate) const FHIR: &str = "application/fhir+json; charset=utf-8";

impl PlayedReply {
    /// A body of this media type.
    pub(crate) fn of(status: u16, media_type: &str, body: Vec<u8>) -> PlayedReply {
        PlayedReply {
            status,
            headers: vec![("Content-Type".into(), media_type.into())],
            body: ReplyBody::Whole(body),
        }
    }

    /// A resource.
    pub(crate) fn resource(status: u16, resource: &Value) -> PlayedReply {
        PlayedReply::of(status, FHIR, resource.to_string().into_bytes())
    }

    /// Plain JSON, as discovery and the token endpoint answer.
    pub(crate) fn json(status: u16, value: &Value) -> PlayedReply {
        PlayedReply::of(status, "application/json", value.to_string().into_bytes())
    }

    /// An OperationOutcome with one issue.
    pub(crate) fn outcome(status: u16, code: &str, text: &str) -> PlayedReply {
        PlayedReply::resource(status, &outcome(code, text))
    }

    /// A resource that is made while it is sent.
    pub(crate) fn stream(pieces: impl Iterator<Item = Vec<u8>> + Send + 'static) -> PlayedReply {
        PlayedReply {
            status: 200,
            headers: vec![("Content-Type".into(), FHIR.into())],
            body: ReplyBody::Pieces(Box::new(pieces)),
        }
    }

    /// Adds a header.
    pub(crate) fn with(mut self, name: &str, value: impl Into<String>) -> PlayedReply {
        self.headers.push((name.into(), value.into()));
        self
    }
}

/// An OperationOutcome with one error.
pub(crate) fn outcome(code: &str, text: &str) -> Value {
    serde_json::json!({
        "resourceType": "OperationOutcome",
        "issue": [{ "severity": "error", "code": code, "details": { "text": text } }]
    })
}
