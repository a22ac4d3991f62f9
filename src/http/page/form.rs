//! Searches and operations as HTML forms, built from the JSON of the CapabilityStatement and of the OperationDefinition.
//!
//! The form of a type whose parameters describe a person is sent by POST, so that its values do not appear in an address, a browser history
//! or a log.

use super::json::{items, text};
use super::session;
use super::site::{PageReader, PageSite};
use crate::http::fhir::describing;
use maud::{Markup, html};
use serde_json::Value;

/// Parameters whose values describe a person.
const PERSONAL: &[&str] = &[
    "name",
    "family",
    "given",
    "phonetic",
    "birthdate",
    "death-date",
    "gender",
    "identifier",
    "telecom",
    "phone",
    "email",
    "address",
    "address-city",
    "address-state",
    "address-postalcode",
    "address-country",
    "subscriber-id",
    "policy-holder",
    "subscriber",
];
/// Types that describe no member: directories and conformance resources.
const IMPERSONAL: &[&str] = &[
    "CapabilityStatement",
    "CodeSystem",
    "Endpoint",
    "HealthcareService",
    "InsurancePlan",
    "Location",
    "Medication",
    "OperationDefinition",
    "Organization",
    "OrganizationAffiliation",
    "Practitioner",
    "PractitionerRole",
    "SearchParameter",
    "StructureDefinition",
];
/// Parameters of every search, each with a hint.
const GENERAL: &[(&str, &str)] = &[
    ("_count", "Entries on a page, at most 200. 0 returns only the count."),
    (
        "_sort",
        "Names of parameters, with commas between them. A minus sign before a name sorts in descending order.",
    ),
];

/// The search form of a type with a level 2 heading; empty when the type cannot be searched.
pub fn section(site: &PageSite, rtype: &str, typed: &[(String, String)]) -> Markup {
    match site.of_type(rtype) {
        Some(row) if site.can(rtype, "search-type") => html! {
            section aria-labelledby="search" {
                h2 id="search" { "Search " (rtype) }
                (search(site, row, typed))
            }
        },
        _ => html! {},
    }
}

/// Whether the values of this row's search form must not appear in an address. `row` is a row of the CapabilityStatement.
pub fn is_personal(row: &Value) -> bool {
    !IMPERSONAL.contains(&text(row, "type"))
        && items(&row["searchParam"])
            .iter()
            .any(|parameter| PERSONAL.contains(&text(parameter, "name")))
}

/// The search form of a row of the CapabilityStatement, with what was typed into it before.
pub fn search(site: &PageSite, row: &Value, typed: &[(String, String)]) -> Markup {
    let rtype = text(row, "type");
    let personal = is_personal(row);
    let action = site.at(&format!("{rtype}{}", if personal { "/_search" } else { "" }));
    let taken = |name: &str| {
        items(&row["searchParam"])
            .iter()
            .any(|parameter| text(parameter, "name") == name)
    };
    html! {
        form action=(action) method=(if personal { "post" } else { "get" }) aria-label=(format!("Search {rtype}")) {
            // A form that is sent by GET has no form token, because its fields stand in the address.
            @if personal { (session::form_token(site)) p.note { "This form is sent by POST, so that what you type appears in no address and no browser history." } }
            div.fields {
                @for parameter in items(&row["searchParam"]) {
                    (field(rtype, text(parameter, "name"), text(parameter, "documentation"), hint(text(parameter, "type")), typed))
                }
                @for (name, documentation) in GENERAL.iter().filter(|(name, _)| !taken(name)) {
                    (field(rtype, name, documentation, "", typed))
                }
            }
            (choices(rtype, "_include", "Add what the results refer to", items(&row["searchInclude"]), typed))
            (choices(rtype, "_revinclude", "Add what refers to the results", items(&row["searchRevInclude"]), typed))
            p { button type="submit" { "Search " (rtype) } }
            @if !describing::is_one(rtype) { (needs_token(site)) }
        }
    }
}

/// The note below each form for members' data: with whose token it is sent, or how to have one.
fn needs_token(site: &PageSite) -> Markup {
    html! {
        @if let PageReader::Visitor { partner, .. } = site.reader() {
            p.note { "This form is sent with the token of " code { (partner) } "." }
        } @else {
            p.note { "This form needs a token. " a href=(site.at("explorer")) { "Use a token in this browser" }
                ", or send the form: the answer keeps what you typed and asks for one." }
        }
    }
}

/// The form of a read-only operation: its primitive parameters, sent by GET.
pub fn operation(site: &PageSite, definition: &Value, action: &str) -> Markup {
    let code = text(definition, "code");
    html! {
        form action=(action) method="get" aria-label=(format!("Run ${code}")) {
            div.fields {
                @for parameter in items(&definition["parameter"]).iter().filter(|one| text(one, "use") == "in") {
                    (field(code, text(parameter, "name"), text(parameter, "documentation"), operation_hint(text(parameter, "type")), &[]))
                }
            }
            p { button type="submit" { "Run $" (code) } }
            (needs_token(site))
        }
    }
}

fn field(of: &str, name: &str, documentation: &str, hint: &str, typed: &[(String, String)]) -> Markup {
    let id = format!("{of}.{name}");
    let value = typed
        .iter()
        .find(|(key, _)| key == name)
        .map(|(_, value)| value.as_str());
    html! {
        div.field {
            label for=(id) { (name) }
            input id=(id) name=(name) type="text" autocomplete="off" autocapitalize="off" spellcheck="false"
                value=[value] aria-describedby=(format!("{id}.about"));
            p.hint id=(format!("{id}.about")) { (documentation) @if !hint.is_empty() { " " span { (hint) } } }
        }
    }
}

fn choices(rtype: &str, name: &str, legend: &str, values: &[Value], typed: &[(String, String)]) -> Markup {
    let is_chosen = |value: &str| typed.iter().any(|(key, chosen)| key == name && chosen == value);
    html! {
        @if !values.is_empty() {
            details open[values.iter().filter_map(Value::as_str).any(is_chosen)] {
                summary { (legend) " (" (name) ")" }
                fieldset {
                    legend { (legend) }
                    div.choices {
                        @for (at, value) in values.iter().filter_map(Value::as_str).enumerate() {
                            @let id = format!("{rtype}.{name}.{at}");
                            span.choice {
                                input id=(id) type="checkbox" name=(name) value=(value) checked[is_chosen(value)];
                                label for=(id) { (value) }
                            }
                        }
                    }
                }
            }
        }
    }
}

/// The hint for a search parameter of this type.
fn hint(kind: &str) -> &'static str {
    match kind {
        "token" => "code, or system|code",
        "string" => "what it starts with",
        "date" => "2024 or 2024-05-01; ge, le, gt or lt in front",
        "reference" => "Type/id",
        "uri" => "the whole URL",
        "number" | "quantity" => "a number; ge, le, gt or lt in front",
        _ => "",
    }
}

/// The hint for a parameter of an operation.
fn operation_hint(kind: &str) -> &'static str {
    match kind {
        "date" => "2024 or 2024-05-01",
        "instant" => "2024-05-01T00:00:00Z",
        "integer" => "a number",
        _ => "",
    }
}
