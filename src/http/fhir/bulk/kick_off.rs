//! `Patient/$export`, `Group/{id}/$export` and `Group/{id}/$davinci-data-export`: 202 with the address of the run's status.

use crate::bulk::export::{
    self,
    asked::{ExportAsked, PATIENTS_MAX, ReadingOfParameters},
};
use crate::bulk::manifest::status_url;
use crate::error::Fault;
use crate::fhir::prescreen::ScreenLimits;
use crate::http::fhir::authorised::Authorised;
use crate::http::fhir::everything::parameters;
use crate::http::reply::HttpFailure;
use crate::http::routes::{self, Interaction};
use crate::http::state::App;
use crate::http::{body, negotiate, prefer};
use crate::security::Permission;
use actix_web::http::{Method, header};
use actix_web::{HttpRequest, HttpResponse, web};

/// Largest Parameters body in bytes.
const BODY_BYTES: usize = 256 * 1024;
/// How far the partner's clock may be ahead of ours, milliseconds.
const AHEAD_MS: i64 = 60_000;

/// An export of all members, with its parameters in the URL.
pub async fn of_patients(
    request: HttpRequest,
    authorised: Authorised,
    app: web::Data<App>,
) -> Result<HttpResponse, HttpFailure> {
    let pairs = negotiate::pairs(request.query_string())?;
    begin(&request, &authorised, &app, pairs, None).await
}

/// The same with its parameters in a Parameters body.
pub async fn of_patients_post(
    request: HttpRequest,
    authorised: Authorised,
    payload: web::Payload,
    app: web::Data<App>,
) -> Result<HttpResponse, HttpFailure> {
    let pairs = posted(&request, payload).await?;
    begin(&request, &authorised, &app, pairs, None).await
}

/// An export of the members of a group, with its parameters in the URL.
pub async fn of_group(
    request: HttpRequest,
    authorised: Authorised,
    id: web::Path<String>,
    app: web::Data<App>,
) -> Result<HttpResponse, HttpFailure> {
    let pairs = negotiate::pairs(request.query_string())?;
    begin(&request, &authorised, &app, pairs, Some(id.into_inner())).await
}

/// The same with its parameters in a Parameters body.
pub async fn of_group_post(
    request: HttpRequest,
    authorised: Authorised,
    id: web::Path<String>,
    payload: web::Payload,
    app: web::Data<App>,
) -> Result<HttpResponse, HttpFailure> {
    let pairs = posted(&request, payload).await?;
    begin(&request, &authorised, &app, pairs, Some(id.into_inner())).await
}

/// The parameters of the URL and of the body, which may be empty.
async fn posted(request: &HttpRequest, payload: web::Payload) -> Result<Vec<(String, String)>, HttpFailure> {
    let mut pairs = negotiate::pairs(request.query_string())?;
    let typed = request.headers().contains_key(header::CONTENT_TYPE);
    let bytes = match typed {
        true => body::fhir_json(request, payload, BODY_BYTES).await?,
        false => body::any(request, payload, BODY_BYTES).await?,
    };
    if !typed && !bytes.is_empty() {
        return Err(Fault::MediaTypeRefused.into());
    }
    if !bytes.is_empty() {
        pairs.extend(parameters(&bytes, &ScreenLimits::naming(PATIENTS_MAX))?);
    }
    Ok(pairs)
}

async fn begin(
    request: &HttpRequest,
    authorised: &Authorised,
    app: &App,
    pairs: Vec<(String, String)>,
    group: Option<String>,
) -> Result<HttpResponse, HttpFailure> {
    negotiate::form(request)?;
    if request.method() == Method::HEAD {
        // A HEAD must begin nothing.
        return Err(Fault::MethodRefused.into());
    }
    if !prefer::responds_async(request.headers()) {
        return Err(Fault::BulkAsyncNeeded.into());
    }
    authorised.still_holds(request, app).await?;
    let latest_ms = app.ctx.clock.now_ms() + AHEAD_MS;
    let how = ReadingOfParameters {
        is_lenient: prefer::says_lenient(request.headers()),
        passes_over: routes::of(request).is_some_and(|route| route.interaction == Interaction::DavinciExport),
    };
    let mut asked = ExportAsked::read(&pairs, how, latest_ms)?;
    asked.narrow_to(authorised.scopes.types(Permission::Read));
    let base_url = &app.ctx.payer.base_url;
    let path = request.path().strip_prefix("/fhir").unwrap_or_default();
    let sign = if request.query_string().is_empty() { "" } else { "?" };
    let url = format!("{base_url}{path}{sign}{}", request.query_string());
    let limits = &app.config.bulk;
    let id = export::begin(&app.ctx, limits, &authorised.caller, (&asked, how), (url, group)).await?;
    Ok(HttpResponse::Accepted()
        .insert_header((header::CONTENT_LOCATION, status_url(base_url, &id)))
        .insert_header((header::CACHE_CONTROL, "no-store"))
        .finish())
}
