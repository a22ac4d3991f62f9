//! `GET metadata` and the base URLs: the CapabilityStatement from the prepared documents.

use super::authorised::caller_of;
use crate::error::{Failure, Fault};
use crate::http::document::PublicDocument;
use crate::http::documents::{Documents, Made};
use crate::http::explorer;
use crate::http::negotiate;
use crate::http::reply::HttpFailure;
use crate::http::request_notes::FilledTypes;
use crate::http::state::App;
use crate::release;
use crate::security::{Permission, Scopes};
use actix_web::{HttpRequest, HttpResponse, web};
use std::time::Duration;

/// How long the start page waits for its counts.
const COUNT_TIME: Duration = Duration::from_secs(2);

/// `GET metadata`, in the mode that the query asks for.
pub async fn get(
    request: HttpRequest,
    app: web::Data<App>,
    documents: web::Data<Documents>,
) -> Result<HttpResponse, HttpFailure> {
    negotiate::form(&request)?;
    let made = documents.now();
    let document = in_mode(&made, request.query_string())?;
    let mut answer = document.answer(&request);
    if explorer::session_of(&request).is_some() {
        let filled = filled(&request, &app, &made).await?;
        answer.extensions_mut().insert(filled);
    }
    Ok(answer)
}

/// What a reader with a session finds here: the types of which its partner may read resources, with counts. When they cannot be counted, or
/// not in time, the page is there without counts.
async fn filled(request: &HttpRequest, app: &App, made: &Made) -> Result<FilledTypes, Failure> {
    let caller = caller_of(request, app).await?;
    let scopes = Scopes::parse(&caller.scope);
    let is_allowed = |rtype: &str| scopes.allows(rtype, Permission::Search);
    let counted = release::filled_types(&app.ctx, &caller, COUNT_TIME).await;
    let failure = match counted {
        Ok(mut counts) => {
            counts.retain(|(rtype, _)| is_allowed(rtype));
            return Ok(FilledTypes::Counted(counts));
        }
        Err(failure) => failure,
    };
    tracing::warn!(
        fault = failure.fault().code(),
        partner.id = caller.partner.id,
        "the types for the start page could not be counted"
    );
    let types = made.site.types().iter().filter_map(|row| row["type"].as_str());
    let types = types.filter(|rtype| release::is_searchable(rtype) && is_allowed(rtype));
    Ok(FilledTypes::Uncounted(types.map(str::to_owned).collect()))
}

/// The document in the mode that the query names.
///
/// # Errors
/// [`Fault::ParameterInvalid`] for an unknown mode.
pub fn in_mode<'m>(made: &'m Made, query: &str) -> Result<&'m PublicDocument, Failure> {
    let mode = negotiate::query_value(query, "mode");
    made.metadata(mode.as_deref())
        .ok_or_else(|| Failure::new(Fault::ParameterInvalid).at("metadata?mode"))
}

/// The base URLs: the CapabilityStatement, for browsers and programs alike.
pub async fn home(
    request: HttpRequest,
    app: web::Data<App>,
    documents: web::Data<Documents>,
) -> Result<HttpResponse, HttpFailure> {
    get(request, app, documents).await
}
