//! The frame of every page of the console: head, landmarks, who is signed in, and the headers of its answers.
//!
//! No page has a script or loads anything. A title names no person, since browsers keep it in their history.

use super::desk::Desk;
use super::parts::{AnswerShape, form_token};
use super::table::HOME;
use crate::http::ops::table::OpsCall;
use crate::ops::scorecard::page::CARD_POLICY;
use actix_web::http::header::{self, HeaderMap, HeaderName, HeaderValue};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use maud::{DOCTYPE, Markup, PreEscaped, html};
use std::sync::LazyLock;

/// The style sheet of all pages of this server, and what the console adds.
static STYLE: LazyLock<String> = LazyLock::new(|| {
    format!(
        "{}{}",
        include_str!("../../page/style.css"),
        include_str!("console.css")
    )
});

/// The Content-Security-Policy: the one style sheet, by its digest, forms to this server, and nothing else.
static POLICY: LazyLock<String> = LazyLock::new(|| {
    let digest = STANDARD.encode(crate::secret::sha256(STYLE.as_bytes()));
    format!(
        "default-src 'none'; style-src 'sha256-{digest}'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
    )
});

/// The pages in the navigation, each with what a role needs to be led to it.
const PAGES: &[(&str, &str, Option<OpsCall>)] = &[
    (HOME, "Overview", None),
    ("/console/find", "Find", Some(OpsCall::Trace)),
    ("/console/exchanges", "Exchanges", Some(OpsCall::Exchanges)),
    ("/console/parked", "Parked", Some(OpsCall::Jobs)),
    ("/console/jobs", "Jobs", Some(OpsCall::Jobs)),
    ("/console/bulk", "Bulk", Some(OpsCall::BulkRuns)),
    ("/console/alerts", "Alerts", Some(OpsCall::Alerts)),
    ("/console/reviews", "Reviews", Some(OpsCall::Reviews)),
    ("/console/links", "Links", Some(OpsCall::Links)),
    ("/console/service", "Service", Some(OpsCall::Service)),
    ("/console/partners", "Partners", Some(OpsCall::Partners)),
    ("/console/policies", "Policies", Some(OpsCall::Policies)),
    (
        "/console/policies/compare",
        "Compare policies",
        Some(OpsCall::PolicyCompare),
    ),
    ("/console/disclosures", "Disclosures", Some(OpsCall::DisclosuresSearch)),
    ("/console/ledger", "Ledger", Some(OpsCall::Ledger)),
    ("/console/looks", "Looks", Some(OpsCall::Looks)),
    ("/console/evidence", "Evidence", Some(OpsCall::Packets)),
    ("/console/cases", "Cases", Some(OpsCall::Cases)),
];

/// A page. `desk`: whoever is signed in.
pub(super) fn page(desk: Option<&Desk>, title: &str, body: &Markup) -> String {
    html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                meta name="color-scheme" content="light dark";
                meta name="referrer" content="no-referrer";
                title { (title) " – Causeway console" }
                style { (PreEscaped(STYLE.as_str())) }
            }
            body {
                a.skip href="#main" { "Skip to the content" }
                header {
                    p.brand { a href=(HOME) { "Causeway" } " " span { "console" } }
                    @if let Some(desk) = desk { (navigation(desk)) }
                }
                main id="main" tabindex="-1" { (body) }
                footer { p { "Causeway " (env!("CARGO_PKG_VERSION")) ". Each look and each act on these pages is in the ledger." } }
            }
        }
    }
    .into_string()
}

fn navigation(desk: &Desk) -> Markup {
    html! {
        nav aria-label="Console" {
            ul {
                @for (path, name, call) in PAGES {
                    @if call.is_none_or(|call| desk.may(call)) { li { a href=(path) { (name) } } }
                }
            }
        }
        section.visit aria-label="Session" {
            p { "Signed in as " code { (desk.name()) } " (" (desk.roles()) ") until " (desk.ends_at()) "." }
            form action="/console/session/end" method="post" aria-label="Sign out" {
                (form_token(desk))
                button type="submit" { "Sign out" }
            }
        }
    }
}

/// Puts on an answer what every answer of the console has: nobody keeps it, frames it, or learns where it was. `shape`: that of an answer which
/// is no page in this frame.
pub(super) fn put_headers(headers: &mut HeaderMap, shape: Option<&AnswerShape>) {
    let (media_type, policy) = match shape {
        None => ("text/html; charset=utf-8", POLICY.as_str()),
        Some(AnswerShape::Card) => ("text/html; charset=utf-8", CARD_POLICY.as_str()),
        Some(AnswerShape::Packet { .. }) => ("application/x-tar", POLICY.as_str()),
    };
    if let Some(AnswerShape::Packet { name }) = shape
        && let Ok(value) = HeaderValue::from_str(&format!("attachment; filename=\"{name}\""))
    {
        headers.insert(header::CONTENT_DISPOSITION, value);
    }
    for (name, value) in [
        (header::CONTENT_TYPE, media_type),
        (header::CONTENT_SECURITY_POLICY, policy),
        (header::REFERRER_POLICY, "no-referrer"),
        (header::CACHE_CONTROL, "no-store"),
        (HeaderName::from_static("cross-origin-opener-policy"), "same-origin"),
        (HeaderName::from_static("cross-origin-resource-policy"), "same-origin"),
    ] {
        if let Ok(value) = HeaderValue::from_str(value) {
            headers.insert(name, value);
        }
    }
}
