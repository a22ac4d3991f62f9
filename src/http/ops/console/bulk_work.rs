//! Bulk work: our own runs, in which partners are asked for many members, and the jobs of partners; the newest first.

use super::desk::{Desk, DeskAsk};
use super::parts::{Answered, cell, items, mark, runbook, shown, table, text, word};
use crate::error::Failure;
use crate::http::ops::table::OpsCall;
use maud::{Markup, html};
use serde_json::Value;

/// Rows of each list.
const ROWS: usize = 100;

/// `GET /console/bulk`.
pub(super) async fn list(desk: &Desk) -> Result<Answered, Failure> {
    let runs = desk.ask(OpsCall::BulkRuns, DeskAsk::default()).await?;
    let jobs = desk.ask(OpsCall::BulkJobs, DeskAsk::default()).await?;
    let body = html! {
        h1 { "Bulk" }
        section aria-labelledby="runs" {
            h2 id="runs" { "Our runs" }
            (of_runs(items(&runs)))
        }
        section aria-labelledby="jobs" {
            h2 id="jobs" { "Jobs of partners" }
            (of_jobs(items(&jobs)))
        }
        p { "With its files and members: " code { "causeway bulk show ID" } "." }
    };
    Ok(shown("Bulk", body))
}

fn of_runs(runs: &[Value]) -> Markup {
    let row = |run: &Value| {
        vec![
            html! { code { (text(run, "id")) } },
            cell(run, "partner"),
            mark(text(run, "state")),
            html! { (word(&run["carried"])) " of " (word(&run["members"])) },
            cell(run, "created_at"),
            cell(run, "ended_at"),
            cell(run, "deadline_at"),
            runbook(text(run, "fault")),
            cell(run, "receipt"),
        ]
    };
    let rows: Vec<Vec<Markup>> = runs.iter().take(ROWS).map(row).collect();
    let heads = [
        "Run",
        "Partner",
        "State",
        "Still works for",
        "Began",
        "Ended",
        "Given up at",
        "Fault",
        "Receipt",
    ];
    html! {
        (table(&heads, &rows, "There was no bulk run."))
        @if runs.len() > rows.len() { p { "These are the newest " (rows.len()) " of " (runs.len()) "." } }
    }
}

fn of_jobs(jobs: &[Value]) -> Markup {
    let row = |job: &Value| {
        vec![
            html! { code { (text(job, "id")) } },
            cell(job, "kind"),
            cell(job, "partner"),
            mark(text(job, "state")),
            html! { (word(&job["pieces_done"])) " of " (word(&job["pieces"])) },
            cell(job, "created_at"),
            cell(job, "updated_at"),
            runbook(text(job, "fault")),
            cell(job, "acknowledged"),
        ]
    };
    let rows: Vec<Vec<Markup>> = jobs.iter().take(ROWS).map(row).collect();
    let heads = [
        "Job",
        "Kind",
        "Partner",
        "State",
        "Pieces",
        "Began",
        "Changed",
        "Fault",
        "Acknowledged",
    ];
    html! {
        (table(&heads, &rows, "No partner has asked for a bulk job."))
        @if jobs.len() > rows.len() { p { "These are the newest " (rows.len()) " of " (jobs.len()) "." } }
    }
}
