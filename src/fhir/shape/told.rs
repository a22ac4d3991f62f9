//! The failures for wrong shapes: the fault, the place, and what was expected. They contain only names of R4 and fixed texts, never a
//! value.

use super::primitive::{Json, Primitive};
use super::table::{Element, Holds, RequiredCodes, ShapeTable, TypeShape};
use crate::error::{Failure, Fault};
use crate::fhir::prescreen::{JsonKind, Value};

/// Most codes that are listed in a text; of a larger value set only the name is given.
const LISTED: usize = 12;

fn failure(fault: Fault, place: &Value<'_>, expected: String) -> Failure {
    Failure::new(fault).at(place.path()).remedy(expected)
}

#[cold]
pub(super) fn resource_type(value: &Value<'_>) -> Failure {
    failure(
        Fault::ElementShape,
        value,
        "Expected a resource: an object with resourceType, which names an R4 resource type.".into(),
    )
}

#[cold]
pub(super) fn unknown(table: &ShapeTable, class: &TypeShape, member: &Value<'_>) -> Failure {
    let name = member.key().trim_start_matches('_');
    let elements = || class.elements.iter().map(|id| &table.elements[usize::from(*id)]);
    // A choice element with a type that it does not allow here.
    let choice = elements().find(|element| {
        let base = element
            .defined
            .strip_suffix("[x]")
            .and_then(|base| name.strip_prefix(base));
        base.is_some_and(|kind| kind.is_empty() || kind.starts_with(|first: char| first.is_ascii_uppercase()))
    });
    let expected = match choice {
        Some(choice) => {
            let same = elements().filter(|element| element.slot == choice.slot);
            let mut kinds: Vec<&str> = same.map(|element| element.kind).collect();
            let rest = kinds.len().saturating_sub(LISTED);
            kinds.truncate(LISTED);
            let more = if rest > 0 { " and others" } else { "" };
            format!(
                "Expected {} under one of its types: {}{more}.",
                choice.defined,
                kinds.join(", ")
            )
        }
        None => match elements().find(|element| element.name == name) {
            Some(element) => format!(
                "Expected no _{} here: {} has no extensions.",
                element.name, element.name
            ),
            None => format!("R4 has no such element in {}.", class.name),
        },
    };
    failure(Fault::ElementUnknown, member, expected)
}

#[cold]
pub(super) fn no_array(member: &Value<'_>, element: &Element) -> Failure {
    failure(
        Fault::ElementShape,
        member,
        format!("Expected an array of {}.", element.kind),
    )
}

#[cold]
pub(super) fn kind(value: &Value<'_>, element: &Element) -> Failure {
    let expected = if value.kind() == JsonKind::Array {
        format!("Expected a single {}, not an array.", element.kind)
    } else {
        match element.holds {
            Holds::Primitive(kind) => match kind.json() {
                Json::String => format!("Expected a string of type {}.", element.kind),
                Json::Boolean | Json::Number => format!("Expected {}.", kind.form()),
            },
            Holds::Class(_) => format!("Expected an object of type {}.", element.kind),
            Holds::Resource => "Expected a resource.".into(),
        }
    };
    failure(Fault::ElementShape, value, expected)
}

#[cold]
pub(super) fn form(value: &Value<'_>, kind: Primitive) -> Failure {
    failure(Fault::ValueInvalid, value, format!("Expected {}.", kind.form()))
}

#[cold]
pub(super) fn code(value: &Value<'_>, codes: &RequiredCodes) -> Failure {
    let expected = if codes.codes.len() > LISTED {
        format!("Expected a code of the value set {}.", codes.name)
    } else {
        format!("Expected one of {}", codes.codes.join(", "))
    };
    let expected = match codes.system {
        Some(system) => format!("{}, in a coding of system {system}.", expected.trim_end_matches('.')),
        None => format!("{}.", expected.trim_end_matches('.')),
    };
    failure(Fault::CodeUnknown, value, expected)
}

#[cold]
pub(super) fn missing(table: &ShapeTable, value: &Value<'_>, class: &TypeShape, bits: u64) -> Failure {
    let elements = class.elements.iter().map(|id| &table.elements[usize::from(*id)]);
    let mut names: Vec<&str> = elements
        .filter(|element| bits & (1 << element.slot) != 0)
        .map(|element| element.defined)
        .collect();
    names.dedup();
    failure(
        Fault::ElementMissing,
        value,
        format!("Expected {}, which R4 requires here.", names.join(" and ")),
    )
}

#[cold]
pub(super) fn conflict(value: &Value<'_>, class: &TypeShape, element: &Element) -> Failure {
    failure(
        Fault::ChoiceConflict,
        value,
        format!("Expected {} of {} in one type only.", element.defined, class.name),
    )
}

#[cold]
pub(super) fn either(value: &Value<'_>) -> Failure {
    failure(
        Fault::ChoiceConflict,
        value,
        "Expected either a value or nested extensions, and not both.".into(),
    )
}

#[cold]
pub(super) fn companion(value: &Value<'_>, element: &Element) -> Failure {
    let expected = if element.array {
        format!(
            "Expected _{} as an array of objects or nulls, each with an id or extensions.",
            element.name
        )
    } else {
        format!("Expected _{} as an object with an id or extensions.", element.name)
    };
    failure(Fault::ElementShape, value, expected)
}
