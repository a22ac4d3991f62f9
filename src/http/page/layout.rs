//! The frame of every page: head, landmarks, style sheet, and the Content-Security-Policy.

use super::session;
use super::site::{PageReader, PageSite};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use maud::{DOCTYPE, Markup, PreEscaped, html};
use std::sync::LazyLock;

const STYLE: &str = include_str!("style.css");

/// The Content-Security-Policy of a page: it allows the one style sheet, by its digest, and forms to this server, and nothing else.
pub static POLICY: LazyLock<String> = LazyLock::new(|| {
    let digest = STANDARD.encode(crate::secret::sha256(STYLE.as_bytes()));
    format!(
        "default-src 'none'; style-src 'sha256-{digest}'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
    )
});

/// A page. `title` must not name a person: browsers keep it in their history.
pub fn html(site: &PageSite, title: &str, body: &Markup) -> String {
    let statement = site.statement();
    let payer = statement["implementation"]["description"].as_str().unwrap_or("");
    html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                meta name="color-scheme" content="light dark";
                meta name="referrer" content="no-referrer";
                title { (title) " – Causeway" }
                style { (PreEscaped(STYLE)) }
            }
            body {
                a.skip href="#main" { "Skip to the content" }
                header {
                    p.brand { a href=(site.at("metadata")) { "Causeway" } " " span { (payer) } }
                    nav aria-label="Server" {
                        ul {
                            li { a href=(site.at("metadata")) { "What this server does" } }
                            li { a href=(site.at("CodeSystem/causeway-fault")) { "Faults" } }
                            @for rtype in ["OperationDefinition", "SearchParameter", "StructureDefinition"] {
                                @if site.can(rtype, "search-type") { li { a href=(site.at(rtype)) { (rtype) "s" } } }
                            }
                            li { a href=(site.at(".well-known/smart-configuration")) { "SMART configuration" } }
                            @if !matches!(site.reader(), PageReader::Visitor { .. }) { li { a href=(site.at("explorer")) { "Use a token" } } }
                        }
                    }
                    @if let PageReader::Visitor { partner, ends, .. } = site.reader() {
                        section.visit aria-label="Session" {
                            p { "You see what " code { (partner) } " may see, until " (ends) ". " a href=(site.at("explorer")) { "Session" } }
                            (session::end_form(site))
                        }
                    }
                }
                main id="main" tabindex="-1" { (body) }
                footer {
                    p { "FHIR " (statement["fhirVersion"].as_str().unwrap_or("R4")) " at " code { (site.base_url()) }
                        ", Causeway " (env!("CARGO_PKG_VERSION")) "." }
                }
            }
        }
    }
    .into_string()
}
