//! What is parked and why, all background work, and letting a parked job go on.

use super::desk::{Desk, DeskAsk};
use super::parts::{self, Answered, cell, items, link, mark, next, runbook, shown, since, table, text};
use super::{bulk, many_jobs};
use crate::error::Failure;
use crate::http::ops::table::OpsCall;
use crate::percent::encode_all;
use maud::{Markup, html};
use serde_json::{Value, json};

/// Jobs with forms on one page; there may be a thousand in the list.
const FORMS: usize = 100;

/// `GET /console/parked`.
pub(super) async fn parked(desk: &Desk) -> Result<Answered, Failure> {
    let jobs = parked_jobs(desk).await?;
    let exchanges = exchanges(desk).await?;
    let row = |one: &Value| {
        vec![
            link("exchanges", text(one, "id")),
            cell(one, "partner"),
            cell(one, "step"),
            runbook(text(one, "reason")),
            since(text(one, "parked_at"), desk.now_ms()),
            cell(one, "next_action"),
        ]
    };
    let rows: Vec<Vec<Markup>> = items(&exchanges).iter().map(row).collect();
    let body = html! {
        h1 { "Parked" }
        section aria-labelledby="exchanges" {
            h2 id="exchanges" { "Exchanges" }
            (table(&["Exchange", "Partner", "Step", "Reason", "Since", "What to do"], &rows, "No exchange is parked."))
            p { "An exchange is replayed on its own page, or with others here." }
            @if desk.may(OpsCall::ExchangesReplay) { (bulk::form("", "")) }
            @if !exchanges["next"].is_null() { p { a href="/console/exchanges?state=parked" { "More exchanges are parked" } } }
        }
        section aria-labelledby="jobs" {
            h2 id="jobs" { "Background jobs" }
            @if items(&jobs).is_empty() { p { "No job is parked." } }
            @for job in items(&jobs).iter().take(FORMS) { (one_job(desk, job)) }
            @if !jobs["next"].is_null() || items(&jobs).len() > FORMS { p { a href="/console/jobs?state=parked" { "More jobs are parked" } } }
            @if items(&jobs).len() > 1 && desk.may(OpsCall::JobReplay) { (many_jobs::form("")) }
        }
    };
    Ok(shown("Parked", body))
}

fn one_job(desk: &Desk, job: &Value) -> Markup {
    let id = text(job, "id");
    let path = format!("/console/jobs/{}/replay", encode_all(id));
    html! {
        article.issue {
            h3 { "Job " code { (id) } }
            p { "Parked since " (since(text(job, "parked_at"), desk.now_ms())) }
            (parts::facts(job, &["kind", "partner", "attempts", "last_class", "next_action"]))
            p { "Runbook: " (runbook(&format!("work.{}", text(job, "kind")))) }
            @if desk.may(OpsCall::JobReplay) {
                (parts::act(desk, (path.as_str(), id), ("Replay this job", "It goes on at once, with its attempts counted from zero."), &[]))
            }
        }
    }
}

/// The first page of exchanges that are parked.
pub(super) async fn exchanges(desk: &Desk) -> Result<Value, Failure> {
    desk.ask(OpsCall::Exchanges, of_parked()).await
}

/// The first page of jobs that are parked.
pub(super) async fn parked_jobs(desk: &Desk) -> Result<Value, Failure> {
    desk.ask(OpsCall::Jobs, of_parked()).await
}

fn of_parked() -> DeskAsk {
    DeskAsk {
        pairs: vec![("state".to_owned(), "parked".to_owned())],
        ..DeskAsk::default()
    }
}

/// `GET /console/jobs`.
pub(super) async fn jobs(desk: &Desk) -> Result<Answered, Failure> {
    let pairs = desk.query()?;
    let ask = DeskAsk {
        pairs: pairs.clone(),
        ..DeskAsk::default()
    };
    let list = desk.ask(OpsCall::Jobs, ask).await?;
    let row = |job: &Value| {
        vec![
            html! { code { (text(job, "id")) } },
            runbook_of(job),
            cell(job, "partner"),
            mark(text(job, "state")),
            cell(job, "due"),
            cell(job, "attempts"),
            cell(job, "last_class"),
        ]
    };
    let rows: Vec<Vec<Markup>> = items(&list).iter().map(row).collect();
    let body = html! {
        h1 { "Background jobs" }
        (table(&["Job", "Kind", "Partner", "State", "Due", "Tries", "Last"], &rows, "No job waits."))
        (next(&list, "/console/jobs", &pairs))
    };
    Ok(shown("Jobs", body))
}

fn runbook_of(job: &Value) -> Markup {
    let kind = text(job, "kind");
    html! { a href=(format!("/console/runbook/work.{}", encode_all(kind))) { (kind) } }
}

/// `POST /console/jobs/{id}/replay`.
pub(super) async fn replay(desk: &Desk) -> Result<Answered, Failure> {
    let ask = DeskAsk {
        id: desk.id().to_owned(),
        body: json!({ "reason": desk.field("reason") }).to_string(),
        ..DeskAsk::default()
    };
    desk.ask(OpsCall::JobReplay, ask).await?;
    Ok(Answered::Elsewhere("/console/parked".to_owned()))
}
