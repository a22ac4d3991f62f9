//! Finding something by any id, or a member's exchanges by the exact number on the card. Both are forms, so that neither is in an address.

use super::desk::{Desk, DeskAsk};
use super::parts::{Answered, form_token, items, link, reason, shown};
use super::{exchange, trail};
use crate::error::{Failure, Fault};
use crate::http::ops::table::OpsCall;
use crate::ids::is_fhir_id;
use maud::{Markup, html};

/// `GET /console/find`.
pub(super) fn form(desk: &Desk) -> Answered {
    let body = html! { h1 { "Find" } (forms(desk)) };
    shown("Find", body)
}

fn forms(desk: &Desk) -> Markup {
    html! {
        @if desk.may(OpsCall::Trace) {
            form.act action="/console/find" method="post" aria-label="Find by an id" {
                h2 { "By an id" }
                (form_token(desk))
                div.field {
                    label for="id" { "Id" }
                    input id="id" name="id" type="text" required maxlength="128" autocomplete="off" spellcheck="false"
                        aria-describedby="id.about";
                    p.hint id="id.about" {
                        "Of an exchange, a decision, a grant, a consent, a review, a job or a request, or a correlation id. No member number: "
                        "the ledger keeps the id."
                    }
                }
                (reason("reason-of-id"))
                p { button type="submit" { "Find by id" } }
            }
        }
        @if desk.may(OpsCall::Exchanges) {
            form.act action="/console/find" method="post" aria-label="Find by a member number" {
                h2 { "By a member number" }
                (form_token(desk))
                div.field {
                    label for="number" { "Member number" }
                    input id="number" name="number" type="text" required maxlength="128" autocomplete="off" spellcheck="false"
                        aria-describedby="number.about";
                    p.hint id="number.about" { "Exactly as it is on the card. It is not kept." }
                }
                (reason("reason-of-number"))
                p { button type="submit" { "Find the member's exchanges" } }
            }
        }
    }
}

/// `POST /console/find`.
pub(super) async fn found(desk: &Desk) -> Result<Answered, Failure> {
    let (id, number, why) = (desk.field("id"), desk.field("number"), desk.field("reason"));
    if why.is_empty() {
        return Err(wrong("reason", "Say why you look."));
    }
    match (id.is_empty(), number.is_empty()) {
        (false, true) => by_id(desk, id, why).await,
        (true, false) => {
            let list = desk.of_number(number, why).await?;
            let body = html! {
                h1 { "Exchanges of this member" }
                (exchange::rows(items(&list), "There is no exchange of this member."))
                @if !list["next"].is_null() { p { "There are more. The newest are at the end of the list of all exchanges." } }
                (forms(desk))
            };
            Ok(shown("Found", body))
        }
        _ => Err(wrong("id", "Give an id or a member number, not both.")),
    }
}

async fn by_id(desk: &Desk, id: &str, why: &str) -> Result<Answered, Failure> {
    let ask = DeskAsk {
        id: id.to_owned(),
        reason: why.to_owned(),
        ..DeskAsk::default()
    };
    let list = desk.ask(OpsCall::Trace, ask).await?;
    let body = html! {
        h1 { "Found " span.id { (id) } }
        @if is_fhir_id(id) && desk.may(OpsCall::Exchanges) { p { "If it is the id of an exchange, open it: " (link("exchanges", id)) } }
        (trail::table_of(desk, &list))
        @if !list["next"].is_null() { p { "There is more: " code { "causeway trace ID" } " shows all of it." } }
        (forms(desk))
    };
    Ok(shown("Found", body))
}

fn wrong(place: &'static str, remedy: &'static str) -> Failure {
    Failure::new(Fault::ParameterInvalid).at(place).remedy(remedy)
}
