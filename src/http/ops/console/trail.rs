//! What happened under one id, as a table.

use super::desk::Desk;
use super::parts::{cell, items, link, mark, runbook, table, text, tree};
use crate::error::Fault;
use crate::http::ops::table::OpsCall;
use maud::{Markup, html};
use serde_json::Value;

/// What happened, oldest first, with links to what each event is about.
pub(super) fn table_of(desk: &Desk, list: &Value) -> Markup {
    let row = |event: &Value| {
        let decision = text(event, "decision_id");
        let review = text(event, "review_id");
        vec![
            cell(event, "at"),
            cell(event, "action"),
            cell(event, "partner"),
            html! { (mark(text(event, "outcome"))) @if !event["http"].is_null() { " " (cell(event, "http")) } },
            html! { (runbook_of(event)) },
            html! {
                @if !event["operator"].is_null() { "by " (cell(event, "operator")) " " }
                @if !decision.is_empty() && desk.may(OpsCall::Exchanges) { (link("exchanges", decision)) " " }
                @if !review.is_empty() && desk.may(OpsCall::Reviews) { (link("reviews", review)) " " }
                @if !event["bytes"].is_null() { (cell(event, "bytes")) " bytes " }
                @if !event["resources"].is_null() { (tree(&event["resources"])) }
                @if !event["note"].is_null() { (cell(event, "note")) }
            },
        ]
    };
    let rows: Vec<Vec<Markup>> = items(list).iter().map(row).collect();
    table(
        &["When", "What", "Partner", "Outcome", "Reason", "About"],
        &rows,
        "Nothing is on record.",
    )
}

/// The reason of an event: a link where it is the code of a fault.
fn runbook_of(event: &Value) -> Markup {
    let reason = text(event, "reason");
    html! {
        @if Fault::ALL.iter().any(|fault| fault.code() == reason) { (runbook(reason)) }
        @else { (cell(event, "reason")) }
    }
}
