//! Acts on versions of policies: putting one in force, going back, a run beside the one in force, and the second person. The use cases are those
//! of `causeway policy`.

use super::desk::{Desk, DeskAsk};
use super::parts::{self, Answered, cell, form_token, items, line, mark, reason, text, version_link};
use crate::error::{Failure, Fault};
use crate::http::ops::table::OpsCall;
use crate::percent::encode_all;
use crate::policy::PolicyKind;
use crate::secret::{hex, sha256};
use maud::{Markup, html};
use serde_json::{Value, json};
use std::collections::BTreeMap;

/// Acts with forms on one page.
const FORMS: usize = 20;

/// What the forms are called, and what they do.
const APPROVE: (&str, &str) = ("Approve", "Only another person than who asked for it can.");
const WITHDRAW: (&str, &str) = ("Withdraw", "It will not decide.");
const STOP: (&str, &str) = ("End its run beside the one in force", "What it has shown stays.");
const SHADOW: (&str, &str) = (
    "Run it beside the one in force",
    "Without consequences. Counts of an earlier run of it are deleted.",
);

/// The acts that wait for a second person or for their time, each with its forms, the oldest first.
pub(super) fn waiting(desk: &Desk, acts: &[Value]) -> Markup {
    // An act on several partners has a row for each of them.
    let mut open: BTreeMap<&str, Vec<&Value>> = BTreeMap::new();
    for act in acts {
        if ["waiting", "scheduled"].contains(&text(act, "state")) {
            open.entry(text(act, "id")).or_default().push(act);
        }
    }
    html! {
        @if !open.is_empty() {
            section aria-labelledby="waiting" {
                h2 id="waiting" { "Do not decide yet: " (open.len()) }
                @for (id, rows) in open.iter().take(FORMS) { (one_waiting(desk, id, rows)) }
                @if open.len() > FORMS { p { "There are more: " code { "causeway policy acts" } " shows all of them." } }
            }
        }
    }
}

/// One act with the rows of it that do not decide yet.
fn one_waiting(desk: &Desk, id: &str, rows: &[&Value]) -> Markup {
    let nothing = Value::Null;
    let act = rows.first().copied().unwrap_or(&nothing);
    let state = text(act, "state");
    let partners: Vec<&str> = rows.iter().map(|row| text(row, "partner")).collect();
    let path = format!("/console/policies/{}/second", encode_all(id));
    let (approve, withdraw) = (format!("approve-{id}"), format!("withdraw-{id}"));
    html! {
        article.issue {
            h3 { (cell(act, "kind")) " " (version_link(text(act, "version_id"))) " " (mark(state)) }
            p { "For " @if act["partner"].is_null() { "everyone" } @else { (partners.join(", ")) } ", from " (cell(act, "effective_at"))
                ", asked for at " (cell(act, "asked_at")) "." }
            @if state == "waiting" && desk.may(OpsCall::PolicyApprove) {
                (parts::act(desk, (path.as_str(), approve.as_str()), APPROVE, &[("act", "approve")]))
            }
            @if desk.may(OpsCall::PolicyWithdraw) {
                (parts::act(desk, (path.as_str(), withdraw.as_str()), WITHDRAW, &[("act", "withdraw")]))
            }
        }
    }
}

/// How the acts on a kind stand: a digest, which is another one once anybody has done anything, or an act has begun to decide.
fn standing(acts: &[Value]) -> String {
    let parts: Vec<[&str; 3]> = acts
        .iter()
        .map(|act| [text(act, "id"), text(act, "partner"), text(act, "state")])
        .collect();
    hex(&sha256(json!(parts).to_string().as_bytes()))
}

/// The form that goes back to the version before, for a kind whose acts are these.
pub(super) fn roll_back(desk: &Desk, kind: &str, acts: &[Value]) -> Markup {
    html! {
        form.act action=(format!("/console/policies/{}/act", encode_all(kind))) method="post" aria-label="Go back" {
            h2 { "Go back to the version that decided before" }
            (form_token(desk))
            input type="hidden" name="act" value="rollback";
            input type="hidden" name="seen" value=(standing(acts));
            (line("partners", "Partners", "Ids with spaces between them, or nothing for everyone.", ""))
            (reason("reason-of-rollback"))
            p { button type="submit" { "Go back" } }
        }
    }
}

/// The forms of what can be done with a version.
pub(super) fn of_version(desk: &Desk, version: &Value) -> Markup {
    let (id, state) = (text(version, "id"), text(version, "state"));
    let path = format!("/console/policies/{}/act", encode_all(id));
    let is_matching = text(version, "kind") == PolicyKind::Matching.code();
    html! {
        form.act action=(path) method="post" aria-label="Put it in force" {
            h2 { "Put it in force" }
            p { "Where two people must agree, it waits until another person approves it on the page Policies." }
            (form_token(desk))
            input type="hidden" name="act" value="activate";
            (line("partners", "Partners", "Ids with spaces between them, or nothing for everyone.", ""))
            (line("at", "From when on", "An instant, such as 2026-12-01T06:00:00Z, or nothing for now.", ""))
            (reason("reason-of-activation"))
            p { button type="submit" { "Put it in force" } }
        }
        @if is_matching && state == "shadow" {
            (parts::act(desk, (path.as_str(), "stop"), STOP, &[("act", "stop")]))
        } @else if is_matching && state != "active" {
            (parts::act(desk, (path.as_str(), "shadow"), SHADOW, &[("act", "shadow")]))
        }
    }
}

/// `POST /console/policies/{id}/act`: the id is that of a version, and of going back the kind.
pub(super) async fn act(desk: &Desk) -> Result<Answered, Failure> {
    let (id, why) = (desk.id(), desk.field("reason"));
    let partners: Vec<&str> = desk
        .field("partners")
        .split([' ', ','])
        .filter(|partner| !partner.is_empty())
        .collect();
    let (call, body) = match desk.field("act") {
        "activate" => {
            let mut body = json!({ "version": id, "partners": partners, "reason": why });
            if !desk.field("at").is_empty() {
                body["at"] = desk.field("at").into();
            }
            (OpsCall::PolicyActivate, body)
        }
        "rollback" => {
            demand_as_seen(desk, id).await?;
            (
                OpsCall::PolicyRollback,
                json!({ "kind": id, "partners": partners, "reason": why }),
            )
        }
        "shadow" => (OpsCall::PolicyShadowStart, json!({ "version": id, "reason": why })),
        "stop" => {
            demand_beside(desk, id).await?;
            (OpsCall::PolicyShadowStop, json!({ "reason": why }))
        }
        _ => return Err(Failure::new(Fault::ParameterInvalid).at("act")),
    };
    let done = desk.ask(call, DeskAsk::act("", &body)).await?;
    Ok(of_kind(&done))
}

/// Refuses to go back where somebody has done anything since the page was shown: that would undo what nobody here has seen.
async fn demand_as_seen(desk: &Desk, kind: &str) -> Result<(), Failure> {
    let of_kind = [("kind".to_owned(), kind.to_owned())];
    let acts = desk.ask(OpsCall::PolicyActs, DeskAsk::with(&of_kind)).await?;
    match standing(items(&acts)) == desk.field("seen") {
        true => Ok(()),
        false => Err(Failure::new(Fault::ActivationUnknown)
            .remedy("Somebody has put another version in force since: look at the page again.")),
    }
}

/// Refuses to end the run of another version than the page is about: there is one run at a time, and somebody may have begun the next.
async fn demand_beside(desk: &Desk, id: &str) -> Result<(), Failure> {
    let version = desk.ask(OpsCall::Policy, DeskAsk::about(id)).await?;
    match text(&version, "state") == "shadow" {
        true => Ok(()),
        false => {
            Err(Failure::new(Fault::PolicyUnknown)
                .remedy("This version does not run beside the one in force any more."))
        }
    }
}

/// `POST /console/policies/{id}/second`: the id is that of the act.
pub(super) async fn second(desk: &Desk) -> Result<Answered, Failure> {
    let call = match desk.field("act") {
        "approve" => OpsCall::PolicyApprove,
        "withdraw" => OpsCall::PolicyWithdraw,
        _ => return Err(Failure::new(Fault::ParameterInvalid).at("act")),
    };
    let body = json!({ "reason": desk.field("reason") });
    let done = desk.ask(call, DeskAsk::act(desk.id(), &body)).await?;
    Ok(of_kind(&done))
}

fn of_kind(done: &Value) -> Answered {
    Answered::Elsewhere(format!("/console/policies?kind={}", encode_all(text(done, "kind"))))
}
