//! Rules that the typed model does not check: the formats of the elements on which decisions depend. Each failure has its place.

use crate::error::{Failure, Fault};
use crate::fhir::prescreen::{JsonKind, Screened};
use crate::fhir::when;
use crate::ids::is_fhir_id;

/// Returns the logical id.
///
/// # Errors
/// [`Fault::ValueInvalid`] when it is missing or is not a valid FHIR `id`.
pub fn id(resource: &Screened<'_>) -> Result<String, Failure> {
    let found = resource
        .root()
        .get("id")
        .and_then(|value| value.text())
        .filter(|id| is_fhir_id(id));
    found.map(std::borrow::Cow::into_owned).ok_or_else(|| {
        Failure::new(Fault::ValueInvalid)
            .at(format!("{}.id", resource.resource_type()))
            .remedy("Give each resource an id of 1 to 64 letters, digits, '-' and '.'.")
    })
}

/// Returns `meta.lastUpdated` of the source, in UTC milliseconds.
///
/// # Errors
/// [`Fault::ValueInvalid`] when it is not an instant.
pub fn last_updated_ms(resource: &Screened<'_>) -> Result<Option<i64>, Failure> {
    let Some(value) = resource.root().get("meta").and_then(|meta| meta.get("lastUpdated")) else {
        return Ok(None);
    };
    let read = value.text().and_then(|text| when::instant_ms(&text));
    read.map(Some).ok_or_else(|| {
        Failure::new(Fault::ValueInvalid)
            .at(value.path())
            .remedy("Use a FHIR instant.")
    })
}

/// Checks the format of all references, of a Patient's birth date, and of identifier systems.
///
/// # Errors
/// [`Fault::ValueInvalid`] with the place of the first fault.
pub fn check(resource: &Screened<'_>) -> Result<(), Failure> {
    let root = resource.root();
    for reference in resource.references() {
        let text = reference.text();
        if let Some(contained) = text.strip_prefix('#') {
            let there = contained.is_empty()
                || root.get("contained").is_some_and(|all| {
                    all.items()
                        .any(|inner| inner.get("id").is_some_and(|id| id.is(contained)))
                });
            if !there {
                return Err(Failure::new(Fault::ValueInvalid)
                    .at(reference.path())
                    .remedy("The reference names a contained resource that does not exist."));
            }
        } else if !is_reference(&text) {
            return Err(Failure::new(Fault::ValueInvalid)
                .at(reference.path())
                .remedy("Refer by Type/id, by an absolute URI, or by Type?identifier=system|value."));
        }
    }
    if root.get("resourceType").is_some_and(|name| name.is("Patient"))
        && let Some(birth) = root.get("birthDate")
        && birth.text().is_none_or(|text| !when::is_date(&text))
    {
        return Err(Failure::new(Fault::ValueInvalid)
            .at(birth.path())
            .remedy("Use a FHIR date."));
    }
    for identifier in root.all(&["identifier"]) {
        if let Some(system) = identifier
            .get("system")
            .filter(|system| system.kind() == JsonKind::String)
            && system.text().is_some_and(|text| text.contains(char::is_whitespace))
        {
            return Err(Failure::new(Fault::ValueInvalid)
                .at(system.path())
                .remedy("A URI has no white space."));
        }
    }
    Ok(())
}

/// Whether `text` is in one of the forms of Reference.reference: relative, absolute, or conditional.
fn is_reference(text: &str) -> bool {
    if text.is_empty() || text.contains(char::is_whitespace) && !text.contains('?') {
        return false;
    }
    if let Some((rtype, query)) = text.split_once('?').filter(|(before, _)| !before.contains([':', '/'])) {
        return causeway_fhir_types::is_type(rtype) && query.contains('=');
    }
    if text.split_once(':').is_some_and(|(scheme, rest)| {
        !rest.is_empty() && scheme.bytes().all(|b| b.is_ascii_alphanumeric() || b"+-.".contains(&b))
    }) {
        return true;
    }
    let mut parts = text.split('/');
    let (rtype, id, history, version) = (parts.next(), parts.next(), parts.next(), parts.next());
    rtype.is_some_and(causeway_fhir_types::is_type)
        && id.is_some_and(is_fhir_id)
        && match (history, version) {
            (None, None) => true,
            (Some("_history"), Some(version)) => is_fhir_id(version) && parts.next().is_none(),
            _ => false,
        }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fhir::prescreen::{ScreenLimits, screen};

    fn of(text: &str) -> Result<(), (Fault, Vec<String>)> {
        let screened = screen(text.as_bytes(), &ScreenLimits::record()).expect("passes");
        let told = id(&screened)
            .and_then(|_| last_updated_ms(&screened))
            .and_then(|_| check(&screened));
        told.map_err(|f| (f.fault(), f.expressions().to_vec()))
    }

    #[test]
    fn formats_are_checked_with_their_place() {
        let good = r##"{"resourceType":"Condition","id":"a","contained":[{"resourceType":"Patient","id":"p"}],
            "subject":{"reference":"#p"},"encounter":{"reference":"Encounter/1/_history/2"},
            "asserter":{"reference":"Practitioner?identifier=http://x|1 2"},"recorder":{"reference":"urn:uuid:1"}}"##;
        assert_eq!(of(good), Ok(()));
        for (text, place) in [
            (r#"{"resourceType":"Condition"}"#, "Condition.id"),
            (r#"{"resourceType":"Condition","id":"a b"}"#, "Condition.id"),
            (r#"{"resourceType":"Condition","id":1}"#, "Condition.id"),
            (
                r#"{"resourceType":"Condition","id":"a","meta":{"lastUpdated":"2020-01-01"}}"#,
                "Condition.meta.lastUpdated",
            ),
            (
                r#"{"resourceType":"Patient","id":"a","birthDate":"01/02/2020"}"#,
                "Patient.birthDate",
            ),
            (
                r##"{"resourceType":"Condition","id":"a","subject":{"reference":"#p"}}"##,
                "Condition.subject.reference",
            ),
            (
                r#"{"resourceType":"Condition","id":"a","subject":{"reference":"Human/1"}}"#,
                "Condition.subject.reference",
            ),
            (
                r#"{"resourceType":"Condition","id":"a","subject":{"reference":"Patient/"}}"#,
                "Condition.subject.reference",
            ),
            (
                r#"{"resourceType":"Condition","id":"a","subject":{"reference":"some one"}}"#,
                "Condition.subject.reference",
            ),
        ] {
            assert_eq!(of(text), Err((Fault::ValueInvalid, vec![place.to_owned()])), "{text}");
        }
    }
}
