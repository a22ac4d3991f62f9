//! `/oauth/token`, `/oauth/introspect` and `/oauth/revoke`: pass the request to `security`, and answer in the formats of RFC 6749, 7662 and
//! 7009.
//!
//! The work after the body is boxed, so that a request that waits for its body does not hold memory for it.

use crate::error::{Failure, Fault};
use crate::http::reply::{error_headers, keep_fault};
use crate::http::request_notes::correlation_of;
use crate::http::state::App;
use crate::http::{body, edge};
use crate::security::{self, OauthRequest, PeerCertificate, oauth_error};
use actix_web::http::{StatusCode, header};
use actix_web::{HttpRequest, HttpResponse, HttpResponseBuilder, web};
use serde_json::{Value, json};

/// `POST /oauth/token`.
pub async fn post(request: HttpRequest, payload: web::Payload, app: web::Data<App>) -> HttpResponse {
    let done = async {
        let bytes = form(&request, payload).await?;
        Box::pin(security::issue(&app.ctx, &app.oauth, wanted(&request, &bytes))).await
    };
    match done.await {
        Ok(answer) => {
            if let Some(seat) = edge::seat_of(&request) {
                seat.got_token(&answer.partner_id);
            }
            json_answer(StatusCode::OK, &answer.to_json())
        }
        Err(failure) => refusal(&failure),
    }
}

/// `POST /oauth/introspect`.
pub async fn introspect(request: HttpRequest, payload: web::Payload, app: web::Data<App>) -> HttpResponse {
    let done = async {
        let bytes = form(&request, payload).await?;
        Box::pin(security::introspect(
            &app.ctx,
            &app.oauth,
            &app.authority,
            wanted(&request, &bytes),
        ))
        .await
    };
    match done.await {
        Ok(answer) => json_answer(StatusCode::OK, &answer),
        Err(failure) => refusal(&failure),
    }
}

/// `POST /oauth/revoke`.
pub async fn revoke(request: HttpRequest, payload: web::Payload, app: web::Data<App>) -> HttpResponse {
    let done = async {
        let bytes = form(&request, payload).await?;
        Box::pin(security::revoke(
            &app.ctx,
            &app.oauth,
            &app.authority,
            wanted(&request, &bytes),
        ))
        .await
    };
    match done.await {
        Ok(()) => HttpResponse::Ok()
            .insert_header((header::CACHE_CONTROL, "no-store"))
            .finish(),
        Err(failure) => refusal(&failure),
    }
}

async fn form(request: &HttpRequest, payload: web::Payload) -> Result<web::Bytes, Failure> {
    body::any(request, payload, security::form::FORM_BYTES)
        .await
        .map_err(|failure| match failure.fault() {
            // These faults are not about the form of the request, but about its timing and the server's load.
            Fault::RequestTimeout | Fault::Overloaded | Fault::RateLimited | Fault::AddressLimited => failure,
            _ => Failure::new(Fault::OauthRequest).because(failure),
        })
}

fn wanted<'a>(request: &'a HttpRequest, bytes: &'a [u8]) -> OauthRequest<'a> {
    OauthRequest {
        body: bytes,
        content_type: request
            .headers()
            .get(header::CONTENT_TYPE)
            .and_then(|value| value.to_str().ok()),
        has_query: !request.query_string().is_empty(),
        authorization: request
            .headers()
            .get(header::AUTHORIZATION)
            .and_then(|value| value.to_str().ok()),
        certificate: request.conn_data::<PeerCertificate>(),
        address: request.peer_addr().map(|peer| peer.ip()),
        correlation: correlation_of(request),
    }
}

fn json_answer(status: StatusCode, value: &Value) -> HttpResponse {
    head(&mut HttpResponse::build(status)).body(value.to_string())
}

/// A failure in the format of these endpoints (RFC 6749 section 5.2).
pub fn refusal(failure: &Failure) -> HttpResponse {
    let (status, error, description) = oauth_error(failure);
    let mut response = HttpResponse::build(StatusCode::from_u16(status).unwrap_or(StatusCode::BAD_REQUEST));
    if status >= 429 {
        error_headers(&mut response, failure.fault());
    }
    if let Some(seconds) = failure.known_wait_s() {
        response.insert_header((header::RETRY_AFTER, seconds.to_string()));
    }
    let mut answer = head(&mut response).body(json!({"error": error, "error_description": description}).to_string());
    keep_fault(&mut answer, failure);
    answer
}

fn head(response: &mut HttpResponseBuilder) -> &mut HttpResponseBuilder {
    response
        .insert_header((header::CONTENT_TYPE, "application/json"))
        .insert_header((header::CACHE_CONTROL, "no-store"))
        .insert_header((header::PRAGMA, "no-cache"))
}
