//! Registers the table of operations routes: reads the body, looks at the role, and lets what answers a call (`super::answering`) answer.

use super::answering::call;
use super::exchanges::WasReplayed;
use super::request::OpsRequest;
use super::ring::refusal;
use super::table::{OpsCall, OpsRoute};
use super::{health, table};
use crate::error::{Failure, Fault};
use crate::http::request_notes::correlation_of;
use crate::http::state::App;
use crate::http::{around, body};
use crate::ops::scorecard::page::CARD_POLICY;
use actix_web::http::StatusCode;
use actix_web::http::header::{self, HeaderValue};
use actix_web::web::{self, Bytes, Data, Payload, ServiceConfig};
use actix_web::{HttpMessage as _, HttpRequest, HttpResponse, Route as ActixRoute};

/// Registers every route; other methods on a known path get 405 with `Allow`.
pub fn configure(service: &mut ServiceConfig) {
    let mut done: Vec<&str> = Vec::new();
    for first in table::served() {
        if done.contains(&first.path) {
            continue;
        }
        done.push(first.path);
        let mut resource = web::resource(first.path);
        for route in table::served().filter(|route| route.path == first.path) {
            resource = resource.route(handler(route));
        }
        service.service(resource.default_service(web::to(method_refused)));
    }
}

fn handler(route: &'static OpsRoute) -> ActixRoute {
    let serving = around::serving(route.method);
    match route.call {
        OpsCall::Live => serving.to(health::live),
        OpsCall::Ready => serving.to(health::ready),
        OpsCall::Metrics => serving.to(health::metrics_text),
        _ => serving.to(move |request, payload, app| answer(route, request, payload, app)),
    }
}

/// Reads the body, looks at the role, and lets the handler answer.
async fn answer(route: &'static OpsRoute, request: HttpRequest, payload: Payload, app: Data<App>) -> HttpResponse {
    let correlation = correlation_of(&request);
    let noted = request.clone();
    let answered = async {
        let body = match route.body {
            Some(_) => body::any(&request, payload, route.call.body_bytes()).await?,
            None => Bytes::new(),
        };
        let asked = OpsRequest::admit(route, request, app.clone(), body).await?;
        let answer = call(route.call, &asked).await?;
        match asked.is_noted() {
            true => Ok(answer),
            false => Err(Failure::new(Fault::Internal).because("the ledger has no entry of what this answer shows")),
        }
    };
    match answered.await {
        Ok(bytes) => {
            // Every status of the table is one.
            let status = StatusCode::from_u16(route.call.status()).unwrap_or(StatusCode::OK);
            let mut response = HttpResponse::build(status);
            response
                .insert_header((header::CONTENT_TYPE, media_type(route.call)))
                .insert_header((header::CACHE_CONTROL, "no-store"));
            if matches!(route.call, OpsCall::ServicePage | OpsCall::ScorecardPage) {
                response.insert_header((header::CONTENT_SECURITY_POLICY, CARD_POLICY.as_str()));
            }
            if noted.extensions().get::<WasReplayed>().is_some() {
                response.insert_header(("Idempotent-Replayed", "true"));
            }
            response.body(bytes)
        }
        Err(failure) => refusal(failure, &app.ctx.payer.base_url, &correlation),
    }
}

const fn media_type(call: OpsCall) -> &'static str {
    match call {
        OpsCall::AuditEvents | OpsCall::AuditEvent => "application/fhir+json",
        OpsCall::PacketFile | OpsCall::Evidence => "application/x-tar",
        OpsCall::ServicePage | OpsCall::ScorecardPage => "text/html; charset=utf-8",
        _ => "application/json",
    }
}

/// Where the path is known and the method is not; `Allow` names those that are.
async fn method_refused(request: HttpRequest, app: Data<App>) -> HttpResponse {
    let pattern = request.match_pattern().unwrap_or_default();
    let methods = table::served().filter(|route| route.path == pattern);
    let allowed = around::allowed(methods.map(|route| route.method));
    let failure = Failure::new(Fault::MethodRefused);
    let mut response = refusal(failure, &app.ctx.payer.base_url, &correlation_of(&request));
    if let Ok(value) = HeaderValue::from_str(&allowed) {
        response.headers_mut().insert(header::ALLOW, value);
    }
    response
}
