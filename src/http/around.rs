//! What both listeners do around every request: its ids, the size of its head, the methods of a path, and what is logged of a failure.
//!
//! It knows no route, no partner and no operator. Nothing that a caller wrote but its ids gets into a log line.

use crate::error::{Failure, Fault};
use crate::http::notice::EndNotice;
use crate::http::state::App;
use crate::telemetry::Correlation;
use crate::telemetry::spans::{self, SpanKey, SpanName, SpanValue, method_word};
use actix_web::dev::{Payload, ServiceRequest};
use actix_web::error::{InternalError, PayloadError};
use actix_web::http::Method;
use actix_web::http::header::{self, HeaderMap, HeaderName, HeaderValue};
use actix_web::web::Bytes;
use actix_web::{HttpMessage as _, HttpRequest, HttpResponse, Route, guard, web};
use futures_util::{StreamExt as _, stream};
use tracing::Span;

// Names that are made once: a name that is made from its text is read and copied each time.
static REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
static CORRELATION_ID: HeaderName = HeaderName::from_static("x-correlation-id");
static TRACEPARENT: HeaderName = HeaderName::from_static("traceparent");
static CONTRACT_VERSION: HeaderName = HeaderName::from_static("x-causeway-contract");

/// Reads the ids of a request from its headers.
fn correlation(headers: &HeaderMap, app: &App) -> Correlation {
    let text = |name: &HeaderName| headers.get(name).and_then(|value| value.to_str().ok());
    let request_id = app.ctx.ids.new_id(app.ctx.clock.now_ms());
    Correlation::of(
        request_id,
        crate::secret::random_of_many(),
        text(&CORRELATION_ID),
        text(&REQUEST_ID),
        text(&TRACEPARENT),
    )
}

/// Begins a request: its ids, which are attached to it, and its span. The trace of the caller goes on; whether this server keeps it is drawn
/// here, and the flag of the answer says it.
pub(super) fn begin(request: &ServiceRequest, app: &App) -> (Correlation, Span) {
    let mut correlation = correlation(request.headers(), app);
    let span = spans::open(SpanName::Request);
    let given = request.headers().get(&TRACEPARENT);
    let given = given.and_then(|value| value.to_str().ok());
    if let Some(context) = spans::answers(&span, &correlation.traceparent, given) {
        correlation.traceparent = context.text();
    }
    request.extensions_mut().insert(correlation.clone());
    (correlation, span)
}

/// Says in the span of a request what it was and how it was answered: `route` is the template, never the path.
pub(super) fn trace(
    request: &HttpRequest,
    route: &'static str,
    (status, fault): (u16, Option<Fault>),
    correlation: &Correlation,
) {
    let span = Span::current();
    spans::put(&span, SpanKey::Route, route);
    spans::put(&span, SpanKey::Method, method_word(request.method().as_str()));
    spans::put(&span, SpanKey::Status, SpanValue::count(status));
    spans::put_id(&span, SpanKey::RequestId, &correlation.request_id);
    if let Some(fault) = fault {
        spans::put(&span, SpanKey::Fault, fault.code());
    }
    if status >= 500 {
        spans::fail(&span);
    }
}

/// The version of what programs outside may rely on, as `X-Causeway-Contract` has it (docs/partners/versions.md).
const CONTRACT: &str = "1";

/// Puts the version of the contract and the ids of a request on its answer, and that no browser guesses its type.
pub(super) fn put_headers(headers: &mut HeaderMap, correlation: &Correlation) {
    for (name, value) in [
        (&REQUEST_ID, &correlation.request_id),
        (&CORRELATION_ID, &correlation.correlation_id),
        (&TRACEPARENT, &correlation.traceparent),
    ] {
        if let Ok(value) = HeaderValue::from_str(value) {
            headers.insert(name.clone(), value);
        }
    }
    for (name, value) in [
        (&CONTRACT_VERSION, CONTRACT),
        (&header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
    ] {
        headers.insert(name.clone(), HeaderValue::from_static(value));
    }
}

/// Puts on an answer that its address ends, if it does.
pub(super) fn put_notice(headers: &mut HeaderMap, ends: Option<EndNotice>) {
    if let Some(notice) = ends {
        notice.put(headers);
    }
}

/// Headers of the answer itself, not of its body: an answer that takes the place of another keeps them.
const KEPT: [&str; 8] = [
    "x-causeway-contract",
    "x-request-id",
    "x-correlation-id",
    "traceparent",
    "x-content-type-options",
    "strict-transport-security",
    "deprecation",
    "sunset",
];

/// Gives `answer` the headers that every answer has, from the answer whose place it takes.
pub(super) fn keep_headers(of: &HeaderMap, answer: &mut HttpResponse) {
    for name in KEPT {
        if let Some(value) = of.get(name) {
            answer
                .headers_mut()
                .insert(HeaderName::from_static(name), value.clone());
        }
    }
}

/// Refuses a request whose head has more than `most_bytes`.
///
/// # Errors
/// [`Fault::HeadTooLarge`].
pub(super) fn head_fits(request: &ServiceRequest, most_bytes: usize) -> Result<(), Fault> {
    let line = request.method().as_str().len() + request.uri().path().len() + request.query_string().len();
    let fields = request
        .headers()
        .iter()
        .map(|(name, value)| name.as_str().len() + value.len() + 4);
    match line + fields.sum::<usize>() > most_bytes {
        true => Err(Fault::HeadTooLarge),
        false => Ok(()),
    }
}

/// A route for a method of a table of routes: GET serves HEAD too, and the body of that answer stays here.
pub(super) fn serving(method: &str) -> Route {
    match method {
        "POST" => web::post(),
        "DELETE" => web::delete(),
        _ => web::route().guard(guard::Any(guard::Get()).or(guard::Head())),
    }
}

/// The value of `Allow` where these methods of a table of routes are served.
pub(super) fn allowed<'a>(methods: impl Iterator<Item = &'a str>) -> String {
    let mut allowed: Vec<&str> = methods.collect();
    if let Some(at) = allowed.iter().position(|method| *method == "GET") {
        allowed.insert(at + 1, "HEAD");
    }
    allowed.join(", ")
}

/// Errors of the framework itself (bad framing, bad UTF-8) become rows of our table.
pub(super) fn into_failure(error: &actix_web::Error) -> Failure {
    let status = error.as_response_error().status_code().as_u16();
    let fault = match status {
        404 => Fault::RouteUnknown,
        405 => Fault::MethodRefused,
        408 => Fault::RequestTimeout,
        413 => Fault::TooLarge,
        415 => Fault::MediaTypeRefused,
        400..=499 => Fault::ParameterInvalid,
        _ => Fault::Internal,
    };
    Failure::new(fault).because(format!("framework error, status {status}"))
}

/// Refuses a body that has no end, as malformed, if the request has one; returns whether it has. The connection must then be closed.
pub(super) fn ends_body(request: &mut ServiceRequest) -> bool {
    let is_endless = has_no_end(request);
    if is_endless {
        // The HTTP library would wait for it until the connection ends; a handler that reads it refuses it as malformed.
        let malformed = stream::iter([Err::<Bytes, _>(PayloadError::EncodingCorrupted)]);
        request.set_payload(Payload::from(malformed.boxed_local()));
    }
    is_endless
}

/// Whether the HTTP library takes everything that follows the head for its body, whatever length it tells: the head asks for a WebSocket, or
/// for a tunnel.
fn has_no_end(request: &ServiceRequest) -> bool {
    let headers = request.headers();
    let mut wishes = headers.get_all(header::UPGRADE).filter_map(|wish| wish.to_str().ok());
    let is_web_socket = wishes.any(|wish| wish.trim().eq_ignore_ascii_case("websocket"));
    let is_tunnel = request.method() == Method::CONNECT;
    (is_web_socket || is_tunnel) && !headers.contains_key(header::TRANSFER_ENCODING)
}

/// A failure after which the request is gone: the answer travels inside the error.
pub(super) fn lost(failure: Failure, mut answer: HttpResponse, correlation: &Correlation) -> actix_web::Error {
    log_cause(&failure, correlation);
    put_headers(answer.headers_mut(), correlation);
    tracing::warn!(
        fault = failure.fault().code(),
        request.id = correlation.request_id,
        "a request was given up"
    );
    let (span, status) = (Span::current(), answer.status().as_u16());
    spans::put(&span, SpanKey::Fault, failure.fault().code());
    spans::put(&span, SpanKey::Status, SpanValue::count(status));
    spans::put_id(&span, SpanKey::RequestId, &correlation.request_id);
    if status >= 500 {
        spans::fail(&span);
    }
    InternalError::from_response(failure, answer).into()
}

/// Logs what was behind a failure, if anything was.
pub(super) fn log_cause(failure: &Failure, correlation: &Correlation) {
    if let Some(cause) = failure.cause() {
        let fault = failure.fault().code();
        if failure.fault().row().http >= 500 {
            tracing::error!(fault, request.id = correlation.request_id, cause = %cause, "a request failed");
        } else {
            tracing::debug!(fault, request.id = correlation.request_id, cause = %cause, "a request was refused");
        }
    }
}
