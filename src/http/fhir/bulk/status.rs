//! The status address of a run: 202 while it works, the manifest when it is done, and DELETE to end it.

use super::told::tell;
use crate::bulk::{job, manifest};
use crate::error::Fault;
use crate::http::date;
use crate::http::fhir::authorised::Authorised;
use crate::http::reply::HttpFailure;
use crate::http::state::App;
use crate::store::bulk as rows;
use actix_web::http::header;
use actix_web::{HttpRequest, HttpResponse, web};

/// Seconds between two polls: few while the run is young, at most so many later.
const POLL_MOST_S: i64 = 60;

/// How the run stands.
pub async fn get(
    request: HttpRequest,
    authorised: Authorised,
    id: web::Path<String>,
    app: web::Data<App>,
) -> Result<HttpResponse, HttpFailure> {
    let row = job::of(&app.ctx, &authorised.caller, &id).await?;
    tell(&request, &row);
    match row.state.as_str() {
        rows::DONE => {}
        rows::FAILED => {
            let named = Fault::ALL
                .iter()
                .find(|fault| Some(fault.code()) == row.fault.as_deref());
            return Err(named.copied().unwrap_or(Fault::Internal).into());
        }
        _ => {
            let age_s = (app.ctx.clock.now_ms() - row.created_ms) / 1000;
            return Ok(HttpResponse::Accepted()
                .insert_header(("x-progress", manifest::progress(&row)))
                .insert_header((header::RETRY_AFTER, (age_s / 10).clamp(1, POLL_MOST_S).to_string()))
                .insert_header((header::CACHE_CONTROL, "no-store"))
                .finish());
        }
    }
    let own = row.id.clone();
    let files = app.ctx.store.read(move |db| rows::files(db, &own)).await?;
    let mut answer = HttpResponse::Ok();
    answer
        .insert_header((header::CONTENT_TYPE, "application/json"))
        .insert_header((header::CACHE_CONTROL, "no-store"));
    app.checkpoint.put(&mut answer);
    if let Some(expires_ms) = row.expires_ms {
        answer.insert_header((header::EXPIRES, date::written(expires_ms)));
    }
    Ok(answer.body(manifest::of(&app.ctx.payer.base_url, &row, &files).to_string()))
}

/// Cancels the run, or removes its files.
pub async fn delete(
    request: HttpRequest,
    authorised: Authorised,
    id: web::Path<String>,
    app: web::Data<App>,
) -> Result<HttpResponse, HttpFailure> {
    let row = job::cancel(&app.ctx, &app.bulk, &authorised.caller, &id).await?;
    tell(&request, &row);
    Ok(HttpResponse::Accepted()
        .insert_header((header::CACHE_CONTROL, "no-store"))
        .finish())
}
