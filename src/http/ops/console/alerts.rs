//! The page of alerts, and the entries of the runbook.

use super::desk::{Desk, DeskAsk};
use super::parts::{Answered, facts, items, mark, runbook as runbook_link, shown, table, text, tree, word};
use crate::error::Failure;
use crate::http::ops::table::OpsCall;
use maud::{Markup, html};
use serde_json::Value;

/// `GET /console/alerts`.
pub(super) async fn list(desk: &Desk) -> Result<Answered, Failure> {
    let all = desk.ask(OpsCall::Alerts, DeskAsk::default()).await?;
    let is_raised = |alert: &&Value| text(alert, "state") == "raised";
    let raised: Vec<Value> = items(&all).iter().filter(is_raised).cloned().collect();
    let quiet: Vec<Vec<Markup>> = items(&all)
        .iter()
        .filter(|alert| !is_raised(alert))
        .map(|alert| {
            vec![
                link(alert),
                html! { (text(alert, "state")) },
                html! { (text(alert, "condition")) },
            ]
        })
        .collect();
    let body = html! {
        h1 { "Alerts" }
        section aria-labelledby="raised" { h2 id="raised" { "Raised: " (raised.len()) } (rows(&raised)) }
        section aria-labelledby="quiet" {
            h2 id="quiet" { "Not raised" }
            (table(&["Alert", "State", "Raised when"], &quiet, "Every alert is raised."))
        }
    };
    Ok(shown("Alerts", body))
}

/// The alerts that are raised.
pub(super) async fn raised(desk: &Desk) -> Result<Vec<Value>, Failure> {
    let all = desk.ask(OpsCall::Alerts, DeskAsk::default()).await?;
    let raised = items(&all).iter().filter(|alert| text(alert, "state") == "raised");
    Ok(raised.cloned().collect())
}

/// Alerts that are raised, each with what to do.
pub(super) fn rows(raised: &[Value]) -> Markup {
    html! {
        @if raised.is_empty() { p { "No alert is raised." } }
        @for alert in raised {
            div.issue {
                h3 { (link(alert)) " " (mark("raised")) }
                p { (text(alert, "says")) }
                (facts(alert, &["meaning", "severity", "owner", "within", "count"]))
                @if let Some(partners) = alert["partners"].as_array().filter(|partners| !partners.is_empty()) {
                    p { "Partners: " (partners.iter().map(word).collect::<Vec<_>>().join(", ")) }
                }
                h4 { "What to do" }
                (tree(&alert["steps"]))
            }
        }
    }
}

fn link(alert: &Value) -> Markup {
    runbook_link(text(alert, "alert"))
}

/// `GET /console/runbook/{id}`.
pub(super) async fn runbook(desk: &Desk) -> Result<Answered, Failure> {
    let ask = DeskAsk {
        id: desk.id().to_owned(),
        ..DeskAsk::default()
    };
    let entry = desk.ask(OpsCall::RunbookEntry, ask).await?;
    let steps = entry["steps"].as_array().map(Vec::as_slice).unwrap_or_default();
    let body = html! {
        h1 { "Runbook " span.id { (text(&entry, "code")) } }
        p.lead { (text(&entry, "meaning")) }
        h2 { "Steps" }
        ol { @for step in steps { li {
            @if let Some(command) = step["command"].as_str() { code { (command) } ": " }
            (text(step, "text"))
        } } }
        h2 { "Who, and how soon" }
        (facts(&entry, &[
            "remedy", "owner", "owner_is", "act_within", "act_when", "replay", "replay_when", "person", "person_when", "escalation",
            "escalation_when", "contact", "contact_for",
        ]))
    };
    Ok(shown("Runbook", body))
}
