//! Replaying many parked exchanges at once: first what that would touch, then exactly those.

use super::desk::{Desk, DeskAsk};
use super::parts::{
    self, Answered, cell, count, form_token, given, items, line, link, reason, runbook, shown, since, table, text,
    words,
};
use crate::clock::rfc3339_ms;
use crate::error::{Failure, Fault};
use crate::http::ops::table::OpsCall;
use maud::{Markup, html};
use serde_json::{Value, json};
use std::collections::BTreeMap;

/// The parameters of the preview.
const FILTERS: [&str; 2] = ["partner", "fault"];

/// The form that asks for a preview.
pub(super) fn form(partner: &str, fault: &str) -> Markup {
    html! {
        form.act action="/console/parked/preview" method="get" aria-label="See what a replay of many would touch" {
            h2 { "Replay many" }
            p { "First you see which exchanges that would touch. Nothing is changed yet." }
            div.fields {
                (line("partner", "Partner", "The id of one partner, or nothing for all.", partner))
                (line("fault", "Reason", "The code of one fault, such as PA-001, or nothing for all.", fault))
            }
            p { button type="submit" { "Show what it would touch" } }
        }
    }
}

/// `GET /console/parked/preview`: at most one page of exchanges of ours, the oldest first.
pub(super) async fn preview(desk: &Desk) -> Result<Answered, Failure> {
    let mut pairs = desk.query()?;
    if pairs.iter().any(|(name, _)| !FILTERS.contains(&name.as_str())) {
        return Err(Fault::ParameterUnknown.into());
    }
    let [partner, fault] = FILTERS.map(|name| given(&pairs, name).to_owned());
    pairs.extend(
        [("state", "parked"), ("direction", "outbound")].map(|(name, value)| (name.to_owned(), value.to_owned())),
    );
    let seen_at = rfc3339_ms(desk.now_ms());
    let list = desk.ask(OpsCall::Exchanges, DeskAsk::with(&pairs)).await?;
    let found = items(&list);
    let mut rules = BTreeMap::new();
    for reason in sums(found, "reason").into_keys() {
        let entry = desk.ask(OpsCall::RunbookEntry, DeskAsk::about(&reason)).await;
        rules.insert(reason, entry.unwrap_or(Value::Null));
    }
    let ids: Vec<&str> = found.iter().map(|one| text(one, "id")).collect();
    let body = html! {
        h1 { "What a replay of many would touch" }
        p.lead { (count(&list)) " exchanges" }
        @if !list["next"].is_null() { p { "These are the oldest. When they are replayed, the next preview shows the others." } }
        @if !found.is_empty() {
            (summed(found))
            (by_reason(found, &rules))
            (listed(desk, found))
            @if desk.may(OpsCall::ExchangesReplay) { (replay_form(desk, &ids, &seen_at)) }
        }
        (form(&partner, &fault))
    };
    Ok(shown("Replay many", body))
}

/// How often each value of a member comes.
fn sums(found: &[Value], name: &str) -> BTreeMap<String, usize> {
    let mut sums = BTreeMap::new();
    for value in found
        .iter()
        .map(|one| text(one, name))
        .filter(|value| !value.is_empty())
    {
        *sums.entry(value.to_owned()).or_default() += 1;
    }
    sums
}

fn summed(found: &[Value]) -> Markup {
    let part = |name: &'static str, title: &'static str| {
        let sums = sums(found, name).into_iter();
        let rows: Vec<Vec<Markup>> = sums
            .map(|(value, times)| vec![html! { (words(&value)) }, html! { (times) }])
            .collect();
        table(&[title, "Exchanges"], &rows, "None.")
    };
    html! {
        section aria-labelledby="touched" {
            h2 id="touched" { "Partners that are asked again" }
            (part("partner", "Partner"))
            h3 { "With which step they go on" }
            (part("step", "Step"))
        }
    }
}

/// Why they are parked, and whether a replay is safe for each reason.
fn by_reason(found: &[Value], rules: &BTreeMap<String, Value>) -> Markup {
    let nothing = Value::Null;
    let row = |(code, times): (String, usize)| {
        let entry = rules.get(&code).unwrap_or(&nothing);
        vec![
            runbook(&code),
            html! { (times) },
            cell(entry, "meaning"),
            cell(entry, "replay"),
            cell(entry, "replay_when"),
        ]
    };
    let rows: Vec<Vec<Markup>> = sums(found, "reason").into_iter().map(row).collect();
    let heads = ["Reason", "Exchanges", "What it means", "Replay", "When it is safe"];
    html! {
        section aria-labelledby="reasons" {
            h2 id="reasons" { "Is it safe?" }
            (table(&heads, &rows, "They have no reason."))
        }
    }
}

fn listed(desk: &Desk, found: &[Value]) -> Markup {
    let row = |one: &Value| {
        vec![
            link("exchanges", text(one, "id")),
            cell(one, "partner"),
            cell(one, "step"),
            runbook(text(one, "reason")),
            since(text(one, "parked_at"), desk.now_ms()),
        ]
    };
    let rows: Vec<Vec<Markup>> = found.iter().map(row).collect();
    html! {
        section aria-labelledby="each" {
            h2 id="each" { "Each of them" }
            (table(&["Exchange", "Partner", "Step", "Reason", "Since"], &rows, "None."))
        }
    }
}

/// The form names exactly the exchanges that the page shows, and when they stood so: none is replayed that nobody has seen, and none that was
/// parked again since, perhaps for another reason.
fn replay_form(desk: &Desk, ids: &[&str], seen_at: &str) -> Markup {
    html! {
        form.act action="/console/parked/replay" method="post" aria-label="Replay these exchanges" {
            h2 { "Replay these " (ids.len()) }
            p {
                "Each goes on as if it were replayed on its own page. Nothing that was answered is asked twice. "
                "One that has gone on meanwhile, or was parked again, is left alone."
            }
            (form_token(desk))
            input type="hidden" name="ids" value=(ids.join(" "));
            input type="hidden" name="seen_at" value=(seen_at);
            (reason("reason-of-many"))
            p { button type="submit" { "Replay these " (ids.len()) } }
        }
    }
}

/// `POST /console/parked/replay`.
pub(super) async fn replay(desk: &Desk) -> Result<Answered, Failure> {
    let ids: Vec<&str> = desk.field("ids").split_ascii_whitespace().collect();
    let body = json!({ "ids": ids, "seen_at": desk.field("seen_at"), "reason": desk.field("reason") });
    let done = desk.ask(OpsCall::ExchangesReplay, DeskAsk::act("", &body)).await?;
    let row = |one: &Value| {
        vec![
            link("exchanges", text(one, "id")),
            html! { (words(text(one, "outcome"))) },
            runbook(text(one, "fault")),
        ]
    };
    let rows: Vec<Vec<Markup>> = items(&done).iter().map(row).collect();
    let body = html! {
        h1 { "Replayed" }
        (parts::facts(&done, &["replayed", "left_alone", "refused"]))
        (table(&["Exchange", "Outcome", "Fault"], &rows, "None."))
        p { a href="/console/parked" { "What is parked now" } }
    };
    Ok(shown("Replayed", body))
}
