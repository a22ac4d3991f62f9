//! `GET [type]/[id]` and `GET [type]/[id]/_history/[vid]`: the current version, whole or as far as the reader lacks it.

use super::authorised::{Authorised, served_type};
use super::binary;
use crate::app::App;
use crate::clock::http_date;
use crate::error::Fault;
use crate::http::conditional::{Conditions, Verdict};
use crate::http::negotiate;
use crate::http::reply::{FHIR_JSON, HttpFailure};
use crate::release::{self, Sent};
use crate::store::disclosure::Released;
use actix_web::http::{Method, header};
use actix_web::{HttpRequest, HttpResponse, web};

/// Reads one resource that the caller may see.
pub async fn get(
    request: HttpRequest,
    authorised: Authorised,
    path: web::Path<(String, String)>,
    app: web::Data<App>,
) -> Result<HttpResponse, HttpFailure> {
    answer(&request, &authorised, &path.1, None, &app).await
}

/// The same when it is in this version; other versions are not there, since they are not given out.
pub async fn version(
    request: HttpRequest,
    authorised: Authorised,
    path: web::Path<(String, String, String)>,
    app: web::Data<App>,
) -> Result<HttpResponse, HttpFailure> {
    answer(&request, &authorised, &path.1, Some(&path.2), &app).await
}

async fn answer(
    request: &HttpRequest,
    authorised: &Authorised,
    id: &str,
    version: Option<&str>,
    app: &App,
) -> Result<HttpResponse, HttpFailure> {
    let rtype = served_type(request)?;
    if rtype == "Binary" && !negotiate::names_fhir(request) {
        return binary::content(request, authorised, id, version, app).await;
    }
    negotiate::form(request)?;
    let conditions = Conditions::of(request.headers());
    let judge = |row: &Released| conditions.judge(&row.version.to_string(), row.last_updated_ms);
    let sent = |row: &Released| match judge(row) {
        Verdict::NotModified => Sent::Head(304),
        Verdict::Failed => Sent::Head(Fault::PreconditionFailed.row().http),
        Verdict::Send if request.method() == Method::HEAD => Sent::Head(200),
        Verdict::Send => Sent::Whole,
    };
    let row = release::read(&app.ctx, &authorised.caller, rtype, id, version, sent).await?;
    let mut response = match judge(&row) {
        Verdict::Send => HttpResponse::Ok(),
        Verdict::NotModified => HttpResponse::NotModified(),
        Verdict::Failed => return Err(Fault::PreconditionFailed.into()),
    };
    response
        .insert_header((header::ETAG, format!("W/\"{}\"", row.version)))
        .insert_header((header::LAST_MODIFIED, http_date(row.last_updated_ms)))
        .insert_header((header::CACHE_CONTROL, "no-store"));
    if judge(&row) == Verdict::NotModified {
        return Ok(response.finish());
    }
    Ok(response
        .insert_header((header::CONTENT_TYPE, FHIR_JSON))
        .body(row.into_bytes()))
}
