//! `GET [type]/[id]`.

use super::authorised::{Authorised, served_type};
use crate::app::App;
use crate::clock::http_date;
use crate::http::negotiate::{self, Form};
use crate::http::page;
use crate::http::reply::{FHIR_JSON, HttpFailure};
use crate::release;
use actix_web::http::header;
use actix_web::{HttpRequest, HttpResponse, web};

/// Reads one resource that the caller may see.
pub async fn get(
    request: HttpRequest,
    authorised: Authorised,
    path: web::Path<(String, String)>,
    app: web::Data<App>,
) -> Result<HttpResponse, HttpFailure> {
    let form = negotiate::form(&request)?;
    let rtype = served_type(&request)?;
    let row = release::read(&app.ctx, &authorised.caller, rtype, &path.1).await?;
    let mut response = HttpResponse::Ok();
    response
        .insert_header((header::ETAG, format!("W/\"{}\"", row.version)))
        .insert_header((header::LAST_MODIFIED, http_date(row.last_updated_ms)))
        .insert_header((header::CACHE_CONTROL, "no-store"));
    Ok(match form {
        Form::Json => response
            .insert_header((header::CONTENT_TYPE, FHIR_JSON))
            .body(row.into_bytes()),
        Form::Html => page::resource(&mut response, rtype, &row.into_bytes(), &app.ctx.payer.base_url),
    })
}
