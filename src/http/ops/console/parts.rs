//! What pages of the console are put together from: facts, tables, links to the runbook, and the forms of acts.
//!
//! Everything is escaped. Nothing here asks anybody for anything.

use super::desk::Desk;
use crate::clock::parse_rfc3339_ms;
use crate::http::explorer::FORM_FIELD;
use crate::percent::{encode, encode_all};
use actix_web::web::Bytes;
use maud::{Markup, html};
use serde_json::Value;

/// What came of a request: a page, or another address.
pub(super) enum Answered {
    /// A page.
    Page {
        /// Its title, which names no person.
        title: &'static str,
        /// What it shows.
        body: Markup,
    },
    /// A document of its own.
    Whole {
        /// The document.
        bytes: Bytes,
        /// What it is.
        shape: AnswerShape,
    },
    /// The page at this path, after an act.
    Elsewhere(String),
}

/// What an answer is that is no page in the frame of the console.
#[derive(Clone, Debug)]
pub(super) enum AnswerShape {
    /// A page to print.
    Card,
    /// An evidence packet, to keep under this file name.
    Packet {
        /// The name, of letters, digits, hyphens and dots.
        name: String,
    },
}

/// A page.
pub(super) fn shown(title: &'static str, body: Markup) -> Answered {
    Answered::Page { title, body }
}

/// A value as text; a hyphen for none.
pub(super) fn word(value: &Value) -> String {
    match value {
        Value::Null => "-".to_owned(),
        Value::String(text) if text.is_empty() => "-".to_owned(),
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

/// The text of a member; empty when there is none.
pub(super) fn text<'v>(value: &'v Value, name: &str) -> &'v str {
    value[name].as_str().unwrap_or_default()
}

/// The items of a list.
pub(super) fn items(list: &Value) -> &[Value] {
    list["items"].as_array().map(Vec::as_slice).unwrap_or_default()
}

/// How many items this page of a list has, and whether there are more.
pub(super) fn count(list: &Value) -> String {
    let more = if list["next"].is_null() { "" } else { " and more" };
    format!("{}{more}", items(list).len())
}

/// Members of a value with their names in words; those that are not there are left out.
pub(super) fn facts(value: &Value, names: &[&str]) -> Markup {
    html! {
        dl.facts {
            @for name in names {
                @if !value[*name].is_null() { dt { (words(name)) } dd { (tree(&value[*name])) } }
            }
        }
    }
}

/// Any value, member by member.
pub(super) fn tree(value: &Value) -> Markup {
    match value {
        Value::Object(members) => html! {
            dl.facts { @for (name, value) in members { dt { (words(name)) } dd { (tree(value)) } } }
        },
        Value::Array(values) if values.is_empty() => html! { "none" },
        Value::Array(values) => html! { ul.plain { @for value in values { li { (tree(value)) } } } },
        other => html! { (word(other)) },
    }
}

/// The name of a member in words.
pub(super) fn words(name: &str) -> String {
    name.replace('_', " ")
}

/// A table; each row has a cell for each head. On a narrow screen each cell names its head.
pub(super) fn table(heads: &[&str], rows: &[Vec<Markup>], nothing: &str) -> Markup {
    html! {
        @if rows.is_empty() { p { (nothing) } }
        @else {
            div.scroll {
                table {
                    thead { tr { @for head in heads { th scope="col" { (head) } } } }
                    tbody {
                        @for row in rows {
                            tr { @for (head, cell) in heads.iter().zip(row) { td data-of=(head) { (cell) } } }
                        }
                    }
                }
            }
        }
    }
}

/// A member of a value as a cell.
pub(super) fn cell(value: &Value, name: &str) -> Markup {
    html! { (word(&value[name])) }
}

/// A state, marked where somebody has to look.
pub(super) fn mark(state: &str) -> Markup {
    html! { span class=(format!("mark {state}")) { (words(state)) } }
}

/// Since when, and how long that is at `now_ms` (UTC milliseconds).
pub(super) fn since(at: &str, now_ms: i64) -> Markup {
    let minutes = parse_rfc3339_ms(at).map(|at_ms| (now_ms - at_ms).max(0) / 60_000);
    html! {
        (at)
        @if let Some(minutes) = minutes { " (" (lasting(minutes)) ")" }
    }
}

/// So many minutes in words.
fn lasting(minutes: i64) -> String {
    match minutes {
        0..120 => format!("{minutes} min"),
        120..2_880 => format!("{} h", minutes / 60),
        _ => format!("{} days", minutes / 1_440),
    }
}

/// The link to the page of a thing with this id.
pub(super) fn link(folder: &str, id: &str) -> Markup {
    html! { a href=(format!("/console/{folder}/{}", encode_all(id))) { code { (id) } } }
}

/// The link to a version of a policy, named by the first characters of its id.
pub(super) fn version_link(id: &str) -> Markup {
    html! { a href=(format!("/console/policies/{}", encode_all(id))) { code { (id.get(..12).unwrap_or(id)) } } }
}

/// The link to an entry of the runbook; a hyphen without a code.
pub(super) fn runbook(code: &str) -> Markup {
    html! {
        @if code.is_empty() { "-" }
        @else { a href=(format!("/console/runbook/{}", encode_all(code))) { (code) } }
    }
}

/// The link to the next page of a list, if there is one. `kept`: the parameters of this one.
pub(super) fn next(list: &Value, path: &str, kept: &[(String, String)]) -> Markup {
    // The address is that of `/ops/v1`; the cursor comes last in it, and is encoded.
    let cursor = list["next"]
        .as_str()
        .and_then(|url| url.rsplit_once("cursor="))
        .map(|(_, cursor)| cursor);
    let kept: String = kept
        .iter()
        .filter(|(name, _)| name != "cursor")
        .map(|(name, value)| format!("{}={}&", encode(name), encode(value)))
        .collect();
    html! {
        @if let Some(cursor) = cursor {
            p.pages { a href=(format!("{path}?{kept}cursor={cursor}")) rel="next" { "Next page" } }
        }
    }
}

/// The hidden field that each form carries.
pub(super) fn form_token(desk: &Desk) -> Markup {
    html! { input type="hidden" name=(FORM_FIELD) value=(desk.form_token()); }
}

/// A field for a line of text; `value` stands in it.
pub(super) fn line(name: &str, label: &str, hint: &str, value: &str) -> Markup {
    let about = format!("{name}.about");
    html! {
        div.field {
            label for=(name) { (label) }
            input id=(name) name=(name) type="text" value=(value) maxlength="128" autocomplete="off" spellcheck="false" aria-describedby=(about);
            p.hint id=(about) { (hint) }
        }
    }
}

/// The value of a parameter of the address; empty where there is none.
pub(super) fn given<'p>(pairs: &'p [(String, String)], name: &str) -> &'p str {
    let found = pairs.iter().find(|(key, _)| key == name);
    found.map(|(_, value)| value.as_str()).unwrap_or_default()
}

/// The field for a reason; `id` tells it from others on the same page.
pub(super) fn reason(id: &str) -> Markup {
    let about = format!("{id}.about");
    html! {
        div.field {
            label for=(id) { "Reason" }
            input id=(id) name="reason" type="text" required maxlength="500" autocomplete="off" aria-describedby=(about);
            p.hint id=(about) { "The ledger keeps it with your name." }
        }
    }
}

/// A form that does one act, with its reason. `id` tells it from others on the same page.
pub(super) fn act(
    desk: &Desk,
    (path, id): (&str, &str),
    (title, about): (&str, &str),
    fields: &[(&str, &str)],
) -> Markup {
    // Forms of several things on one page have names that differ, for whoever hears the page.
    let name = match id.bytes().any(|byte| byte.is_ascii_digit()) {
        true => format!("{title} {id}"),
        false => title.to_owned(),
    };
    html! {
        form.act action=(path) method="post" aria-label=(name) {
            h3 { (title) }
            @if !about.is_empty() { p { (about) } }
            (form_token(desk))
            @for (name, value) in fields { input type="hidden" name=(name) value=(value); }
            (reason(id))
            p { button type="submit" { (title) } }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_name_with_markup_stays_text() {
        let value = json!({"partner": "<script>alert(1)</script>", "more": ["\"><img src=x>"]});
        for shown in [
            tree(&value),
            facts(&value, &["partner", "more"]),
            cell(&value, "partner"),
            link("x", "<b>\""),
        ] {
            let shown = shown.into_string();
            assert!(
                !shown.contains("<script") && !shown.contains("<img") && !shown.contains("<b>"),
                "{shown}"
            );
        }
    }

    #[test]
    fn how_long_something_lasts_is_told_in_the_largest_unit_that_says_enough() {
        let at = "2026-11-29T08:00:00.000Z";
        let at_ms = parse_rfc3339_ms(at).expect("a time");
        for (minutes, wanted) in [
            (-5, "0 min"),
            (0, "0 min"),
            (119, "119 min"),
            (120, "2 h"),
            (2_879, "47 h"),
            (2_880, "2 days"),
        ] {
            let shown = since(at, at_ms + minutes * 60_000).into_string();
            assert_eq!(shown, format!("{at} ({wanted})"));
        }
        assert_eq!(since("", at_ms).into_string(), "");
    }

    #[test]
    fn the_next_page_keeps_what_was_asked() {
        let list = json!({"next": "http://127.0.0.1:1/ops/v1/exchanges?partner=a&cursor=x%2Fy"});
        let kept = [
            ("partner".to_owned(), "a&b".to_owned()),
            ("cursor".to_owned(), "old".to_owned()),
        ];
        let shown = next(&list, "/console/exchanges", &kept).into_string();
        assert!(
            shown.contains("href=\"/console/exchanges?partner=a%26b&amp;cursor=x%2Fy\""),
            "{shown}"
        );
        assert_eq!(next(&json!({"next": null}), "/x", &[]).into_string(), "");
    }
}
