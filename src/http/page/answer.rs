//! The answer that a page shows, and its JSON at the end of the page.

use super::site::{PageReader, PageSite};
use super::{token, tree};
use crate::http::request_notes::FilledTypes;
use maud::{Markup, html};
use serde_json::Value;

/// What a page shows: the answer, and the request that it belongs to.
#[derive(Clone)]
pub struct PageSubject<'a> {
    /// HTTP status.
    pub status: u16,
    /// Path of the request by [`PageSite::plain_path`], without the query, which may name a person.
    pub path: &'a str,
    /// Whether the request was posted.
    pub is_posted: bool,
    /// What was typed into the form that was sent, or stood in the query.
    pub fields: &'a [(String, String)],
    /// For the start page: the types of which the reader may read resources.
    pub filled: &'a FilledTypes,
    /// The address of the same answer as JSON, when a GET of an address can return it and that address names no person.
    pub json_href: Option<String>,
    /// `X-Request-Id` of the answer.
    pub request_id: &'a str,
    /// The resource in the answer.
    pub resource: &'a Value,
}

/// The answer as JSON at the end of its page; collapsed where the page shows the same in another way.
pub(super) fn json_section(site: &PageSite, answer: &PageSubject, open: bool) -> Markup {
    html! {
        section aria-labelledby="json" {
            h2 id="json" { "As JSON" }
            p {
                "The same for programs: send " code { "Accept: application/fhir+json" }
                @if let Some(href) = &answer.json_href { ", or open " a href=(href) { "this address as JSON" } "." }
                @else { ", or add " code { "_format=json" } "." }
            }
            @if matches!(site.reader(), PageReader::Visitor { .. }) {
                p.note { "The session of this browser is for pages alone. A program sends the token itself:" }
                (token::example(site, answer.path, answer.is_posted, answer.fields))
            }
            details open[open] {
                summary { "Show the JSON" }
                (tree::markup(site, answer.resource))
            }
        }
    }
}
