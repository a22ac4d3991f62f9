//! The public documents: what this server says of itself, made once and kept as bytes until something they tell of changes.
//!
//! Strangers may ask for them as often as their rate allows, so that an answer must cost next to nothing.

use super::conditional::{Conditions, Verdict};
use super::edge::SharedBody;
use super::fhir::{conformance, metadata, modes};
use super::reply::{FHIR_JSON, HttpFailure};
use crate::app::App;
use crate::error::Fault;
use crate::{secret, security};
use actix_web::http::header;
use actix_web::web::Bytes;
use actix_web::{HttpRequest, HttpResponse, ResponseError as _};
use arc_swap::ArcSwap;
use serde_json::Value;
use std::sync::Arc;

/// How long a reader may keep a document without asking again.
const MAX_AGE: &str = "max-age=300";

/// One document.
#[derive(Clone, Debug)]
pub struct Document {
    bytes: Bytes,
    tag: String,
    media_type: &'static str,
}

impl Document {
    fn new(value: &Value, media_type: &'static str) -> Document {
        let bytes = Bytes::from(value.to_string());
        Document {
            tag: secret::hex(&secret::sha256(&bytes)[..12]),
            bytes,
            media_type,
        }
    }

    /// A FHIR resource.
    pub fn fhir(value: &Value) -> Document {
        Document::new(value, FHIR_JSON)
    }

    /// Its bytes.
    pub fn bytes(&self) -> &Bytes {
        &self.bytes
    }

    /// The answer to a request for it. It has no version of its own: its tag is a digest of it.
    pub fn answer(&self, request: &HttpRequest) -> HttpResponse {
        let conditions = Conditions {
            if_modified_since: None,
            if_unmodified_since: None,
            ..Conditions::of(request.headers())
        };
        let verdict = conditions.judge(&self.tag, 0);
        let mut response = match verdict {
            Verdict::Send => HttpResponse::Ok(),
            Verdict::NotModified => HttpResponse::NotModified(),
            Verdict::Failed => return HttpFailure::from(Fault::PreconditionFailed).error_response(),
        };
        response
            .insert_header((header::ETAG, format!("W/\"{}\"", self.tag)))
            .insert_header((header::CACHE_CONTROL, MAX_AGE));
        if verdict == Verdict::NotModified {
            return response.finish();
        }
        let mut answer = response
            .insert_header((header::CONTENT_TYPE, self.media_type))
            .body(self.bytes.clone());
        answer.extensions_mut().insert(SharedBody);
        answer
    }
}

/// A resource that describes this server, with what it is searched by.
#[derive(Clone, Debug)]
pub struct Described {
    /// The resource.
    pub document: Document,
    /// Its elements by name: `id`, `name`, `status`, `url`.
    elements: [(&'static str, String); 4],
}

impl Described {
    /// Keeps a resource.
    pub fn new(resource: &Value) -> Described {
        let element = |name: &'static str| (name, resource[name].as_str().unwrap_or_default().to_owned());
        Described {
            document: Document::fhir(resource),
            elements: ["id", "name", "status", "url"].map(element),
        }
    }

    /// The text of one of the elements it is searched by; empty for any other.
    pub fn element(&self, name: &str) -> &str {
        let found = self.elements.iter().find(|(known, _)| *known == name);
        found.map_or("", |(_, text)| text)
    }
}

/// All documents as they stand at one moment.
pub struct Made {
    /// The CapabilityStatement, for pages.
    pub statement: Arc<Value>,
    /// `metadata`, and its normative and its terminology mode.
    pub capability: Document,
    /// The normative part of it.
    pub normative: Document,
    /// The TerminologyCapabilities.
    pub terminology: Document,
    /// `.well-known/smart-configuration`.
    pub smart: Document,
    /// `.well-known/davinci-configuration`.
    pub davinci: Document,
    /// `.well-known/jwks.json`.
    pub jwks: Document,
    described: Vec<(&'static str, Vec<Described>)>,
}

impl Made {
    fn of(app: &App) -> Made {
        let (base_url, name) = (&app.ctx.payer.base_url, &app.ctx.payer.name);
        let statement = metadata::capability_statement(base_url, name);
        let json = |value: &Value| Document::new(value, "application/json");
        Made {
            capability: Document::fhir(&statement),
            normative: Document::fhir(&modes::normative(statement.clone())),
            terminology: Document::fhir(&modes::terminology(base_url, name, &statement["date"])),
            smart: json(&security::smart_configuration(&app.oauth)),
            davinci: json(&security::davinci_configuration(&app.oauth)),
            jwks: json(&security::jwks()),
            described: conformance::TYPES
                .iter()
                .map(|rtype| (*rtype, conformance::described(rtype, base_url)))
                .collect(),
            statement: Arc::new(statement),
        }
    }

    /// The resources of a conformance type.
    pub fn described(&self, rtype: &str) -> &[Described] {
        let found = self.described.iter().find(|(known, _)| *known == rtype);
        found.map_or(&[], |(_, all)| all)
    }
}

/// The documents in force.
pub struct Documents(ArcSwap<Made>);

impl Documents {
    /// The documents of this application.
    pub fn new(app: &App) -> Documents {
        Documents(ArcSwap::from_pointee(Made::of(app)))
    }

    /// Makes them anew.
    pub fn renew(&self, app: &App) {
        self.0.store(Arc::new(Made::of(app)));
    }

    /// The documents of this moment.
    pub fn now(&self) -> Arc<Made> {
        self.0.load_full()
    }
}
