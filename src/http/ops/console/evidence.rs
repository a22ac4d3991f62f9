//! Evidence packets: asking for one, the list, one with what became of it, and fetching it.

use super::desk::{Desk, DeskAsk};
use super::parts::{
    self, AnswerShape, Answered, cell, facts, form_token, items, line, link, mark, next, reason, runbook, shown, table,
    text,
};
use crate::error::{Failure, Fault};
use crate::http::ops::table::OpsCall;
use crate::percent::encode_all;
use maud::{Markup, html};
use serde_json::{Map, Value};

/// What a packet may be about, with the words of the form.
const ABOUT: [(&str, &str, &str); 7] = [
    ("exchange", "Exchange", "The id of an exchange, ours or theirs."),
    ("correlation", "Correlation id", "All that happened under it."),
    ("member", "Patient", "The id of the Patient, or the number below."),
    (
        "member_number",
        "Member number",
        "Exactly as it is on the card. It is not kept.",
    ),
    ("case", "Case", "The id or the name of a case."),
    ("from", "From", "A date, such as 2026-11-01, or an instant."),
    (
        "to",
        "To",
        "A date, which is included, or an instant. Only with the field above.",
    ),
];

/// `GET /console/evidence`.
pub(super) async fn list(desk: &Desk) -> Result<Answered, Failure> {
    let pairs = desk.query()?;
    let list = desk.ask(OpsCall::Packets, DeskAsk::with(&pairs)).await?;
    let row = |one: &Value| {
        vec![
            link("evidence", text(one, "id")),
            cell(one, "asked_at"),
            cell(one, "asked_by"),
            cell(one, "kind"),
            html! { @if one["subject"].is_null() { (cell(one, "from")) } @else { (cell(one, "subject")) } },
            mark(text(one, "state")),
            cell(one, "entries"),
            cell(one, "bytes"),
        ]
    };
    let rows: Vec<Vec<Markup>> = items(&list).iter().map(row).collect();
    let heads = ["Packet", "Asked", "By", "Kind", "About", "State", "Entries", "Bytes"];
    let body = html! {
        h1 { "Evidence" }
        p { "A packet is one signed file that shows what happened, with proofs. Whoever has the key of the log can check it without this server." }
        (table(&heads, &rows, "No packet was asked for."))
        (next(&list, "/console/evidence", &pairs))
        p { a href="/console/cases" { "Cases" } " group exchanges, for one packet about all of them." }
        @if desk.may(OpsCall::PacketAsk) { (form(desk)) }
    };
    Ok(shown("Evidence", body))
}

fn form(desk: &Desk) -> Markup {
    html! {
        form.act action="/console/evidence" method="post" aria-label="Ask for a packet" {
            h2 { "Ask for a packet" }
            p { "Fill in one field, or the two of a time." }
            (form_token(desk))
            div.fields { @for (name, label, about) in ABOUT { (line(name, label, about, "")) } }
            div.choice {
                input id="with_phi" type="checkbox" name="with_phi" value="yes";
                label for="with_phi" { "With the values of persons (needs the role reviewer too, and another person to fetch it)" }
            }
            (reason("reason-of-packet"))
            p { button type="submit" { "Ask for the packet" } }
        }
    }
}

/// `POST /console/evidence`.
pub(super) async fn ask(desk: &Desk) -> Result<Answered, Failure> {
    let mut asked = Map::new();
    for (name, ..) in ABOUT {
        if !desk.field(name).is_empty() {
            asked.insert(name.to_owned(), Value::from(desk.field(name)));
        }
    }
    if !desk.field("with_phi").is_empty() {
        asked.insert("with_phi".to_owned(), Value::from(true));
    }
    asked.insert("reason".to_owned(), Value::from(desk.field("reason")));
    let ask = DeskAsk::act("", &Value::Object(asked));
    let packet = desk.ask(OpsCall::PacketAsk, ask).await?;
    Ok(Answered::Elsewhere(address(text(&packet, "id"))))
}

fn address(id: &str) -> String {
    format!("/console/evidence/{}", encode_all(id))
}

/// `GET /console/evidence/{id}`.
pub(super) async fn one(desk: &Desk) -> Result<Answered, Failure> {
    let packet = desk.ask(OpsCall::Packet, DeskAsk::about(desk.id())).await?;
    let (id, state) = (text(&packet, "id"), text(&packet, "state"));
    let body = html! {
        h1 { "Packet " span.id { (id) } }
        p.lead { (mark(state)) }
        @if state == "waiting" { p { "It is made with the next checkpoint of the log. " a href=(address(id)) { "Look again" } "." } }
        @if !packet["fault"].is_null() { p { "It cannot be made: " (cell(&packet, "text")) " " (runbook(text(&packet, "fault"))) } }
        (facts(&packet, &[
            "kind", "subject", "from", "before", "asked_by", "asked_at", "made_at", "checkpoint", "entries", "bytes", "sha256", "with_phi",
        ]))
        @if state == "made" && desk.may(OpsCall::PacketFile) { (fetching(desk, id)) }
    };
    Ok(shown("Packet", body))
}

/// The title of the form that fetches a packet, and what it does.
const FETCH: (&str, &str) = (
    "Fetch the packet",
    "A tar archive. That you fetch it is an entry, with the reason.",
);

fn fetching(desk: &Desk, id: &str) -> Markup {
    let path = format!("{}/file", address(id));
    html! {
        h2 { "The file" }
        (parts::act(desk, (path.as_str(), "reason-of-fetch"), FETCH, &[]))
        p { "To check it: " code { "causeway audit verify --packet packet-" (id) ".tar --key KEY" } ". The key is what "
            code { "causeway audit key" } " prints." }
    }
}

/// `POST /console/evidence/{id}/file`.
pub(super) async fn file(desk: &Desk) -> Result<Answered, Failure> {
    let why = desk.field("reason");
    if why.is_empty() {
        return Err(Failure::new(Fault::ParameterInvalid)
            .at("reason")
            .remedy("Say why you fetch it."));
    }
    let ask = DeskAsk {
        reason: why.to_owned(),
        ..DeskAsk::about(desk.id())
    };
    let bytes = desk.bytes(OpsCall::PacketFile, ask).await?;
    // The packet is there, so that its id is one of ours.
    let name = format!("packet-{}.tar", desk.id());
    Ok(Answered::Whole {
        bytes,
        shape: AnswerShape::Packet { name },
    })
}
