//! A member's record as a page: who the member is, the coverages, and everything else in the order of its dates.
//!
//! It is the beginning of what `Patient/$everything` returns; what follows is behind the link at its end.

use super::answer::{PageSubject, json_section};
use super::json::{items, text};
use super::resource;
use super::site::PageSite;
use crate::release::is_shared;
use maud::{Markup, html};
use serde_json::Value;
use std::collections::BTreeMap;

/// About how many bytes of a record are on one page of it; a single larger resource has a page of its own.
pub const PART_BYTES: usize = 1024 * 1024;
/// Most entries on the page of a member's record.
pub const RECORD_ENTRIES: i64 = 200;

/// Whether a Bundle is the answer to a read of a Patient.
pub fn is_one(site: &PageSite, answer: &PageSubject) -> bool {
    let id = answer.path.strip_prefix(&site.at("Patient/"));
    let is_read = id.is_some_and(|id| !id.contains('/')) && !answer.is_posted;
    is_read && text(answer.resource, "type") == "searchset"
}

/// The page of a record.
pub fn page(site: &PageSite, answer: &PageSubject) -> (String, Markup) {
    let nothing = Value::Null;
    let all: Vec<&Value> = items(&answer.resource["entry"])
        .iter()
        .map(|entry| &entry["resource"])
        .collect();
    let of = |rtype: &str| -> Vec<&Value> {
        all.iter()
            .copied()
            .filter(|one| text(one, "resourceType") == rtype)
            .collect()
    };
    let patient = of("Patient").first().copied().unwrap_or(&nothing);
    let title = format!("Patient/{}", text(patient, "id"));
    let is_event = |rtype: &str| !["", "Patient", "Coverage", "Provenance"].contains(&rtype) && !is_shared(rtype);
    let is_event = |one: &&Value| is_event(text(one, "resourceType"));
    let events: Vec<&Value> = all.iter().copied().filter(is_event).collect();
    let others: Vec<&Value> = all
        .iter()
        .copied()
        .filter(|one| is_shared(text(one, "resourceType")))
        .collect();
    let next = items(&answer.resource["link"])
        .iter()
        .find(|link| text(link, "relation") == "next")
        .and_then(|link| site.link("url", text(link, "url")));
    let own = PageSubject {
        resource: patient,
        ..answer.clone()
    };
    let body = html! {
        h1 { (resource::what(patient)) " " span.id { (title) } }
        (demographics(site, patient))
        (coverages(site, &of("Coverage")))
        (timeline(site, &events))
        @if let Some(href) = &next {
            p { "This page ends here: it shows at most " (RECORD_ENTRIES) " resources and about " (PART_BYTES / 1024 / 1024) " MiB of a record. "
                a href=(href) rel="next" { "The rest of the record" } "." }
        }
        (people_and_places(site, &others))
        (resource::from_here(site, patient))
        (json_section(site, &own, false))
    };
    (title, body)
}

/// The values of an element that may repeat, each in words.
fn each(value: &Value, words: impl Fn(&Value) -> String) -> String {
    let all: Vec<String> = items(value).iter().map(words).filter(|one| !one.is_empty()).collect();
    all.join("; ")
}

/// The texts that are there, with blanks between.
fn joined(parts: &[&str]) -> String {
    let there: Vec<&str> = parts.iter().copied().filter(|part| !part.is_empty()).collect();
    there.join(" ")
}

fn address(value: &Value) -> String {
    if !text(value, "text").is_empty() {
        return text(value, "text").to_owned();
    }
    let lines: Vec<&str> = items(&value["line"]).iter().filter_map(Value::as_str).collect();
    let place = joined(&[text(value, "city"), text(value, "state"), text(value, "postalCode")]);
    let parts = [lines.join(", "), place, text(value, "country").to_owned()];
    let there: Vec<String> = parts.into_iter().filter(|part| !part.is_empty()).collect();
    there.join(", ")
}

fn identifier(value: &Value) -> String {
    let kind = resource::words(&value["type"]);
    let kind = if kind.is_empty() {
        text(value, "system")
    } else {
        kind.as_str()
    };
    joined(&[kind, text(value, "value")])
}

fn demographics(site: &PageSite, patient: &Value) -> Markup {
    let telecom = |one: &Value| joined(&[text(one, "system"), text(one, "value")]);
    let language = |one: &Value| resource::words(&one["language"]);
    let facts = [
        ("Name", each(&patient["name"], resource::words)),
        ("Born", text(patient, "birthDate").to_owned()),
        ("Gender", text(patient, "gender").to_owned()),
        ("Died", text(patient, "deceasedDateTime").to_owned()),
        ("Identifiers", each(&patient["identifier"], identifier)),
        ("Addresses", each(&patient["address"], address)),
        ("Contact", each(&patient["telecom"], telecom)),
        ("Languages", each(&patient["communication"], language)),
        ("Marital status", resource::words(&patient["maritalStatus"])),
        ("Last updated", text(&patient["meta"], "lastUpdated").to_owned()),
    ];
    let doctors = items(&patient["generalPractitioner"]);
    html! {
        section aria-labelledby="who" {
            h2 id="who" { "Demographics" }
            dl.facts {
                @for (name, value) in facts.iter().filter(|(_, value)| !value.is_empty()) { dt { (name) } dd { (value) } }
                @for doctor in doctors {
                    dt { "General practitioner" } dd { (resource::linked(site, "reference", text(doctor, "reference"))) }
                }
            }
        }
    }
}

/// A resource as a link to its page.
fn link(site: &PageSite, one: &Value) -> Markup {
    let name = format!("{}/{}", text(one, "resourceType"), text(one, "id"));
    resource::linked(site, "reference", &name)
}

fn coverages(site: &PageSite, all: &[&Value]) -> Markup {
    let period = |one: &Value| {
        let (start, end) = (text(&one["period"], "start"), text(&one["period"], "end"));
        match (start.is_empty(), end.is_empty()) {
            (true, true) => String::new(),
            (_, true) => format!("from {start}"),
            (true, _) => format!("until {end}"),
            _ => format!("{start} to {end}"),
        }
    };
    let payer = |one: &Value| {
        let first = &one["payor"][0];
        let shown = [text(first, "display"), text(first, "reference")];
        shown
            .into_iter()
            .find(|one| !one.is_empty())
            .unwrap_or_default()
            .to_owned()
    };
    html! {
        section aria-labelledby="coverage" {
            h2 id="coverage" { "Coverage" }
            @if all.is_empty() { p { "No coverage is on this page." } } @else {
                div.scroll tabindex="0" role="group" aria-labelledby="coverage" {
                    table {
                        thead { tr {
                            th scope="col" { "Coverage" } th scope="col" { "Type" } th scope="col" { "Payer" } th scope="col" { "Subscriber id" }
                            th scope="col" { "Period" } th scope="col" { "Status" }
                        } }
                        tbody { @for one in all {
                            tr {
                                th scope="row" { (link(site, one)) }
                                td { (resource::words(&one["type"])) } td { (resource::linked(site, "reference", &payer(one))) }
                                td { (text(one, "subscriberId")) } td.when { (period(one)) } td { (text(one, "status")) }
                            }
                        } }
                    }
                }
            }
        }
    }
}

/// Everything that has a date, the newest first, by year; then what has none.
fn timeline(site: &PageSite, events: &[&Value]) -> Markup {
    let mut years: BTreeMap<String, Vec<(String, &Value)>> = BTreeMap::new();
    for &one in events {
        let date = resource::date(one);
        let year = date.get(..4).filter(|year| year.bytes().all(|b| b.is_ascii_digit()));
        let year = year.unwrap_or_default().to_owned();
        years.entry(year).or_default().push((date, one));
    }
    for rows in years.values_mut() {
        rows.sort_by(|(a, _), (b, _)| b.cmp(a));
    }
    html! {
        section aria-labelledby="timeline" {
            h2 id="timeline" { "Timeline" }
            @if events.is_empty() { p { "Nothing else is on this page." } }
            @for (year, rows) in years.iter().rev() {
                @let id = format!("in-{}", if year.is_empty() { "no-year" } else { year.as_str() });
                h3 id=(id) { @if year.is_empty() { "Without a date" } @else { (year) } }
                div.scroll tabindex="0" role="group" aria-labelledby=(id) {
                    table {
                        thead { tr {
                            th scope="col" { "Date" } th scope="col" { "What" } th scope="col" { "Status" } th scope="col" { "Resource" }
                        } }
                        tbody { @for (date, one) in rows {
                            tr {
                                td.when { (day(date)) } td { (resource::what(one)) } td { (resource::status(one)) }
                                th scope="row" { (link(site, one)) }
                            }
                        } }
                    }
                }
            }
        }
    }
}

/// The day of a date or of an instant.
fn day(date: &str) -> &str {
    date.split('T').next().unwrap_or(date)
}

fn people_and_places(site: &PageSite, all: &[&Value]) -> Markup {
    html! {
        @if !all.is_empty() {
            section aria-labelledby="others" {
                h2 id="others" { "People, places and products in this record" }
                ul.columns { @for one in all { li { (link(site, one)) " " (resource::what(one)) } } }
            }
        }
    }
}
