//! The pre-screen against inputs without end: it never panics, agrees with serde_json, reads what it takes as it stands, and works no more
//! than a multiple of the bytes it is given.

use super::*;
use crate::error::Fault;
use crate::fuzz_tests::run;
use serde_json::{Map, Value as Json};

#[rustfmt::skip]
const CORPUS: &[&[u8]] = &[
    br#"{"resourceType":"Patient","id":"a-1","active":true,"name":[{"family":"O\u0027Hara","given":["A",null],"_given":[null,{"id":"x"}]}]}"#,
    br#"{"resourceType":"Parameters","parameter":[{"name":"MemberPatient","resource":{"resourceType":"Patient","birthDate":"1970-01-01"}}]}"#,
    br#" { "resourceType" : "Observation", "valueQuantity":{"value":-2.50e3,"unit":"mg"}, "subject":{"reference":"Patient/7"} } "#,
    "{\"resourceType\":\"Basic\",\"text\":{\"status\":\"generated\",\"div\":\"Zoë \\ud83d\\ude00 \\n\"}}".as_bytes(),
    br#"{"resourceType":"Bundle","type":"batch","entry":[{"resource":{"resourceType":"Basic","id":"b"}},{"fullUrl":"urn:uuid:1"}]}"#,
    br#"{"a":[1,2,{"b":[]}],"c":{},"d":"","e":null,"f":[null],"a":1}"#,
    b"[1e400,01,-,.5,1.,NaN,\"\\ud800\",\"\\u0000\"]",
    b"\xef\xbb\xbf{}",
    b"",
];

#[rustfmt::skip]
const WORDS: &[&str] = &[
    "{", "}", "[", "]", ",", ":", "\"", "\\", "null", "true", "false", "0", "-", "1e", "e300", "e301", ".5", "[null]", "{}", "[]", "\"\"",
    "\\u0000", "\\ud83d", "\\ude00", "\\n", "\\b", "\"_given\":", "\"given\":", "\"id\":\"a\"", "\"resourceType\":\"Patient\"", "\"reference\":",
    "\"a\":", "\"_a\":", " ", "\n", "\t", "\0", "é", "\u{feff}", "[{", "}]", "{\"a\":[", "\"i\\u0064\":",
];

/// Bytes of one request, less than usual, so that the limits are met as well.
const LIMITS: ScreenLimits = ScreenLimits {
    bytes: 12 * 1024,
    depth: 20,
    values: 600,
    members: 40,
};

/// The tape as serde_json's tree; equal documents are equal trees.
fn tree(value: Value<'_>) -> Json {
    match value.kind() {
        JsonKind::Object => Json::Object(
            value
                .members()
                .map(|member| (member.key().to_owned(), tree(member)))
                .collect::<Map<_, _>>(),
        ),
        JsonKind::Array => value.items().map(tree).collect(),
        JsonKind::String => Json::from(value.text().expect("a string has a text").as_ref()),
        JsonKind::Number | JsonKind::True | JsonKind::False | JsonKind::Null => {
            serde_json::from_slice(value.raw()).expect("a span is JSON")
        }
    }
}

/// A place names a type of ours, elements, and indices, and nothing else of the input.
fn assert_is_place(place: &str) {
    for (at, segment) in place.split('.').enumerate() {
        let (name, indices) = segment.split_at(segment.find('[').unwrap_or(segment.len()));
        let is_known = match at {
            0 => name == "Resource" || causeway_fhir_types::is_type(name),
            _ => name.len() <= 64 && name.bytes().all(|byte| byte.is_ascii_alphanumeric()),
        };
        let are_indices = indices
            .bytes()
            .all(|byte| byte.is_ascii_digit() || b"[]".contains(&byte));
        assert!(is_known && are_indices, "{place}");
    }
}

/// Steps of the scanner for one byte at most: the names of an object are compared with each other, and so are its members when an array
/// has nulls. Without a bound on members this would grow with the input.
fn steps_max(bytes: usize, limits: &ScreenLimits) -> u64 {
    (bytes * (4 + limits.members / 2) + 4 * limits.members * limits.members + 100) as u64
}

fn judge(bytes: &[u8], limits: &ScreenLimits) -> String {
    steps::taken();
    let screened = screen(bytes, limits);
    let steps = steps::taken();
    assert!(
        steps <= steps_max(bytes.len(), limits),
        "{steps} steps for {} bytes",
        bytes.len()
    );
    let read = serde_json::from_slice::<Json>(bytes);
    match screened {
        Ok(screened) => {
            let read = read.expect("what passes is JSON for serde_json too");
            assert_eq!(
                tree(screened.root()),
                read,
                "what passes is read as serde_json reads it"
            );
            assert!(screened.values().count() <= limits.values);
            for value in screened.values().take(30) {
                assert!(value.raw().len() <= bytes.len());
                assert_is_place(&value.path());
            }
            for reference in screened.references().take(10) {
                assert_eq!(reference.value.key(), "reference");
                assert!(!reference.text().is_empty());
            }
            format!("{} {}", screened.resource_type(), screened.values().count().min(60))
        }
        Err(failure) => {
            let fault = failure.fault();
            if matches!(fault, Fault::NotJson | Fault::NotUtf8) {
                assert!(read.is_err(), "{fault:?}, and serde_json reads it");
            }
            for place in failure.expressions() {
                assert_is_place(place);
            }
            let depth = failure
                .expressions()
                .first()
                .map_or(0, |place| place.matches('.').count());
            format!("{fault:?} {}", depth.min(6))
        }
    }
}

#[test]
fn whatever_is_screened_is_refused_or_read_as_serde_json_reads_it_in_bounded_work() {
    run("prescreen", CORPUS, WORDS, |input| {
        judge(input, &ScreenLimits::request())
    });
}

#[test]
fn limits_of_the_pre_screen_hold_for_every_input() {
    run("prescreen-limits", CORPUS, WORDS, |input| judge(input, &LIMITS));
}

/// The worst that is known, at the limits of a record: 256 names that are all compared, again and again.
#[test]
fn the_costliest_objects_take_work_within_the_bound() {
    let limits = ScreenLimits::record();
    let names: Vec<String> = (0..255).map(|n| format!("\"k{n}\":[1,null],")).collect();
    let object = format!("{{{}\"z\":1}}", names.concat().replace("[1,null]", "1"));
    for text in [
        format!(
            "{{\"resourceType\":\"Basic\",\"a\":[{}{object}]}}",
            format!("{object},").repeat(200)
        ),
        format!("{{{}\"resourceType\":\"Basic\"}}", names.concat()),
        "{\"a\":[".repeat(24) + "1",
    ] {
        judge(text.as_bytes(), &limits);
    }
}
