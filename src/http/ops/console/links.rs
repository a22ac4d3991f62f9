//! Links from partners' numbers to a member, and disputing one. The search is a form, so that neither an id nor a number is in an address. The
//! numbers themselves are not shown.

use super::desk::{Desk, DeskAsk};
use super::parts::{self, Answered, cell, form_token, items, line, link, mark, reason, shown, table, text};
use crate::error::{Failure, Fault};
use crate::http::ops::table::OpsCall;
use crate::percent::encode_all;
use maud::{Markup, html};
use serde_json::{Value, json};

/// Links with forms on one page.
const FORMS: usize = 20;

/// `GET /console/links`.
pub(super) fn form(desk: &Desk) -> Answered {
    shown("Links", html! { h1 { "Links" } (search(desk)) })
}

fn search(desk: &Desk) -> Markup {
    if !desk.may(OpsCall::Links) {
        return html! { p { "Links to members are for the roles reviewer and auditor." } };
    }
    html! {
        form.act action="/console/links" method="post" aria-label="Links to a member" {
            h2 { "Which numbers of partners mean a member" }
            (form_token(desk))
            (line("member", "Patient", "The id of the Patient, or the number below.", ""))
            (line("member_number", "Member number", "Exactly as it is on the card. It is not kept.", ""))
            (reason("reason-of-look"))
            p { button type="submit" { "Show the links" } }
        }
    }
}

/// `POST /console/links`.
pub(super) async fn found(desk: &Desk) -> Result<Answered, Failure> {
    let (member, number, why) = (desk.field("member"), desk.field("member_number"), desk.field("reason"));
    let wrong = |place: &str, remedy: &str| {
        Failure::new(Fault::ParameterInvalid)
            .at(place)
            .remedy(remedy.to_owned())
    };
    if why.is_empty() {
        return Err(wrong("reason", "Say why you look."));
    }
    let list = match (member.is_empty(), number.is_empty()) {
        (true, false) => desk.links_of_number(number, why).await?,
        (false, true) => {
            let ask = DeskAsk {
                reason: why.to_owned(),
                ..DeskAsk::with(&[("member".to_owned(), member.to_owned())])
            };
            desk.ask(OpsCall::Links, ask).await?
        }
        _ => {
            return Err(wrong(
                "member",
                "Give the id of a Patient or a member number, not both.",
            ));
        }
    };
    let body = html! {
        h1 { "Links to this member" }
        (table(&["Link", "Partner", "Kind", "State", "From", "Until", "Review"], &rows(desk, &list), "No number of a partner means this member."))
        @if !list["next"].is_null() { p { "There are more: " code { "causeway link list" } " shows all of them." } }
        (disputes(desk, items(&list)))
        (search(desk))
    };
    Ok(shown("Links", body))
}

fn rows(desk: &Desk, list: &Value) -> Vec<Vec<Markup>> {
    let row = |one: &Value| {
        let review = text(one, "review_id");
        vec![
            html! { code { (text(one, "id")) } },
            cell(one, "source"),
            cell(one, "kind"),
            mark(text(one, "state")),
            cell(one, "effective_from"),
            cell(one, "effective_until"),
            html! {
                @if review.is_empty() { "-" }
                @else if desk.may(OpsCall::Reviews) { (link("reviews", review)) }
                @else { code { (review) } }
            },
        ]
    };
    items(list).iter().map(row).collect()
}

/// The title of the form that disputes a link, and what it does.
const DISPUTE: (&str, &str) = (
    "The partner has another person",
    "Its grants end at once, and a person decides. Until then nothing leaves by this link.",
);

fn disputes(desk: &Desk, links: &[Value]) -> Markup {
    let confirmed = links
        .iter()
        .filter(|one| text(one, "state") == "confirmed" && !text(one, "source").is_empty());
    html! {
        @if desk.may(OpsCall::LinkDispute) {
            @for one in confirmed.take(FORMS) {
                h2 { "Link " code { (text(one, "id")) } " of " (text(one, "source")) }
                (parts::act(desk, (path(text(one, "id")).as_str(), text(one, "id")), DISPUTE, &[]))
            }
        }
    }
}

fn path(id: &str) -> String {
    format!("/console/links/{}/dispute", encode_all(id))
}

/// `POST /console/links/{id}/dispute`: leads to the review that was opened.
pub(super) async fn dispute(desk: &Desk) -> Result<Answered, Failure> {
    let body = json!({ "reason": desk.field("reason") });
    let done = desk.ask(OpsCall::LinkDispute, DeskAsk::act(desk.id(), &body)).await?;
    Ok(Answered::Elsewhere(format!(
        "/console/reviews/{}",
        encode_all(text(&done, "review"))
    )))
}
