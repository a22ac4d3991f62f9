//! The answer to one entry of a batch, and how it stands in the Bundle.
//!
//! It reads nothing and grants nothing; the entry was judged before.

use crate::error::Failure;
use crate::fhir::outcome;
use crate::http::document::PublicDocument;
use crate::http::reply::status;
use crate::release::Outgoing;
use actix_web::http::StatusCode;
use actix_web::web::Bytes;
use serde_json::{Map, Value};

/// The answer to one entry.
pub(super) struct EntryAnswer {
    pub(super) status: StatusCode,
    pub(super) etag: Option<String>,
    pub(super) last_modified: Option<String>,
    pub(super) resource: Option<Outgoing>,
}

impl EntryAnswer {
    pub(super) fn found(resource: Outgoing) -> EntryAnswer {
        EntryAnswer {
            status: StatusCode::OK,
            etag: None,
            last_modified: None,
            resource: Some(resource),
        }
    }

    pub(super) fn of(bytes: impl Into<Bytes>) -> EntryAnswer {
        EntryAnswer::found(Outgoing::plain(bytes))
    }

    /// The answer with a public document.
    pub(super) fn document(document: &PublicDocument) -> EntryAnswer {
        EntryAnswer::of(document.bytes().clone())
    }

    pub(super) fn without_resource(self) -> EntryAnswer {
        EntryAnswer { resource: None, ..self }
    }
}

/// The resource of an entry's answer, and the entry's response.
pub(super) fn entry(answer: Result<EntryAnswer, Failure>, base_url: &str) -> (Option<Outgoing>, Vec<u8>) {
    // Every status that is used here has a reason phrase; the number alone would be enough (FHIR R4 Bundle, entry.response.status).
    let line = |status: StatusCode| format!("{} {}", status.as_u16(), status.canonical_reason().unwrap_or(""));
    match answer {
        Ok(answer) => {
            let mut response = Map::new();
            response.insert("status".to_owned(), line(answer.status).into());
            for (name, value) in [("etag", answer.etag), ("lastModified", answer.last_modified)] {
                if let Some(value) = value {
                    response.insert(name.to_owned(), value.into());
                }
            }
            (answer.resource, Value::Object(response).to_string().into_bytes())
        }
        Err(failure) => {
            let line = line(status(failure.fault()));
            let mut response = format!("{{\"status\":\"{line}\",\"outcome\":").into_bytes();
            response.extend_from_slice(&outcome::bytes(&failure, base_url));
            response.push(b'}');
            (None, response)
        }
    }
}
