//! The extractor in front of every FHIR handler. It checks certificate, partner, limits, token and scope, in this order.

use crate::audit::{Action, Actor};
use crate::error::{Failure, Fault};
use crate::http::edge;
use crate::http::explorer::ShownProof;
use crate::http::limits::MAKING_BYTES;
use crate::http::negotiate::{self, AnswerForm};
use crate::http::reply::HttpFailure;
use crate::http::request_notes::{PartnerTexts, SeenPartner, correlation_of};
use crate::http::routes::{self, RouteAccess};
use crate::http::state::App;
use crate::release;
use crate::security::{Caller, Permission, Scopes};
use crate::telemetry::Correlation;
use actix_web::dev::Payload;
use actix_web::{FromRequest, HttpMessage as _, HttpRequest, web};
use futures_util::future::LocalBoxFuture;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// How long a judgment of a caller counts.
pub(super) const JUDGED_EVERY: Duration = Duration::from_millis(250);

/// A caller that is authorized for its route.
pub struct Authorised {
    /// The authenticated caller.
    pub caller: Caller,
    /// The scopes of its token.
    pub scopes: Scopes,
    /// When it was authenticated.
    pub at: Instant,
}

impl Authorised {
    /// Authenticates the caller again when that was not done a moment ago: a request may have waited for its body or for room, and what was
    /// taken away meanwhile counts.
    ///
    /// # Errors
    /// As [`caller_of`].
    pub async fn still_holds(&self, request: &HttpRequest, app: &App) -> Result<(), Failure> {
        if self.at.elapsed() < JUDGED_EVERY {
            return Ok(());
        }
        Box::pin(caller_of(request, app)).await.map(drop)
    }
}

impl FromRequest for Authorised {
    type Error = HttpFailure;
    type Future = LocalBoxFuture<'static, Result<Self, HttpFailure>>;

    fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
        let request = request.clone();
        Box::pin(async move {
            let Some(app) = request.app_data::<web::Data<App>>() else {
                return Err(Fault::Internal.into());
            };
            authorise(&request, app).await.map_err(HttpFailure)
        })
    }
}

async fn authorise(request: &HttpRequest, app: &App) -> Result<Authorised, Failure> {
    let access = routes::of(request)
        .map(|route| route.access)
        .ok_or(Fault::RouteUnknown)?;
    let (mut caller, mut at) = (caller_of(request, app).await?, Instant::now());
    if let Some(seat) = edge::seat_of(request) {
        seat.is_of(&caller.partner.id)?;
        // The size of a search page is not known in advance, nor that of an answer that is collected for a page. Any other batch takes room
        // for each of its entries.
        let is_page = negotiate::form(request).is_ok_and(|form| form == AnswerForm::Html);
        if is_page || access != RouteAccess::Batch {
            let is_unknown = is_page || access == RouteAccess::SearchType;
            seat.waits_for_room(if is_unknown { MAKING_BYTES } else { 0 }).await?;
            if at.elapsed() >= JUDGED_EVERY {
                (caller, at) = (Box::pin(caller_of(request, app)).await?, Instant::now());
            }
        }
    }
    let scopes = Scopes::parse(&caller.scope);
    let allowed = match access {
        RouteAccess::Read(rtype) => scopes.allows(rtype, Permission::Read),
        RouteAccess::Search(rtype) => scopes.allows(rtype, Permission::Search),
        RouteAccess::ReadType => scopes.allows(served_type(request)?, Permission::Read),
        RouteAccess::SearchType => scopes.allows(searchable_type(request)?, Permission::Search),
        RouteAccess::Batch | RouteAccess::Own => true,
        RouteAccess::Operation(canonical) => scopes.allows_operation(canonical),
        RouteAccess::Public | RouteAccess::Client => false,
    };
    if !allowed {
        return Err(Fault::ScopeMissing.into());
    }
    Ok(Authorised { caller, scopes, at })
}

/// The caller that a request's token and certificate prove, without a look at scopes.
///
/// # Errors
/// As [`crate::security::Authority::authenticate`].
pub async fn caller_of(request: &HttpRequest, app: &App) -> Result<Caller, Failure> {
    let proof = ShownProof::of(request);
    let judging = app
        .authority
        .authenticate(&app.ctx, proof.token()?, proof.certificate(), correlation_of(request));
    let caller = judging.await.inspect_err(|failure| proof.is_refused(failure))?;
    let mut notes = request.extensions_mut();
    notes.insert(SeenPartner(caller.partner.id.clone()));
    if let Some(texts) = &caller.partner.error_texts {
        notes.insert(PartnerTexts(Arc::clone(texts)));
    }
    drop(notes);
    Ok(caller)
}

/// The type in the path, if this server serves it.
///
/// # Errors
/// As [`not_served`].
pub fn served_type(request: &HttpRequest) -> Result<&str, Failure> {
    let rtype = request.match_info().get("type").unwrap_or_default();
    if release::is_served(rtype) {
        Ok(rtype)
    } else {
        Err(not_served(rtype))
    }
}

/// The fault for a type that is not served: [`Fault::TypeNotServed`] for a type of R4, else [`Fault::RouteUnknown`].
pub fn not_served(rtype: &str) -> Failure {
    if causeway_fhir_types::is_type(rtype) {
        Fault::TypeNotServed.into()
    } else {
        Fault::RouteUnknown.into()
    }
}

/// The type in the path, if it can be searched.
///
/// # Errors
/// [`Fault::RouteUnknown`].
fn searchable_type(request: &HttpRequest) -> Result<&str, Failure> {
    served_type(request).and_then(|rtype| {
        if release::is_searchable(rtype) {
            Ok(rtype)
        } else {
            Err(Fault::RouteUnknown.into())
        }
    })
}

/// Writes a refusal to the ledger. When the store fails, this is only logged, because the request is refused in any case.
pub async fn record_refusal(app: &App, action: Action, actor: Actor, failure: &Failure, correlation: &Correlation) {
    if let Err(failed) = app
        .oauth
        .refusals
        .record(&app.ctx, action, actor, failure, correlation)
        .await
    {
        tracing::warn!(
            fault = failed.fault().code(),
            request.id = correlation.request_id,
            "a refusal could not be recorded"
        );
    }
}
