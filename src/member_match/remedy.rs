//! Says how to correct a request that breaks its profile: one sentence for each rule, beginning with the name of the rule.
//!
//! The words come only from this file and the schema. The value is read only to distinguish a placeholder from another wrong form; no part
//! of it gets into a sentence.

use jsonschema::ValidationError;
use jsonschema::error::ValidationErrorKind;
use serde_json::Value;

/// How to write a date.
pub const DATE: &str = "Use YYYY-MM-DD.";
const DATE_TIME: &str = "Use YYYY-MM-DD, or a date and time with seconds and zone.";

/// What people write when they have no value.
const PLACEHOLDERS: [&str; 9] = ["?", "-", "--", "n/a", "na", "none", "null", "unknown", "unk"];

/// The remedy for the schema rule that `error` broke at `place`.
pub fn of(error: &ValidationError<'_>, place: &str) -> String {
    let element = place.rsplit('.').next().unwrap_or_default();
    let element = element.split('[').next().unwrap_or_default();
    match error.kind() {
        ValidationErrorKind::Required { .. } => format!("Missing: {}", when_missing(place, element)),
        ValidationErrorKind::Enum { options } => {
            let codes = options.as_array().into_iter().flatten().filter_map(Value::as_str);
            format!(
                "Not in the value set: use one of {}.",
                codes.collect::<Vec<_>>().join(", ")
            )
        }
        ValidationErrorKind::Constant { expected_value } => {
            format!(
                "Wrong value: send {}.",
                expected_value.as_str().unwrap_or("what R4 demands")
            )
        }
        ValidationErrorKind::Pattern { .. } if is_placeholder(error.instance()) => {
            format!("Placeholder: send what is known, or nothing. {}", form(element))
        }
        ValidationErrorKind::Pattern { .. } => format!("Wrong format: {}", form(element)),
        ValidationErrorKind::MinLength { .. } => "Empty: send a text, or leave the element out.".to_owned(),
        ValidationErrorKind::MaxLength { limit } => format!("Too long: send at most {limit} characters."),
        ValidationErrorKind::MinItems { limit } => format!("Too few: send at least {limit}."),
        ValidationErrorKind::MaxItems { limit } => format!("Too many: send at most {limit}."),
        ValidationErrorKind::Type { .. } => format!("Wrong type: {}", kind_of(element)),
        ValidationErrorKind::Not { .. } => {
            "Not allowed: contain no Patient; the request has one MemberPatient.".to_owned()
        }
        ValidationErrorKind::FalseSchema => "Not allowed: leave this element out.".to_owned(),
        ValidationErrorKind::AdditionalProperties { .. } => {
            "Not allowed: a parameter here has name and resource, and nothing else.".to_owned()
        }
        _ => "Correct this element; see HRex member-match.".to_owned(),
    }
}

fn when_missing(place: &str, element: &str) -> &'static str {
    match element {
        "birthDate" => "send the birth date as YYYY-MM-DD.",
        "id" => "give the MemberPatient an id, by which Coverage and Consent refer to it.",
        "name" if place.ends_with("].name") => "name each parameter.",
        "name" => "send a name with family and given.",
        "beneficiary" => "refer to the MemberPatient as Patient/<id>.",
        "payor" => "name the payer of the coverage; a reference with its NPI as identifier is enough.",
        "status" => "send the resource's status.",
        "scope" => "send the scope patient-privacy.",
        "category" => "send the category IDSCL.",
        "patient" => "refer to the MemberPatient as Patient/<id>.",
        "performer" => "say who consented.",
        "sourceReference" => "refer to the DocumentReference of the original.",
        "policy" | "uri" => "send HRex's #regular or #sensitive as uri.",
        "provision" => "send the provision of the consent.",
        "type" => "send permit, or the type that R4 demands here.",
        "period" => "send start and end.",
        "start" | "end" => "send both ends of the period, as YYYY-MM-DD.",
        "actor" => "name who may disclose (role performer) and who may receive (role IRCP).",
        "action" => "send the action disclose.",
        "role" => "send the actor's role with its coding.",
        "reference" => "refer to the actor; its NPI as identifier is enough.",
        "coding" => "send the coding; text alone cannot be judged.",
        "resource" => "send the resource of this parameter.",
        "resourceType" => "say the type of the resource.",
        "valueCode" => "send the code of us-core-birthsex.",
        "url" => "say the url of the extension.",
        "value" => "send its value.",
        _ => "R4 or HRex demands this element.",
    }
}

fn form(element: &str) -> &'static str {
    match element {
        "birthDate" => DATE,
        "start" | "end" => DATE_TIME,
        "id" => "Use 1 to 64 letters, digits, hyphens and dots.",
        "system" | "uri" | "type" => "Use an absolute address without blanks.",
        _ => "See the element's type in R4.",
    }
}

fn kind_of(element: &str) -> &'static str {
    match element {
        "birthDate" | "start" | "end" => "send a date in quotes.",
        "name" | "identifier" | "payor" | "category" | "performer" | "policy" | "actor" | "action" | "address"
        | "telecom" | "given" | "coding" | "extension" | "contained" | "class" | "parameter" => {
            "send a list in square brackets, of the members that R4 gives it."
        }
        "id" | "family" | "value" | "system" | "code" | "reference" | "subscriberId" | "dependent" | "uri" => {
            "send a text in quotes."
        }
        _ => "send it as R4 defines it: an object in braces, a list in brackets or a text in quotes.",
    }
}

/// Whether a value is a placeholder for no value.
fn is_placeholder(value: &Value) -> bool {
    let Some(text) = value.as_str() else { return false };
    let text = text.trim().to_ascii_lowercase();
    text.is_empty() || PLACEHOLDERS.contains(&text.as_str())
}
