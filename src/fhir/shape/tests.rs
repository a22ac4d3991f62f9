//! Which shapes are refused and which are accepted: cases generated from the table, and single cases with their places and texts.

use super::samples_for_tests::{self as samples, Case, MARK};
use super::*;
use crate::error::Fault;
use crate::fhir::prescreen::{ScreenLimits, screen};
use std::collections::BTreeMap;

fn judged(text: &str) -> Result<(), Failure> {
    judge(&screen(text.as_bytes(), &ScreenLimits::record())?)
}

#[test]
fn every_element_in_every_wrong_shape_is_refused_at_its_place_without_its_value() {
    let mut counts: BTreeMap<&str, u32> = BTreeMap::new();
    let mut wrong: Vec<String> = Vec::new();
    samples::wrong(&mut |case: Case| {
        *counts.entry(case.wrong).or_default() += 1;
        let Err(failure) = judged(&case.json) else {
            wrong.push(format!("taken: {case:?}"));
            return;
        };
        let place = failure.expressions().first().map_or("", String::as_str);
        let whole = ["missing", "a choice in two types", "an unknown type of a choice"].contains(&case.wrong);
        let there = place.starts_with(&case.parent)
            && (whole || place[case.parent.len()..].starts_with(&format!(".{}", case.name)));
        let text = format!("{failure} {}", failure.remedy_text());
        if !there || text.contains(MARK) || failure.cause().is_some() {
            wrong.push(format!("told as {text}: {case:?}"));
        }
    });
    println!("{} wrong shapes: {counts:?}", counts.values().sum::<u32>());
    assert!(
        wrong.is_empty(),
        "{} of them, {:#?}",
        wrong.len(),
        &wrong[..wrong.len().min(12)]
    );
    assert!(counts.values().sum::<u32>() > 60_000);
}

#[test]
fn every_element_in_its_right_shape_is_taken_and_the_typed_model_agrees() {
    let (mut count, mut wrong) = (0, Vec::new());
    samples::good(&mut |case: Case| {
        count += 1;
        if let Err(failure) = judged(&case.json) {
            wrong.push(format!("{failure} {}: {case:?}", failure.remedy_text()));
        } else if case.parent == "ExampleScenario.instance[0]" {
            // `resourceType` is a code element of this type; the typed model takes it for the type of a resource.
        } else if let Err(refused) = causeway_fhir_types::check(case.json.as_bytes()) {
            wrong.push(format!("model: {refused} {:?}: {case:?}", refused.element));
        }
    });
    println!("{count} right shapes");
    assert!(
        wrong.is_empty(),
        "{} of them, {:#?}",
        wrong.len(),
        &wrong[..wrong.len().min(12)]
    );
    assert!(count > 6_000);
}

#[test]
fn each_fault_is_told_with_its_place_and_what_was_expected() {
    #[rustfmt::skip]
    let rows: &[(&str, Fault, &str, &str)] = &[
        (r#"{"resourceType":"Patient","active":"true"}"#, Fault::ElementShape, "Patient.active", "Expected true or false, without quotes."),
        (r#"{"resourceType":"Patient","name":{"family":"Marigold"}}"#, Fault::ElementShape, "Patient.name", "Expected an array of HumanName."),
        (r#"{"resourceType":"Patient","name":[{"given":"Marigold"}]}"#, Fault::ElementShape, "Patient.name[0].given", "Expected an array of string."),
        (r#"{"resourceType":"Patient","identifier":[{"type":{"coding":{"code":"MB"}}}]}"#, Fault::ElementShape, "Patient.identifier[0].type.coding", "Expected an array of Coding."),
        (r#"{"resourceType":"Patient","address":["Marigold"]}"#, Fault::ElementShape, "Patient.address[0]", "Expected an object of type Address."),
        (r#"{"resourceType":"Patient","gender":"M"}"#, Fault::CodeUnknown, "Patient.gender", "Expected one of female, male, other, unknown."),
        (r#"{"resourceType":"Patient","birthDate":"19-01-1990"}"#, Fault::ValueInvalid, "Patient.birthDate", "Expected a date: YYYY, YYYY-MM or YYYY-MM-DD."),
        (r#"{"resourceType":"Patient","colour":"Marigold"}"#, Fault::ElementUnknown, "Patient.colour", "R4 has no such element in Patient."),
        (r#"{"resourceType":"Patient","Marigold":true}"#, Fault::ElementUnknown, "Patient", "R4 has no such element in Patient."),
        (r#"{"resourceType":"Patient","deceasedString":"x"}"#, Fault::ElementUnknown, "Patient.deceasedString", "Expected deceased[x] under one of its types: boolean, dateTime."),
        (r#"{"resourceType":"Patient","deceasedBoolean":true,"deceasedDateTime":"2020"}"#, Fault::ChoiceConflict, "Patient", "Expected deceased[x] of Patient in one type only."),
        (r#"{"resourceType":"Observation","status":"final","code":[{"text":"x"}]}"#, Fault::ElementShape, "Observation.code", "Expected a single CodeableConcept, not an array."),
        (r#"{"resourceType":"Observation","status":"final"}"#, Fault::ElementMissing, "Observation", "Expected code, which R4 requires here."),
        (r#"{"resourceType":"Observation","status":"nonsense","code":{"text":"x"}}"#, Fault::CodeUnknown, "Observation.status", "Expected one of amended, cancelled, corrected, entered-in-error, final, preliminary, registered, unknown."),
        (r#"{"resourceType":"Observation","status":"final","code":{"text":"x"},"component":[{"code":{"text":"x"},"referenceRange":[{"low":{"value":"1"}}]}]}"#, Fault::ElementShape, "Observation.component[0].referenceRange[0].low.value", "Expected a number (decimal), without quotes."),
        (r#"{"resourceType":"Coverage","status":"active","beneficiary":{"display":"x"},"payor":{}}"#, Fault::EmptyValue, "Coverage.payor", ""),
        (r#"{"resourceType":"Patient","extension":[{"valueString":"x"}]}"#, Fault::ElementMissing, "Patient.extension[0]", "Expected url, which R4 requires here."),
        (r#"{"resourceType":"Patient","extension":[{"url":"http://x"}]}"#, Fault::ChoiceConflict, "Patient.extension[0]", "Expected either a value or nested extensions, and not both."),
        (r#"{"resourceType":"Patient","contained":[{"resourceType":"Organization","name":5}]}"#, Fault::ElementShape, "Patient.contained[0].name", "Expected a string of type string."),
        (r#"{"resourceType":"Patient","contained":[{"name":"x"}]}"#, Fault::ElementShape, "Patient.contained[0]", "Expected a resource: an object with resourceType, which names an R4 resource type."),
        (r#"{"resourceType":"Condition","subject":{"display":"x"},"clinicalStatus":{"coding":[{"system":"http://hl7.org/fhir/condition-clinical","code":"active"}]}}"#, Fault::CodeUnknown, "Condition.clinicalStatus", "Expected one of active, inactive, recurrence, relapse, remission, resolved, in a coding of system http://terminology.hl7.org/CodeSystem/condition-clinical."),
        (r#"{"resourceType":"Patient","_birthDate":"x"}"#, Fault::ResourceInvalid, "Patient.birthDate", ""),
        (r#"{"resourceType":"Patient","_name":[{"id":"x"}]}"#, Fault::ElementUnknown, "Patient.name", "Expected no _name here: name has no extensions."),
    ];
    for (text, fault, place, expected) in rows {
        let failure = judged(text).expect_err(text);
        assert_eq!(
            (failure.fault(), failure.expressions()),
            (*fault, &[(*place).to_owned()][..]),
            "{text}"
        );
        if !expected.is_empty() {
            assert_eq!(failure.remedy_text(), *expected, "{text}");
        }
    }
}

#[test]
fn what_r4_allows_is_taken() {
    for text in [
        r#"{"resourceType":"Patient","_birthDate":{"extension":[{"url":"http://x","valueCode":"unknown"}]}}"#,
        r#"{"resourceType":"Patient","name":[{"given":["A",null],"_given":[null,{"id":"x"}]}]}"#,
        r#"{"resourceType":"Patient","name":[{"_given":[{"id":"x"}]}]}"#,
        r#"{"resourceType":"Patient","_deceasedBoolean":{"id":"x"},"deceasedBoolean":true}"#,
        r#"{"resourceType":"Patient","name":[{"family":"A\u00e9 \n"}],"photo":[{"url":"http:\/\/x","data":"QUJD\nQUJD"}]}"#,
        r#"{"resourceType":"Patient","meta":{"lastUpdated":"2020-01-01T00:00:00Z"},"birthDate":"1970","text":{"status":"generated","div":"<div xmlns=\"http://www.w3.org/1999/xhtml\">x</div>"}}"#,
        r#"{"resourceType":"Patient","extension":[{"url":"http://x","extension":[{"url":"a","valueDecimal":1.5e3}]}],"modifierExtension":[{"url":"http://y","valueReference":{"reference":"Patient/a"}}]}"#,
        r#"{"resourceType":"Observation","_status":{"extension":[{"url":"http://x","valueCode":"unknown"}]},"code":{"text":"x"}}"#,
        r#"{"resourceType":"Condition","subject":{"display":"x"},"clinicalStatus":{"extension":[{"url":"http://x","valueCode":"unknown"}]}}"#,
        r#"{"resourceType":"Bundle","type":"collection","link":[{"relation":"self","url":"http://x"}],"entry":[{"link":[{"relation":"next","url":"http://x"}],"resource":{"resourceType":"Patient","id":"a"}}]}"#,
        r#"{"resourceType":"Parameters","parameter":[{"name":"a","part":[{"name":"b","resource":{"resourceType":"Patient","id":"a"}}]}]}"#,
        r#"{"resourceType":"Binary","contentType":"text/plain; charset=utf-8","data":"QUJD"}"#,
    ] {
        if let Err(failure) = judged(text) {
            panic!("{failure} {}: {text}", failure.remedy_text());
        }
    }
}
