//! Bundles as pages: a search's results as a table with its page links, the answers of a batch, or any other list of entries.

use super::answer::{PageSubject, json_section};
use super::json::{items, text};
use super::site::PageSite;
use super::{form, outcome, resource};
use maud::{Markup, html};
use serde_json::Value;

/// Most rows that are shown; the page says how many more there are.
const ROWS_MAX: usize = 500;

/// The page of a Bundle.
pub fn page(site: &PageSite, answer: &PageSubject) -> (String, Markup) {
    let bundle = answer.resource;
    let kind = text(bundle, "type");
    let searched = site.type_of_path(answer.path);
    let title = match (kind, searched) {
        ("searchset", Some(rtype)) if answer.path.ends_with("/$everything") => format!("{rtype} $everything"),
        ("searchset", Some(rtype)) => format!("{rtype} search"),
        _ => format!("Bundle: {kind}"),
    };
    let is_outcome = |entry: &&Value| entry["search"]["mode"] == "outcome";
    let entries: Vec<&Value> = items(&bundle["entry"])
        .iter()
        .filter(|entry| !is_outcome(entry))
        .collect();
    let notes = items(&bundle["entry"]).iter().filter(is_outcome);
    let search_again = searched.filter(|_| kind == "searchset" && !answer.path.contains('$'));
    let body = html! {
        h1 { (title) }
        p.lead { (counted(bundle, &entries)) }
        @for issue in notes.flat_map(|entry| items(&entry["resource"]["issue"])) { (outcome::notice(site, issue, true)) }
        (links(site, bundle))
        @if !entries.is_empty() {
            @if kind.ends_with("-response") { (responses(site, &entries)) } @else { (results(site, &entries)) }
            @if entries.len() > ROWS_MAX {
                p.note { "The first " (ROWS_MAX) " are shown; " (entries.len() - ROWS_MAX) " more are left out. The JSON itself has them all." }
            }
        }
        @if let Some(rtype) = search_again { (form::section(site, rtype, answer.fields)) }
        (json_section(site, answer, false))
    };
    (title, body)
}

fn counted(bundle: &Value, entries: &[&Value]) -> String {
    let included = entries
        .iter()
        .filter(|entry| entry["search"]["mode"] == "include")
        .count();
    let matches = entries.len() - included;
    let mut said = match bundle["total"].as_u64() {
        Some(1) => "1 match".to_owned(),
        Some(total) => format!("{total} matches"),
        None if matches == 1 => "1 entry".to_owned(),
        None => format!("{matches} entries"),
    };
    if bundle["total"].as_u64().is_some_and(|total| total != matches as u64) {
        said.push_str(&format!(", {matches} of them on this page"));
    } else if bundle["total"].is_null() {
        said.push_str(" on this page");
    }
    if included > 0 {
        said.push_str(&format!(", and {included} included with them"));
    }
    said.push('.');
    said
}

fn links(site: &PageSite, bundle: &Value) -> Markup {
    let label = |relation: &str| match relation {
        "self" => "This search",
        "first" => "First page",
        "previous" | "prev" => "Previous page",
        "next" => "Next page",
        "last" => "Last page",
        _ => "Related",
    };
    let known: Vec<(&str, String)> = items(&bundle["link"])
        .iter()
        .filter_map(|link| Some((text(link, "relation"), site.link("url", text(link, "url"))?)))
        .collect();
    html! {
        @if !known.is_empty() {
            nav.pages aria-label="Pages" {
                ul { @for (relation, href) in known { li { a href=(href) rel=(relation) { (label(relation)) } } } }
            }
        }
    }
}

fn results(site: &PageSite, entries: &[&Value]) -> Markup {
    html! {
        section aria-labelledby="results" {
            h2 id="results" { "Results" }
            div.scroll tabindex="0" role="group" aria-labelledby="results" {
                table {
                    thead { tr {
                        th scope="col" { "Resource" } th scope="col" { "What" } th scope="col" { "Status" }
                        th scope="col" { "Date" } th scope="col" { "Last updated" } th scope="col" { "Found as" }
                    } }
                    tbody {
                        @for entry in entries.iter().take(ROWS_MAX) {
                            @let resource = &entry["resource"];
                            @let name = format!("{}/{}", text(resource, "resourceType"), text(resource, "id"));
                            tr {
                                th scope="row" { (resource::linked(site, "reference", &name)) }
                                td { (resource::what(resource)) } td { (resource::status(resource)) }
                                td.when { (resource::date(resource)) } td.when { (text(&resource["meta"], "lastUpdated")) }
                                td { (text(&entry["search"], "mode")) }
                            }
                        }
                    }
                }
            }
        }
    }
}

fn responses(site: &PageSite, entries: &[&Value]) -> Markup {
    html! {
        section aria-labelledby="results" {
            h2 id="results" { "Answers" }
            div.scroll tabindex="0" role="group" aria-labelledby="results" {
                table {
                    thead { tr { th scope="col" { "Entry" } th scope="col" { "Status" } th scope="col" { "Answer" } } }
                    tbody {
                        @for (at, entry) in entries.iter().take(ROWS_MAX).enumerate() {
                            @let resource = &entry["resource"];
                            @let issue = &entry["response"]["outcome"]["issue"][0];
                            tr {
                                th scope="row" { (at + 1) }
                                td { (text(&entry["response"], "status")) }
                                td {
                                    @if resource.is_object() {
                                        (resource::linked(site, "reference", &format!("{}/{}", text(resource, "resourceType"), text(resource, "id"))))
                                    }
                                    @if issue.is_object() { (outcome::message(issue)) }
                                }
                            }
                        }
                    }
                }
            }
        }
    }
}
