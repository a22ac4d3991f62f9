//! How this server does in a period, and the pages to print: that of the service, and the scorecard of a partner.

use super::desk::{Desk, DeskAsk};
use super::parts::{self, AnswerShape, Answered, cell, given, items, mark, shown, table, text, word};
use crate::error::Failure;
use crate::http::ops::table::OpsCall;
use crate::percent::{encode, encode_all};
use maud::{Markup, html};
use serde_json::Value;

/// `GET /console/service`.
pub(super) async fn view(desk: &Desk) -> Result<Answered, Failure> {
    let pairs = desk.query()?;
    let report = desk.ask(OpsCall::Service, DeskAsk::with(&pairs)).await?;
    let card = &report["card"];
    let period = text(card, "period");
    let asked = format!("?period={}", encode(period));
    let body = html! {
        h1 { "Service, " (period) }
        form action="/console/service" method="get" aria-label="Another period" {
            (parts::line("period", "Period", "A week, a month or a quarter: 2026-W48, 2026-11 or 2026-Q4.", given(&pairs, "period")))
            p { button type="submit" { "Show" } }
        }
        p { a href=(format!("/console/service/page{asked}")) { "The same as a page to print, with pictures" } }
        (promises(&report["slo"]))
        (queue(&report["queue"]))
        (partners(&report, &asked))
        section aria-labelledby="figures" {
            h2 id="figures" { "Figures" }
            p { "From " (text(card, "from")) " until before " (text(card, "until")) "." }
            (figures(card))
        }
    };
    Ok(shown("Service", body))
}

fn promises(slo: &Value) -> Markup {
    let row = |one: &Value| {
        vec![
            cell(one, "objective"),
            mark(text(one, "state")),
            html! { (word(&one["target_percent"])) " % in " (word(&one["window_days"])) " days" },
            cell(one, "kept"),
            cell(one, "missed"),
            cell(one, "at_risk"),
            cell(one, "budget_left_percent"),
        ]
    };
    let rows: Vec<Vec<Markup>> = items(slo).iter().map(row).collect();
    let heads = [
        "Objective",
        "State",
        "Target",
        "Kept",
        "Missed",
        "At risk",
        "Budget left, %",
    ];
    html! {
        section aria-labelledby="promises" {
            h2 id="promises" { "Promises" }
            (table(&heads, &rows, "Nothing is promised."))
        }
    }
}

fn queue(queue: &Value) -> Markup {
    html! {
        section aria-labelledby="queue" {
            h2 id="queue" { "Background work" }
            (parts::facts(queue, &["due", "late_ms", "parked", "oldest_parked_ms"]))
        }
    }
}

/// The partners of the period. Those that exchanged less are one row, whose name no partner can have.
fn partners(report: &Value, asked: &str) -> Markup {
    let all = report["partners"].as_array().map(Vec::as_slice).unwrap_or_default();
    let row = |one: &Value| {
        let partner = text(one, "partner");
        vec![
            html! {
                @if partner.starts_with('(') { (partner) }
                @else { a href=(format!("/console/scorecards/{}{asked}", encode_all(partner))) { code { (partner) } } }
            },
            cell(one, "exchanged"),
        ]
    };
    let rows: Vec<Vec<Markup>> = all.iter().map(row).collect();
    html! {
        section aria-labelledby="partners" {
            h2 id="partners" { "Partners: " (word(&report["partners_active"])) " active" }
            (table(&["Scorecard of", "Exchanges and matches"], &rows, "Nothing was exchanged."))
        }
    }
}

fn figures(card: &Value) -> Markup {
    let now = card["figures"].as_object().into_iter().flatten();
    let row = |(name, value): (&String, &Value)| {
        vec![
            html! { (parts::words(name)) },
            html! { (word(value)) },
            cell(&card["before"], name),
        ]
    };
    let rows: Vec<Vec<Markup>> = now
        .filter(|(_, value)| !value.is_object() && !value.is_array())
        .map(row)
        .collect();
    table(
        &["Figure", "This period", "The one before"],
        &rows,
        "There are no figures.",
    )
}

/// `GET /console/service/page`.
pub(super) async fn print(desk: &Desk) -> Result<Answered, Failure> {
    let ask = DeskAsk::with(&desk.query()?);
    let bytes = desk.bytes(OpsCall::ServicePage, ask).await?;
    Ok(Answered::Whole {
        bytes,
        shape: AnswerShape::Card,
    })
}

/// `GET /console/scorecards/{id}`.
pub(super) async fn scorecard(desk: &Desk) -> Result<Answered, Failure> {
    let ask = DeskAsk {
        pairs: desk.query()?,
        ..DeskAsk::about(desk.id())
    };
    let bytes = desk.bytes(OpsCall::ScorecardPage, ask).await?;
    Ok(Answered::Whole {
        bytes,
        shape: AnswerShape::Card,
    })
}
