//! `Group/$bulk-member-match`: 202 with the address of the run's status, once the members are on the disk.

use crate::audit::Action;
use crate::bulk::group_match::MatchIntake;
use crate::bulk::job;
use crate::bulk::manifest::status_url;
use crate::error::{Failure, Fault};
use crate::http::fhir::authorised::{Authorised, record_refusal};
use crate::http::reply::HttpFailure;
use crate::http::state::App;
use crate::http::{body, negotiate, prefer};
use actix_web::http::header;
use actix_web::{HttpRequest, HttpResponse, web};

/// Begins a bulk match.
pub async fn post(
    request: HttpRequest,
    authorised: Authorised,
    payload: web::Payload,
    app: web::Data<App>,
) -> Result<HttpResponse, HttpFailure> {
    match Box::pin(begun(&request, &authorised, payload, &app)).await {
        Ok(id) => Ok(HttpResponse::Accepted()
            .insert_header((header::CONTENT_LOCATION, status_url(&app.ctx.payer.base_url, &id)))
            .insert_header((header::CACHE_CONTROL, "no-store"))
            .finish()),
        Err(failure) => {
            let caller = &authorised.caller;
            record_refusal(
                &app,
                Action::MatchRefused,
                caller.actor(),
                &failure,
                &caller.correlation,
            )
            .await;
            Err(failure.noted().into())
        }
    }
}

async fn begun(
    request: &HttpRequest,
    authorised: &Authorised,
    payload: web::Payload,
    app: &App,
) -> Result<String, Failure> {
    negotiate::form(request)?;
    let limits = &app.config.bulk;
    // A body that cannot be taken is not read.
    job::demand_free(&app.ctx, limits, &authorised.caller).await?;
    let mut intake = MatchIntake::open(&app.ctx, (limits, &app.bulk), &authorised.caller).await?;
    let refused = (!prefer::responds_async(request.headers())).then(|| Fault::BulkAsyncNeeded.into());
    let take = async |bytes: web::BytesMut| intake.take(bytes).await;
    let came = match body::large_fhir_json(request, payload, (limits.body_bytes, refused), take).await {
        Ok(()) => authorised.still_holds(request, app).await,
        refused => refused,
    };
    match came {
        Ok(()) => {
            let url = format!("{}/Group/$bulk-member-match", app.ctx.payer.base_url);
            intake.begin(url).await
        }
        Err(failure) => {
            intake.forget().await;
            Err(failure)
        }
    }
}
