//! Replaying many parked jobs at once: first which those are and whether that is safe, then exactly those.

use super::desk::{Desk, DeskAsk};
use super::parts::{
    self, Answered, cell, form_token, given, items, line, reason, runbook, shown, since, table, text, words,
};
use crate::clock::{parse_rfc3339_ms, rfc3339_ms};
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
    let seen_at = rfc3339_ms(desk.now_ms());
    let list = parked(desk).await?;
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
        @if !list["next"].is_null() { p { "More jobs are parked than were looked through: these are among the oldest " (items(&list).len()) "." } }
        @if !found.is_empty() {
            (by_kind(&rules))
            (listed(desk, found))
            @if desk.may(OpsCall::JobReplay) { (replay_form(desk, found, &seen_at)) }
        }
        (form(kind))
    };
    Ok(shown("Replay many jobs", body))
}

/// The first page of jobs that are parked.
async fn parked(desk: &Desk) -> Result<Value, Failure> {
    let parked = [("state".to_owned(), "parked".to_owned())];
    desk.ask(OpsCall::Jobs, DeskAsk::with(&parked)).await
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

/// The form names exactly the jobs that the page shows, and when they stood so.
fn replay_form(desk: &Desk, found: &[&Value], seen_at: &str) -> Markup {
    let ids: Vec<&str> = found.iter().map(|job| text(job, "id")).collect();
    html! {
        form.act action="/console/parked/jobs" method="post" aria-label="Replay these jobs" {
            h2 { "Replay these " (ids.len()) " jobs" }
            p { "Each goes on at once, with its attempts counted from zero. One that is not parked any more, or was parked again, is left alone." }
            (form_token(desk))
            input type="hidden" name="ids" value=(ids.join(" "));
            input type="hidden" name="seen_at" value=(seen_at);
            (reason("reason-of-many"))
            p { button type="submit" { "Replay these " (ids.len()) " jobs" } }
        }
    }
}

/// `POST /console/parked/jobs`: each is replayed by a transaction of its own, as one alone would be.
pub(super) async fn replay(desk: &Desk) -> Result<Answered, Failure> {
    let ids: Vec<&str> = desk.field("ids").split_ascii_whitespace().collect();
    let wrong = |place: &str, remedy: String| Failure::new(Fault::ParameterInvalid).at(place).remedy(remedy);
    if ids.is_empty() || ids.len() > MOST {
        return Err(wrong("ids", format!("Choose 1 to {MOST} jobs.")));
    }
    let seen = parse_rfc3339_ms(desk.field("seen_at"));
    let seen_ms = seen.ok_or_else(|| wrong("seen_at", "Send the form of the page that shows the jobs.".to_owned()))?;
    let list = parked(desk).await?;
    let is_as_seen = |id: &str| {
        let mut parked = items(&list).iter().filter(|job| text(job, "id") == id);
        let since = parked.next().and_then(|job| parse_rfc3339_ms(text(job, "parked_at")));
        since.is_some_and(|at_ms| at_ms <= seen_ms)
    };
    let body = json!({ "reason": desk.field("reason") });
    let mut done = BTreeMap::new();
    let mut rows = Vec::with_capacity(ids.len());
    for id in ids {
        let outcome = match is_as_seen(id) {
            false => ("left_alone", ""),
            true => outcome_of(desk.ask(OpsCall::JobReplay, DeskAsk::act(id, &body)).await)?,
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
        (parts::facts(&json!(done), &["replayed", "left_alone", "refused"]))
        (table(&["Job", "Outcome", "Fault"], &rows, "None."))
        p { a href="/console/parked" { "What is parked now" } }
    };
    Ok(shown("Replayed", body))
}

/// What became of one of them, and the code of the fault for which it was refused.
///
/// # Errors
/// The failure, where nothing could be done with any of them.
fn outcome_of(answered: Result<Value, Failure>) -> Result<(&'static str, &'static str), Failure> {
    match answered {
        Ok(_) => Ok(("replayed", "")),
        Err(failure) => match failure.fault() {
            Fault::JobNotParked | Fault::JobUnknown => Ok(("left_alone", "")),
            Fault::RoleMissing | Fault::TokenInvalid | Fault::ParameterInvalid => Err(failure),
            fault => Ok(("refused", fault.code())),
        },
    }
}
