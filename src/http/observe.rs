//! The middleware around every request: correlation ids, limits, time limits, the final body of a failure, the ledger entry of a refusal,
//! one log line, and metrics.
//!
//! A log line names the route, never the path; it contains no header, query or body of the caller.

use super::around;
use super::edge::{self, Seat};
use super::explorer::{self, ShownProof};
use super::measured;
use super::oauth;
use super::refused;
use super::reply::{HttpFailure, Noted, keep_fault, outcome_response, outcome_response_with};
use super::represent;
use super::request_notes::{PartnerTexts, SeenPartner, correlation_of};
use super::routes::{self, RouteAccess};
use crate::config::LimitsConfig;
use crate::error::{Failure, Fault};
use crate::http::state::App;
use crate::security::PeerCertificate;
use crate::telemetry::spans::{self, SpanKey, SpanNote};
use crate::telemetry::{Correlation, metrics as families};
use actix_web::body::{BoxBody, MessageBody};
use actix_web::dev::{ServiceRequest, ServiceResponse};
use actix_web::http::header::{self, HeaderMap, HeaderName, HeaderValue};
use actix_web::http::{ConnectionType, Method};
use actix_web::middleware::Next;
use actix_web::{HttpMessage as _, HttpRequest, HttpResponse, web};
use std::time::{Duration, Instant};
use tracing::{Instrument as _, Span};

/// Time limit for finding the partner behind a token before the request takes its place. When it is exceeded, the request takes a
/// stranger's place.
const TOKEN_TIME: Duration = Duration::from_secs(1);

/// The middleware.
pub async fn observe(
    request: ServiceRequest,
    next: Next<impl MessageBody + 'static>,
) -> Result<ServiceResponse<BoxBody>, actix_web::Error> {
    let app = request.app_data::<web::Data<App>>().cloned();
    let seat = edge::seat_of(request.request());
    let (Some(app), Some(seat)) = (app, seat) else {
        return Ok(request.into_response(HttpResponse::InternalServerError().finish()));
    };
    let (correlation, span) = around::begin(&request, &app);
    observed(request, next, &app, &seat, correlation).instrument(span).await
}

/// What is inside of the span of the request.
async fn observed(
    mut request: ServiceRequest,
    next: Next<impl MessageBody + 'static>,
    app: &App,
    seat: &Seat,
    correlation: Correlation,
) -> Result<ServiceResponse<BoxBody>, actix_web::Error> {
    let started = Instant::now();
    let base_url = app.ctx.payer.base_url.clone();
    let certificate = request.conn_data::<PeerCertificate>().cloned();

    let is_of_oauth = request.path().starts_with("/oauth/");
    if explorer::arrives(request.request(), app) {
        // A page of a session is made for this request: what the browser has is another's, or of before.
        request.headers_mut().remove(header::IF_NONE_MATCH);
        request.headers_mut().remove(header::IF_MODIFIED_SINCE);
    }

    // The request must not be cloned before it is routed, because the router needs exclusive access to it.
    let may_enter = admitted(&request, seat, app, &correlation).await;
    let mut response = match may_enter {
        Err(fault) => {
            let mut answer = refusal(&fault.into(), is_of_oauth, &base_url);
            answer.extensions_mut().insert(fault);
            if seat.ends_with(fault) {
                answer.head_mut().set_connection_type(ConnectionType::Close);
            }
            request.into_response(answer)
        }
        Ok(()) => {
            let served = match in_time(&app.config.limits, seat, next.call(request)).await {
                Some(Ok(response)) => Ok(with_outcome(response, &base_url, &correlation)),
                Some(Err(error)) => Err(around::into_failure(&error)),
                None => {
                    spans::note(SpanNote::Timeout, Vec::new());
                    Err(Failure::new(Fault::Overloaded).because("the handler took too long"))
                }
            };
            match served {
                Ok(response) => response,
                Err(failure) => {
                    let noted = refused::note(app, &correlation, None, certificate.as_ref(), None, &failure);
                    noted.await;
                    count_refusal(failure.fault());
                    let mut answer = refusal(&failure, is_of_oauth, &base_url);
                    put_security(answer.headers_mut());
                    return Err(around::lost(failure, answer, &correlation));
                }
            }
        }
    };
    // A handler may have found what the request belongs to.
    let correlation = correlation_of(response.request());
    let (fault, is_noted) = {
        let extensions = response.response().extensions();
        (extensions.get::<Fault>().copied(), extensions.contains::<Noted>())
    };
    if let Some(fault) = fault.filter(|_| !is_noted) {
        let request = response.request();
        let partner = request.extensions().get::<SeenPartner>().map(|seen| seen.0.clone());
        let route = routes::of(request);
        refused::note(app, &correlation, partner, certificate.as_ref(), route, &fault.into()).await;
    }
    if let Some(fault) = fault {
        seat.is_refused(fault);
    }
    let route = routes::of(response.request());
    around::put_headers(response.headers_mut(), &correlation);
    around::put_notice(response.headers_mut(), route.and_then(|route| route.ends));
    put_security(response.headers_mut());
    record(&response, route, &correlation, fault, started.elapsed());
    Ok(response)
}

/// Runs `work` within the time limit and returns its result; `None` when it took too long. The time starts when the request's body has
/// arrived, which has a limit of its own.
async fn in_time<T>(limits: &LimitsConfig, seat: &Seat, work: impl Future<Output = T>) -> Option<T> {
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

/// Makes a refusal in the format of the endpoint: OAuth JSON or an OperationOutcome.
fn refusal(failure: &Failure, is_of_oauth: bool, base_url: &str) -> HttpResponse {
    match is_of_oauth {
        true => oauth::token::refusal(failure),
        false => outcome_response(failure, base_url),
    }
}

/// Refuses requests that must not reach a route. A request with a valid token counts as its partner's before it takes a place.
async fn admitted(request: &ServiceRequest, seat: &Seat, app: &App, correlation: &Correlation) -> Result<(), Fault> {
    let has_token =
        request.headers().contains_key(header::AUTHORIZATION) || explorer::session_of(request.request()).is_some();
    if !has_token && seat.is_stale() {
        Box::pin(look_again(request, seat, app)).await;
    }
    seat.asks(has_token)?;
    if has_token && let Some(looking) = seat.shows_token()? {
        let partner = Box::pin(partner_of(request, app, correlation)).await;
        if let Some(partner) = partner {
            seat.is_of(&partner)?;
        }
        drop(looking);
    }
    seat.enter()?;
    around::head_fits(request, app.config.limits.head_bytes)
}

/// Looks again whether a connection that shows no token is still its partner's. Requests for public documents are judged nowhere else.
async fn look_again(request: &ServiceRequest, seat: &Seat, app: &App) {
    let asked = app.authority.standing(&app.ctx, request.conn_data::<PeerCertificate>());
    match tokio::time::timeout(TOKEN_TIME, asked).await {
        Ok(Ok(Some(standing))) if standing.is_active => seat.is_standing(),
        Ok(Ok(Some(_))) => seat.is_refused(Fault::PartnerSuspended),
        Ok(Ok(None)) => seat.is_refused(Fault::TokenMissing),
        Ok(Err(failure)) => seat.is_refused(failure.fault()),
        // The store is slow: nothing is known, and nothing changes.
        Err(_) => {}
    }
}

/// The partner that owns the request's token, if it is valid and found in time. The handler authenticates again, and only that result
/// grants anything; it can reuse what the store returned here.
async fn partner_of(request: &ServiceRequest, app: &App, correlation: &Correlation) -> Option<String> {
    let proof = ShownProof::of(request.request());
    let token = proof.token().ok().flatten();
    let asked = app
        .authority
        .authenticate(&app.ctx, token, proof.certificate(), correlation.clone());
    let caller = tokio::time::timeout(TOKEN_TIME, asked).await.ok()?.ok()?;
    Some(caller.partner.id)
}

/// Replaces the body of a failure that a handler returned by one that contains the base URL.
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
            around::log_cause(failure, correlation);
            let texts = response.request().extensions().get::<PartnerTexts>().cloned();
            let texts = texts.as_ref().map(|texts| &*texts.0);
            let mut answer = outcome_response_with(failure, base_url, texts);
            keep_fault(&mut answer, failure);
            answer
        }
    };
    ServiceResponse::new(response.into_parts().0, answer)
}

/// Answers a request that matches no route. A path that ends with the name of an operation gets the fault for unknown operations.
pub async fn route_unknown(request: HttpRequest) -> Result<HttpResponse, HttpFailure> {
    let last = request.path().rsplit('/').next().unwrap_or_default();
    let is_operation = request.path().starts_with("/fhir/") && (last.starts_with('$') || last.starts_with("%24"));
    Err(match is_operation {
        true => Fault::OperationNotServed.into(),
        false => Fault::RouteUnknown.into(),
    })
}

/// Answers a request for an operation on a type that is not supported.
pub async fn operation_unknown() -> Result<HttpResponse, HttpFailure> {
    Err(Fault::OperationNotServed.into())
}

/// Answers a request with a wrong method on a known path; `Allow` lists the right ones. Answers a preflight of a public document.
pub async fn method_refused(request: HttpRequest, app: web::Data<App>) -> HttpResponse {
    let pattern = request.match_pattern().unwrap_or_default();
    let rows: Vec<&routes::Route> = routes::served().filter(|route| route.path == pattern).collect();
    let is_public = rows.iter().all(|route| route.access == RouteAccess::Public);
    let mut allowed = around::allowed(rows.iter().map(|route| route.method));
    if is_public {
        allowed.push_str(", OPTIONS");
    }
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

/// Tells browsers and clients to keep to TLS.
fn put_security(headers: &mut HeaderMap) {
    headers.insert(
        header::STRICT_TRANSPORT_SECURITY,
        HeaderValue::from_static("max-age=31536000"),
    );
}

fn count_refusal(fault: Fault) {
    metrics::counter!(families::REFUSALS, "fault" => fault.code()).increment(1);
}

fn record(
    response: &ServiceResponse<BoxBody>,
    route: Option<&'static routes::Route>,
    correlation: &Correlation,
    fault: Option<Fault>,
    took: Duration,
) {
    let request = response.request();
    let route = route.map_or(routes::UNMATCHED, |route| route.path);
    let status = response.status().as_u16();
    let code = fault.map_or("", Fault::code);
    let extensions = request.extensions();
    let partner = extensions.get::<SeenPartner>().map_or("", |seen| seen.0.as_str());
    measured::request(route, status, code, took);
    around::trace(request, route, (status, fault), correlation);
    if !partner.is_empty() {
        spans::put_id(&Span::current(), SpanKey::Partner, partner);
    }
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
