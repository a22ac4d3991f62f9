//! From the table of operations routes to their handlers: the only file that knows both.

use super::exchanges::WasReplayed;
use super::request::{JsonBody, OpsRequest};
use super::ring::refusal;
use super::table::{OpsCall, OpsRoute};
use super::{
    accounts, audit_events, decisions, exchanges, health, packets, policy_acts, policy_looks, reconciliation,
    registries, retention, reviews, rights, scorecards, table,
};
use crate::error::{Failure, Fault};
use crate::exchange::acts::ExchangeAct;
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

async fn call(call: OpsCall, asked: &OpsRequest) -> Result<Bytes, Failure> {
    match call {
        OpsCall::PacketFile => packets::file(asked).await,
        OpsCall::Evidence => packets::of_exchange(asked).await,
        OpsCall::ServicePage => scorecards::service_page(asked).await,
        OpsCall::ScorecardPage => scorecards::page_of_one(asked).await,
        other => json(other, asked).await.map(|JsonBody(text)| Bytes::from(text)),
    }
}

async fn json(call: OpsCall, asked: &OpsRequest) -> Result<JsonBody, Failure> {
    match call {
        OpsCall::Decisions => decisions::list(asked).await,
        OpsCall::Decision => decisions::one(asked).await,
        OpsCall::Grants => rights::grants(asked).await,
        OpsCall::GrantsSearch => rights::grants_search(asked).await,
        OpsCall::GrantRevoke => rights::revoke_grant(asked).await,
        OpsCall::Consents => rights::consents(asked).await,
        OpsCall::Consent => rights::consent(asked).await,
        OpsCall::ConsentRevoke => rights::revoke_consent(asked).await,
        OpsCall::Disclosures => accounts::disclosures(asked).await,
        OpsCall::DisclosuresSearch => accounts::disclosures_search(asked).await,
        OpsCall::Trace => accounts::trace(asked).await,
        OpsCall::Ledger => accounts::ledger(asked).await,
        OpsCall::Packets => packets::list(asked).await,
        OpsCall::PacketAsk => packets::ask(asked).await,
        OpsCall::Packet => packets::one(asked).await,
        OpsCall::AuditEvents => audit_events::search(asked).await,
        OpsCall::AuditEvent => audit_events::one(asked).await,
        OpsCall::Controls => registries::controls(asked).await,
        OpsCall::Reviews => reviews::queue(asked).await,
        OpsCall::Review => reviews::one(asked).await,
        OpsCall::ReviewDecide => reviews::decide(asked).await,
        OpsCall::Links => reviews::edges(asked).await,
        OpsCall::MemberGraph => reviews::graph(asked).await,
        OpsCall::Partners => registries::partners(asked).await,
        OpsCall::Policies => registries::policies(asked).await,
        OpsCall::PolicyActs => policy_acts::list(asked).await,
        OpsCall::PolicyReplay => policy_looks::replay(asked).await,
        OpsCall::PolicyCompare => policy_looks::compare(asked).await,
        OpsCall::PolicyImport => policy_acts::import(asked).await,
        OpsCall::PolicyActivate => policy_acts::activate(asked).await,
        OpsCall::PolicyRollback => policy_acts::roll_back(asked).await,
        OpsCall::PolicyApprove => policy_acts::approve(asked).await,
        OpsCall::PolicyWithdraw => policy_acts::withdraw(asked).await,
        OpsCall::Faults => registries::faults(),
        OpsCall::Runbook => registries::runbook(asked),
        OpsCall::RunbookEntry => registries::runbook_entry(asked),
        OpsCall::States => exchanges::state_tables(),
        OpsCall::Alerts => registries::alerts(asked).await,
        OpsCall::Slo => registries::slo(asked).await,
        OpsCall::Service => scorecards::service(asked).await,
        OpsCall::Scorecard => scorecards::one(asked).await,
        OpsCall::Jobs => registries::jobs(asked).await,
        OpsCall::BulkJobs => registries::bulk_jobs(asked).await,
        OpsCall::BulkRuns => registries::bulk_runs(asked).await,
        OpsCall::Exchanges => exchanges::list(asked).await,
        OpsCall::Exchange => exchanges::one(asked).await,
        OpsCall::ExchangeStart => exchanges::start(asked).await,
        OpsCall::ExchangeCancel => exchanges::do_act(asked, ExchangeAct::Cancel).await,
        OpsCall::ExchangeReplay => exchanges::do_act(asked, ExchangeAct::Replay).await,
        OpsCall::ExchangeSupersede => exchanges::do_act(asked, ExchangeAct::Supersede).await,
        OpsCall::ExchangePause => exchanges::do_act(asked, ExchangeAct::Pause).await,
        OpsCall::ExchangeClose => exchanges::do_act(asked, ExchangeAct::Close).await,
        OpsCall::ExchangeRetract => exchanges::do_act(asked, ExchangeAct::Retract).await,
        OpsCall::Reconciliation => reconciliation::list(asked).await,
        OpsCall::Retention => retention::whole(asked).await,
        OpsCall::Holds => retention::holds(asked).await,
        OpsCall::HoldPlace => retention::place(asked).await,
        OpsCall::HoldRelease => retention::release(asked).await,
        // Health has handlers of its own, since it looks at no token; packets and pages are no JSON.
        OpsCall::Live
        | OpsCall::Ready
        | OpsCall::Metrics
        | OpsCall::PacketFile
        | OpsCall::Evidence
        | OpsCall::ServicePage
        | OpsCall::ScorecardPage => Err(Fault::Internal.into()),
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
