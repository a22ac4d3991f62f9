//! One resource as a page: a summary, its facts, further requests, and its JSON.

use super::answer::{PageSubject, json_section};
use super::json::{items, text};
use super::site::PageSite;
use super::{definition, form};
use crate::ids::is_fhir_id;
use maud::{Markup, html};
use serde_json::Value;

/// The page of any resource.
pub fn page(site: &PageSite, answer: &PageSubject) -> (String, Markup) {
    let partners = definition::for_partners(answer.resource);
    let answer = &PageSubject {
        resource: partners.as_ref(),
        ..answer.clone()
    };
    let resource = answer.resource;
    let rtype = text(resource, "resourceType");
    let id = text(resource, "id");
    let title = if id.is_empty() {
        rtype.to_owned()
    } else {
        format!("{rtype}/{id}")
    };
    let body = html! {
        h1 { (rtype) @if !id.is_empty() { " " span.id { (id) } } }
        (facts(site, resource))
        (definition::section(resource))
        (tries(site, rtype, id))
        (json_section(site, answer, true))
    };
    (title, body)
}

fn facts(site: &PageSite, resource: &Value) -> Markup {
    let meta = &resource["meta"];
    let profiles = items(&meta["profile"]);
    let plain = [
        ("Title", text(resource, "title").to_owned()),
        ("Address", text(resource, "url").to_owned()),
        (
            "What",
            if text(resource, "title").is_empty() {
                what(resource)
            } else {
                String::new()
            },
        ),
        ("Status", status(resource)),
        ("Date", date(resource)),
        ("Description", text(resource, "description").to_owned()),
        ("Version", text(meta, "versionId").to_owned()),
        ("Last updated", text(meta, "lastUpdated").to_owned()),
    ];
    let about = ["subject", "patient", "beneficiary"]
        .iter()
        .map(|key| text(&resource[*key], "reference"))
        .find(|reference| !reference.is_empty());
    html! {
        dl.facts {
            @for (name, value) in plain.iter().filter(|(_, value)| !value.is_empty()) {
                dt { (name) } dd { (linked(site, "url", value)) }
            }
            @if let Some(reference) = about { dt { "About" } dd { (linked(site, "reference", reference)) } }
            @if !profiles.is_empty() {
                dt { "Profiles" }
                dd { ul.plain { @for profile in profiles { li { (linked(site, "profile", profile.as_str().unwrap_or(""))) } } } }
            }
        }
    }
}

/// A text, as a link when it refers to something on this server.
pub fn linked(site: &PageSite, key: &str, value: &str) -> Markup {
    html! { @if let Some(href) = site.link(key, value) { a href=(href) { (value) } } @else { (value) } }
}

/// [`tries`] for the page of a record.
pub(super) fn from_here(site: &PageSite, patient: &Value) -> Markup {
    tries(site, "Patient", text(patient, "id"))
}

/// Links to searches, operations and versions that concern this resource.
fn tries(site: &PageSite, rtype: &str, id: &str) -> Markup {
    if !is_fhir_id(id) || site.of_type(rtype).is_none() {
        return html! {};
    }
    let below = |rest: &str| site.at(&format!("{rtype}/{id}{rest}"));
    let by = |parameter: &str| -> Vec<&str> {
        site.types()
            .iter()
            .filter(|row| {
                items(&row["searchParam"])
                    .iter()
                    .any(|one| text(one, "name") == parameter)
            })
            .map(|row| text(row, "type"))
            .collect()
    };
    let row = site.of_type(rtype).unwrap_or(&Value::Null);
    let operations: Vec<&Value> = items(&row["operation"])
        .iter()
        .filter_map(|row| site.operation(text(row, "name")))
        .filter(|definition| definition["instance"] == true && definition["affectsState"] == false)
        .collect();
    let searches = if rtype == "Patient" { by("patient") } else { Vec::new() };
    let provenance = items(&row["searchRevInclude"])
        .iter()
        .any(|one| one == "Provenance:target");
    html! {
        section aria-labelledby="try" {
            h2 id="try" { "From here" }
            ul {
                @if site.can(rtype, "search-type") { li { a href=(site.at(&format!("explorer/{rtype}"))) { "Search " (rtype) } } }
                @if site.can(rtype, "history-instance") { li { a href=(below("/_history")) { "History" } } }
                @if provenance { li { a href=(site.at(&format!("Provenance?target={rtype}/{id}"))) { "Who recorded it (Provenance)" } } }
            }
            @if !searches.is_empty() {
                h3 { "The record of this member, by type" }
                ul.columns { @for other in searches {
                    li { a href=(site.at(&format!("{other}?patient={id}"))) { (other) } }
                } }
            }
            @for definition in operations {
                h3 { "$" (text(definition, "code")) }
                p { (text(definition, "description")) }
                (form::operation(site, definition, &below(&format!("/${}", text(definition, "code")))))
            }
        }
    }
}

/// What a resource is about, in a few words, from the elements that FHIR defines for this.
pub fn what(resource: &Value) -> String {
    const NAMES: &[&str] = &[
        "name",
        "code",
        "vaccineCode",
        "medicationCodeableConcept",
        "type",
        "category",
        "title",
        "description",
        "url",
    ];
    NAMES
        .iter()
        .map(|key| words(&resource[*key]))
        .find(|words| !words.is_empty())
        .unwrap_or_default()
}

/// The text of a string, a HumanName, a CodeableConcept or a Coding, or of the first value in an array.
pub(super) fn words(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Array(all) => all
            .iter()
            .map(words)
            .find(|words| !words.is_empty())
            .unwrap_or_default(),
        Value::Object(_) => {
            let given: Vec<&str> = items(&value["given"]).iter().filter_map(Value::as_str).collect();
            let person = [given.join(" "), text(value, "family").to_owned()]
                .join(" ")
                .trim()
                .to_owned();
            [
                text(value, "text").to_owned(),
                person,
                words(&value["coding"]),
                text(value, "display").to_owned(),
                text(value, "code").to_owned(),
            ]
            .into_iter()
            .find(|words| !words.is_empty())
            .unwrap_or_default()
        }
        _ => String::new(),
    }
}

/// The status of a resource, from the element that its type uses.
pub fn status(resource: &Value) -> String {
    ["status", "clinicalStatus", "lifecycleStatus"]
        .iter()
        .map(|key| words(&resource[*key]))
        .find(|words| !words.is_empty())
        .unwrap_or_default()
}

/// The main date of a resource, from the element that its type uses.
pub fn date(resource: &Value) -> String {
    const DATES: &[&str] = &[
        "effectiveDateTime",
        "effectiveInstant",
        "onsetDateTime",
        "performedDateTime",
        "occurrenceDateTime",
        "authoredOn",
        "whenHandedOver",
        "startDate",
        "date",
        "recorded",
        "recordedDate",
        "created",
        "issued",
        "birthDate",
    ];
    const PERIODS: &[&str] = &[
        "effectivePeriod",
        "performedPeriod",
        "onsetPeriod",
        "period",
        "billablePeriod",
        "servicedPeriod",
    ];
    DATES
        .iter()
        .map(|key| text(resource, key))
        .chain(PERIODS.iter().map(|key| text(&resource[*key], "start")))
        .find(|date| !date.is_empty())
        .unwrap_or("")
        .to_owned()
}
