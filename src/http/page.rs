//! Readable pages for browsers: the same resource, with what it is and where to go from it.
//!
//! No script, no outside content; everything is escaped, narrative is never rendered (`threats.md` B11).

use actix_web::http::header;
use actix_web::{HttpResponse, HttpResponseBuilder};
use maud::{DOCTYPE, Markup, html};
use serde_json::Value;

const STYLE: &str = "body{font:16px/1.5 system-ui,sans-serif;margin:0 auto;max-width:64rem;padding:1.5rem;color:#1b1b1b;background:#fff}\
    h1{font-size:1.6rem}h2{font-size:1.2rem;margin-top:2rem}pre{background:#f4f5f7;padding:1rem;overflow:auto;font-size:.85rem}\
    table{border-collapse:collapse;width:100%}th,td{text-align:left;padding:.35rem .6rem;border-bottom:1px solid #d7d9dd;vertical-align:top}\
    a{color:#0b4f9e}code{background:#f4f5f7;padding:.1rem .3rem}nav{border-bottom:1px solid #d7d9dd;padding-bottom:.5rem}";

/// A page of one resource.
pub fn resource(response: &mut HttpResponseBuilder, what: &str, bytes: &[u8], base_url: &str) -> HttpResponse {
    let pretty = serde_json::from_slice::<Value>(bytes).map_or_else(
        |_| String::from_utf8_lossy(bytes).into_owned(),
        |value| format!("{value:#}"),
    );
    let body = html! {
        h1 { (what) }
        p { "The same as JSON: ask for " code { "application/fhir+json" } ", or add " code { "_format=json" } "." }
        pre tabindex="0" { (pretty) }
    };
    send(response, what, base_url, &body)
}

/// The CapabilityStatement as a page: what can be asked here, and what it takes.
pub fn capability(response: &mut HttpResponseBuilder, statement: &Value) -> HttpResponse {
    let base_url = statement["implementation"]["url"].as_str().unwrap_or("");
    let text = |value: &Value| value.as_str().unwrap_or("").to_owned();
    let rest = &statement["rest"][0];
    let rows = |value: &Value| value.as_array().cloned().unwrap_or_default();
    let body = html! {
        h1 { (text(&statement["title"])) }
        p { (text(&statement["description"])) " Served by " strong { (text(&statement["implementation"]["description"])) } ", FHIR " (text(&statement["fhirVersion"])) "." }
        p { (text(&rest["documentation"])) }
        p { (text(&rest["security"]["description"])) }
        @for resource in rows(&rest["resource"]) {
            h2 id=(text(&resource["type"])) { (text(&resource["type"])) }
            @if let Some(documentation) = resource["documentation"].as_str() { p { (documentation) } }
            table {
                thead { tr { th scope="col" { "What" } th scope="col" { "How" } th scope="col" { "Notes" } } }
                tbody {
                    @for interaction in rows(&resource["interaction"]) {
                        @let code = text(&interaction["code"]);
                        tr {
                            td { (code) }
                            td { code { "GET " (base_url) "/" (text(&resource["type"])) @if code == "read" { "/{id}" } @else { "?…" } } }
                            td {}
                        }
                    }
                    @for parameter in rows(&resource["searchParam"]) {
                        tr { td { "search by " code { (text(&parameter["name"])) } } td { (text(&parameter["type"])) } td { (text(&parameter["documentation"])) } }
                    }
                    @for operation in rows(&resource["operation"]) {
                        tr { td { code { "$" (text(&operation["name"])) } } td { (text(&operation["definition"])) } td { (text(&operation["documentation"])) } }
                    }
                }
            }
        }
        h2 { "As JSON" }
        pre tabindex="0" { (format!("{statement:#}")) }
    };
    send(response, "Causeway", base_url, &body)
}

fn send(response: &mut HttpResponseBuilder, title: &str, base_url: &str, body: &Markup) -> HttpResponse {
    let page = html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                title { (title) }
                style { (maud::PreEscaped(STYLE)) }
            }
            body {
                nav aria-label="Server" {
                    a href=(format!("{base_url}/metadata")) { "What this server does" } " · "
                    a href=(format!("{base_url}/CodeSystem/causeway-fault")) { "Faults" } " · "
                    a href=(format!("{base_url}/.well-known/smart-configuration")) { "SMART configuration" }
                }
                main { (body) }
            }
        }
    };
    response
        .insert_header((header::CONTENT_TYPE, "text/html; charset=utf-8"))
        .insert_header((
            header::CONTENT_SECURITY_POLICY,
            "default-src 'none'; style-src 'unsafe-inline'; form-action 'self'; frame-ancestors 'none'",
        ))
        .insert_header((header::REFERRER_POLICY, "no-referrer"))
        .body(page.into_string())
}
