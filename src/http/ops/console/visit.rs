//! What a request to the console shows of its browser: by which name it asked, where it comes from, its cookie, and its form.
//!
//! A cookie counts only where a person or a page of ours began the navigation, and a form only from a page of ours. Nothing here knows pages or
//! roles.

use crate::error::{Failure, Fault};
use crate::http::explorer::{FORM_FIELD, browser, cookie};
use crate::http::ops::own_host;
use crate::http::state::App;
use crate::http::{body, negotiate};
use crate::secret::{base64url, same};
use crate::security::console::{self, ConsoleVisitor};
use crate::security::sign_in::{SIGN_IN_MS, SignInHandle};
use actix_web::HttpRequest;
use actix_web::http::Method;
use actix_web::http::header::{self, HeaderValue};
use actix_web::web::Payload;

/// The cookie over TLS, which browsers take from this very host alone (RFC 6265bis section 4.1.3.2).
const SECURE: &str = "__Host-causeway-console";
/// The cookie on this machine without TLS, where not all browsers take one with that prefix (docs/adr/0034-sessions-of-the-console.md).
const PLAIN: &str = "causeway-console";
/// The same two for a sign-in by the identity provider, from whose pages the browser has to bring it back.
const SECURE_SIGN_IN: &str = "__Host-causeway-sign-in";
const PLAIN_SIGN_IN: &str = "causeway-sign-in";
/// Largest form, in bytes.
const FORM_BYTES: usize = 16_384;

/// The fields of a form, in their order.
pub(super) type Fields = Vec<(String, String)>;

/// Somebody who is signed in, and what the cookie holds.
pub(super) struct SignedIn {
    pub(super) visitor: ConsoleVisitor,
    pub(super) form_token: String,
}

/// Scheme, host and port by which the browser asked, where they are ours. Another site could let a name of its own lead here (DNS rebinding).
///
/// # Errors
/// [`Fault::RouteUnknown`] for another name.
pub(super) fn origin(request: &HttpRequest, app: &App) -> Result<String, Failure> {
    let server = &app.config.server;
    let host = own_host::authority(request);
    let has_name = server.ops_base_url.is_some() || server.ops_tls.is_some();
    let found = match has_name {
        true => Some(server.ops_origin().to_ascii_lowercase())
            .filter(|own| own.split_once("://").is_some_and(|(_, at)| at == host)),
        false => own_host::is_of_this_machine(&host).then(|| format!("http://{host}")),
    };
    found.ok_or_else(|| {
        Failure::new(Fault::RouteUnknown)
            .remedy("Open the console under the address that `causeway console link` prints.")
    })
}

/// How the browser names itself.
pub(super) fn agent(request: &HttpRequest) -> &str {
    let named = request.headers().get(header::USER_AGENT);
    named.and_then(|name| name.to_str().ok()).unwrap_or_default()
}

/// Of the names over TLS and without it the one for this origin.
fn name_of(origin: &str, (secure, plain): (&'static str, &'static str)) -> &'static str {
    match origin.starts_with("https://") {
        true => secure,
        false => plain,
    }
}

/// What the cookie of the console holds.
pub(super) fn handle(request: &HttpRequest, origin: &str) -> Option<[u8; 32]> {
    cookie::value(request.headers(), name_of(origin, (SECURE, PLAIN)))
}

/// The header that gives the browser this handle for so many milliseconds, or takes it away.
pub(super) fn cookie_of(origin: &str, handle: Option<(&[u8; 32], i64)>) -> Option<HeaderValue> {
    written(origin, name_of(origin, (SECURE, PLAIN)), "Strict", handle)
}

/// What the cookie of a sign-in holds.
pub(super) fn sign_in_handle(request: &HttpRequest, origin: &str) -> Option<SignInHandle> {
    let held = cookie::value(request.headers(), name_of(origin, (SECURE_SIGN_IN, PLAIN_SIGN_IN)));
    held.map(SignInHandle::of)
}

/// The header that gives the browser the handle of a sign-in, or takes it away. The browser brings it with a navigation from another site, since
/// it comes back from the provider, and with nothing else from there.
pub(super) fn sign_in_cookie_of(origin: &str, handle: Option<&SignInHandle>) -> Option<HeaderValue> {
    let name = name_of(origin, (SECURE_SIGN_IN, PLAIN_SIGN_IN));
    let held = handle.map(|handle| (handle.bytes(), SIGN_IN_MS));
    written(origin, name, "Lax", held)
}

fn written(
    origin: &str,
    name: &'static str,
    same_site: &'static str,
    held: Option<(&[u8; 32], i64)>,
) -> Option<HeaderValue> {
    let place = name_of(origin, ("Path=/; Secure", "Path=/console"));
    let (value, seconds) = match held {
        Some((handle, lasts_ms)) => (base64url(handle), lasts_ms / 1000),
        None => (String::new(), 0),
    };
    let text = format!("{name}={value}; {place}; HttpOnly; SameSite={same_site}; Max-Age={seconds}");
    HeaderValue::from_str(&text).ok()
}

/// Refuses a form that no page of `origin` sent.
///
/// # Errors
/// [`Fault::FormForeign`].
pub(super) fn demand_own_page(request: &HttpRequest, origin: &str) -> Result<(), Failure> {
    match browser::is_own_navigation(request.headers(), origin) {
        true => Ok(()),
        false => Err(Fault::FormForeign.into()),
    }
}

/// Who is signed in with this browser, where its cookie counts.
///
/// # Errors
/// Those of the store.
pub(super) async fn signed_in(request: &HttpRequest, app: &App, origin: &str) -> Result<Option<SignedIn>, Failure> {
    let Some(handle) = handle(request, origin) else {
        return Ok(None);
    };
    let is_chosen = request.method() == Method::POST || browser::is_chosen_navigation(request.headers());
    if !is_chosen || request.headers().contains_key(header::AUTHORIZATION) {
        return Ok(None);
    }
    let found = console::visitor(&app.ctx, &handle, agent(request)).await?;
    Ok(found.map(|visitor| SignedIn {
        visitor,
        form_token: console::form_token(&handle),
    }))
}

/// The fields of a posted form.
///
/// # Errors
/// [`Fault::MediaTypeRefused`], [`Fault::NotUtf8`], [`Fault::ParameterInvalid`]; those of reading it.
pub(super) async fn fields(request: &HttpRequest, payload: Payload) -> Result<Fields, Failure> {
    if !body::is_form(request) {
        return Err(Failure::new(Fault::MediaTypeRefused).remedy("Send the form of a page of the console."));
    }
    let bytes = body::any(request, payload, FORM_BYTES).await?;
    let text = std::str::from_utf8(&bytes).map_err(|_| Failure::new(Fault::NotUtf8))?;
    negotiate::pairs(text)
}

/// Takes the form token out of a form, and compares it with that of the session.
///
/// # Errors
/// [`Fault::FormForeign`] when it is missing, twice there, or that of another session.
pub(super) fn judge(fields: &mut Fields, form_token: &str) -> Result<(), Failure> {
    let given: Vec<String> = fields
        .iter()
        .filter(|(name, _)| name == FORM_FIELD)
        .map(|(_, value)| value.clone())
        .collect();
    fields.retain(|(name, _)| name != FORM_FIELD);
    match given.as_slice() {
        [one] if same(one.as_bytes(), form_token.as_bytes()) => Ok(()),
        _ => Err(Fault::FormForeign.into()),
    }
}

/// The value of a field that is there exactly once; empty otherwise.
pub(super) fn only<'f>(fields: &'f [(String, String)], name: &str) -> &'f str {
    let mut values = fields
        .iter()
        .filter(|(key, _)| key == name)
        .map(|(_, value)| value.trim());
    match (values.next(), values.next()) {
        (Some(value), None) => value,
        _ => "",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_cookie_has_the_prefix_over_tls_alone() {
        let text = |header: Option<HeaderValue>| {
            let header = header.expect("a header");
            header.to_str().expect("text").to_owned()
        };
        let written = |origin: &str, handle| text(cookie_of(origin, handle));
        let over_tls = written("https://ops.example", Some((&[7; 32], 28_800_000)));
        assert!(over_tls.starts_with("__Host-causeway-console="), "{over_tls}");
        assert!(
            over_tls.ends_with("; Path=/; Secure; HttpOnly; SameSite=Strict; Max-Age=28800"),
            "{over_tls}"
        );
        let plain = written("http://127.0.0.1:9443", Some((&[7; 32], 3_600_000)));
        assert!(
            plain.starts_with("causeway-console=") && plain.ends_with("Max-Age=3600") && !plain.contains("Secure"),
            "{plain}"
        );
        let gone = written("https://ops.example", None);
        assert!(
            gone.starts_with("__Host-causeway-console=;") && gone.ends_with("Max-Age=0"),
            "{gone}"
        );
        let handle = SignInHandle::of([7; 32]);
        let sign_in = text(sign_in_cookie_of("https://ops.example", Some(&handle)));
        assert!(sign_in.starts_with("__Host-causeway-sign-in="), "{sign_in}");
        assert!(
            sign_in.ends_with("; Path=/; Secure; HttpOnly; SameSite=Lax; Max-Age=600"),
            "{sign_in}"
        );
        let plain = text(sign_in_cookie_of("http://localhost:9443", None));
        assert_eq!(
            plain,
            "causeway-sign-in=; Path=/console; HttpOnly; SameSite=Lax; Max-Age=0"
        );
    }

    #[test]
    fn a_form_token_counts_once_and_for_its_session_alone() {
        let of = |pairs: &[(&str, &str)]| -> Fields {
            pairs
                .iter()
                .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
                .collect()
        };
        let mut good = of(&[("_csrf", "abc"), ("reason", "x")]);
        assert!(judge(&mut good, "abc").is_ok());
        assert_eq!(good, of(&[("reason", "x")]), "nobody takes it for a field");
        let bad: [&[(&str, &str)]; 4] = [
            &[],
            &[("_csrf", "abd")],
            &[("_csrf", "abc"), ("_csrf", "abc")],
            &[("_csrf", "")],
        ];
        for bad in bad {
            let failure = judge(&mut of(bad), "abc").expect_err("refused");
            assert_eq!(failure.fault(), Fault::FormForeign, "{bad:?}");
        }
    }
}
