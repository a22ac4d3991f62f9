//! "Act as": a session of the development partner at the press of a button, with its key and its certificate, for `serve --dev`.
//!
//! Only a server that was started so and listens on loopback has a partner to act as, and only a browser on this machine may.

use super::acting::ActingPartner;
use crate::error::Failure;
use crate::http::request_notes::correlation_of;
use crate::http::state::App;
use crate::percent::encode_all;
use crate::secret::Secret;
use crate::security::{self, OauthRequest};
use actix_web::HttpRequest;

/// The scope of the tokens.
const SCOPE: &str = "system/*.rs http://hl7.org/fhir/us/davinci-hrex/OperationDefinition/member-match";

/// The partner that this request may act as.
pub(super) fn partner_for<'a>(request: &HttpRequest, app: &'a App) -> Option<&'a ActingPartner> {
    let is_here = request
        .peer_addr()
        .is_some_and(|peer| peer.ip().to_canonical().is_loopback());
    app.acting().filter(|_| is_here && app.config.server.is_on_loopback())
}

/// Gets a token as the partner itself would: by a signed assertion, and in the ledger like any other.
pub(super) async fn token(request: &HttpRequest, app: &App, acting: &ActingPartner) -> Result<Secret, Failure> {
    let now_ms = app.ctx.clock.now_ms();
    let jti = app.ctx.ids.new_id(now_ms);
    let audience = &app.oauth.token_url;
    let assertion = acting.key.assertion(&acting.client_id, audience, now_ms / 1000, &jti)?;
    let body = format!(
        "grant_type=client_credentials&scope={}&client_assertion_type={}&client_assertion={assertion}",
        encode_all(SCOPE),
        encode_all("urn:ietf:params:oauth:client-assertion-type:jwt-bearer"),
    );
    let asked = OauthRequest {
        body: body.as_bytes(),
        content_type: Some("application/x-www-form-urlencoded"),
        has_query: false,
        authorization: None,
        certificate: Some(&acting.certificate),
        address: request.peer_addr().map(|peer| peer.ip()),
        correlation: correlation_of(request),
    };
    Ok(security::issue(&app.ctx, &app.oauth, asked).await?.access_token)
}
