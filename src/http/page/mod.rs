//! Readable pages for browsers: the same answer, with what it is, where its references lead and what can be tried from it.
//!
//! Built from an answer's JSON and the CapabilityStatement's JSON alone; nothing here reads the store or decides. No script,
//! no outside content; everything is escaped and narrative is never rendered (`docs/threats.md` B11).

mod bundle;
mod capability;
mod definition;
mod form;
mod layout;
mod outcome;
mod resource;
mod site;
mod token;
mod tree;

pub use layout::POLICY;
pub use site::Site;

use maud::{Markup, html};
use serde_json::Value;

/// Largest answer that is shown as a page, in bytes of JSON.
pub const SHOWN_BYTES: usize = 4 * 1024 * 1024;

/// What the page is about: the answer and the request it belongs to.
pub struct Answer<'a> {
    /// HTTP status.
    pub status: u16,
    /// Path of the request by [`Site::plain_path`], without the query: that may name a person.
    pub path: &'a str,
    /// The same answer as JSON, when an address alone can ask for it and that address names nobody.
    pub json_href: Option<String>,
    /// `X-Request-Id` of the answer.
    pub request_id: &'a str,
    /// The resource that is the answer.
    pub resource: &'a Value,
}

/// The whole page of an answer.
pub fn page(site: &Site, answer: &Answer) -> String {
    let (title, body) = match answer.resource["resourceType"].as_str().unwrap_or("") {
        "OperationOutcome" => outcome::page(site, answer),
        "CapabilityStatement" => capability::page(site, answer),
        "Bundle" => bundle::page(site, answer),
        _ => resource::page(site, answer),
    };
    layout::html(site, &title, &body)
}

/// The page in place of an answer that is too large for one.
pub fn too_large(site: &Site, path: &str) -> String {
    let title = "Too large for a page";
    let body = html! {
        h1 { (title) }
        p { "This answer has more than " (SHOWN_BYTES / 1024 / 1024) " MiB, so it is not shown here." }
        p { "Ask for it as JSON (" code { "Accept: application/fhir+json" } "), or for less of it: "
            code { "_count" } ", " code { "_type" } " and dates narrow an answer." }
        (token::example(site, path))
    };
    layout::html(site, title, &body)
}

/// The text at a path of keys, or nothing.
fn text<'a>(value: &'a Value, key: &str) -> &'a str {
    value[key].as_str().unwrap_or("")
}

/// The items of an array, or none.
fn items(value: &Value) -> &[Value] {
    value.as_array().map_or(&[], Vec::as_slice)
}

/// The answer as JSON below its page; closed where the page already says it in another way.
fn json_section(site: &Site, answer: &Answer, open: bool) -> Markup {
    html! {
        section aria-labelledby="json" {
            h2 id="json" { "As JSON" }
            p {
                "The same for programs: send " code { "Accept: application/fhir+json" }
                @if let Some(href) = &answer.json_href { ", or open " a href=(href) { "this address as JSON" } "." }
                @else { ", or add " code { "_format=json" } "." }
            }
            details open[open] {
                summary { "Show the JSON" }
                (tree::markup(site, answer.resource))
            }
        }
    }
}

#[cfg(test)]
mod tests;
