//! Cases: the list, one with what it has, and opening, filling and closing one.

use super::desk::{Desk, DeskAsk};
use super::parts::{
    self, Answered, cell, facts, form_token, items, line, link, mark, next, reason, shown, table, text,
};
use crate::error::Failure;
use crate::http::ops::table::OpsCall;
use crate::percent::encode_all;
use maud::{Markup, html};
use serde_json::{Value, json};

/// Items of a case that its page shows.
const ITEMS: usize = 200;

/// `GET /console/cases`.
pub(super) async fn list(desk: &Desk) -> Result<Answered, Failure> {
    let pairs = desk.query()?;
    let list = desk.ask(OpsCall::Cases, DeskAsk::with(&pairs)).await?;
    let row = |one: &Value| {
        vec![
            link("cases", text(one, "id")),
            cell(one, "name"),
            mark(text(one, "state")),
            cell(one, "opened_at"),
            cell(one, "opened_by"),
            cell(one, "closed_at"),
        ]
    };
    let rows: Vec<Vec<Markup>> = items(&list).iter().map(row).collect();
    let body = html! {
        h1 { "Cases" }
        (table(&["Case", "Name", "State", "Opened", "By", "Closed"], &rows, "There are no cases."))
        (next(&list, "/console/cases", &pairs))
        @if desk.may(OpsCall::CaseOpen) {
            form.act action="/console/cases" method="post" aria-label="Open a case" {
                h2 { "Open a case" }
                (form_token(desk))
                (line("name", "Name", "Which no other case has. Do not name a person.", ""))
                (reason("reason-of-case"))
                p { button type="submit" { "Open the case" } }
            }
        }
    };
    Ok(shown("Cases", body))
}

/// `POST /console/cases`.
pub(super) async fn open(desk: &Desk) -> Result<Answered, Failure> {
    let body = json!({ "name": desk.field("name"), "reason": desk.field("reason") });
    let case = desk.ask(OpsCall::CaseOpen, DeskAsk::act("", &body)).await?;
    Ok(Answered::Elsewhere(address(text(&case, "id"))))
}

fn address(id: &str) -> String {
    format!("/console/cases/{}", encode_all(id))
}

/// `GET /console/cases/{id}`.
pub(super) async fn one(desk: &Desk) -> Result<Answered, Failure> {
    let case = desk.ask(OpsCall::Case, DeskAsk::about(desk.id())).await?;
    let all = case["items"].as_array().map(Vec::as_slice).unwrap_or_default();
    let row = |item: &Value| {
        let (kind, id) = (text(item, "kind"), text(item, "id"));
        vec![
            html! { (kind) },
            html! { @if kind == "exchange" { (link("exchanges", id)) } @else { code { (id) } } },
            cell(item, "added_at"),
            cell(item, "added_by"),
        ]
    };
    let rows: Vec<Vec<Markup>> = all.iter().take(ITEMS).map(row).collect();
    let (id, is_open) = (text(&case, "id"), text(&case, "state") == "open");
    let body = html! {
        h1 { "Case " span.id { (text(&case, "name")) } }
        p.lead { (mark(text(&case, "state"))) }
        (facts(&case, &["id", "opened_by", "opened_at", "closed_by", "closed_at"]))
        h2 { "What it has: " (all.len()) }
        (table(&["Kind", "Id", "Added", "By"], &rows, "The case has nothing yet."))
        @if all.len() > rows.len() { p { "There is more: " code { "causeway evidence case show " (id) } " shows all of it." } }
        p { "For one packet about all of it, name the case on the page " a href="/console/evidence" { "Evidence" } "." }
        @if is_open && desk.may(OpsCall::CaseAdd) { (forms(desk, id)) }
    };
    Ok(shown("Case", body))
}

fn forms(desk: &Desk, id: &str) -> Markup {
    let (add, close) = (format!("{}/add", address(id)), format!("{}/close", address(id)));
    html! {
        form.act action=(add) method="post" aria-label="Add to the case" {
            h2 { "Add to the case" }
            (form_token(desk))
            div.field {
                label for="ids" { "Ids" }
                textarea id="ids" name="ids" rows="3" required maxlength="8000" spellcheck="false" aria-describedby="ids.about" {}
                p.hint id="ids.about" { "Ids of exchanges, or correlation ids, with spaces between them; at most 100." }
            }
            (reason("reason-of-adding"))
            p { button type="submit" { "Add them" } }
        }
        (parts::act(desk, (close.as_str(), "reason-of-closing"), ("Close the case", "It stays as it is from then on."), &[]))
    }
}

/// `POST /console/cases/{id}/add`.
pub(super) async fn add(desk: &Desk) -> Result<Answered, Failure> {
    let ids: Vec<&str> = desk.field("ids").split_ascii_whitespace().collect();
    let body = json!({ "ids": ids, "reason": desk.field("reason") });
    desk.ask(OpsCall::CaseAdd, DeskAsk::act(desk.id(), &body)).await?;
    Ok(Answered::Elsewhere(address(desk.id())))
}

/// `POST /console/cases/{id}/close`.
pub(super) async fn close(desk: &Desk) -> Result<Answered, Failure> {
    let body = json!({ "reason": desk.field("reason") });
    desk.ask(OpsCall::CaseClose, DeskAsk::act(desk.id(), &body)).await?;
    Ok(Answered::Elsewhere(address(desk.id())))
}
