//! Errors as pages: what happened, how to correct it, where, and a link to the fault's row in the table.

use super::answer::{PageSubject, json_section};
use super::json::{items, text};
use super::site::PageSite;
use super::{access, form, token};
use maud::{Markup, html};
use serde_json::Value;

/// The page of an OperationOutcome.
pub fn page(site: &PageSite, answer: &PageSubject) -> (String, Markup) {
    let issues = items(&answer.resource["issue"]);
    let first = issues.first().map(message).unwrap_or_default();
    let good = answer.status < 400;
    let title = if good {
        "Outcome".to_owned()
    } else {
        format!("{} {}", answer.status, reason(answer.status))
    };
    let body = html! {
        h1 { @if good { (title) } @else { span.status { (answer.status) } " " (first) } }
        @for issue in issues { (notice(site, issue, issues.len() > 1 || good)) }
        @if !answer.request_id.is_empty() {
            p { "Request id, for the payer's operator: " code { (answer.request_id) } }
        }
        @if answer.status == 401 { (access::entry(site, answer.path, answer.is_posted, answer.fields)) }
        @if let Some(rtype) = site.type_of_path(answer.path) && answer.status != 404 {
            (form::section(site, rtype, answer.fields))
        }
        @if answer.status == 401 { (token::section(site, answer.path, answer.is_posted, answer.fields)) }
        (json_section(site, answer, false))
    };
    (title, body)
}

/// One issue: its text (unless the heading shows it), remedy, place, and row in the table of faults.
pub fn notice(site: &PageSite, issue: &Value, with_text: bool) -> Markup {
    let severity = text(issue, "severity");
    html! {
        div class=(format!("issue {}", if severity == "warning" || severity == "information" { severity } else { "error" })) {
            dl {
                @if with_text { dt { "What" } dd { (message(issue)) } }
                @if !text(issue, "diagnostics").is_empty() { dt { "What to do" } dd { (text(issue, "diagnostics")) } }
                @if !items(&issue["expression"]).is_empty() {
                    dt { "Where" }
                    dd { @for place in items(&issue["expression"]) { code { (place.as_str().unwrap_or("")) } " " } }
                }
                @for coding in items(&issue["details"]["coding"]) {
                    dt { "Fault" }
                    dd {
                        @if let Some(href) = site.link("system", text(coding, "system")) {
                            a href=(format!("{href}#{}", text(coding, "code"))) { (text(coding, "code")) }
                        } @else { code { (text(coding, "code")) } }
                        ", " (severity) ", issue type " code { (text(issue, "code")) }
                    }
                }
            }
        }
    }
}

/// The text of an issue.
pub fn message(issue: &Value) -> &str {
    [
        &issue["details"]["text"],
        &issue["details"]["coding"][0]["display"],
        &issue["diagnostics"],
        &issue["code"],
    ]
    .into_iter()
    .find_map(Value::as_str)
    .unwrap_or("")
}

fn reason(status: u16) -> &'static str {
    actix_web::http::StatusCode::from_u16(status)
        .ok()
        .and_then(|status| status.canonical_reason())
        .unwrap_or("Error")
}
