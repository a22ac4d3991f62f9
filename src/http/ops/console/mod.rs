//! `/console`: pages on which people see how exchanges stand and act on them, without a script and without a build step.
//!
//! A page asks what `/ops/v1` answers, with the roles of whoever is signed in, and acts by the same use cases: it reads no store and decides
//! nothing. Who is signed in is a cookie's business alone; bearer tokens do not work here, and the cookie works nowhere else.

mod alerts;
mod bulk;
mod bulk_work;
mod cases;
mod compare;
mod desk;
mod disclosures;
mod entries;
mod entry;
mod evidence;
mod exchange;
mod find;
mod frame;
mod links;
mod looks;
mod many_jobs;
mod overview;
mod parked;
mod partners;
mod parts;
mod policies;
mod policy_acts;
mod provider;
mod reviews;
mod service;
mod table;
mod trail;
mod visit;

pub use table::{CONSOLE_ROUTES, ConsolePage, ConsoleRoute};

use super::request::{SeenRole, SeenRoute};
use crate::error::{Failure, Fault};
use crate::http::around;
use crate::http::reply::{keep_fault, status};
use crate::http::request_notes::correlation_of;
use crate::http::state::App;
use crate::telemetry::Correlation;
use actix_web::http::Method;
use actix_web::http::header::{self, HeaderValue};
use actix_web::web::{self, Data, Payload, ServiceConfig};
use actix_web::{HttpMessage as _, HttpRequest, HttpResponse};
use desk::Desk;
use maud::html;
use parts::{AnswerShape, Answered};

/// Registers every address of the console; other methods get 405 with `Allow`, and other addresses 404.
pub fn configure(service: &mut ServiceConfig) {
    let mut done: Vec<&str> = Vec::new();
    for first in CONSOLE_ROUTES {
        if done.contains(&first.path) {
            continue;
        }
        done.push(first.path);
        let mut resource = web::resource(first.path);
        for route in CONSOLE_ROUTES.iter().filter(|route| route.path == first.path) {
            let serving = around::serving(route.method);
            resource = resource.route(serving.to(move |request, payload, app| answer(route, request, payload, app)));
        }
        service.service(resource.default_service(web::to(method_refused)));
    }
    service.service(web::resource("/console/{rest:.*}").default_service(web::to(unknown)));
}

async fn answer(route: &'static ConsoleRoute, request: HttpRequest, payload: Payload, app: Data<App>) -> HttpResponse {
    request.extensions_mut().insert(SeenRoute(route.path));
    let answered = serve(route, &request, payload, &app).await;
    let mut response = answered.unwrap_or_else(|failure| refused(failure, &correlation_of(&request)));
    let shape = request.extensions().get::<AnswerShape>().cloned();
    frame::put_headers(response.headers_mut(), shape.as_ref());
    response
}

/// Looks at where the request comes from and at who is signed in, and lets the page answer.
async fn serve(
    route: &ConsoleRoute,
    request: &HttpRequest,
    payload: Payload,
    app: &Data<App>,
) -> Result<HttpResponse, Failure> {
    let origin = visit::origin(request, app)?;
    let is_form = *request.method() == Method::POST;
    if is_form {
        visit::demand_own_page(request, &origin)?;
    }
    match route.page {
        ConsolePage::Link => return Ok(entry::of_link(request)),
        ConsolePage::SignIn => return entry::sign_in(request, payload, app, &origin).await,
        ConsolePage::ProviderBegin => return provider::begin(request, app, &origin).await,
        ConsolePage::ProviderDone => return provider::done(request, app, &origin).await,
        _ => {}
    }
    let Some(signed_in) = visit::signed_in(request, app, &origin).await? else {
        return Ok(entry::needed(request, app));
    };
    let role = signed_in.visitor.operator.roles.text();
    request.extensions_mut().insert(SeenRole(role));
    let mut fields = visit::Fields::new();
    if is_form {
        fields = visit::fields(request, payload).await?;
        visit::judge(&mut fields, &signed_in.form_token)?;
    }
    let desk = Desk::new(request.clone(), app.clone(), signed_in, fields);
    if route.page == ConsolePage::SignOut {
        return entry::sign_out(&desk, request, &origin).await;
    }
    Ok(match page(route.page, &desk).await? {
        Answered::Page { title, body } => HttpResponse::Ok().body(frame::page(Some(&desk), title, &body)),
        Answered::Whole { bytes, shape } => {
            request.extensions_mut().insert(shape);
            HttpResponse::Ok().body(bytes)
        }
        Answered::Elsewhere(path) => HttpResponse::SeeOther()
            .insert_header((header::LOCATION, path))
            .finish(),
    })
}

async fn page(page: ConsolePage, desk: &Desk) -> Result<Answered, Failure> {
    match page {
        ConsolePage::Overview => overview::home(desk).await,
        ConsolePage::FindForm => Ok(find::form(desk)),
        ConsolePage::Find => find::found(desk).await,
        ConsolePage::Exchanges => exchange::list(desk).await,
        ConsolePage::Exchange => exchange::one(desk).await,
        ConsolePage::ExchangeAct => exchange::act(desk).await,
        ConsolePage::Parked => parked::parked(desk).await,
        ConsolePage::ParkedPreview => bulk::preview(desk).await,
        ConsolePage::ParkedReplay => bulk::replay(desk).await,
        ConsolePage::JobsPreview => many_jobs::preview(desk).await,
        ConsolePage::JobsReplay => many_jobs::replay(desk).await,
        ConsolePage::Jobs => parked::jobs(desk).await,
        ConsolePage::JobReplay => parked::replay(desk).await,
        ConsolePage::Alerts => alerts::list(desk).await,
        ConsolePage::Reviews => reviews::queue(desk).await,
        ConsolePage::Review => reviews::one(desk).await,
        ConsolePage::ReviewShow => reviews::show(desk).await,
        ConsolePage::ReviewDecide => reviews::decide(desk).await,
        ConsolePage::LinksForm => Ok(links::form(desk)),
        ConsolePage::Links => links::found(desk).await,
        ConsolePage::LinkDispute => links::dispute(desk).await,
        ConsolePage::BulkWork => bulk_work::list(desk).await,
        ConsolePage::Partners => partners::list(desk).await,
        ConsolePage::DisclosuresForm => Ok(disclosures::form(desk)),
        ConsolePage::Disclosures => disclosures::found(desk).await,
        ConsolePage::Ledger => entries::list(desk).await,
        ConsolePage::Looks => looks::list(desk).await,
        ConsolePage::Evidence => evidence::list(desk).await,
        ConsolePage::EvidenceAsk => evidence::ask(desk).await,
        ConsolePage::Packet => evidence::one(desk).await,
        ConsolePage::PacketFile => evidence::file(desk).await,
        ConsolePage::Cases => cases::list(desk).await,
        ConsolePage::CaseOpen => cases::open(desk).await,
        ConsolePage::Case => cases::one(desk).await,
        ConsolePage::CaseAdd => cases::add(desk).await,
        ConsolePage::CaseClose => cases::close(desk).await,
        ConsolePage::Policies => policies::list(desk).await,
        ConsolePage::Policy => policies::one(desk).await,
        ConsolePage::PolicyAct => policy_acts::act(desk).await,
        ConsolePage::PolicySecond => policy_acts::second(desk).await,
        ConsolePage::PolicyCompare => compare::page(desk).await,
        ConsolePage::Service => service::view(desk).await,
        ConsolePage::ServicePrint => service::print(desk).await,
        ConsolePage::Scorecard => service::scorecard(desk).await,
        ConsolePage::Runbook => alerts::runbook(desk).await,
        // They are answered before anybody is looked for.
        ConsolePage::Link
        | ConsolePage::SignIn
        | ConsolePage::SignOut
        | ConsolePage::ProviderBegin
        | ConsolePage::ProviderDone => Err(Fault::Internal.into()),
    }
}

/// The page of a refusal: what happened, its code, and what to do.
fn refused(failure: Failure, correlation: &Correlation) -> HttpResponse {
    let failure = failure.for_operators();
    around::log_cause(&failure, correlation);
    let row = failure.fault().row();
    let body = html! {
        h1 { span.status { (row.http) } " " (row.text) }
        p { (failure.operator_remedy_text()) }
        dl.facts {
            dt { "Code" } dd { (row.code) }
            @if !failure.expressions().is_empty() { dt { "At" } dd { (failure.expressions().join(", ")) } }
            dt { "Request" } dd { code { (correlation.request_id) } }
        }
        p { a href=(table::HOME) { "Back to the overview" } }
    };
    let mut response = HttpResponse::build(status(failure.fault())).body(frame::page(None, "Refused", &body));
    keep_fault(&mut response, &failure);
    response
}

async fn method_refused(request: HttpRequest) -> HttpResponse {
    let pattern = request.match_pattern().unwrap_or_default();
    let routes = CONSOLE_ROUTES.iter().filter(|route| route.path == pattern);
    let allowed = around::allowed(routes.map(|route| route.method));
    let mut response = refused(Fault::MethodRefused.into(), &correlation_of(&request));
    if let Ok(value) = HeaderValue::from_str(&allowed) {
        response.headers_mut().insert(header::ALLOW, value);
    }
    frame::put_headers(response.headers_mut(), None);
    response
}

async fn unknown(request: HttpRequest) -> HttpResponse {
    let mut response = refused(Fault::RouteUnknown.into(), &correlation_of(&request));
    frame::put_headers(response.headers_mut(), None);
    response
}
