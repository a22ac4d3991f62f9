//! Signing in and out: the page of a one-time link, the form that uses it up, and the page for whoever is not signed in.
//!
//! Following a link changes nothing and reads nothing, so that no preview of a mail or a chat uses it up. Its secret is in no log and in no entry.

use super::desk::Desk;
use super::frame;
use super::table::{self, BEGIN, HOME};
use super::visit::{self, only};
use crate::audit::{Action, Actor, LedgerEvent, Object, OperatorNote};
use crate::error::{Failure, Fault};
use crate::http::request_notes::correlation_of;
use crate::http::state::App;
use crate::percent::encode;
use crate::security::console;
use crate::telemetry::Correlation;
use actix_web::http::header;
use actix_web::web::Payload;
use actix_web::{HttpRequest, HttpResponse};
use maud::html;

const SECRET: &str = "secret";

/// `GET /console/link/{secret}`: the button that signs in.
pub(super) fn of_link(request: &HttpRequest) -> HttpResponse {
    let secret = request.match_info().get(SECRET).unwrap_or_default();
    let body = html! {
        h1 { "Sign in to the console" }
        p { "This link works once, within a minute of the time when it was made." }
        form.narrow action="/console/session" method="post" aria-label="Sign in" {
            input type="hidden" name=(SECRET) value=(secret);
            p { button type="submit" { "Sign in" } }
        }
    };
    HttpResponse::Ok().body(frame::page(None, "Sign in", &body))
}

/// `POST /console/session`: uses the link up, and begins a session with a new handle.
///
/// # Errors
/// [`Fault::TokenInvalid`] for a link that was used, is too late, or never was; [`Fault::FormForeign`]; those of the form and of the store.
pub(super) async fn sign_in(
    request: &HttpRequest,
    payload: Payload,
    app: &App,
    origin: &str,
) -> Result<HttpResponse, Failure> {
    let fields = visit::fields(request, payload).await?;
    let correlation = correlation_of(request);
    let before = visit::handle(request, origin);
    let agent = visit::agent(request);
    let secret = only(&fields, SECRET);
    let mut begun = None;
    // Whoever guesses takes no turn among the writes.
    if console::is_link(&app.ctx, secret).await? {
        let work = console::redeem(&app.ctx, secret, agent, before.as_ref(), &correlation);
        begun = app.ctx.store.reserved().write(work).await?;
    }
    let Some(begun) = begun else {
        let failure = Failure::new(Fault::TokenInvalid)
            .remedy("A link works once, within a minute. Make a new one on the host with `causeway console link`.");
        record_refusal(app, ("POST /console/session", None), &failure, &correlation).await;
        return Err(failure);
    };
    let mut response = HttpResponse::SeeOther();
    response.insert_header((header::LOCATION, HOME));
    if let Some(cookie) = visit::cookie_of(origin, Some((&begun.handle, begun.lasts_ms))) {
        response.append_header((header::SET_COOKIE, cookie));
    }
    Ok(response.finish())
}

/// Puts into the ledger that somebody was not let in at this route; with the name of the person where the identity provider has told it.
pub(super) async fn record_refusal(
    app: &App,
    (route, name): (&str, Option<String>),
    failure: &Failure,
    correlation: &Correlation,
) {
    // Strangers are counted; somebody with a name has an entry.
    let actor = Actor {
        kind: if name.is_some() { "operator" } else { "unknown" },
        id: name.as_ref().map(|_| "none".to_owned()),
        ..Actor::default()
    };
    let mut entry = LedgerEvent::new(Action::OperatorRefused, actor, correlation.clone());
    entry.object = Some(Object {
        kind: "route",
        id: route.to_owned(),
    });
    entry.note = name.map(|operator| OperatorNote {
        operator,
        reason: String::new(),
    });
    // It is refused in any case.
    if let Err(failed) = app.oauth.refusals.record_event(&app.ctx, entry, failure).await {
        tracing::warn!(fault = failed.fault().code(), "a refusal could not be recorded");
    }
}

/// `POST /console/session/end`: ends the session.
///
/// # Errors
/// Those of the store.
pub(super) async fn sign_out(desk: &Desk, request: &HttpRequest, origin: &str) -> Result<HttpResponse, Failure> {
    let ctx = &desk.app().ctx;
    let work = console::sign_out(ctx, &desk.signed_in().visitor, &correlation_of(request));
    ctx.store.reserved().write(work).await?;
    let provider = desk.app().sign_in.as_ref();
    let end = provider.and_then(|provider| Some((provider.host(), provider.end_address()?)));
    let body = html! {
        h1 { "Signed out" }
        p { "The session has ended. "
            @if provider.is_some() { a href=(BEGIN) { "Sign in again" } ", or ask for a new link." }
            @else { "To sign in again, ask for a new link." }
        }
        @if let Some((host, url)) = end {
            p { "Whoever uses this browser next may still be signed in at " (host) " as you. "
                a href=(url) { "Sign out there too" } "." }
        }
    };
    let mut response = HttpResponse::Ok();
    if let Some(cookie) = visit::cookie_of(origin, None) {
        response.append_header((header::SET_COOKIE, cookie));
    }
    Ok(response.body(frame::page(None, "Signed out", &body)))
}

/// The page for a browser that is not signed in. It leads to the same page again: a browser sends no cookie with a link from another site.
pub(super) fn needed(request: &HttpRequest, app: &App) -> HttpResponse {
    let is_page = request.method() != actix_web::http::Method::POST;
    let same = request.uri().path_and_query().map_or(HOME, |same| same.as_str());
    let begin = match request.uri().path() {
        path if is_page && table::is_place(path) => format!("{BEGIN}?to={}", encode(path)),
        _ => BEGIN.to_owned(),
    };
    let body = html! {
        h1 { "You are not signed in" }
        @if let Some(provider) = &app.sign_in {
            p { a href=(begin) { "Sign in at " (provider.host()) } }
            p { "Or sign in by a link that whoever runs this server makes for you:" }
        } @else {
            p { "Sign in by a link that whoever runs this server makes for you:" }
        }
        pre { "causeway console link --role ROLE --name YOUR-NAME --reason WHY" }
        p { "A session ends " (console::IDLE_MS / 60_000) " minutes after its last page, and " (console::SESSION_MS / 3_600_000)
            " hours after it began"
            @if app.sign_in.is_some() {
                "; one that began at the identity provider ends " (console::PROVIDED_SESSION_MS / 60_000) " minutes after it began"
            }
            "." }
        @if is_page {
            p { "If you are signed in and came by a link from elsewhere, "
                a href=(same) { "open this page again" } "." }
        }
    };
    HttpResponse::Unauthorized()
        .insert_header((header::WWW_AUTHENTICATE, "Link realm=\"console\""))
        .body(frame::page(None, "Not signed in", &body))
}
