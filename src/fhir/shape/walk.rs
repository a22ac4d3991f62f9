//! Walks over the tape, object by object. Its depth is limited by the pre-screen.

use super::primitive::{Json, Primitive};
use super::table::{ClassId, Element, Holds, ShapeTable};
use super::told;
use crate::error::Failure;
use crate::fhir::prescreen::{JsonKind, Value};

/// Checks an object that must be a resource.
pub(super) fn resource(value: Value<'_>) -> Result<(), Failure> {
    let table = ShapeTable::get();
    let class = value
        .get("resourceType")
        .and_then(|name| table.class(&name.text()?))
        .filter(|class| table.classes[usize::from(*class)].resource);
    match class {
        Some(class) => object(table, value, class),
        None => Err(told::resource_type(&value)),
    }
}

/// Checks an object of this class.
fn object(table: &'static ShapeTable, value: Value<'_>, number: ClassId) -> Result<(), Failure> {
    let class = &table.classes[usize::from(number)];
    let mut seen = 0u64;
    for member in value.members() {
        let key = member.key_bytes();
        let (name, companion) = match key.split_first() {
            Some((b'_', name)) => (name, true),
            _ => (key, false),
        };
        let Some(element) = table
            .element(number, name)
            .filter(|element| !companion || element.companion)
        else {
            if class.resource && key == b"resourceType" {
                continue;
            }
            return Err(told::unknown(table, class, &member));
        };
        let bit = 1 << element.slot;
        if element.choice && seen & bit != 0 && another_type(table, &value, number, element) {
            return Err(told::conflict(&value, class, element));
        }
        seen |= bit;
        if companion {
            check_companion(table, member, element)?;
        } else if !element.array {
            single(table, member, element)?;
        } else if member.kind() == JsonKind::Array {
            for item in member.items() {
                match (item.kind(), element.holds) {
                    // Its companion has a value for it, as the pre-screen has checked.
                    (JsonKind::Null, Holds::Primitive(_)) => {}
                    _ => single(table, item, element)?,
                }
            }
        } else {
            return Err(told::no_array(&member, element));
        }
    }
    if seen & class.required != class.required {
        return Err(told::missing(table, &value, class, class.required & !seen));
    }
    if class.either != 0 && (seen & class.either).count_ones() != 1 {
        return Err(told::either(&value));
    }
    Ok(())
}

/// Checks one value of an element.
fn single(table: &'static ShapeTable, value: Value<'_>, element: &'static Element) -> Result<(), Failure> {
    match element.holds {
        Holds::Primitive(kind) => primitive(table, value, element, kind),
        _ if value.kind() != JsonKind::Object => Err(told::kind(&value, element)),
        Holds::Resource => resource(value),
        Holds::Class(class) => {
            object(table, value, class)?;
            match element.codes {
                Some(codes) => concept(table, value, codes),
                None => Ok(()),
            }
        }
    }
}

fn primitive(
    table: &'static ShapeTable,
    value: Value<'_>,
    element: &'static Element,
    kind: Primitive,
) -> Result<(), Failure> {
    let fits = match (kind.json(), value.kind()) {
        (Json::Boolean, JsonKind::True | JsonKind::False) => return Ok(()),
        (Json::Number, JsonKind::Number) => kind.accepts(value.raw()),
        (Json::String, JsonKind::String) => {
            let text = value.text_bytes();
            if let Some(codes) = element.codes {
                let codes = &table.codes[usize::from(codes)];
                return if codes.has(&text) {
                    Ok(())
                } else {
                    Err(told::code(&value, codes))
                };
            }
            kind.accepts(&text)
        }
        _ => return Err(told::kind(&value, element)),
    };
    if fits { Ok(()) } else { Err(told::form(&value, kind)) }
}

/// Checks the companion `_name` of a primitive: its id and extensions.
fn check_companion(table: &'static ShapeTable, member: Value<'_>, element: &'static Element) -> Result<(), Failure> {
    match (element.array, member.kind()) {
        (false, JsonKind::Object) => object(table, member, table.companion),
        (true, JsonKind::Array) => {
            for item in member.items() {
                match item.kind() {
                    JsonKind::Null => {}
                    JsonKind::Object => object(table, item, table.companion)?,
                    _ => return Err(told::companion(&item, element)),
                }
            }
            Ok(())
        }
        _ => Err(told::companion(&member, element)),
    }
}

/// Checks the required value set of a CodeableConcept: one coding must be in it. Instead of codings it may have an extension that says why
/// there are none.
fn concept(table: &'static ShapeTable, value: Value<'_>, codes: u16) -> Result<(), Failure> {
    let codes = &table.codes[usize::from(codes)];
    let Some(coding) = value.get("coding") else {
        return match value.get("extension") {
            Some(_) => Ok(()),
            None => Err(told::code(&value, codes)),
        };
    };
    let fits = |coding: Value<'_>| {
        let system = coding
            .get("system")
            .is_some_and(|system| codes.system.is_some_and(|own| system.is(own)));
        system && coding.get("code").is_some_and(|code| codes.has(&code.text_bytes()))
    };
    if coding.items().any(fits) {
        Ok(())
    } else {
        Err(told::code(&value, codes))
    }
}

/// Whether `value` also has the choice of `element` with another type.
fn another_type(table: &'static ShapeTable, value: &Value<'_>, class: ClassId, element: &'static Element) -> bool {
    value.members().any(|member| {
        let key = member.key_bytes();
        let other = table.element(class, key.strip_prefix(b"_").unwrap_or(key));
        other.is_some_and(|other| other.slot == element.slot && other.name != element.name)
    })
}
