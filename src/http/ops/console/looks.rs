//! Who looked at what: the entries that were written before an operator was shown something. They name no member.

use super::desk::{Desk, DeskAsk};
use super::parts::{Answered, cell, given, items, line, next, shown, table, text, words};
use crate::error::Failure;
use crate::http::ops::table::OpsCall;
use maud::{Markup, html};
use serde_json::Value;

/// `GET /console/looks`.
pub(super) async fn list(desk: &Desk) -> Result<Answered, Failure> {
    let pairs = desk.query()?;
    let list = desk.ask(OpsCall::Looks, DeskAsk::with(&pairs)).await?;
    let rows: Vec<Vec<Markup>> = items(&list).iter().map(row).collect();
    let heads = ["When", "Who", "Role", "What", "About", "Why", "Correlation id"];
    let body = html! {
        h1 { "Who looked at what" }
        form action="/console/looks" method="get" aria-label="Narrow the list" {
            div.fields {
                (line("operator", "Operator", "The name of a token or a session, or a user of the host.", given(&pairs, "operator")))
                (line("from", "From", "An instant, such as 2026-11-30T12:00:00Z.", given(&pairs, "from")))
                (line("to", "Until", "An instant, which is not included.", given(&pairs, "to")))
            }
            p { button type="submit" { "Show" } }
        }
        p { "The newest is first. An entry commits to the member that a look was about, and does not name the member." }
        (table(&heads, &rows, "Nobody looked."))
        @if items(&list).is_empty() && !list["next"].is_null() { p { "None is among the newest. The next page goes on with older ones." } }
        (next(&list, "/console/looks", &pairs))
    };
    Ok(shown("Looks", body))
}

fn row(entry: &Value) -> Vec<Markup> {
    let kind = text(&entry["object"], "kind");
    vec![
        cell(entry, "at"),
        cell(entry, "operator"),
        cell(&entry["actor"], "id"),
        html! { (words(text(&entry["outcome"], "reason"))) @if text(entry, "action") == "review.viewed" { "review" } },
        html! {
            @match kind {
                "" => { "a list" }
                "Patient" => { "one member, masked" }
                kind => { (kind) }
            }
        },
        cell(entry, "note"),
        cell(entry, "correlation_id"),
    ]
}
