//! Checks a request against the compiled profile. Errors are FHIRPath expressions that carry no value of the request.

use super::quick::Quick;
use super::remedy;
use crate::error::{Failure, Fault};
use crate::fhir::prescreen;
use jsonschema::error::ValidationErrorKind;
use jsonschema::{PatternOptions, ValidationError, Validator};
use serde_json::Value;
use std::sync::LazyLock;

const SCHEMA: &str = include_str!("../../fhir-profiles/member-match-in.schema.json");
/// Most expressions that are named in one answer.
const SHOWN: usize = 5;

static PROFILE: LazyLock<Result<Validator, String>> = LazyLock::new(|| {
    let schema: Value = serde_json::from_str(SCHEMA).map_err(|error| error.to_string())?;
    jsonschema::options()
        .with_draft(jsonschema::Draft::Draft202012)
        .with_pattern_options(PatternOptions::regex())
        .build(&schema)
        .map_err(|error| error.to_string())
});

/// The same schema, checked on a screened document. It says only whether the document conforms; [`PROFILE`] says why not.
static QUICK: LazyLock<Option<Quick>> = LazyLock::new(|| Quick::compile(&serde_json::from_str(SCHEMA).ok()?));

/// Whether a Parameters resource conforms to the profile, without parsing it again. Also `false` when that cannot be decided here.
pub fn is_kept(request: prescreen::Value<'_>) -> bool {
    QUICK.as_ref().is_some_and(|profile| profile.holds(request))
}

/// Checks `request`, a Parameters resource, against the profile.
///
/// # Errors
/// [`Fault::MatchInvalid`] with the places that break the profile.
pub fn check(request: &Value) -> Result<(), Failure> {
    let profile = PROFILE
        .as_ref()
        .map_err(|error| Failure::new(Fault::Internal).because(error.as_str()))?;
    if profile.is_valid(request) {
        return Ok(());
    }
    let mut broken: Vec<(String, String)> = Vec::new();
    for error in profile.iter_errors(request) {
        let place = expression(&error);
        if broken.len() < SHOWN && broken.iter().all(|(other, _)| *other != place) {
            let remedy = remedy::of(&error, &place);
            broken.push((place, remedy));
        }
    }
    let remedy = match broken.as_slice() {
        [(_, only)] => only.clone(),
        // When several rules are broken, each sentence begins with its place.
        several => several
            .iter()
            .map(|(place, remedy)| format!("{place}: {remedy}"))
            .collect::<Vec<_>>()
            .join(" "),
    };
    let failure = Failure::new(Fault::MatchInvalid).remedy(remedy);
    Err(broken.into_iter().map(|(place, _)| place).fold(failure, Failure::at))
}

/// Turns `/parameter/1/resource/beneficiary` into `Parameters.parameter[1].resource.beneficiary`.
///
/// Every name in the path comes from the schema, because the validator descends only into properties that the schema defines.
fn expression(error: &ValidationError<'_>) -> String {
    let mut path = String::from("Parameters");
    for part in error
        .instance_path()
        .as_str()
        .split('/')
        .filter(|part| !part.is_empty())
    {
        if part.bytes().all(|b| b.is_ascii_digit()) {
            path.push('[');
            path.push_str(part);
            path.push(']');
        } else {
            path.push('.');
            path.push_str(part);
        }
    }
    if let ValidationErrorKind::Required {
        property: Value::String(name),
    } = error.kind()
    {
        path.push('.');
        path.push_str(name);
    }
    path
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_schema_compiles() {
        assert_eq!(PROFILE.as_ref().err(), None);
        assert!(QUICK.is_some());
    }
}
