//! A file of a bulk match's result.

use super::packed::may_pack;
use super::sent::{beyond, body, empty, head};
use crate::bulk::group_match::download;
use crate::bulk::range::AskedBytes;
use crate::error::Failure;
use crate::http::fhir::authorised::Authorised;
use crate::http::state::App;
use crate::store::bulk::BulkJobRow;
use actix_web::http::Method;
use actix_web::{HttpRequest, HttpResponse};

/// The answer with the bytes that are asked for; `None` when the run is no bulk match. For HEAD it has no body.
///
/// # Errors
/// As [`download::open`].
pub async fn answer(
    app: &App,
    authorised: &Authorised,
    (run, name): (&BulkJobRow, &str),
    (request, asked): (&HttpRequest, &AskedBytes),
) -> Result<Option<HttpResponse>, Failure> {
    let limits = (&app.config.bulk, &app.bulk);
    let Some((row, reader)) = download::open(&app.ctx, limits, &authorised.caller, (run, name)).await? else {
        return Ok(None);
    };
    let Some(span) = asked.of(&row) else {
        return Ok(Some(beyond(&row)));
    };
    let is_head = request.method() == Method::HEAD;
    let packs = !is_head && may_pack(request.headers());
    let mut answer = head(&row, &span, packs);
    if is_head {
        return Ok(Some(empty(&mut answer, &span)));
    }
    Ok(Some(body(answer, (reader, &span), packs, |_| Ok(()))))
}
