//! `GET [type]/[id]` and `GET [type]/[id]/_history/[vid]`: the current version, or 304 when the client has it already.

use super::authorised::{Authorised, served_type};
use super::{binary, everything};
use crate::error::Fault;
use crate::http::conditional::{Conditions, Precondition};
use crate::http::date;
use crate::http::edge;
use crate::http::explorer;
use crate::http::negotiate::{self, AnswerForm};
use crate::http::outgoing::{self, KeptOpen};
use crate::http::reply::{FHIR_JSON, HttpFailure};
use crate::http::state::App;
use crate::release::{self, Outgoing, SentPart};
use crate::store::disclosure::Released;
use actix_web::http::{Method, header};
use actix_web::{HttpRequest, HttpResponse, web};

/// Reads one resource that the caller may see. A page of a Patient is that of the member's record.
pub async fn get(
    request: HttpRequest,
    authorised: Authorised,
    path: web::Path<(String, String)>,
    app: web::Data<App>,
) -> Result<HttpResponse, HttpFailure> {
    if served_type(&request)? == "Patient"
        && negotiate::form(&request)? == AnswerForm::Html
        && !is_conditional(&request)
    {
        return Box::pin(everything::record_page(&request, &authorised, &path.1, &app)).await;
    }
    answer(&request, &authorised, &path.1, None, &app).await
}

/// Whether the answer depends on the version that the client has, so that it is about this resource alone.
fn is_conditional(request: &HttpRequest) -> bool {
    let names = [
        header::IF_MATCH,
        header::IF_NONE_MATCH,
        header::IF_MODIFIED_SINCE,
        header::IF_UNMODIFIED_SINCE,
    ];
    names.iter().any(|name| request.headers().contains_key(name))
}

/// Like [`get`], but only when this version is the current one. Older versions are not found, because they are not released.
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
    // A session is for pages alone: no file leaves by it.
    if rtype == "Binary" && !negotiate::names_fhir(request) && explorer::session_of(request).is_none() {
        // What is seldom needed is apart, so that the memory of each read is small.
        return Box::pin(binary::content(request, authorised, id, version, app)).await;
    }
    let kept = KeptOpen::of(negotiate::form(request)?);
    let conditions = Conditions::of(request.headers());
    let judge = |row: &Released| conditions.judge(&row.version.to_string(), row.last_updated_ms);
    let sent = |row: &Released| match judge(row) {
        Precondition::NotModified => SentPart::Head(304),
        Precondition::Failed => SentPart::Head(Fault::PreconditionFailed.row().http),
        Precondition::Send if request.method() == Method::HEAD => SentPart::Head(200),
        Precondition::Send => SentPart::Whole,
    };
    let room = async |bytes: usize| {
        edge::waits_for_room(request, bytes).await?;
        authorised.still_holds(request, app).await
    };
    let (row, disclosure) = release::read(&app.ctx, &authorised.caller, rtype, id, version, room, sent).await?;
    let mut response = match judge(&row) {
        Precondition::Send => HttpResponse::Ok(),
        Precondition::NotModified => HttpResponse::NotModified(),
        Precondition::Failed => return Err(Fault::PreconditionFailed.into()),
    };
    response
        .insert_header((header::ETAG, format!("W/\"{}\"", row.version)))
        .insert_header((header::LAST_MODIFIED, date::written(row.last_updated_ms)))
        .insert_header((header::CACHE_CONTROL, "no-store"));
    if judge(&row) == Precondition::NotModified {
        return Ok(response.finish());
    }
    let bytes = Outgoing::new(
        disclosure,
        row.into_bytes(),
        || outgoing::terms(app, request),
        kept.is_some(),
    );
    response.insert_header((header::CONTENT_TYPE, FHIR_JSON));
    Ok(outgoing::answer(&mut response, bytes, kept))
}
