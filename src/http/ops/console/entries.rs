//! Entries of the ledger, so that an auditor sees who looked and who acted, and why. They do not name the member that they are about: an entry
//! only commits to it.

use super::desk::{Desk, DeskAsk};
use super::parts::{Answered, cell, items, mark, next, runbook, shown, table, text};
use crate::error::{Failure, Fault};
use crate::http::ops::table::OpsCall;
use maud::{Markup, html};
use serde_json::Value;

/// The parameters of the list that the page takes. None is an id of a request.
const FILTERS: [(&str, &str); 2] = [("from", "From"), ("to", "Until")];

/// `GET /console/ledger`.
pub(super) async fn list(desk: &Desk) -> Result<Answered, Failure> {
    let pairs = desk.query()?;
    let is_known = |name: &str| name == "cursor" || FILTERS.iter().any(|(known, _)| *known == name);
    if pairs.iter().any(|(name, _)| !is_known(name)) {
        return Err(Fault::ParameterUnknown.into());
    }
    let ask = DeskAsk {
        pairs: pairs.clone(),
        ..DeskAsk::default()
    };
    let list = desk.ask(OpsCall::Ledger, ask).await?;
    let given = |name: &str| {
        let found = pairs.iter().find(|(key, _)| key == name);
        found.map(|(_, value)| value.as_str()).unwrap_or_default()
    };
    let rows: Vec<Vec<Markup>> = items(&list).iter().map(row).collect();
    let heads = [
        "Place",
        "When",
        "What",
        "Who",
        "Outcome",
        "About",
        "Why",
        "Correlation id",
    ];
    let body = html! {
        h1 { "Ledger" }
        form action="/console/ledger" method="get" aria-label="Narrow the list" {
            div.fields {
                @for (name, label) in FILTERS {
                    div.field {
                        label for=(name) { (label) }
                        input id=(name) name=(name) type="text" value=(given(name)) autocomplete="off" maxlength="64"
                            placeholder="2026-11-30T12:00:00Z";
                    }
                }
            }
            p { button type="submit" { "Show" } }
        }
        (table(&heads, &rows, "There is no entry."))
        (next(&list, "/console/ledger", &pairs))
    };
    Ok(shown("Ledger", body))
}

fn row(entry: &Value) -> Vec<Markup> {
    let (actor, outcome) = (&entry["actor"], &entry["outcome"]);
    let reason = text(outcome, "reason");
    let is_fault = Fault::ALL.iter().any(|fault| fault.code() == reason);
    vec![
        cell(entry, "index"),
        cell(entry, "at"),
        cell(entry, "action"),
        html! {
            (cell(actor, "type")) " " (cell(actor, "id"))
            @if !entry["operator"].is_null() { ", " (cell(entry, "operator")) }
        },
        mark(text(outcome, "class")),
        html! { @if is_fault { (runbook(reason)) } @else { (cell(outcome, "reason")) } },
        cell(entry, "note"),
        cell(entry, "correlation_id"),
    ]
}
