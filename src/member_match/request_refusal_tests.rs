//! Tests what a partner is told of a match request that breaks the profile: each rule, its place, and what would be right.

use super::super::tests::{a_request, a_request_but};
use super::*;
use serde_json::json;

/// The places and the text that a partner gets when this value is at `path`, or when it is missing (`null`).
fn refusal(path: &str, value: Value) -> (Vec<String>, String) {
    let mut body = a_request();
    let (parent, key) = path.rsplit_once('/').expect("path");
    match body.pointer_mut(&format!("/parameter{parent}")).expect("parent") {
        Value::Object(object) if value.is_null() => drop(object.remove(key)),
        parent => match key.parse::<usize>() {
            Ok(at) => parent[at] = value,
            Err(_) => parent[key] = value,
        },
    }
    let failure = read(body.to_string().as_bytes()).expect_err(path);
    assert_eq!(failure.fault(), Fault::MatchInvalid, "{path}");
    (failure.expressions().to_vec(), failure.remedy_text().to_owned())
}

#[test]
fn each_rule_of_the_profile_says_which_it_is_where_and_what_would_be_right() {
    let text = "x".repeat(1100);
    for (path, value, remedy) in [
        (
            "/0/resource/birthDate",
            json!(null),
            "Missing: send the birth date as YYYY-MM-DD.",
        ),
        (
            "/0/resource/birthDate",
            json!("19-01-1990"),
            "Wrong format: Use YYYY-MM-DD.",
        ),
        (
            "/0/resource/birthDate",
            json!("1990-1-19"),
            "Wrong format: Use YYYY-MM-DD.",
        ),
        (
            "/0/resource/birthDate",
            json!("19900119"),
            "Wrong format: Use YYYY-MM-DD.",
        ),
        (
            "/0/resource/birthDate",
            json!("?"),
            "Placeholder: send what is known, or nothing. Use YYYY-MM-DD.",
        ),
        (
            "/0/resource/birthDate",
            json!("1990-02-30"),
            "No such day: the calendar does not have it. Use YYYY-MM-DD.",
        ),
        (
            "/0/resource/birthDate",
            json!(19900119),
            "Wrong type: send a date in quotes.",
        ),
        (
            "/0/resource/gender",
            json!("F"),
            "Not in the value set: use one of male, female, other, unknown.",
        ),
        (
            "/0/resource/gender",
            json!("?"),
            "Not in the value set: use one of male, female, other, unknown.",
        ),
        (
            "/0/resource/gender",
            json!(null),
            "Missing: send gender (male, female, other or unknown) or the extension us-core-birthsex.",
        ),
        (
            "/0/resource/name",
            json!(null),
            "Missing: send a name with family and given.",
        ),
        (
            "/0/resource/name",
            json!([{"family": "x"}]),
            "Missing: send a name with family and given.",
        ),
        (
            "/0/resource/name",
            json!({"family": "x"}),
            "Wrong type: send a list in square brackets, of the members that R4 gives it.",
        ),
        (
            "/0/resource/name/0/family",
            json!(text),
            "Too long: send at most 1024 characters.",
        ),
        (
            "/0/resource/id",
            json!("a b"),
            "Wrong format: Use 1 to 64 letters, digits, hyphens and dots.",
        ),
        (
            "/0/resource/resourceType",
            json!("Person"),
            "Wrong value: send Patient.",
        ),
        (
            "/0/resource/modifierExtension",
            json!([{"url": "x"}]),
            "Not allowed: leave this element out.",
        ),
        (
            "/0/resource/contained",
            json!([{"resourceType": "Patient", "id": "x"}]),
            "Not allowed: contain no Patient; the request has one MemberPatient.",
        ),
        (
            "/1/resource/status",
            json!("ACTIVE"),
            "Not in the value set: use one of active, cancelled, draft, entered-in-error.",
        ),
        (
            "/1/resource/payor",
            json!([{"display": "a"}, {"display": "b"}]),
            "Too many: send at most 1.",
        ),
        (
            "/1/resource/identifier",
            json!(null),
            "Missing: send the member number as identifier (type MB), or subscriberId.",
        ),
        (
            "/1/resource/identifier/0/system",
            json!("a b"),
            "Wrong format: Use an absolute address without blanks.",
        ),
        (
            "/1/resource/period",
            json!({"start": "01/01/2026"}),
            "Wrong format: Use YYYY-MM-DD, or a date and time with seconds and zone.",
        ),
        (
            "/3/resource/provision/period/end",
            json!(null),
            "Missing: send both ends of the period, as YYYY-MM-DD.",
        ),
        (
            "/3/resource/scope",
            json!({"text": "x"}),
            "Missing: send the coding; text alone cannot be judged.",
        ),
        (
            "/3/resource/sourceReference",
            json!(null),
            "Missing: refer to the DocumentReference of the original.",
        ),
        (
            "/3/valueString",
            json!("x"),
            "Not allowed: a parameter here has name and resource, and nothing else.",
        ),
    ] {
        let (places, text) = refusal(path, value.clone());
        assert_eq!(text, remedy, "{path} {value}");
        assert_eq!(places.len(), 1, "{path}");
    }
}

#[test]
fn of_several_broken_rules_each_is_told_with_its_place() {
    let mut body = a_request_but("/0/resource/gender", json!("SECRET"));
    body["parameter"][0]["resource"]["birthDate"] = json!("SECRET");
    let failure = read(body.to_string().as_bytes()).expect_err("two");
    let place = |element: &str| format!("Parameters.parameter[0].resource.{element}");
    assert_eq!(failure.expressions(), [place("gender"), place("birthDate")]);
    assert_eq!(
        failure.remedy_text(),
        format!(
            "{}: Not in the value set: use one of male, female, other, unknown. {}: Wrong format: Use YYYY-MM-DD.",
            place("gender"),
            place("birthDate")
        )
    );
}

#[test]
fn names_of_parameters_are_told_apart_by_what_is_wrong_with_them() {
    let of = |body: &Value| {
        let failure = read(body.to_string().as_bytes()).expect_err("refused");
        failure.remedy_text().to_owned()
    };
    let mut twice = a_request();
    twice["parameter"][2] = twice["parameter"][0].clone();
    assert_eq!(of(&twice), "Twice: send MemberPatient once.");
    let unknown = of(&a_request_but("/2/name", json!("SECRET")));
    assert!(unknown.starts_with("Unknown: send only MemberPatient") && !unknown.contains("SECRET"));
    let mut missing = a_request();
    missing["parameter"].as_array_mut().expect("array").remove(3);
    assert_eq!(of(&missing), "Missing: send Consent once.");
}
