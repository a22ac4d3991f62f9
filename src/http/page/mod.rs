//! HTML pages for browsers: the same answer, with an explanation, links to what it refers to, and forms for further requests.
//!
//! They are built only from the JSON of the answer and of the CapabilityStatement, and from what the request asked and who reads
//! ([`PageReader`]), without reading the store or making decisions. They
//! contain no scripts and no external content; everything is escaped, and narrative is never rendered (`docs/threats.md` B11).

pub mod access;
mod answer;
mod bundle;
mod capability;
mod definition;
mod form;
mod json;
mod layout;
mod outcome;
mod record;
mod resource;
mod session;
mod site;
mod token;
mod tree;

pub use answer::PageSubject;
pub use layout::POLICY;
pub use record::{PART_BYTES, RECORD_ENTRIES};
pub use site::{PageReader, PageSite};

use maud::html;

/// Largest answer that is shown as a page, in bytes of JSON.
pub const SHOWN_BYTES: usize = 4 * 1024 * 1024;

/// The whole page of an answer.
pub fn page(site: &PageSite, answer: &PageSubject) -> String {
    let (title, body) = match answer.resource["resourceType"].as_str().unwrap_or("") {
        "OperationOutcome" => outcome::page(site, answer),
        "CapabilityStatement" => capability::page(site, answer),
        "Bundle" if record::is_one(site, answer) => record::page(site, answer),
        "Bundle" => bundle::page(site, answer),
        _ => resource::page(site, answer),
    };
    layout::html(site, &title, &body)
}

/// The page for an answer that is too large to be shown.
pub fn too_large(site: &PageSite, path: &str, fields: &[(String, String)]) -> String {
    let title = "Too large for a page";
    let body = html! {
        h1 { (title) }
        p { "This answer has more than " (SHOWN_BYTES / 1024 / 1024) " MiB, so it is not shown here." }
        p { "Request it as JSON (" code { "Accept: application/fhir+json" } "), or request less: "
            code { "_count" } ", " code { "_type" } " and dates narrow an answer." }
        (token::example(site, path, path.ends_with("/_search"), fields))
    };
    layout::html(site, title, &body)
}

#[cfg(test)]
mod tests;
