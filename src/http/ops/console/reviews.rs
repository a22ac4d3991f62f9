//! Reviews: the queue, one review without a personal word, the same with the values side by side after a reason, and deciding it.

use super::desk::{Desk, DeskAsk};
use super::parts::{
    self, Answered, cell, facts, form_token, items, link, mark, next, reason, runbook, shown, table, text, word,
};
use crate::error::{Failure, Fault};
use crate::http::ops::table::OpsCall;
use crate::percent::encode_all;
use maud::{Markup, html};
use serde_json::{Value, json};

/// The heads of the queue.
pub(super) const HEADS: &[&str] = &["Review", "Partner", "State", "Why", "Due", "Taken by", "Proposed"];

/// What may be said of a review besides that a candidate is the person.
const VERDICTS: &[(&str, &str)] = &[
    ("reject", "None of the candidates is the person"),
    ("take", "I take this review"),
    ("defer", "Look at it again in 24 hours"),
    ("reopen", "The decision is doubted: open it again"),
];

/// A review of the queue as cells for [`HEADS`].
pub(super) fn row(review: &Value) -> Vec<Markup> {
    let is_late = review["overdue"] == true;
    vec![
        link("reviews", text(review, "id")),
        cell(review, "partner"),
        mark(text(review, "state")),
        cell(review, "reason"),
        html! { (cell(review, "due_at")) @if is_late { " " (mark("breached")) } },
        cell(review, "owner"),
        html! {
            @if !review["proposed"].is_null() { (cell(review, "proposed")) " by " (cell(review, "proposed_by")) }
            @else { "-" }
        },
    ]
}

/// `GET /console/reviews`.
pub(super) async fn queue(desk: &Desk) -> Result<Answered, Failure> {
    let pairs = desk.query()?;
    let ask = DeskAsk {
        pairs: pairs.clone(),
        ..DeskAsk::default()
    };
    let list = desk.ask(OpsCall::Reviews, ask).await?;
    let rows: Vec<Vec<Markup>> = items(&list).iter().map(row).collect();
    let body = html! {
        h1 { "Reviews" }
        p { a href="/console/reviews" { "Those that wait" } " · " a href="/console/reviews?state=all" { "all" } }
        (table(HEADS, &rows, "No review waits."))
        (next(&list, "/console/reviews", &pairs))
    };
    Ok(shown("Reviews", body))
}

/// `GET /console/reviews/{id}`: how the fields compared, never what stands in them.
pub(super) async fn one(desk: &Desk) -> Result<Answered, Failure> {
    let review = desk.ask(OpsCall::Review, DeskAsk::masked(desk.id())).await?;
    Ok(shown("Review", review_page(desk, &review, false)))
}

/// `POST /console/reviews/{id}/show`: the same with the values, for whoever may see them and says why.
pub(super) async fn show(desk: &Desk) -> Result<Answered, Failure> {
    if desk.field("reason").is_empty() {
        return Err(Failure::new(Fault::ParameterInvalid)
            .at("reason")
            .remedy("Say why you look."));
    }
    let ask = DeskAsk {
        id: desk.id().to_owned(),
        reason: desk.field("reason").to_owned(),
        ..DeskAsk::default()
    };
    let review = desk.ask(OpsCall::Review, ask).await?;
    Ok(shown("Review", review_page(desk, &review, true)))
}

fn review_page(desk: &Desk, review: &Value, is_shown: bool) -> Markup {
    let id = text(review, "id");
    let path = |act: &str| format!("/console/reviews/{}/{act}", encode_all(id));
    let candidates = review["candidates"].as_array().map(Vec::as_slice).unwrap_or_default();
    let decides = desk.may(OpsCall::ReviewDecide);
    html! {
        h1 { "Review " span.id { (id) } }
        p.lead { (mark(text(review, "state"))) ", due " (text(review, "due_at")) "." }
        p { "Runbook: " (runbook(&format!("review.{}", text(review, "state")))) }
        (facts(review, &["partner", "reason", "owner", "opened_at", "asked_count", "asked_at", "proposed", "proposed_by", "decided_at",
            "decision_id", "correlation_id", "policy_version"]))
        @for candidate in candidates { (of_candidate(candidate)) }
        @if candidates.is_empty() { p { "There is no candidate." } }
        @if decides && !is_shown {
            (parts::act(desk, (path("show").as_str(), "show"), ("Show the values", "What was asked and what is held, side by side."), &[]))
        }
        @if decides { (decision(desk, &path("decide"), candidates, &review["version"])) }
        h2 { "What was done" }
        (table(&["When", "Act", "Verdict", "By", "Reason"], &acts_of(review), "Nothing was done yet."))
    }
}

fn acts_of(review: &Value) -> Vec<Vec<Markup>> {
    let acts = review["acts"].as_array().map(Vec::as_slice).unwrap_or_default();
    let names = ["at", "act", "verdict", "operator", "reason"];
    acts.iter()
        .map(|act| Vec::from(names.map(|name| cell(act, name))))
        .collect()
}

/// A candidate, field by field. The values are there only where they are shown.
fn of_candidate(candidate: &Value) -> Markup {
    let fields = candidate["fields"].as_array().map(Vec::as_slice).unwrap_or_default();
    let value = |field: &Value, name: &str| match &field[name] {
        Value::Null => html! { "not shown" },
        value => html! { (word(value)) },
    };
    let row = |field: &Value| {
        vec![
            html! { (parts::words(text(field, "field"))) },
            value(field, "asked"),
            value(field, "held"),
            cell(field, "level"),
            cell(field, "agrees"),
            cell(field, "weight"),
        ]
    };
    let rows: Vec<Vec<Markup>> = fields.iter().map(row).collect();
    html! {
        section {
            h2 { "Candidate " (word(&candidate["place"])) ", " (word(&candidate["total"])) " bits" }
            (facts(candidate, &["patient_id"]))
            (table(&["Field", "Asked", "Held", "Level", "Agrees", "Bits"], &rows, "Nothing was compared."))
        }
    }
}

fn decision(desk: &Desk, path: &str, candidates: &[Value], version: &Value) -> Markup {
    let places = candidates.iter().map(|candidate| word(&candidate["place"]));
    html! {
        form.act action=(path) method="post" aria-label="Decide" {
            h2 { "Decide" }
            (form_token(desk))
            input type="hidden" name="version" value=(word(version));
            fieldset {
                legend { "Verdict" }
                @for place in places {
                    div.choice {
                        input id=(format!("confirm-{place}")) type="radio" name="verdict" value=(format!("confirm-{place}")) required;
                        label for=(format!("confirm-{place}")) { "The person is candidate " (place) }
                    }
                }
                @for (verdict, what) in VERDICTS {
                    div.choice {
                        input id=(verdict) type="radio" name="verdict" value=(verdict) required;
                        label for=(verdict) { (what) }
                    }
                }
            }
            (reason("reason-of-verdict"))
            p { button type="submit" { "Decide" } }
            p.hint { "Where two people must agree, the first verdict proposes and that of another person decides." }
        }
    }
}

/// `POST /console/reviews/{id}/decide`.
pub(super) async fn decide(desk: &Desk) -> Result<Answered, Failure> {
    let verdict = desk.field("verdict");
    let (verdict, candidate) = match verdict.split_once('-') {
        Some(("confirm", place)) => ("confirm", Some(place)),
        _ => (verdict, None),
    };
    let mut said = json!({ "verdict": verdict, "operator": desk.name(), "reason": desk.field("reason") });
    if let Some(place) = candidate {
        said["candidate"] = place.into();
    }
    let seen: i64 = desk
        .field("version")
        .parse()
        .map_err(|_| Failure::new(Fault::ParameterInvalid).at("version"))?;
    said["version"] = seen.into();
    let ask = DeskAsk {
        id: desk.id().to_owned(),
        body: said.to_string(),
        ..DeskAsk::default()
    };
    desk.ask(OpsCall::ReviewDecide, ask).await?;
    Ok(Answered::Elsewhere(format!(
        "/console/reviews/{}",
        encode_all(desk.id())
    )))
}
