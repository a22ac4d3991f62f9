//! Versions of policies: the list by kind with who put what in force, and one version with its text and what differs.

use super::desk::{Desk, DeskAsk};
use super::parts::{self, Answered, cell, given, items, mark, shown, table, text, version_link, word};
use super::{compare, policy_acts};
use crate::error::{Failure, Fault};
use crate::http::ops::table::OpsCall;
use crate::percent::encode_all;
use crate::policy::PolicyKind;
use maud::{Markup, html};
use serde_json::Value;

/// Versions that the page shows; there are a few dozen where each was tried on purpose.
const VERSIONS: usize = 200;
/// Acts that the page shows, the newest first.
const ACTS: usize = 100;
/// Characters of a text that the page shows.
const TEXT: usize = 20_000;

/// `GET /console/policies`.
pub(super) async fn list(desk: &Desk) -> Result<Answered, Failure> {
    let pairs = desk.query()?;
    let versions = desk.ask(OpsCall::Policies, DeskAsk::with(&pairs)).await?;
    let acts = desk.ask(OpsCall::PolicyActs, DeskAsk::with(&pairs)).await?;
    let all = items(&versions);
    let rows: Vec<Vec<Markup>> = all.iter().take(VERSIONS).map(row).collect();
    let heads = ["Version", "Kind", "Name", "State", "For", "Since", "Added", "Cited as"];
    let kind = given(&pairs, "kind");
    let body = html! {
        h1 { "Policies" }
        (kinds(kind))
        (table(&heads, &rows, "There is no version of this kind."))
        @if all.len() > rows.len() { p { "There are more: " code { "causeway policy list" } " shows all of them." } }
        (policy_acts::waiting(desk, items(&acts)))
        section aria-labelledby="acts" {
            h2 id="acts" { "Who put what in force" }
            (acted(items(&acts)))
        }
        @if PolicyKind::parse(kind).is_some() && desk.may(OpsCall::PolicyRollback) { (policy_acts::roll_back(desk, kind, items(&acts))) }
        p { "To add a version, use " code { "causeway policy import" } " on the host." }
    };
    Ok(shown("Policies", body))
}

fn kinds(chosen: &str) -> Markup {
    html! {
        p {
            @if chosen.is_empty() { "all" } @else { a href="/console/policies" { "all" } }
            @for kind in PolicyKind::ALL.map(PolicyKind::code) {
                " · "
                @if kind == chosen { (kind) }
                @else { a href=(format!("/console/policies?kind={kind}")) { (kind) } }
            }
        }
    }
}

fn address(id: &str) -> String {
    format!("/console/policies/{}", encode_all(id))
}

fn row(version: &Value) -> Vec<Markup> {
    let partners = version["partners"].as_array().into_iter().flatten();
    let partners: Vec<String> = partners.map(word).collect();
    vec![
        version_link(text(version, "id")),
        cell(version, "kind"),
        cell(version, "name"),
        mark(text(version, "state")),
        html! { @if partners.is_empty() { "-" } @else { (partners.join(", ")) } },
        cell(version, "since"),
        html! { @if version["added_at"].is_null() { "ships" } @else { (cell(version, "added_at")) } },
        cell(version, "version"),
    ]
}

fn acted(acts: &[Value]) -> Markup {
    let row = |act: &Value| {
        vec![
            html! { code { (text(act, "id")) } },
            cell(act, "kind"),
            version_link(text(act, "version_id")),
            html! { @if act["partner"].is_null() { "everyone" } @else { (cell(act, "partner")) } },
            mark(text(act, "state")),
            cell(act, "asked_at"),
            cell(act, "effective_at"),
        ]
    };
    // They come kind by kind.
    let mut newest: Vec<&Value> = acts.iter().collect();
    newest.sort_by(|one, other| text(other, "asked_at").cmp(text(one, "asked_at")));
    let rows: Vec<Vec<Markup>> = newest.into_iter().take(ACTS).map(row).collect();
    let heads = ["Act", "Kind", "Version", "For", "State", "Asked", "From"];
    html! {
        (table(&heads, &rows, "Nobody has put another version in force."))
        @if acts.len() > rows.len() { p { "There are older ones: " code { "causeway policy acts" } " shows all of them." } }
    }
}

/// `GET /console/policies/{id}`: the version, what differs from another one (`against`; the one in force by default), and its text.
pub(super) async fn one(desk: &Desk) -> Result<Answered, Failure> {
    let version = desk.ask(OpsCall::Policy, DeskAsk::about(desk.id())).await?;
    let (id, kind) = (text(&version, "id"), text(&version, "kind"));
    let of_kind = [("kind".to_owned(), kind.to_owned())];
    let all = desk.ask(OpsCall::Policies, DeskAsk::with(&of_kind)).await?;
    let query = desk.query()?;
    let mut pairs = vec![("version".to_owned(), id.to_owned()), of_kind[0].clone()];
    let against = given(&query, "against");
    if !against.is_empty() {
        pairs.push(("other".to_owned(), against.to_owned()));
    }
    let differs = match desk.ask(OpsCall::PolicyDiff, DeskAsk::with(&pairs)).await {
        // Of what holds for named partners alone, no version is in force.
        Err(failure) if failure.fault() == Fault::PolicyUnknown && against.is_empty() => None,
        other => Some(other?),
    };
    let listed = items(&all).iter().find(|one| text(one, "id") == id);
    let report = listed.map(|one| &one["shadow"]).filter(|report| !report.is_null());
    let body = html! {
        h1 { "Version " span.id { (text(&version, "name")) } }
        p.lead { (mark(text(&version, "state"))) ", " (kind) }
        (parts::facts(&version, &["id", "version", "point", "since", "partners", "added_at"]))
        @if let Some(report) = report { (shadowed(report)) }
        (difference(id, differs.as_ref(), items(&all)))
        (body_text(text(&version, "text")))
        @if desk.may(OpsCall::PolicyCompare) {
            h2 { "What it would have decided" }
            (compare::form(&pairs[..2]))
        }
        @if desk.may(OpsCall::PolicyActivate) { (policy_acts::of_version(desk, &version)) }
    };
    Ok(shown("Version of a policy", body))
}

fn difference(id: &str, differs: Option<&Value>, all: &[Value]) -> Markup {
    let changes = differs.map(|one| one["changes"].as_array().map(Vec::as_slice).unwrap_or_default());
    let row = |change: &Value| vec![cell(change, "key"), cell(change, "from"), cell(change, "to")];
    let rows: Vec<Vec<Markup>> = changes.unwrap_or_default().iter().map(row).collect();
    html! {
        section aria-labelledby="differs" {
            h2 id="differs" { "What differs" }
            @if let Some(differs) = differs {
                p { "From " (cell(differs, "from_name")) " to this version." }
                (table(&["Key", "From", "To"], &rows, "Nothing: both say the same."))
            } @else { p { "No version is in force for everyone." } }
            form action=(address(id)) method="get" aria-label="Compare with another version" {
                div.field {
                    label for="against" { "Compare with" }
                    select id="against" name="against" {
                        option value="" { "the one in force" }
                        @for one in all.iter().take(VERSIONS).filter(|one| text(one, "id") != id) {
                            option value=(text(one, "id")) { (text(one, "name")) }
                        }
                    }
                }
                p { button type="submit" { "Show what differs" } }
            }
        }
    }
}

fn shadowed(report: &Value) -> Markup {
    let pairs = report["pairs"].as_array().map(Vec::as_slice).unwrap_or_default();
    let row = |pair: &Value| {
        vec![
            cell(pair, "active"),
            cell(pair, "candidate"),
            cell(pair, "requests"),
            cell(pair, "last_at"),
        ]
    };
    let rows: Vec<Vec<Markup>> = pairs.iter().map(row).collect();
    html! {
        section aria-labelledby="shadow" {
            h2 id="shadow" { "What it has shown beside the one in force" }
            (parts::facts(report, &["compared", "different", "risky", "lost"]))
            (table(&["In force", "This version", "Requests", "Last"], &rows, "No request was compared yet."))
        }
    }
}

fn body_text(text: &str) -> Markup {
    let shown: String = text.chars().take(TEXT).collect();
    html! {
        details {
            summary { "Its text" }
            pre tabindex="0" { (shown) }
            @if shown.len() < text.len() { p { "There is more: " code { "causeway policy show" } " prints all of it." } }
        }
    }
}
