//! The overview: what is raised, what is parked, and what waits for a person, as far as the roles of the session go.

use super::desk::{Desk, DeskAsk};
use super::parts::{Answered, cell, count, items, link, mark, runbook, shown, since, table, text};
use super::{alerts, parked, reviews};
use crate::error::Failure;
use crate::http::ops::table::OpsCall;
use maud::{Markup, html};
use serde_json::Value;

/// Rows of each list that are shown here.
const FEW: usize = 10;

/// `GET /console`.
pub(super) async fn home(desk: &Desk) -> Result<Answered, Failure> {
    let mut raised = None;
    if desk.may(OpsCall::Alerts) {
        raised = Some(alerts::raised(desk).await?);
    }
    let mut stands = None;
    if desk.may(OpsCall::Jobs) && desk.may(OpsCall::Exchanges) {
        stands = Some((parked::exchanges(desk).await?, parked::parked_jobs(desk).await?));
    }
    let mut waits = None;
    if desk.may(OpsCall::Reviews) {
        waits = Some(desk.ask(OpsCall::Reviews, DeskAsk::default()).await?);
    }
    let body = html! {
        h1 { "Overview" }
        @if desk.may(OpsCall::Trace) { p { a href="/console/find" { "Find" } " something by an id or a member number." } }
        @if let Some(raised) = &raised {
            section aria-labelledby="alerts" {
                h2 id="alerts" { "Alerts that are raised: " (raised.len()) }
                (alerts::rows(raised))
            }
        }
        @if let Some((exchanges, jobs)) = &stands { (parked_few(exchanges, jobs, desk.now_ms())) }
        @if let Some(waits) = &waits { (reviews_few(waits)) }
        @if raised.is_none() && stands.is_none() && waits.is_none() {
            p { "None of your roles (" (desk.roles()) ") has a list here." }
        }
    };
    Ok(shown("Overview", body))
}

fn parked_few(exchanges: &Value, jobs: &Value, now_ms: i64) -> Markup {
    let row = |one: &Value| {
        vec![
            link("exchanges", text(one, "id")),
            cell(one, "partner"),
            mark(text(one, "phase")),
            runbook(text(one, "reason")),
            since(text(one, "parked_at"), now_ms),
        ]
    };
    let rows: Vec<Vec<Markup>> = items(exchanges).iter().take(FEW).map(row).collect();
    let heads = ["Exchange", "Partner", "Phase", "Reason", "Since"];
    html! {
        section aria-labelledby="parked" {
            h2 id="parked" { "Parked: " (count(exchanges)) " exchanges, " (count(jobs)) " jobs" }
            (table(&heads, &rows, "No exchange is parked."))
            p { a href="/console/parked" { "All that is parked" } }
        }
    }
}

fn reviews_few(waits: &Value) -> Markup {
    let rows: Vec<Vec<Markup>> = items(waits).iter().take(FEW).map(reviews::row).collect();
    html! {
        section aria-labelledby="reviews" {
            h2 id="reviews" { "Reviews that wait: " (count(waits)) }
            (table(reviews::HEADS, &rows, "No review waits."))
            p { a href="/console/reviews" { "All reviews" } }
        }
    }
}
