//! What the conformance resources say, as tables: the concepts of a CodeSystem, the parameters of an OperationDefinition.

use super::{items, text};
use maud::{Markup, html};
use serde_json::Value;

/// The table of this resource, when it is of a type that has one.
pub fn section(resource: &Value) -> Markup {
    match text(resource, "resourceType") {
        "CodeSystem" => concepts(resource),
        "OperationDefinition" => parameters(resource),
        _ => html! {},
    }
}

fn concepts(system: &Value) -> Markup {
    let properties = items(&system["property"]);
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
                        th scope="col" { "Code" } th scope="col" { "What it says" } th scope="col" { "Definition" }
                        @for property in properties { th scope="col" { (text(property, "code")) } }
                    } }
                    tbody {
                        @for concept in items(&system["concept"]) {
                            tr id=(text(concept, "code")) {
                                th scope="row" { code { (text(concept, "code")) } }
                                td { (text(concept, "display")) } td { (text(concept, "definition")) }
                                @for property in properties { td { (value(concept, text(property, "code"))) } }
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
                        th scope="col" { "Name" } th scope="col" { "Use" } th scope="col" { "How many" }
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
