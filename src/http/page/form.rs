//! Searches and operations as forms, from the CapabilityStatement's and the OperationDefinition's JSON.
//!
//! A form of a type whose parameters describe a person is sent by POST, so that no address, history or log has what was typed.

use super::site::Site;
use super::{items, text};
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
/// Types that describe nobody's member: directories and what conformance is made of.
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
/// Parameters of every search, each with what it takes.
const GENERAL: &[(&str, &str)] = &[
    ("_count", "Entries on a page, at most 200; 0 gives the count alone."),
    (
        "_sort",
        "Names of parameters with commas; a minus in front sorts downwards.",
    ),
];

/// The search form of a type with a heading of level 2; nothing when the type cannot be searched.
pub fn section(site: &Site, rtype: &str) -> Markup {
    match site.of_type(rtype) {
        Some(row) if site.can(rtype, "search-type") => html! {
            section aria-labelledby="search" {
                h2 id="search" { "Search " (rtype) }
                (search(site, row))
            }
        },
        _ => html! {},
    }
}

/// Whether the search form of this row of the CapabilityStatement must not show its values in an address.
pub fn is_personal(row: &Value) -> bool {
    !IMPERSONAL.contains(&text(row, "type"))
        && items(&row["searchParam"])
            .iter()
            .any(|parameter| PERSONAL.contains(&text(parameter, "name")))
}

/// The search form of a row of the CapabilityStatement.
pub fn search(site: &Site, row: &Value) -> Markup {
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
            @if personal { p.note { "Sent by POST, so that what you type gets into no address and no history." } }
            div.fields {
                @for parameter in items(&row["searchParam"]) {
                    (field(rtype, text(parameter, "name"), text(parameter, "documentation"), hint(text(parameter, "type"))))
                }
                @for (name, documentation) in GENERAL.iter().filter(|(name, _)| !taken(name)) {
                    (field(rtype, name, documentation, ""))
                }
            }
            (choices(rtype, "_include", "Add what the results refer to", items(&row["searchInclude"])))
            (choices(rtype, "_revinclude", "Add what refers to the results", items(&row["searchRevInclude"])))
            p { button type="submit" { "Search " (rtype) } }
        }
    }
}

/// The form of an operation that only reads: its simple parameters, by GET.
pub fn operation(definition: &Value, action: &str) -> Markup {
    let code = text(definition, "code");
    html! {
        form action=(action) method="get" aria-label=(format!("Run ${code}")) {
            div.fields {
                @for parameter in items(&definition["parameter"]).iter().filter(|one| text(one, "use") == "in") {
                    (field(code, text(parameter, "name"), text(parameter, "documentation"), operation_hint(text(parameter, "type"))))
                }
            }
            p { button type="submit" { "Run $" (code) } }
        }
    }
}

fn field(of: &str, name: &str, documentation: &str, hint: &str) -> Markup {
    let id = format!("{of}.{name}");
    html! {
        div.field {
            label for=(id) { (name) }
            input id=(id) name=(name) type="text" autocomplete="off" autocapitalize="off" spellcheck="false"
                aria-describedby=(format!("{id}.about"));
            p.hint id=(format!("{id}.about")) { (documentation) @if !hint.is_empty() { " " span { (hint) } } }
        }
    }
}

fn choices(rtype: &str, name: &str, legend: &str, values: &[Value]) -> Markup {
    html! {
        @if !values.is_empty() {
            details {
                summary { (legend) " (" (name) ")" }
                fieldset {
                    legend { (legend) }
                    div.choices {
                        @for (at, value) in values.iter().filter_map(Value::as_str).enumerate() {
                            @let id = format!("{rtype}.{name}.{at}");
                            span.choice {
                                input id=(id) type="checkbox" name=(name) value=(value);
                                label for=(id) { (value) }
                            }
                        }
                    }
                }
            }
        }
    }
}

/// How a value of a parameter of this type is written.
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

/// The same for a parameter of an operation.
fn operation_hint(kind: &str) -> &'static str {
    match kind {
        "date" => "2024 or 2024-05-01",
        "instant" => "2024-05-01T00:00:00Z",
        "integer" => "a number",
        _ => "",
    }
}
