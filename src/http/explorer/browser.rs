//! Whether a browser asks for a page because somebody followed a link or sent a form on one of our own pages (Fetch Metadata).
//!
//! Browsers set these headers themselves, and no script can change them. A browser that does not send them gets no use of the cookie.

use crate::http::negotiate::{self, AnswerForm};
use actix_web::HttpRequest;
use actix_web::http::header::{self, HeaderMap};

/// Whether the request is a navigation from a page of `origin`, for a page.
pub fn comes_from_our_page(request: &HttpRequest, origin: &str) -> bool {
    is_own_navigation(request.headers(), origin)
        && negotiate::names_html(request)
        && negotiate::form(request).is_ok_and(|form| form == AnswerForm::Html)
}

/// Whether the headers are those of a navigation from a page of `origin`.
pub fn is_own_navigation(headers: &HeaderMap, origin: &str) -> bool {
    let is = |name: &str, wanted: &str| only(headers, name) == Some(wanted);
    let has_fitting_origin = match headers.get(header::ORIGIN) {
        None => true,
        // Our pages send no referrer, and browsers then name no origin in the header of their forms (Fetch standard, "Origin header").
        Some(_) => is("origin", "null") || is("origin", origin),
    };
    is("sec-fetch-site", "same-origin")
        && is("sec-fetch-mode", "navigate")
        && is("sec-fetch-dest", "document")
        && has_fitting_origin
}

/// Whether the headers are those of a navigation to a page that a page of ours or the person at the browser began: never another site's page, and
/// never one of another port of this host.
pub fn is_chosen_navigation(headers: &HeaderMap) -> bool {
    let is_ours = matches!(only(headers, "sec-fetch-site"), Some("same-origin" | "none"));
    is_ours && is_navigation(headers)
}

/// Whether the headers are those of a navigation to a page, whoever began it.
pub fn is_navigation(headers: &HeaderMap) -> bool {
    only(headers, "sec-fetch-mode") == Some("navigate") && only(headers, "sec-fetch-dest") == Some("document")
}

/// The value of a header that is sent exactly once.
fn only<'h>(headers: &'h HeaderMap, name: &str) -> Option<&'h str> {
    let mut values = headers.get_all(name);
    let value = values.next()?.to_str().ok()?;
    values.next().is_none().then_some(value)
}
