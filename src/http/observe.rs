//! What happens around every request: correlation ids, limits, time, the final body of a failure, the ledger entry of a
//! refusal, one log line, metrics.
//!
//! A log line names the route, never the path; no header, query or body of the caller gets into it.

use super::edge::{self, Seat};
use super::refused;
use super::reply::{HttpFailure, Noted, keep_fault, outcome_response};
use super::represent;
use super::routes::{self, Access};
use crate::app::App;
use crate::config::Limits;
use crate::error::{Failure, Fault};
use crate::security::PeerCertificate;
use crate::telemetry::{Correlation, metrics as families};
use actix_web::body::{BoxBody, MessageBody};
use actix_web::dev::{ServiceRequest, ServiceResponse};
use actix_web::error::InternalError;
use actix_web::http::header::{self, HeaderMap, HeaderName, HeaderValue};
use actix_web::http::{ConnectionType, Method};
use actix_web::middleware::Next;
use actix_web::{HttpMessage as _, HttpRequest, HttpResponse, web};
use std::time::{Duration, Instant};

/// The partner behind a request, for the log line; set when it has authenticated.
#[derive(Clone)]
pub struct SeenPartner(pub String);

/// The middleware.
pub async fn observe(
    request: ServiceRequest,
    next: Next<impl MessageBody + 'static>,
) -> Result<ServiceResponse<BoxBody>, actix_web::Error> {
    let started = Instant::now();
    let app = request.app_data::<web::Data<App>>().cloned();
    let seat = edge::seat_of(request.request());
    let (Some(app), Some(seat)) = (app, seat) else {
        return Ok(request.into_response(HttpResponse::InternalServerError().finish()));
    };
    let correlation = correlation(request.headers(), &app);
    request.extensions_mut().insert(correlation.clone());
    let base_url = app.ctx.payer.base_url.clone();
    let certificate = request.conn_data::<PeerCertificate>().cloned();

    // The request must not be cloned before it is routed: the router needs it for itself.
    let may_enter = admitted(&request, &seat, app.config.limits.head_bytes);
    let mut response = match may_enter {
        Err(fault) => {
            let mut answer = outcome_response(&fault.into(), &base_url);
            answer.extensions_mut().insert(fault);
            if fault != Fault::Overloaded {
                answer.head_mut().set_connection_type(ConnectionType::Close);
            }
            request.into_response(answer)
        }
        Ok(()) => match in_time(&app.config.limits, &seat, next.call(request)).await {
            Some(Ok(response)) => with_outcome(response, &base_url, &correlation),
            Some(Err(error)) => {
                let failure = into_failure(&error);
                refused::note(&app, &correlation, None, certificate.as_ref(), None, &failure).await;
                return Err(lost(failure, &base_url, &correlation));
            }
            None => {
                let failure = Failure::new(Fault::Overloaded).because("the handler took too long");
                refused::note(&app, &correlation, None, certificate.as_ref(), None, &failure).await;
                return Err(lost(failure, &base_url, &correlation));
            }
        },
    };
    let (fault, is_noted) = {
        let extensions = response.response().extensions();
        (extensions.get::<Fault>().copied(), extensions.contains::<Noted>())
    };
    if let Some(fault) = fault.filter(|_| !is_noted) {
        let request = response.request();
        let partner = request.extensions().get::<SeenPartner>().map(|seen| seen.0.clone());
        let route = routes::of(request);
        refused::note(&app, &correlation, partner, certificate.as_ref(), route, &fault.into()).await;
    }
    if let Some(fault) = fault {
        seat.is_refused(fault);
    }
    put_headers(response.headers_mut(), &correlation);
    record(&response, &correlation, fault, started.elapsed());
    Ok(response)
}

/// What `work` gives, unless it takes too long. The time of the work begins when the request's body is there; that has a limit of
/// its own.
async fn in_time<T>(limits: &Limits, seat: &Seat, work: impl Future<Output = T>) -> Option<T> {
    let mut work = std::pin::pin!(work);
    let begun = tokio::time::Instant::now();
    let mut until = begun + limits.handler;
    loop {
        match tokio::time::timeout_at(until, work.as_mut()).await {
            Ok(done) => return Some(done),
            Err(_) => {
                let later = seat.work_since().unwrap_or(begun + limits.body) + limits.handler;
                if later <= until {
                    return None;
                }
                until = later;
            }
        }
    }
}

/// Refuses what must not get as far as a route.
fn admitted(request: &ServiceRequest, seat: &Seat, head_max: usize) -> Result<(), Fault> {
    let has_token = request.headers().contains_key(header::AUTHORIZATION);
    seat.enter(has_token)?;
    let line = request.method().as_str().len() + request.uri().path().len() + request.query_string().len();
    let fields = request
        .headers()
        .iter()
        .map(|(name, value)| name.as_str().len() + value.len() + 4);
    match line + fields.sum::<usize>() > head_max {
        true => Err(Fault::HeadTooLarge),
        false => Ok(()),
    }
}

/// Gives a failure that a handler returned the body that knows our base URL.
fn with_outcome(
    response: ServiceResponse<impl MessageBody + 'static>,
    base_url: &str,
    correlation: &Correlation,
) -> ServiceResponse<BoxBody> {
    let answer = match response
        .response()
        .error()
        .and_then(|error| error.as_error::<HttpFailure>())
    {
        None => return response.map_into_boxed_body(),
        Some(HttpFailure(failure)) => {
            log_cause(failure, correlation);
            let mut answer = outcome_response(failure, base_url);
            keep_fault(&mut answer, failure);
            answer
        }
    };
    ServiceResponse::new(response.into_parts().0, answer)
}

/// A failure after which the request is gone: the answer travels inside the error.
fn lost(failure: Failure, base_url: &str, correlation: &Correlation) -> actix_web::Error {
    log_cause(&failure, correlation);
    let mut answer = outcome_response(&failure, base_url);
    put_headers(answer.headers_mut(), correlation);
    count_refusal(failure.fault());
    tracing::warn!(
        fault = failure.fault().code(),
        request.id = correlation.request_id,
        "a request was given up"
    );
    InternalError::from_response(failure, answer).into()
}

/// Where nothing matches; what ends with the name of an operation asks for one that is not served.
pub async fn route_unknown(request: HttpRequest) -> Result<HttpResponse, HttpFailure> {
    let last = request.path().rsplit('/').next().unwrap_or_default();
    let is_operation = request.path().starts_with("/fhir/") && (last.starts_with('$') || last.starts_with("%24"));
    Err(match is_operation {
        true => Fault::OperationNotServed.into(),
        false => Fault::RouteUnknown.into(),
    })
}

/// Where a type would have an operation that is not served.
pub async fn operation_unknown() -> Result<HttpResponse, HttpFailure> {
    Err(Fault::OperationNotServed.into())
}

/// Where the path is known and the method is not; `Allow` names those that are. A preflight of a public document is answered.
pub async fn method_refused(request: HttpRequest, app: web::Data<App>) -> HttpResponse {
    let pattern = request.match_pattern().unwrap_or_default();
    let rows: Vec<&routes::Route> = routes::ROUTES.iter().filter(|route| route.path == pattern).collect();
    let is_public = rows.iter().all(|route| route.access == Access::Public);
    let mut allowed: Vec<&str> = rows.iter().map(|route| route.method).collect();
    if let Some(at) = allowed.iter().position(|method| *method == "GET") {
        allowed.insert(at + 1, "HEAD");
    }
    if is_public {
        allowed.push("OPTIONS");
    }
    let allowed = allowed.join(", ");
    if is_public && request.method() == Method::OPTIONS {
        return represent::preflight(&allowed);
    }
    let mut response = outcome_response(&Failure::new(Fault::MethodRefused), &app.ctx.payer.base_url);
    if let Ok(value) = HeaderValue::from_str(&allowed) {
        response.headers_mut().insert(HeaderName::from_static("allow"), value);
    }
    response.extensions_mut().insert(Fault::MethodRefused);
    response
}

/// The correlation ids of a request; there once the middleware ran.
pub fn correlation_of(request: &HttpRequest) -> Correlation {
    request
        .extensions()
        .get::<Correlation>()
        .cloned()
        .unwrap_or_else(|| Correlation::internal(String::new()))
}

fn correlation(headers: &HeaderMap, app: &App) -> Correlation {
    let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
    let request_id = app.ctx.ids.new_id(app.ctx.clock.now_ms());
    Correlation::of(
        request_id,
        crate::secret::random(),
        text("x-correlation-id"),
        text("x-request-id"),
        text("traceparent"),
    )
}

fn put_headers(headers: &mut HeaderMap, correlation: &Correlation) {
    for (name, value) in [
        ("x-request-id", &correlation.request_id),
        ("x-correlation-id", &correlation.correlation_id),
        ("traceparent", &correlation.traceparent),
    ] {
        if let Ok(value) = HeaderValue::from_str(value) {
            headers.insert(HeaderName::from_static(name), value);
        }
    }
    headers.insert(
        HeaderName::from_static("x-content-type-options"),
        HeaderValue::from_static("nosniff"),
    );
    headers.insert(
        HeaderName::from_static("strict-transport-security"),
        HeaderValue::from_static("max-age=31536000"),
    );
}

/// Errors of the framework itself (bad framing, bad UTF-8) become rows of our table.
fn into_failure(error: &actix_web::Error) -> Failure {
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

fn log_cause(failure: &Failure, correlation: &Correlation) {
    if let Some(cause) = failure.cause() {
        let fault = failure.fault().code();
        if failure.fault().row().http >= 500 {
            tracing::error!(fault, request.id = correlation.request_id, cause = %cause, "a request failed");
        } else {
            tracing::debug!(fault, request.id = correlation.request_id, cause = %cause, "a request was refused");
        }
    }
}

fn count_refusal(fault: Fault) {
    metrics::counter!(families::REFUSALS, "fault" => fault.code()).increment(1);
}

fn record(response: &ServiceResponse<BoxBody>, correlation: &Correlation, fault: Option<Fault>, took: Duration) {
    let request = response.request();
    let route = routes::of(request).map_or(routes::UNMATCHED, |route| route.path);
    let status = response.status().as_u16();
    let code = fault.map_or("", Fault::code);
    let partner = request
        .extensions()
        .get::<SeenPartner>()
        .map(|seen| seen.0.clone())
        .unwrap_or_default();
    metrics::counter!(families::REQUESTS, "route" => route, "status" => status.to_string(), "fault" => code)
        .increment(1);
    metrics::histogram!(families::SECONDS, "route" => route).record(took.as_secs_f64());
    if let Some(fault) = fault {
        count_refusal(fault);
    }
    tracing::info!(
        route,
        method = request.method().as_str(),
        status,
        fault = code,
        partner.id = partner,
        request.id = correlation.request_id,
        correlation.id = correlation.correlation_id,
        traceparent = correlation.traceparent,
        took_us = u64::try_from(took.as_micros()).unwrap_or(u64::MAX),
        "answered"
    );
}
