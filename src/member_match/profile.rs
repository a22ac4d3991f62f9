//! The compiled profile of the request, and its errors as FHIRPath expressions that carry no value of the request.

use super::remedy;
use crate::error::{Failure, Fault};
use jsonschema::error::ValidationErrorKind;
use jsonschema::{PatternOptions, ValidationError, Validator};
use serde_json::Value;
use std::sync::LazyLock;

const SCHEMA: &str = include_str!("../../fhir-profiles/member-match-in.schema.json");
/// Expressions named in one answer.
const SHOWN: usize = 5;

static PROFILE: LazyLock<Result<Validator, String>> = LazyLock::new(|| {
    let schema: Value = serde_json::from_str(SCHEMA).map_err(|error| error.to_string())?;
    jsonschema::options()
        .with_draft(jsonschema::Draft::Draft202012)
        .with_pattern_options(PatternOptions::regex())
        .build(&schema)
        .map_err(|error| error.to_string())
});

/// Checks `request`, a Parameters resource, against the profile.
///
/// # Errors
/// [`Fault::MatchInvalid`] with the places at fault.
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
        // Of several, each says where it belongs.
        several => several
            .iter()
            .map(|(place, remedy)| format!("{place}: {remedy}"))
            .collect::<Vec<_>>()
            .join(" "),
    };
    let failure = Failure::new(Fault::MatchInvalid).remedy(remedy);
    Err(broken.into_iter().map(|(place, _)| place).fold(failure, Failure::at))
}

/// `/parameter/1/resource/beneficiary` as `Parameters.parameter[1].resource.beneficiary`.
///
/// Every name in it is one of the schema's: it descends only into properties that it knows.
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
    }
}
