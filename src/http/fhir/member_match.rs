//! `POST Patient/$member-match`.
//!
//! The work after the body is boxed, so that a request that waits for its body does not hold memory for it.

use super::authorised::{Authorised, record_refusal};
use crate::audit::Action;
use crate::error::{Failure, Fault};
use crate::http::reply::{FHIR_JSON, HttpFailure};
use crate::http::state::App;
use crate::http::{answer_slot, body};
use crate::member_match::{self, MatchRequest};
use crate::telemetry::{metrics as families, signs};
use actix_web::http::{StatusCode, header};
use actix_web::{HttpRequest, HttpResponse, web};
use tokio::time::Instant;

/// Matches one member: 200 with the identifier, or an error such as 422.
pub async fn post(
    request: HttpRequest,
    authorised: Authorised,
    payload: web::Payload,
    app: web::Data<App>,
) -> Result<HttpResponse, HttpFailure> {
    let keys: Vec<Vec<u8>> = request
        .headers()
        .get_all("idempotency-key")
        .map(|value| value.as_bytes().to_vec())
        .collect();
    let media_type = request
        .headers()
        .get(header::CONTENT_TYPE)
        .and_then(|v| v.to_str().ok())
        .unwrap_or("")
        .to_owned();
    let bytes = match body::fhir_json(&request, payload, app.config.limits.body_bytes).await {
        Ok(bytes) => bytes,
        Err(failure) => {
            let caller = &authorised.caller;
            let refused = Action::MatchRefused;
            Box::pin(record_refusal(
                &app,
                refused,
                caller.actor(),
                &failure,
                &caller.correlation,
            ))
            .await;
            return Err(failure.noted().into());
        }
    };
    authorised.still_holds(&request, &app).await?;
    let wanted = MatchRequest {
        body: bytes,
        media_type,
        idempotency_key: keys,
    };
    let asked = Instant::now();
    let answered = Box::pin(member_match::respond(&app.ctx, &authorised.caller, wanted)).await;
    answer_slot::release(asked, app.config.policy.answer_slot, app.round_trip()).await;
    count(&answered, app.ctx.clock.now_ms());
    let answer = answered?;
    let status = StatusCode::from_u16(answer.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let mut response = HttpResponse::build(status);
    response
        .insert_header((header::CONTENT_TYPE, FHIR_JSON))
        .insert_header((header::CACHE_CONTROL, "no-store"));
    app.checkpoint.put(&mut response);
    if answer.replayed {
        response.insert_header(("idempotent-replayed", "true"));
    }
    Ok(response.body(answer.body))
}

/// Counts an answer that was given at `now_ms` (UTC milliseconds).
fn count(answered: &Result<member_match::MatchAnswer, Failure>, now_ms: i64) {
    let outcome = match answered {
        Ok(answer) if answer.replayed => "replayed",
        Ok(_) => "matched",
        Err(failure) => match failure.fault() {
            Fault::NoUniqueMember => "no-unique-member",
            Fault::ConsentNotHonoured => "consent",
            Fault::MatchLocked => "locked",
            fault if fault.row().http < 500 => "invalid",
            _ => "failed",
        },
    };
    metrics::counter!(families::MATCHES, "outcome" => outcome).increment(1);
    signs::ANSWERED.add(now_ms, 1);
    if outcome == "replayed" {
        signs::REPEATED.add(now_ms, 1);
    }
}
