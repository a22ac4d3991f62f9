//! Turns failures into HTTP answers: an OperationOutcome, and the headers that belong to the status.

use crate::error::{Failure, Fault, Retry};
use crate::fhir::outcome;
use actix_web::http::{StatusCode, header};
use actix_web::{HttpResponse, HttpResponseBuilder, ResponseError};
use std::fmt;

/// The FHIR media type of answers.
pub const FHIR_JSON: &str = "application/fhir+json; charset=utf-8";

/// A failure returned by a handler. The middleware writes its final body, because only the middleware knows the base URL.
#[derive(Debug)]
pub struct HttpFailure(pub Failure);

impl From<Failure> for HttpFailure {
    fn from(failure: Failure) -> Self {
        HttpFailure(failure)
    }
}

impl From<Fault> for HttpFailure {
    fn from(fault: Fault) -> Self {
        HttpFailure(fault.into())
    }
}

impl fmt::Display for HttpFailure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl ResponseError for HttpFailure {
    fn status_code(&self) -> StatusCode {
        status(self.0.fault())
    }

    fn error_response(&self) -> HttpResponse {
        outcome_response(&self.0, "")
    }
}

/// Marks an answer whose refusal is in the ledger already.
pub struct Noted;

/// Attaches its fault to an answer, for the middleware.
pub fn keep_fault(answer: &mut HttpResponse, failure: &Failure) {
    let mut extensions = answer.extensions_mut();
    extensions.insert(failure.fault());
    if failure.is_noted() {
        extensions.insert(Noted);
    }
}

/// The HTTP status of a fault.
pub fn status(fault: Fault) -> StatusCode {
    StatusCode::from_u16(fault.row().http).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR)
}

/// The OperationOutcome answer of a failure.
pub fn outcome_response(failure: &Failure, base_url: &str) -> HttpResponse {
    outcome_response_with(failure, base_url, None)
}

/// The same for a partner with texts of its own, of which the one for this fault follows the remedy.
pub fn outcome_response_with(failure: &Failure, base_url: &str, texts: Option<&str>) -> HttpResponse {
    let mut response = HttpResponse::build(status(failure.fault()));
    error_headers(&mut response, failure.fault());
    if let Some(seconds) = failure.known_wait_s() {
        response.insert_header((header::RETRY_AFTER, seconds.to_string()));
    }
    response
        .insert_header((header::CONTENT_TYPE, FHIR_JSON))
        .body(outcome::bytes_with(failure, base_url, texts))
}

/// Adds `WWW-Authenticate`, `Retry-After` and `Cache-Control` as the status requires (RFC 6750 section 3, RFC 9110).
pub fn error_headers(response: &mut HttpResponseBuilder, fault: Fault) {
    let row = fault.row();
    response.insert_header((header::CACHE_CONTROL, "no-store"));
    match row.http {
        401 if fault == Fault::TokenMissing => {
            response.insert_header((header::WWW_AUTHENTICATE, "Bearer"));
        }
        401 => {
            response.insert_header((header::WWW_AUTHENTICATE, "Bearer error=\"invalid_token\""));
        }
        403 if fault == Fault::ScopeMissing => {
            response.insert_header((header::WWW_AUTHENTICATE, "Bearer error=\"insufficient_scope\""));
        }
        _ => {}
    }
    if row.retry == Retry::Backoff {
        let jitter = u64::from(crate::secret::random::<1>()[0] % 4);
        response.insert_header((header::RETRY_AFTER, (2 + jitter).to_string()));
    }
}
