//! The registered partners, as far as a page has use for them. It changes nothing: keys and suspensions are for commands.

use super::desk::{Desk, DeskAsk};
use super::parts::{Answered, cell, items, mark, shown, table, text, tree};
use crate::error::Failure;
use crate::http::ops::table::OpsCall;
use crate::percent::encode_all;
use maud::{Markup, html};
use serde_json::Value;

/// `GET /console/partners`.
pub(super) async fn list(desk: &Desk) -> Result<Answered, Failure> {
    let all = desk.ask(OpsCall::Partners, DeskAsk::default()).await?;
    let row = |one: &Value| {
        vec![
            id_of(desk, text(one, "id")),
            cell(one, "name"),
            cell(one, "npi"),
            mark(text(one, "status")),
            cell(one, "reason"),
            cell(one, "mtls"),
            cell(one, "version"),
            cell(one, "match_locked_until"),
            cell(one, "certificate_uri"),
            html! { @if one["contacts"].is_null() { "-" } @else { (tree(&one["contacts"])) } },
        ]
    };
    let rows: Vec<Vec<Markup>> = items(&all).iter().map(row).collect();
    let heads = [
        "Partner",
        "Name",
        "NPI",
        "Status",
        "Reason",
        "mTLS",
        "Version",
        "No matches until",
        "Certificate",
        "Contacts",
    ];
    let body = html! {
        h1 { "Partners" }
        (table(&heads, &rows, "No partner is registered."))
        p { "To change one, use " code { "causeway partner" } " on the host." }
    };
    Ok(shown("Partners", body))
}

/// The id of a partner, and for whoever may see them the way to its exchanges.
fn id_of(desk: &Desk, id: &str) -> Markup {
    html! {
        @if desk.may(OpsCall::Exchanges) {
            a href=(format!("/console/exchanges?partner={}", encode_all(id))) { code { (id) } }
        } @else { code { (id) } }
    }
}
