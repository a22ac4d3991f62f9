//! Which partner got what of a member. The search and each further page are forms, so that neither the id of a Patient nor a member number is in an
//! address.

use super::desk::{Desk, DeskAsk};
use super::parts::{Answered, cell, form_token, items, link, mark, reason, shown, table, text, tree};
use crate::error::{Failure, Fault};
use crate::http::negotiate::pairs;
use crate::http::ops::table::OpsCall;
use maud::{Markup, html};
use serde_json::{Map, Value};

/// The fields that a form may have beside its reason: those of a search.
const FIELDS: [&str; 6] = ["member", "member_number", "partner", "from", "to", "cursor"];

/// `GET /console/disclosures`.
pub(super) fn form(desk: &Desk) -> Answered {
    shown("Disclosures", html! { h1 { "Disclosures" } (search(desk)) })
}

fn search(desk: &Desk) -> Markup {
    if !desk.may(OpsCall::DisclosuresSearch) {
        return html! { p { "Who got what of a member is for the role auditor." } };
    }
    let field = |name: &str, label: &str, about: &str| {
        let hint = format!("{name}.about");
        html! {
            div.field {
                label for=(name) { (label) }
                input id=(name) name=(name) type="text" maxlength="128" autocomplete="off" spellcheck="false" aria-describedby=(hint);
                p.hint id=(hint) { (about) }
            }
        }
    };
    html! {
        form.act action="/console/disclosures" method="post" aria-label="Who got what of a member" {
            h2 { "Who got what of a member" }
            (form_token(desk))
            (field("member", "Patient", "The id of the Patient, or the number below."))
            (field("member_number", "Member number", "Exactly as it is on the card. It is not kept."))
            (field("partner", "Partner", "The id of one partner, or nothing for all."))
            (field("from", "From", "A date, such as 2026-11-01, or an instant."))
            (field("to", "To", "A date, which is included, or an instant."))
            (reason("reason-of-look"))
            p { button type="submit" { "Show the disclosures" } }
        }
    }
}

/// `POST /console/disclosures`.
pub(super) async fn found(desk: &Desk) -> Result<Answered, Failure> {
    let why = desk.field("reason");
    if why.is_empty() {
        return Err(Failure::new(Fault::ParameterInvalid)
            .at("reason")
            .remedy("Say why you look."));
    }
    let given = FIELDS.map(|name| (name, desk.field(name)));
    let asked: Map<String, Value> = given
        .into_iter()
        .filter(|(_, value)| !value.is_empty())
        .map(|(name, value)| (name.to_owned(), Value::from(value)))
        .collect();
    let ask = DeskAsk {
        body: Value::Object(asked).to_string(),
        reason: why.to_owned(),
        ..DeskAsk::default()
    };
    let list = desk.ask(OpsCall::DisclosuresSearch, ask).await?;
    let following = following(&list)?;
    let rows: Vec<Vec<Markup>> = items(&list).iter().map(|one| row(desk, one)).collect();
    let heads = [
        "When", "Partner", "Outcome", "HTTP", "Bytes", "Types", "Consent", "Exchange", "Policy",
    ];
    let body = html! {
        h1 { "Disclosures of this member" }
        @if let Some(first) = items(&list).first() { p { "Patient: " code { (text(first, "member")) } } }
        (table(&heads, &rows, "Nothing of this member was disclosed."))
        @if !following.is_empty() {
            form action="/console/disclosures" method="post" aria-label="Next page" {
                (form_token(desk))
                @for (name, value) in &following { input type="hidden" name=(name) value=(value); }
                input type="hidden" name="reason" value=(why);
                p.pages { button type="submit" { "Next page" } }
            }
        }
        (search(desk))
    };
    Ok(shown("Disclosures", body))
}

/// The fields that ask for the next page; none on the last. Its address is that of `/ops/v1` and names a Patient, so that it becomes a form here.
fn following(list: &Value) -> Result<Vec<(String, String)>, Failure> {
    match list["next"].as_str().and_then(|url| url.split_once('?')) {
        Some((_, query)) => pairs(query),
        None => Ok(Vec::new()),
    }
}

fn row(desk: &Desk, one: &Value) -> Vec<Markup> {
    let decision = text(one, "decision_id");
    vec![
        cell(one, "at"),
        cell(one, "partner"),
        mark(text(one, "outcome")),
        cell(one, "http"),
        cell(one, "bytes"),
        html! { @if one["resources"].is_null() { "-" } @else { (tree(&one["resources"])) } },
        cell(one, "consent_id"),
        html! {
            @if !decision.is_empty() && desk.may(OpsCall::Exchanges) { (link("exchanges", decision)) }
            @else { (cell(one, "decision_id")) }
        },
        html! { (cell(one, "policy")) " " (cell(one, "policy_version")) },
    ]
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn the_next_page_is_asked_for_by_fields_of_the_search() {
        let list = json!({"next": "http://127.0.0.1:1/ops/v1/disclosures?member=Patient/a-1&from=2026-11-01T00%3A00:00Z&cursor=x%2By"});
        let wanted = [
            ("member", "Patient/a-1"),
            ("from", "2026-11-01T00:00:00Z"),
            ("cursor", "x+y"),
        ]
        .map(|(name, value)| (name.to_owned(), value.to_owned()));
        let found = following(&list).expect("fields");
        assert_eq!(found, wanted);
        assert!(found.iter().all(|(name, _)| FIELDS.contains(&name.as_str())));
        assert!(following(&json!({"next": null})).expect("none").is_empty());
    }
}
