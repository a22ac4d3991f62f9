//! Checks the shape of a request against the typed FHIR model, once for each shape.
//!
//! The model judges element names, nesting and JSON types but no string values, so its result is the same for every document of the same
//! shape. One partner's requests have few shapes, and parsing each request again would cost more than the rest of the request. Only shapes
//! that passed are remembered, by SHA-256, at most [`KEPT`] of them.

use crate::error::{Failure, Fault};
use crate::fhir::prescreen::{JsonKind, Screened, Value};
use crate::secret::sha256;
use causeway_fhir_types::RefusalKind as Refusal;
use std::collections::HashSet;
use std::sync::{PoisonError, RwLock};

/// Most shapes that are remembered; beyond this number all are forgotten.
const KEPT: usize = 4096;

static PASSED: RwLock<Option<HashSet<[u8; 32]>>> = RwLock::new(None);

/// Checks a screened document against the typed model.
///
/// # Errors
/// [`Fault::ResourceInvalid`] when the model refuses the document.
pub fn check(screened: &Screened<'_>) -> Result<(), Failure> {
    let shape = digest(screened);
    if PASSED
        .read()
        .unwrap_or_else(PoisonError::into_inner)
        .as_ref()
        .is_some_and(|passed| passed.contains(&shape))
    {
        return Ok(());
    }
    causeway_fhir_types::check(screened.bytes()).map_err(|refused| {
        // The name of an unknown element comes from the caller; the name of a missing element comes from the model.
        let place = match (refused.kind, &refused.element) {
            (Refusal::Missing, Some(element)) => format!("Parameters.parameter.resource.{element}"),
            _ => "Parameters".to_owned(),
        };
        let remedy = match refused.kind {
            Refusal::Missing => "Missing: R4 demands the element named in expression.",
            Refusal::Unknown => "Unknown: leave out elements that R4 does not define where they stand.",
            _ => "Wrong type: send each element in the JSON form that R4 gives it.",
        };
        Failure::new(Fault::ResourceInvalid)
            .at(place)
            .remedy(remedy)
            .because(refused)
    })?;
    let mut passed = PASSED.write().unwrap_or_else(PoisonError::into_inner);
    let passed = passed.get_or_insert_default();
    if passed.len() >= KEPT {
        passed.clear();
    }
    passed.insert(shape);
    Ok(())
}

fn digest(screened: &Screened<'_>) -> [u8; 32] {
    let mut shape = Vec::with_capacity(screened.bytes().len());
    write(screened.root(), &mut shape);
    sha256(&shape)
}

/// Writes names and JSON types as they are nested. Numbers and resource types are written with their values, because the model reads those.
fn write(value: Value<'_>, shape: &mut Vec<u8>) {
    shape.extend_from_slice(value.key().as_bytes());
    match value.kind() {
        JsonKind::Object => {
            shape.push(b'{');
            value.members().for_each(|member| write(member, shape));
            shape.push(b'}');
        }
        JsonKind::Array => {
            shape.push(b'[');
            value.items().for_each(|item| write(item, shape));
            shape.push(b']');
        }
        JsonKind::String if value.key() == "resourceType" => shape.extend_from_slice(value.raw()),
        JsonKind::String => shape.push(b'"'),
        JsonKind::Number => {
            shape.push(b'#');
            shape.extend_from_slice(value.raw());
            shape.push(b'#');
        }
        JsonKind::True | JsonKind::False => shape.push(b'!'),
        JsonKind::Null => shape.push(b'0'),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fhir::prescreen::{ScreenLimits, screen};

    fn of(text: &str) -> [u8; 32] {
        digest(&screen(text.as_bytes(), &ScreenLimits::request()).expect("screened"))
    }

    #[test]
    fn shapes_differ_by_names_kinds_nesting_numbers_and_types_alone() {
        let base = of(r#"{"resourceType":"Patient","id":"a","active":true,"name":[{"family":"x"}]}"#);
        assert_eq!(
            base,
            of(r#"{"resourceType":"Patient","id":"b","active":false,"name":[{"family":"y"}]}"#)
        );
        for other in [
            r#"{"resourceType":"Person","id":"a","active":true,"name":[{"family":"x"}]}"#,
            r#"{"resourceType":"Patient","id":"a","active":"true","name":[{"family":"x"}]}"#,
            r#"{"resourceType":"Patient","id":"a","active":true,"name":{"family":"x"}}"#,
            r#"{"resourceType":"Patient","id":"a","active":true,"name":[{"text":"x"}]}"#,
            r#"{"resourceType":"Patient","id":"a","active":true,"name":[{"family":"x"},{"family":"x"}]}"#,
            r#"{"resourceType":"Patient","id":"a","active":true,"name":[{"family":"x","text":"x"}]}"#,
        ] {
            assert_ne!(base, of(other), "{other}");
        }
        assert_ne!(
            of(r#"{"resourceType":"Patient","multipleBirthInteger":1}"#),
            of(r#"{"resourceType":"Patient","multipleBirthInteger":1.5}"#)
        );
        assert_ne!(
            of(r#"{"resourceType":"Basic","a":{"b":"c","d":"e"}}"#),
            of(r#"{"resourceType":"Basic","a":{"b":"c"},"d":"e"}"#)
        );
    }

    #[test]
    fn a_remembered_shape_passes_and_a_refused_one_is_asked_again() {
        let good = screen(br#"{"resourceType":"Patient","active":true}"#, &ScreenLimits::request()).expect("screened");
        assert!(check(&good).is_ok() && check(&good).is_ok());
        let bad = screen(
            br#"{"resourceType":"Patient","active":"SECRET"}"#,
            &ScreenLimits::request(),
        )
        .expect("screened");
        for _ in 0..2 {
            assert_eq!(check(&bad).expect_err("refused").fault(), Fault::ResourceInvalid);
        }
    }
}
