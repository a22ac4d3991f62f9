//! How often a version of a policy would have decided differently, over the newest decisions or exchanges.

use super::desk::{Desk, DeskAsk};
use super::parts::{self, Answered, given, line, link, shown, table, word};
use crate::error::Failure;
use crate::http::ops::table::OpsCall;
use maud::{Markup, html};
use serde_json::Value;

/// `GET /console/policies/compare`: the form, and below it what it asks for.
pub(super) async fn page(desk: &Desk) -> Result<Answered, Failure> {
    let pairs = desk.query()?;
    let mut sum = None;
    if !given(&pairs, "version").is_empty() {
        sum = Some(desk.ask(OpsCall::PolicyCompare, DeskAsk::with(&pairs)).await?);
    }
    let body = html! {
        h1 { "What a version would have decided" }
        p { "It decides again what is on record: nothing is changed, and no partner is asked." }
        @if desk.may(OpsCall::PolicyCompare) { (form(&pairs)) }
        @else { p { "That is for the roles auditor and admin." } }
        @if let Some(sum) = &sum { (compared(desk, sum)) }
    };
    Ok(shown("Compare policies", body))
}

/// The form, filled in as it was.
pub(super) fn form(pairs: &[(String, String)]) -> Markup {
    html! {
        form.act action="/console/policies/compare" method="get" aria-label="Compare a version with what was decided" {
            div.fields {
                (line("version", "Version", "Its id, its name, or what decisions cite.", given(pairs, "version")))
                (line("kind", "Kind", "Where versions of several kinds have that name.", given(pairs, "kind")))
                (line("partner", "Partner", "The id of one partner, or nothing for all.", given(pairs, "partner")))
                (line("last", "Number of decisions", "The newest, from 1 to 200.", given(pairs, "last")))
            }
            p { button type="submit" { "Compare" } }
        }
    }
}

fn compared(desk: &Desk, sum: &Value) -> Markup {
    let pairs = sum["pairs"].as_object().into_iter().flatten();
    let row = |(pair, times): (&String, &Value)| vec![html! { (pair) }, html! { (word(times)) }];
    let rows: Vec<Vec<Markup>> = pairs.map(row).collect();
    let examples = sum["examples"].as_array().map(Vec::as_slice).unwrap_or_default();
    html! {
        section aria-labelledby="compared" {
            h2 id="compared" { "Compared" }
            (parts::facts(sum, &["version", "kind", "partner", "compared", "same", "different", "unknown"]))
            (table(&["Decided, and would be", "Times"], &rows, "Nothing on record could be compared."))
            @if !examples.is_empty() {
                h3 { "The first that differ" }
                ul.plain {
                    @for id in examples.iter().filter_map(Value::as_str) {
                        li { @if desk.may(OpsCall::Exchange) { (link("exchanges", id)) } @else { code { (id) } } }
                    }
                }
            }
        }
    }
}
