//! Replaying many parked jobs at once: first which those are and whether that is safe, then exactly those.

use super::desk::{Desk, DeskAsk};
use super::parts::{
    self, Answered, cell, form_token, given, items, line, reason, runbook, shown, since, table, text, words,
};
use crate::error::{Failure, Fault};
use crate::http::ops::table::OpsCall;
use maud::{Markup, html};
use serde_json::{Value, json};
use std::collections::BTreeMap;

/// Jobs that one form replays.
const MOST: usize = 50;

/// The form that asks for a preview.
pub(super) fn form(kind: &str) -> Markup {
    html! {
        form.act action="/console/parked/jobs" method="get" aria-label="See which jobs a replay of many would touch" {
            h2 { "Replay many jobs" }
            p { "First you see which jobs that would touch. Nothing is changed yet." }
            (line("kind", "Kind", "Of one kind of work, or nothing for all.", kind))
            p { button type="submit" { "Show which jobs" } }
        }
    }
}

/// `GET /console/parked/jobs`: at most so many as one form replays, in the order of their ids.
pub(super) async fn preview(desk: &Desk) -> Result<Answered, Failure> {
    let pairs = desk.query()?;
    if pairs.iter().any(|(name, _)| name != "kind") {
        return Err(Fault::ParameterUnknown.into());
    }
    let kind = given(&pairs, "kind");
    let parked = [("state".to_owned(), "parked".to_owned())];
    let list = desk.ask(OpsCall::Jobs, DeskAsk::with(&parked)).await?;
    let fits = |job: &&Value| kind.is_empty() || text(job, "kind") == kind;
    let all: Vec<&Value> = items(&list).iter().filter(fits).collect();
    let found = all.get(..MOST).unwrap_or(&all);
    let mut kinds: BTreeMap<&str, usize> = BTreeMap::new();
    for job in found {
        *kinds.entry(text(job, "kind")).or_default() += 1;
    }
    let mut rules = Vec::new();
    for (kind, times) in kinds {
        let code = format!("work.{kind}");
        let entry = desk.ask(OpsCall::RunbookEntry, DeskAsk::about(&code)).await;
        rules.push((code, times, entry.unwrap_or(Value::Null)));
    }
    let body = html! {
        h1 { "Which jobs a replay of many would touch" }
        p.lead { (found.len()) " of " (all.len()) " parked jobs" }
        @if !found.is_empty() {
            (by_kind(&rules))
            (listed(desk, found))
            @if desk.may(OpsCall::JobReplay) { (replay_form(desk, found)) }
        }
        (form(kind))
    };
    Ok(shown("Replay many jobs", body))
}

/// The kinds, and whether a replay is safe for each.
fn by_kind(rules: &[(String, usize, Value)]) -> Markup {
    let row = |(code, times, entry): &(String, usize, Value)| {
        vec![
            runbook(code),
            html! { (times) },
            cell(entry, "meaning"),
            cell(entry, "replay"),
            cell(entry, "replay_when"),
        ]
    };
    let rows: Vec<Vec<Markup>> = rules.iter().map(row).collect();
    let heads = ["Kind", "Jobs", "What it is", "Replay", "When it is safe"];
    html! {
        section aria-labelledby="kinds" {
            h2 id="kinds" { "Is it safe?" }
            (table(&heads, &rows, "None."))
        }
    }
}

fn listed(desk: &Desk, found: &[&Value]) -> Markup {
    let row = |job: &&Value| {
        vec![
            html! { code { (text(job, "id")) } },
            cell(job, "kind"),
            cell(job, "partner"),
            cell(job, "last_class"),
            since(text(job, "parked_at"), desk.now_ms()),
            cell(job, "next_action"),
        ]
    };
    let rows: Vec<Vec<Markup>> = found.iter().map(row).collect();
    let heads = ["Job", "Kind", "Partner", "Last", "Since", "What to do"];
    html! {
        section aria-labelledby="each" {
            h2 id="each" { "Each of them" }
            (table(&heads, &rows, "None."))
        }
    }
}

/// The form names exactly the jobs that the page shows.
fn replay_form(desk: &Desk, found: &[&Value]) -> Markup {
    let ids: Vec<&str> = found.iter().map(|job| text(job, "id")).collect();
    html! {
        form.act action="/console/parked/jobs" method="post" aria-label="Replay these jobs" {
            h2 { "Replay these " (ids.len()) " jobs" }
            p { "Each goes on at once, with its attempts counted from zero. One that is not parked any more is left alone." }
            (form_token(desk))
            input type="hidden" name="ids" value=(ids.join(" "));
            (reason("reason-of-many"))
            p { button type="submit" { "Replay these " (ids.len()) " jobs" } }
        }
    }
}

/// `POST /console/parked/jobs`: each is replayed by a transaction of its own, as one alone would be.
pub(super) async fn replay(desk: &Desk) -> Result<Answered, Failure> {
    let ids: Vec<&str> = desk.field("ids").split_ascii_whitespace().collect();
    if ids.is_empty() || ids.len() > MOST {
        let remedy = format!("Choose 1 to {MOST} jobs.");
        return Err(Failure::new(Fault::ParameterInvalid).at("ids").remedy(remedy));
    }
    let body = json!({ "reason": desk.field("reason") });
    let mut done = BTreeMap::new();
    let mut rows = Vec::with_capacity(ids.len());
    for id in ids {
        let outcome = match desk.ask(OpsCall::JobReplay, DeskAsk::act(id, &body)).await {
            Ok(_) => ("replayed", ""),
            Err(failure) => match failure.fault() {
                Fault::JobNotParked | Fault::JobUnknown => ("not_parked", ""),
                // Nothing could be done with any of them.
                Fault::RoleMissing | Fault::TokenInvalid | Fault::ParameterInvalid => return Err(failure),
                fault => ("refused", fault.code()),
            },
        };
        *done.entry(outcome.0).or_insert(0) += 1;
        rows.push(vec![
            html! { code { (id) } },
            html! { (words(outcome.0)) },
            runbook(outcome.1),
        ]);
    }
    let body = html! {
        h1 { "Replayed" }
        (parts::facts(&json!(done), &["replayed", "not_parked", "refused"]))
        (table(&["Job", "Outcome", "Fault"], &rows, "None."))
        p { a href="/console/parked" { "What is parked now" } }
    };
    Ok(shown("Replayed", body))
}
