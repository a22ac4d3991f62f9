//! The extractor that stands before every FHIR handler: certificate, partner, limits, token, scope, in that order.

use crate::app::App;
use crate::audit::{Action, Actor};
use crate::error::{Failure, Fault};
use crate::http::edge;
use crate::http::observe::{SeenPartner, correlation_of};
use crate::http::reply::HttpFailure;
use crate::http::routes::{self, Access};
use crate::release;
use crate::security::{Caller, PeerCertificate, Permission, Scopes};
use crate::telemetry::Correlation;
use actix_web::dev::Payload;
use actix_web::http::header;
use actix_web::{FromRequest, HttpMessage as _, HttpRequest, web};
use futures_util::future::LocalBoxFuture;

/// A caller that may do what its route does.
pub struct Authorised {
    /// Who it is.
    pub caller: Caller,
    /// What its token allows.
    pub scopes: Scopes,
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
    let certificate = request.conn_data::<PeerCertificate>();
    let caller = app
        .authority
        .authenticate(&app.ctx, bearer(request)?, certificate, correlation_of(request))
        .await?;
    request.extensions_mut().insert(SeenPartner(caller.partner.id.clone()));
    if let Some(seat) = edge::seat_of(request) {
        seat.is_of(&caller.partner.id)?;
    }
    let scopes = Scopes::parse(&caller.scope);
    let allowed = match access {
        Access::Read(rtype) => scopes.allows(rtype, Permission::Read),
        Access::ReadType => scopes.allows(served_type(request)?, Permission::Read),
        Access::SearchType => scopes.allows(searchable_type(request)?, Permission::Search),
        Access::Batch => true,
        Access::Operation(canonical) => scopes.allows_operation(canonical),
        Access::Public | Access::Client => false,
    };
    if !allowed {
        return Err(Fault::ScopeMissing.into());
    }
    Ok(Authorised { caller, scopes })
}

/// The type in the path, if it is one that is served.
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

/// Why a type is not served: [`Fault::TypeNotServed`] for a type of R4, else [`Fault::RouteUnknown`].
pub fn not_served(rtype: &str) -> Failure {
    if causeway_fhir_types::is_type(rtype) {
        Fault::TypeNotServed.into()
    } else {
        Fault::RouteUnknown.into()
    }
}

/// The type in the path, if it is one that is searched.
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

/// The token of the one `Authorization: Bearer` header; a token in the URL is never taken (RFC 6750 section 5.3).
pub fn bearer(request: &HttpRequest) -> Result<Option<&str>, Failure> {
    let mut values = request.headers().get_all(header::AUTHORIZATION);
    let Some(value) = values.next() else { return Ok(None) };
    if values.next().is_some() {
        return Err(Fault::TokenInvalid.into());
    }
    let text = value.to_str().map_err(|_| Failure::new(Fault::TokenInvalid))?;
    match text.split_once(' ') {
        Some((scheme, token)) if scheme.eq_ignore_ascii_case("bearer") => Ok(Some(token.trim())),
        _ => Err(Fault::TokenInvalid.into()),
    }
}

/// Writes a refusal to the ledger. The request is refused in any case, so a store that fails here is only logged.
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
