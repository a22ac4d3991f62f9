//! Exchanges: the list, and one with its states, attempts, decision trail, counts, and what may be done with it.

use super::desk::{Desk, DeskAsk};
use super::parts::{self, Answered, cell, facts, items, link, mark, next, runbook, shown, table, text, tree};
use super::trail;
use crate::error::{Failure, Fault};
use crate::http::ops::table::OpsCall;
use crate::percent::encode_all;
use maud::{Markup, html};
use serde_json::{Value, json};

/// The parameters of the list that the page takes. None names a member.
const FILTERS: [&str; 5] = ["partner", "phase", "state", "correlation", "direction"];

/// What an operator may do with an exchange of ours: the word of the form, its title, and what it does.
const ACTS: &[(&str, &str, &str)] = &[
    (
        "replay",
        "Replay",
        "Lets it go on, or runs it again after its end. Nothing that was answered is asked twice.",
    ),
    ("pause", "Pause", "Stops it until it is replayed."),
    ("cancel", "Cancel", "Withdraws it for good."),
    (
        "supersede",
        "Supersede",
        "Ends it, and starts a new one that asks the same.",
    ),
    ("close", "Close", "Ends it without a result."),
];

/// `GET /console/exchanges`.
pub(super) async fn list(desk: &Desk) -> Result<Answered, Failure> {
    let pairs = desk.query()?;
    if pairs
        .iter()
        .any(|(name, _)| !FILTERS.contains(&name.as_str()) && name != "cursor")
    {
        return Err(Fault::ParameterUnknown.into());
    }
    let ask = DeskAsk {
        pairs: pairs.clone(),
        ..DeskAsk::default()
    };
    let list = desk.ask(OpsCall::Exchanges, ask).await?;
    let given = |name: &str| {
        pairs
            .iter()
            .find(|(key, _)| key == name)
            .map(|(_, value)| value.as_str())
    };
    let body = html! {
        h1 { "Exchanges" }
        form action="/console/exchanges" method="get" aria-label="Narrow the list" {
            div.fields {
                @for name in FILTERS {
                    div.field {
                        label for=(name) { (parts::words(name)) }
                        input id=(name) name=(name) type="text" value=(given(name).unwrap_or_default()) autocomplete="off" maxlength="128";
                    }
                }
            }
            p { button type="submit" { "Show" } }
        }
        (rows(items(&list), "There is no such exchange."))
        (next(&list, "/console/exchanges", &pairs))
    };
    Ok(shown("Exchanges", body))
}

/// Exchanges as a table.
pub(super) fn rows(exchanges: &[Value], nothing: &str) -> Markup {
    let row = |one: &Value| {
        vec![
            link("exchanges", text(one, "id")),
            cell(one, "direction"),
            cell(one, "partner"),
            mark(text(one, "phase")),
            cell(one, "owner"),
            runbook(text(one, "reason")),
            cell(one, "created_at"),
            cell(one, "due_at"),
            mark(text(one, "sla")),
        ]
    };
    let rows: Vec<Vec<Markup>> = exchanges.iter().map(row).collect();
    let heads = [
        "Exchange",
        "Direction",
        "Partner",
        "Phase",
        "Next move by",
        "Reason",
        "Began",
        "Due",
        "Clock",
    ];
    table(&heads, &rows, nothing)
}

/// `GET /console/exchanges/{id}`.
pub(super) async fn one(desk: &Desk) -> Result<Answered, Failure> {
    let id = desk.id();
    let exchange = desk.ask(OpsCall::Exchange, about(id)).await?;
    let decision_id = text(&exchange, "decision_id");
    let mut decision = None;
    if !decision_id.is_empty() && desk.may(OpsCall::Decision) {
        decision = optional(desk.ask(OpsCall::Decision, about(decision_id)).await)?;
    }
    let mut trail = None;
    if desk.may(OpsCall::Trace) {
        trail = optional(desk.ask(OpsCall::Trace, about(id)).await)?;
    }
    // Of an exchange of ours it is an opt-in, which is among the states.
    let consent_id = text(&exchange, "consent_id");
    let mut consent = None;
    if text(&exchange, "direction") == "inbound" && !consent_id.is_empty() && desk.may(OpsCall::Consent) {
        consent = optional(desk.ask(OpsCall::Consent, about(consent_id)).await)?;
    }
    let body = html! {
        h1 { "Exchange " span.id { (id) } }
        (states(&exchange))
        (what_next(desk, &exchange))
        section aria-labelledby="attempts" {
            h2 id="attempts" { "Attempts, and the partner's answers" }
            (attempts(&exchange))
        }
        (counts(&exchange))
        @if let Some(decision) = &decision {
            section aria-labelledby="decision" {
                h2 id="decision" { "Decision" }
                details { summary { "What was compared, and why it was made" } (tree(decision)) }
            }
        }
        @if let Some(consent) = &consent {
            section aria-labelledby="consent" {
                h2 id="consent" { "Consent" }
                details { summary { "The consent, and its grants" } (tree(consent)) }
            }
        }
        @if let Some(trail) = &trail {
            section aria-labelledby="trail" {
                h2 id="trail" { "All that happened" }
                (trail::table_of(desk, trail))
                @if !trail["next"].is_null() { p { "There is more: " code { "causeway trace " (id) } " shows all of it." } }
            }
        }
    };
    Ok(shown("Exchange", body))
}

fn about(id: &str) -> DeskAsk {
    DeskAsk {
        id: id.to_owned(),
        ..DeskAsk::default()
    }
}

/// A part of the page that is left out where there is none: a decision may be deleted, and an old exchange may have no trail.
fn optional(answered: Result<Value, Failure>) -> Result<Option<Value>, Failure> {
    match answered {
        Ok(value) => Ok(Some(value)),
        Err(failure) if failure.fault().row().http == 404 => Ok(None),
        Err(failure) => Err(failure),
    }
}

fn states(exchange: &Value) -> Markup {
    let phase = text(exchange, "phase");
    html! {
        p.lead {
            (mark(phase)) ", " (parts::words(text(exchange, "sla"))) ", due " (text(exchange, "due_at")) ". "
            "The next move is by: " (text(exchange, "owner")) "."
        }
        @if !text(exchange, "reason").is_empty() { p { "Reason: " (runbook(text(exchange, "reason"))) } }
        p { "Runbook: " (runbook(&format!("phase.{phase}"))) }
        (facts(exchange, &[
            "direction", "kind", "partner", "correlation_id", "identity_state", "consent_state", "transport_state", "delivery_state", "audit_state",
            "step", "round", "created_at", "wakes_at", "parked_at", "ended_at", "asked_for", "cover", "since", "consent_id", "decision_id",
            "grant_id", "patient_id", "run_of", "superseded_by", "policy_versions", "opt_in", "retraction",
        ]))
    }
}

/// What to do next, and the forms of the acts that this state can take.
fn what_next(desk: &Desk, exchange: &Value) -> Markup {
    let (id, is_ours) = (text(exchange, "id"), text(exchange, "direction") == "outbound");
    let (is_ended, is_parked) = (!exchange["ended_at"].is_null(), !exchange["parked_at"].is_null());
    let fits = |act: &str| match act {
        "replay" => is_ended || is_parked || text(exchange, "phase") == "manual_review",
        "pause" => !is_ended && !is_parked,
        _ => !is_ended,
    };
    let path = format!("/console/exchanges/{}/act", encode_all(id));
    html! {
        section aria-labelledby="next" {
            h2 id="next" { "What may be done next" }
            @if let Some(action) = exchange["next_action"].as_str() { p.lead { (action) } }
            @if !is_ours { p { "The other payer began this exchange. What it may read ends with its grant or its consent." } }
            @else if !desk.may(OpsCall::ExchangeReplay) { p { "Acts need the role operator." } }
            @else {
                details {
                    summary { "Act on this exchange" }
                    @for (act, title, what) in ACTS.iter().copied() {
                        @if fits(act) { (parts::act(desk, (path.as_str(), act), (title, what), &[("act", act)])) }
                    }
                }
            }
        }
    }
}

fn attempts(exchange: &Value) -> Markup {
    let steps = exchange["steps"].as_array().map(Vec::as_slice).unwrap_or_default();
    let row = |step: &Value| {
        vec![
            html! { (cell(step, "step")) " " (cell(step, "round")) "/" (cell(step, "attempt")) },
            cell(step, "started_at"),
            cell(step, "ended_at"),
            cell(step, "class"),
            cell(step, "http_status"),
            runbook(text(step, "fault")),
            cell(step, "bytes"),
            cell(step, "partner_request_id"),
        ]
    };
    let rows: Vec<Vec<Markup>> = steps.iter().map(row).collect();
    let heads = [
        "Step",
        "Began",
        "Ended",
        "Class",
        "HTTP",
        "Fault",
        "Bytes",
        "Partner's id",
    ];
    html! {
        (table(&heads, &rows, "There was no attempt yet."))
        @if exchange["has_more_steps"] == true { p { "There are more than are shown." } }
    }
}

fn counts(exchange: &Value) -> Markup {
    html! {
        section aria-labelledby="counts" {
            h2 id="counts" { "What came, what went, what is missing" }
            (facts(exchange, &["counts", "sent", "missing", "received_since", "bulk_receipt", "partner_checkpoint"]))
        }
    }
}

/// `POST /console/exchanges/{id}/act`.
pub(super) async fn act(desk: &Desk) -> Result<Answered, Failure> {
    let call = match desk.field("act") {
        "replay" => OpsCall::ExchangeReplay,
        "pause" => OpsCall::ExchangePause,
        "cancel" => OpsCall::ExchangeCancel,
        "supersede" => OpsCall::ExchangeSupersede,
        "close" => OpsCall::ExchangeClose,
        _ => return Err(Failure::new(Fault::ParameterInvalid).at("act")),
    };
    let ask = DeskAsk {
        id: desk.id().to_owned(),
        body: json!({ "reason": desk.field("reason") }).to_string(),
        ..DeskAsk::default()
    };
    let done = desk.ask(call, ask).await?;
    Ok(Answered::Elsewhere(format!(
        "/console/exchanges/{}",
        encode_all(text(&done, "id"))
    )))
}
