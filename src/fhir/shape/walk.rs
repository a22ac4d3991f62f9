//! The walk over the tape, object by object. Its depth is that of the pre-screen's limits.

use super::primitive::{Json, Primitive};
use super::table::{ClassId, Element, Holds, Table};
use super::told;
use crate::error::Failure;
use crate::fhir::prescreen::{Kind, Value};

/// Judges an object that is a resource.
pub(super) fn resource(value: Value<'_>) -> Result<(), Failure> {
    let table = Table::get();
    let class = value
        .get("resourceType")
        .and_then(|name| table.class(&name.text()?))
        .filter(|class| table.classes[usize::from(*class)].resource);
    match class {
        Some(class) => object(table, value, class),
        None => Err(told::resource_type(&value)),
    }
}

/// Judges an object of this class.
fn object(table: &'static Table, value: Value<'_>, number: ClassId) -> Result<(), Failure> {
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
            beside(table, member, element)?;
        } else if !element.array {
            single(table, member, element)?;
        } else if member.kind() == Kind::Array {
            for item in member.items() {
                match (item.kind(), element.holds) {
                    // Its companion stands in for it; the pre-screen has seen to that.
                    (Kind::Null, Holds::Primitive(_)) => {}
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

/// Judges one value of an element.
fn single(table: &'static Table, value: Value<'_>, element: &'static Element) -> Result<(), Failure> {
    match element.holds {
        Holds::Primitive(kind) => primitive(table, value, element, kind),
        _ if value.kind() != Kind::Object => Err(told::kind(&value, element)),
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
    table: &'static Table,
    value: Value<'_>,
    element: &'static Element,
    kind: Primitive,
) -> Result<(), Failure> {
    let fits = match (kind.json(), value.kind()) {
        (Json::Boolean, Kind::True | Kind::False) => return Ok(()),
        (Json::Number, Kind::Number) => kind.accepts(value.raw()),
        (Json::String, Kind::String) => {
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

/// Judges what stands beside a primitive under `_name`: its id and extensions.
fn beside(table: &'static Table, member: Value<'_>, element: &'static Element) -> Result<(), Failure> {
    match (element.array, member.kind()) {
        (false, Kind::Object) => object(table, member, table.companion),
        (true, Kind::Array) => {
            for item in member.items() {
                match item.kind() {
                    Kind::Null => {}
                    Kind::Object => object(table, item, table.companion)?,
                    _ => return Err(told::companion(&item, element)),
                }
            }
            Ok(())
        }
        _ => Err(told::companion(&member, element)),
    }
}

/// Judges the required value set of a CodeableConcept: one coding is of it. One without codings may say why by an extension.
fn concept(table: &'static Table, value: Value<'_>, codes: u16) -> Result<(), Failure> {
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

/// Whether `value` has the choice of `element` in another type too.
fn another_type(table: &'static Table, value: &Value<'_>, class: ClassId, element: &'static Element) -> bool {
    value.members().any(|member| {
        let key = member.key_bytes();
        let other = table.element(class, key.strip_prefix(b"_").unwrap_or(key));
        other.is_some_and(|other| other.slot == element.slot && other.name != element.name)
    })
}
