//! The receipt of an export, and what the partner answers to it. What either says is decided in [`crate::bulk::receipt`].

use super::told::tell;
use crate::bulk::job;
use crate::bulk::receipt::{
    self,
    acknowledge::{self, ANSWER_BYTES, ReceiptAnswer},
};
use crate::error::Fault;
use crate::http::body;
use crate::http::fhir::authorised::Authorised;
use crate::http::reply::HttpFailure;
use crate::http::state::App;
use actix_web::http::header;
use actix_web::{HttpRequest, HttpResponse, web};

/// The media type of a JWS.
const JOSE: &str = "application/jose";
/// The media type of what is not signed.
const JSON: &str = "application/json";

/// The receipt.
pub async fn get(
    request: HttpRequest,
    authorised: Authorised,
    id: web::Path<String>,
    app: web::Data<App>,
) -> Result<HttpResponse, HttpFailure> {
    let (run, text) = receipt::of(&app.ctx, &app.bulk, &authorised.caller, &id).await?;
    tell(&request, &run);
    Ok(HttpResponse::Ok()
        .insert_header((header::CONTENT_TYPE, JOSE))
        .insert_header((header::CACHE_CONTROL, "no-store"))
        .body(text))
}

/// Keeps what the partner has of the export.
pub async fn post(
    request: HttpRequest,
    mut authorised: Authorised,
    id: web::Path<String>,
    payload: web::Payload,
    app: web::Data<App>,
) -> Result<HttpResponse, HttpFailure> {
    let bytes = body::of_type(&request, payload, ANSWER_BYTES, &[JSON, JOSE]).await?;
    authorised.still_holds(&request, &app).await?;
    let run = job::of(&app.ctx, &authorised.caller, &id).await?;
    authorised.caller.correlation = tell(&request, &run);
    let caller = &authorised.caller;
    let (said, signed_by) = if body::is_of(&request, JOSE) {
        let text = std::str::from_utf8(&bytes).map_err(|_| Fault::NotUtf8)?;
        let (said, kid) = acknowledge::verified(&app.ctx, &app.oauth, caller, text).await?;
        (said, Some(kid))
    } else {
        (acknowledge::plain(&bytes)?, None)
    };
    let answer = ReceiptAnswer::read(said)?;
    let kept = acknowledge::keep(&app.ctx, caller, &id, (answer, &bytes), signed_by).await?;
    Ok(HttpResponse::Ok()
        .insert_header((header::CONTENT_TYPE, JSON))
        .insert_header((header::CACHE_CONTROL, "no-store"))
        .body(kept.to_string()))
}
