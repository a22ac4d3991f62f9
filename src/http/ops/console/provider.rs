//! Signing in by the identity provider: the link that leads to it, and the page to which the browser comes back.
//!
//! A sign-in begins only where a person or a page of ours began the navigation, and ends only in the same browser. It leads to a page of the console
//! and to no other address. Codes, states and tokens are in no log and on no page.

use super::table::{BEGIN, DONE, HOME, is_place};
use super::visit::{self, only};
use super::{entry, frame};
use crate::error::{Failure, Fault};
use crate::http::explorer::browser;
use crate::http::negotiate::pairs;
use crate::http::request_notes::correlation_of;
use crate::http::state::App;
use crate::security::console;
use crate::security::sign_in::{ConsoleSignIn, SignInAnswer, SignInRefusal};
use actix_web::http::Method;
use actix_web::http::header::{self, HeaderName};
use actix_web::{HttpRequest, HttpResponse};
use maud::html;

/// `GET /console/sign-in?to=PATH`: gives the browser a sign-in, and leads it to the provider.
///
/// # Errors
/// [`Fault::RouteUnknown`] without a provider; [`Fault::ParameterInvalid`] for an address that is no page of the console;
/// [`Fault::SignInProvider`]; those of the store.
pub(super) async fn begin(request: &HttpRequest, app: &App, origin: &str) -> Result<HttpResponse, Failure> {
    let provider = provider(app)?;
    // Another site's page can lead here, and gets the page with the link.
    if request.method() != Method::GET || !browser::is_chosen_navigation(request.headers()) {
        return Ok(entry::needed(request, app));
    }
    let asked = pairs(request.query_string())?;
    let place = match only(&asked, "to") {
        "" => HOME,
        place if is_place(place) => place,
        _ => {
            return Err(Failure::new(Fault::ParameterInvalid)
                .at("to")
                .remedy(format!("Sign in from {BEGIN}, and go on from the overview.")));
        }
    };
    let session = visit::handle(request, origin);
    let begun = provider
        .begin(&app.ctx, (&redirect(origin), place), session.as_ref())
        .await?;
    let mut response = HttpResponse::SeeOther();
    response.insert_header((header::LOCATION, begun.url));
    if let Some(cookie) = visit::sign_in_cookie_of(origin, Some(&begun.handle)) {
        response.append_header((header::SET_COOKIE, cookie));
    }
    Ok(response.finish())
}

/// `GET /console/sign-in/done`: ends the sign-in, and begins a session with a new handle. The browser goes on by itself from a page of ours: it sends
/// the cookie of a session with no navigation that another site began.
///
/// # Errors
/// [`Fault::RouteUnknown`] without a provider; those of [`ConsoleSignIn::finish`], of which the ledger has those that are about whoever comes.
pub(super) async fn done(request: &HttpRequest, app: &App, origin: &str) -> Result<HttpResponse, Failure> {
    let provider = provider(app)?;
    let refusal = match finished(provider, request, app, origin).await {
        Ok(response) => return Ok(response),
        Err(refusal) => refusal,
    };
    let failure = refusal.failure;
    if matches!(failure.fault(), Fault::SignInUnfit | Fault::SignInNoRole) {
        let route = format!("GET {DONE}");
        entry::record_refusal(app, (&route, refusal.name), &failure, &correlation_of(request)).await;
    }
    Err(failure)
}

async fn finished(
    provider: &ConsoleSignIn,
    request: &HttpRequest,
    app: &App,
    origin: &str,
) -> Result<HttpResponse, SignInRefusal> {
    let is_page = request.method() == Method::GET && browser::is_navigation(request.headers());
    let handle = visit::sign_in_handle(request, origin).filter(|_| is_page);
    let handle = handle.ok_or_else(|| Failure::new(Fault::SignInUnfit).because("the browser has begun no sign-in"))?;
    let given = pairs(request.query_string())?;
    if has_twice(&given) {
        return Err(Failure::new(Fault::SignInUnfit)
            .because("the answer has a parameter twice")
            .into());
    }
    let answer = SignInAnswer {
        code: only(&given, "code"),
        state: only(&given, "state"),
        issuer: only(&given, "iss"),
        error: only(&given, "error"),
    };
    let person = provider.finish(&app.ctx, &redirect(origin), answer, &handle).await?;
    let (agent, correlation) = (visit::agent(request), correlation_of(request));
    let who = (&person.roles, person.name.as_str());
    let work = console::admit(&app.ctx, who, agent, person.session_before, &correlation);
    let begun = app.ctx.store.reserved().write(work).await?;
    let body = html! {
        h1 { "Signed in" }
        p { "You are signed in as " code { (begun.name) } " (" (person.roles.text()) "). " a href=(person.place) { "Go on" } "." }
    };
    let mut response = HttpResponse::Ok();
    response.insert_header((HeaderName::from_static("refresh"), format!("0; url={}", person.place)));
    let cookies = [
        visit::sign_in_cookie_of(origin, None),
        visit::cookie_of(origin, Some((&begun.handle, begun.lasts_ms))),
    ];
    for cookie in cookies.into_iter().flatten() {
        response.append_header((header::SET_COOKIE, cookie));
    }
    Ok(response.body(frame::page(None, "Signed in", &body)))
}

/// Whether a parameter that counts is there more than once, as no provider sends it (RFC 6749 section 3.1): it would count as one that is missing.
fn has_twice(given: &[(String, String)]) -> bool {
    let is_twice = |name: &&str| given.iter().filter(|(key, _)| key == *name).count() > 1;
    ["code", "state", "iss", "error"].iter().any(is_twice)
}

fn provider(app: &App) -> Result<&ConsoleSignIn, Failure> {
    app.sign_in.as_ref().ok_or_else(|| {
        Failure::new(Fault::RouteUnknown)
            .remedy("Nobody signs in by an identity provider here: ask for a link of `causeway console link`.")
    })
}

/// Where the provider sends the browser back to.
fn redirect(origin: &str) -> String {
    format!("{origin}{DONE}")
}
