//! Values that the middleware and the handlers attach to a request for each other: its correlation ids, and its partner.

use crate::telemetry::Correlation;
use actix_web::{HttpMessage as _, HttpRequest};
use std::sync::Arc;

/// The partner that sent a request, for the log line; set when it has authenticated.
#[derive(Clone)]
pub struct SeenPartner(pub String);

/// What the partner that sent a request is told besides the remedies of faults; set when it has authenticated.
#[derive(Clone)]
pub struct PartnerTexts(pub Arc<str>);

/// What somebody asked for by a form, which the page of the answer shows again. It may name a person and goes into no log.
#[derive(Clone, Debug, Default)]
pub struct WantedRequest {
    /// Whether the form was sent by POST.
    pub is_posted: bool,
    /// The path that was asked.
    pub path: String,
    /// What was typed.
    pub fields: Vec<(String, String)>,
}

/// The types of which a reader's partner may read resources, for the start page. Attached to an answer.
#[derive(Clone, Debug)]
pub enum FilledTypes {
    /// Those of which there are any, with counts.
    Counted(Vec<(String, i64)>),
    /// All that its token allows: they could not be counted.
    Uncounted(Vec<String>),
}

impl Default for FilledTypes {
    fn default() -> FilledTypes {
        FilledTypes::Counted(Vec::new())
    }
}

/// The correlation ids of a request, which the middleware has set.
pub fn correlation_of(request: &HttpRequest) -> Correlation {
    request
        .extensions()
        .get::<Correlation>()
        .cloned()
        .unwrap_or_else(|| Correlation::internal(String::new()))
}
