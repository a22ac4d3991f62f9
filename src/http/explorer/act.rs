//! "Act as": a session of the development partner at the press of a button, with its key and its certificate, for `serve --dev`.
//!
//! Only a server that was started so and listens on loopback has a partner to act as, and only a browser on this machine may, on a page that
//! it has under this server's own name.

use super::acting::ActingPartner;
use crate::error::Failure;
use crate::http::request_notes::correlation_of;
use crate::http::state::App;
use crate::percent::encode_all;
use crate::secret::Secret;
use crate::security::{self, OauthRequest};
use actix_web::HttpRequest;
use actix_web::http::header;

/// The scope of the tokens.
const SCOPE: &str = "system/*.rs http://hl7.org/fhir/us/davinci-hrex/OperationDefinition/member-match";

/// The partner that this request may act as.
pub(super) fn partner_for<'a>(request: &HttpRequest, app: &'a App) -> Option<&'a ActingPartner> {
    let is_here = request
        .peer_addr()
        .is_some_and(|peer| peer.ip().to_canonical().is_loopback());
    let is_ours = is_here && app.config.server.is_on_loopback() && names_host_of(request, app.config.server.origin());
    app.acting().filter(|_| is_ours)
}

/// Whether the request names the host of `origin`, on any port. Another site can let a name of its own lead to this machine, and its pages
/// are then of the same origin as ours in that browser (DNS rebinding).
fn names_host_of(request: &HttpRequest, origin: &str) -> bool {
    let mut named = request.headers().get_all(header::HOST);
    let (Some(host), None) = (named.next(), named.next()) else {
        return false;
    };
    let own = origin.split_once("://").map_or(origin, |(_, authority)| authority);
    host.to_str()
        .is_ok_and(|host| without_port(host).eq_ignore_ascii_case(without_port(own)))
}

/// The host of an authority; that of an IPv6 address is in brackets.
fn without_port(authority: &str) -> &str {
    match authority.rsplit_once(':') {
        Some((host, port)) if port.bytes().all(|b| b.is_ascii_digit()) => host,
        _ => authority,
    }
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

#[cfg(test)]
mod tests {
    use super::*;
    use actix_web::test::TestRequest;

    #[test]
    fn t_a34_only_the_servers_own_name_counts() {
        let named = |host: &[&str], origin: &str| {
            let mut request = TestRequest::default();
            for host in host {
                request = request.append_header((header::HOST, *host));
            }
            names_host_of(&request.to_http_request(), origin)
        };
        for (host, origin) in [
            ("localhost:8443", "https://localhost:8443"),
            ("LOCALHOST:9", "https://localhost:8443"),
            ("localhost", "https://localhost"),
            ("[::1]:8443", "https://[::1]"),
        ] {
            assert!(named(&[host], origin), "{host} at {origin}");
        }
        let origin = "https://localhost:8443";
        for host in [
            "evil.example:8443",
            "localhost.evil.example",
            "127.0.0.1:8443",
            "localhost:x",
            "",
        ] {
            assert!(!named(&[host], origin), "{host}");
        }
        assert!(!named(&[], origin) && !named(&["localhost", "localhost"], origin));
    }
}
