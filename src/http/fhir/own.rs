//! What reads and searches of a caller's own resources (`Group`, `Task`) have in common: the parameters in the URL or in a form, and the note
//! about those that were ignored. What is found is decided elsewhere.

use super::authorised::Authorised;
use super::search::posted;
use crate::context::Context;
use crate::error::{Failure, Fault};
use crate::fhir::bundle::Bundle;
use crate::fhir::outcome;
use crate::http::negotiate;
use crate::http::reply::FHIR_JSON;
use crate::http::state::App;
use actix_web::http::header;
use actix_web::{HttpRequest, HttpResponse, HttpResponseBuilder, web};

/// The parameters of a search.
pub(super) struct OwnSearch {
    pub pairs: Vec<(String, String)>,
    /// Whether parameters that are not known are refused.
    pub is_strict: bool,
}

/// Those of a search with its parameters in the URL.
pub(super) async fn got(request: &HttpRequest, authorised: &Authorised, app: &App) -> Result<OwnSearch, Failure> {
    let pairs = negotiate::pairs(request.query_string())?;
    asked(request, authorised, app, pairs).await
}

/// Those of a search with its parameters in a form, in the URL, or in both.
pub(super) async fn sent(
    request: &HttpRequest,
    authorised: &Authorised,
    payload: web::Payload,
    app: &App,
) -> Result<OwnSearch, Failure> {
    let pairs = posted(request, payload).await?;
    asked(request, authorised, app, pairs).await
}

async fn asked(
    request: &HttpRequest,
    authorised: &Authorised,
    app: &App,
    pairs: Vec<(String, String)>,
) -> Result<OwnSearch, Failure> {
    let pairs = negotiate::filled(pairs, negotiate::form(request)?);
    authorised.still_holds(request, app).await?;
    Ok(OwnSearch {
        pairs,
        is_strict: negotiate::is_strict(request),
    })
}

/// Adds the entry that says that a parameter was ignored; its name is not repeated.
pub(super) fn note_ignored(ctx: &Context, bundle: &mut Bundle, out: &mut Vec<u8>, (rtype, searched_by): (&str, &str)) {
    let text = format!("The server ignored a parameter: {searched_by}");
    let notes = [(Fault::ParameterUnknown, text, Some(rtype.to_owned()))];
    let url = format!("urn:uuid:{}", ctx.ids.new_id(ctx.clock.now_ms()));
    let note = outcome::warnings(&notes, &ctx.payer.base_url);
    bundle.found(out, &[url.as_str()], &note, "outcome");
}

/// The head of the answer.
pub(super) fn head() -> HttpResponseBuilder {
    let mut response = HttpResponse::Ok();
    response
        .insert_header((header::CONTENT_TYPE, FHIR_JSON))
        .insert_header((header::CACHE_CONTROL, "no-store"));
    response
}
