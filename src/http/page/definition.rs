//! The contents of conformance resources as tables: the concepts of a CodeSystem, the parameters of an OperationDefinition.

use super::json::{items, text};
use crate::error::Fault;
use maud::{Markup, html};
use serde_json::Value;
use std::borrow::Cow;

/// A resource as partners see it on a page: the table of faults without those that only operators can get.
pub fn for_partners(resource: &Value) -> Cow<'_, Value> {
    let is_table = text(resource, "resourceType") == "CodeSystem" && text(resource, "id") == "causeway-fault";
    if !is_table {
        return Cow::Borrowed(resource);
    }
    let is_operators = |code: &str| {
        Fault::ALL
            .iter()
            .any(|fault| fault.code() == code && !fault.is_for_partners())
    };
    let mut kept = resource.clone();
    if let Some(concepts) = kept["concept"].as_array_mut() {
        concepts.retain(|concept| !is_operators(text(concept, "code")));
        kept["count"] = Value::from(items(&kept["concept"]).len());
    }
    Cow::Owned(kept)
}

/// The table for this resource; empty for types that have none.
pub fn section(resource: &Value) -> Markup {
    match text(resource, "resourceType") {
        "CodeSystem" => concepts(resource),
        "OperationDefinition" => parameters(resource),
        _ => html! {},
    }
}

fn concepts(system: &Value) -> Markup {
    // The remedy of a fault is its definition too, which has a column of its own.
    let properties: Vec<&Value> = items(&system["property"])
        .iter()
        .filter(|property| text(property, "code") != "remedy")
        .collect();
    let value = |concept: &Value, code: &str| {
        items(&concept["property"])
            .iter()
            .find(|property| text(property, "code") == code)
            .and_then(|property| property.as_object()?.iter().find(|(key, _)| key.starts_with("value")))
            .map(|(_, value)| value.as_str().map_or_else(|| value.to_string(), str::to_owned))
            .unwrap_or_default()
    };
    html! {
        section aria-labelledby="concepts" {
            h2 id="concepts" { "Codes" }
            div.scroll tabindex="0" role="group" aria-labelledby="concepts" {
                table {
                    thead { tr {
                        th scope="col" { "Code" } th scope="col" { "Display" } th scope="col" { "Definition" }
                        @for property in &properties { th scope="col" { (text(property, "code")) } }
                    } }
                    tbody {
                        @for concept in items(&system["concept"]) {
                            tr id=(text(concept, "code")) {
                                th scope="row" { code { (text(concept, "code")) } }
                                td { (text(concept, "display")) } td { (text(concept, "definition")) }
                                @for property in &properties { td { (value(concept, text(property, "code"))) } }
                            }
                        }
                    }
                }
            }
        }
    }
}

fn parameters(definition: &Value) -> Markup {
    html! {
        section aria-labelledby="parameters" {
            h2 id="parameters" { "Parameters" }
            div.scroll tabindex="0" role="group" aria-labelledby="parameters" {
                table {
                    thead { tr {
                        th scope="col" { "Name" } th scope="col" { "Use" } th scope="col" { "Occurrences" }
                        th scope="col" { "Type" } th scope="col" { "Notes" }
                    } }
                    tbody {
                        @for parameter in items(&definition["parameter"]) {
                            tr {
                                th scope="row" { code { (text(parameter, "name")) } }
                                td { (text(parameter, "use")) } td { (parameter["min"].to_string()) ".." (text(parameter, "max")) }
                                td { (text(parameter, "type")) } td { (text(parameter, "documentation")) }
                            }
                        }
                    }
                }
            }
        }
    }
}
