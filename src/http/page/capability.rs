//! The CapabilityStatement as the start page: what this server offers, what each request needs, and which types there are. The forms of a
//! type have a page of their own, so that this one stays small.

use super::answer::PageSubject;
use super::json::{items, text};
use super::site::{PageReader, PageSite};
use super::{form, resource, token};
use crate::http::request_notes::FilledTypes;
use crate::store::released_counts::COUNTED_MEMBERS;
use maud::{Markup, html};
use serde_json::Value;

/// The start page. It shows what the statement contains, and to a reader with a session what its partner may read.
pub fn page(site: &PageSite, answer: &PageSubject) -> (String, Markup) {
    let statement = answer.resource;
    let rest = &statement["rest"][0];
    let title = text(statement, "title");
    let body = html! {
        h1 { (title) }
        p.lead { (text(statement, "description")) }
        dl.facts {
            dt { "Served by" } dd { (text(&statement["implementation"], "description")) }
            dt { "FHIR base" } dd { code { (text(&statement["implementation"], "url")) } }
            dt { "FHIR version" } dd { (text(statement, "fhirVersion")) }
            dt { "Software" } dd { (text(&statement["software"], "name")) " " (text(&statement["software"], "version")) }
        }
        @for (name, key) in [("Server profiles that this server implements", "instantiates"), ("Implementation guides", "implementationGuide")] {
            @let all = items(&statement[key]);
            @if !all.is_empty() {
                details {
                    summary { (name) " (" (all.len()) ")" }
                    ul.plain { @for one in all { li { (one.as_str().unwrap_or("")) } } }
                }
            }
        }
        @if matches!(site.reader(), PageReader::Visitor { .. }) { (filled(site, answer.filled)) }
        section aria-labelledby="access" {
            h2 id="access" { "What you need" }
            p { (text(rest, "documentation")) }
            p { (text(&rest["security"], "description")) }
            p { a href=(site.at("explorer")) { "Use a token in this browser" } ", or " a href="#token" { "get one" } "." }
        }
        (overview(site, rest))
        (whole_server(rest))
        (token::section(site, &site.at("Patient"), false, &[]))
        @if let Some(href) = &answer.json_href {
            p { "The complete statement is available " a href=(href) { "as JSON" } "." }
        }
    };
    (title.to_owned(), body)
}

fn codes(row: &Value) -> String {
    let all: Vec<&str> = items(&row["interaction"]).iter().map(|one| text(one, "code")).collect();
    all.join(", ")
}

/// The types of which the reader's partner may read resources.
fn filled(site: &PageSite, filled: &FilledTypes) -> Markup {
    let rows: Vec<(&str, Option<i64>)> = match filled {
        FilledTypes::Counted(types) => types
            .iter()
            .map(|(rtype, count)| (rtype.as_str(), Some(*count)))
            .collect(),
        FilledTypes::Uncounted(types) => types.iter().map(|rtype| (rtype.as_str(), None)).collect(),
    };
    let is_counted = matches!(filled, FilledTypes::Counted(_));
    html! {
        section aria-labelledby="filled" {
            h2 id="filled" { "What you can read" }
            @if !is_counted {
                p.note { "The resources could not be counted just now. These are all types that this token may read." }
            } @else if rows.is_empty() {
                p { "There is nothing yet. A member's record can be read after a successful " code { "$member-match" } "." }
            }
            @if !rows.is_empty() {
                div.scroll tabindex="0" role="group" aria-labelledby="filled" {
                    table {
                        thead { tr {
                            th scope="col" { "Type" }
                            @if is_counted { th scope="col" { "Resources" } }
                            th scope="col" { "Look" }
                        } }
                        tbody { @for (rtype, count) in &rows { (filled_row(site, rtype, *count)) } }
                    }
                }
            }
            @if is_counted && !rows.is_empty() {
                p.note { "Counted over the first " (COUNTED_MEMBERS) " members that this token may read." }
            }
        }
    }
}

fn filled_row(site: &PageSite, rtype: &str, count: Option<i64>) -> Markup {
    html! {
        tr {
            th scope="row" { (rtype) }
            @if let Some(count) = count { td { (count) } }
            td {
                @if site.can(rtype, "search-type") {
                    a href=(site.at(rtype)) { "All " (rtype) } ", "
                    a href=(site.at(&format!("explorer/{rtype}"))) { "search " (rtype) }
                }
            }
        }
    }
}

fn overview(site: &PageSite, rest: &Value) -> Markup {
    html! {
        section aria-labelledby="overview" {
            h2 id="overview" { "Types" }
            p { "Each type has a page with its searches and operations as forms." }
            div.scroll tabindex="0" role="group" aria-labelledby="overview" {
                table {
                    thead { tr {
                        th scope="col" { "Type" } th scope="col" { "Interactions" } th scope="col" { "Search parameters" } th scope="col" { "Operations" }
                    } }
                    tbody {
                        @for row in items(&rest["resource"]) {
                            @let operations: Vec<String> = items(&row["operation"]).iter().map(|one| format!("${}", text(one, "name"))).collect();
                            tr {
                                th scope="row" id=(text(row, "type")) { (type_link(site, text(row, "type"))) }
                                td { (codes(row)) } td { (items(&row["searchParam"]).len()) } td { (operations.join(", ")) }
                            }
                        }
                    }
                }
            }
        }
    }
}

/// The name of a type, as a link to its page when the name is one of this server's types.
fn type_link(site: &PageSite, rtype: &str) -> Markup {
    html! {
        @if site.of_type(rtype).is_some() { a href=(site.at(&format!("explorer/{rtype}"))) { (rtype) } } @else { (rtype) }
    }
}

fn whole_server(rest: &Value) -> Markup {
    html! {
        @if !items(&rest["interaction"]).is_empty() {
            section aria-labelledby="whole" {
                h2 id="whole" { "For all types" }
                dl.facts {
                    @for one in items(&rest["interaction"]) { dt { (text(one, "code")) } dd { (text(one, "documentation")) } }
                }
            }
        }
    }
}

/// The searches and operations of one type, below the heading of its page.
pub fn one_type(site: &PageSite, row: &Value) -> Markup {
    let rtype = text(row, "type");
    html! {
        @if !text(row, "documentation").is_empty() { p { (text(row, "documentation")) } }
        p { "Interactions: " (codes(row)) "." }
        @if !items(&row["supportedProfile"]).is_empty() {
            details { summary { "Profiles of " (rtype) }
                ul.plain { @for one in items(&row["supportedProfile"]) { li { (resource::linked(site, "profile", one.as_str().unwrap_or(""))) } } }
            }
        }
        (form::section(site, rtype, &[]))
        @for one in items(&row["operation"]) { (operation(site, rtype, one)) }
    }
}

fn operation(site: &PageSite, rtype: &str, row: &Value) -> Markup {
    let name = text(row, "name");
    let definition = site.operation(name);
    let on_instance = definition.is_some_and(|one| one["instance"] == true);
    html! {
        h2 { "$" (name) }
        p { (text(row, "documentation")) }
        p {
            "Definition: "
            @if let Some(url) = definition.map(|one| text(one, "url")).filter(|_| site.can("OperationDefinition", "read")) {
                (resource::linked(site, "url", url)) ", which narrows "
            }
            (text(row, "definition")) "."
        }
        @if on_instance {
            p { "To try it, open a " (rtype) " and run it there: " code { "GET " (site.base_url()) "/" (rtype) "/{id}/$" (name) } }
        } @else {
            (token::example(site, &site.at(&format!("{rtype}/${name}")), true, &[]))
        }
    }
}
