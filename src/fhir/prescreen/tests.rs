//! Tests the pre-screen with hostile bytes, and compares it with serde_json on generated documents.

use super::*;
use crate::error::Fault;
use proptest::prelude::*;

fn refused(text: &str) -> (Fault, String) {
    let failure = screen(text.as_bytes(), &ScreenLimits::request()).expect_err("refused");
    (
        failure.fault(),
        failure.expressions().first().cloned().unwrap_or_default(),
    )
}

#[test]
fn a_resource_passes_and_is_read_by_spans() {
    let text = r#" { "resourceType" : "Patient", "id":"a-1", "active":true, "multipleBirthInteger": -2.50e3,
        "name":[{"family":"O\u0027Hara \ud83d\ude00","given":["A",null,"Zoë"],"_given":[null,{"id":"x"},null]}],
        "generalPractitioner":[{"reference":"Practitioner/7"}] } "#;
    let screened = screen(text.as_bytes(), &ScreenLimits::request()).expect("passes");
    assert_eq!(screened.resource_type(), "Patient");
    let name = screened.root().first(&["name"]).expect("a name");
    assert_eq!(name.get("family").and_then(|v| v.text()).as_deref(), Some("O'Hara 😀"));
    assert_eq!(
        screened.root().first(&["multipleBirthInteger"]).expect("number").raw(),
        b"-2.50e3"
    );
    let given: Vec<_> = screened
        .root()
        .all(&["name", "given"])
        .iter()
        .map(Value::path)
        .collect();
    assert_eq!(
        given,
        [
            "Patient.name[0].given[0]",
            "Patient.name[0].given[1]",
            "Patient.name[0].given[2]"
        ]
    );
    let reference = screened.references().next().expect("a reference");
    assert_eq!(&text[reference.span()], "Practitioner/7");
    assert_eq!(reference.path(), "Patient.generalPractitioner[0].reference");
}

#[test]
fn faults_carry_the_element_path() {
    let cases = [
        (
            r#"{"resourceType":"Parameters","parameter":[{"name":"MemberPatient","resource":{"resourceType":"Patient",
               "name":[{"family":"A"},{"given":[""]}]}}]}"#,
            Fault::EmptyValue,
            "Parameters.parameter[0].resource.name[1].given[0]",
        ),
        (
            r#"{"resourceType":"Patient","name":[]}"#,
            Fault::EmptyValue,
            "Patient.name",
        ),
        (
            r#"{"resourceType":"Patient","meta":{}}"#,
            Fault::EmptyValue,
            "Patient.meta",
        ),
        (
            r#"{"resourceType":"Patient","active":null}"#,
            Fault::EmptyValue,
            "Patient.active",
        ),
        (
            r#"{"resourceType":"Patient","name":[{"given":[null]}]}"#,
            Fault::EmptyValue,
            "Patient.name[0].given",
        ),
        (
            r#"{"resourceType":"Patient","name":[{"given":["a",null]}]}"#,
            Fault::EmptyValue,
            "Patient.name[0].given",
        ),
        (
            r#"{"resourceType":"Patient","name":[null,{"family":"a"}]}"#,
            Fault::EmptyValue,
            "Patient.name",
        ),
        (
            r#"{"resourceType":"Patient","id":"a","id":"b"}"#,
            Fault::DuplicateKey,
            "Patient.id",
        ),
        (
            r#"{"resourceType":"Patient","resourceType":"Patient"}"#,
            Fault::DuplicateKey,
            "Patient.resourceType",
        ),
        (
            r#"{"resourceType":"Patient","name":[["a"]]}"#,
            Fault::ResourceInvalid,
            "Patient.name[0]",
        ),
        (
            r#"{"resourceType":"Patient","a":1e400}"#,
            Fault::ResourceInvalid,
            "Patient.a",
        ),
        (r#"{"resourceType":"Patient","a":01}"#, Fault::NotJson, "Patient.a"),
        (r#"{"resourceType":"Patient","a":NaN}"#, Fault::NotJson, "Patient.a"),
        (
            r#"{"resourceType":"Patient","a":"\ud800"}"#,
            Fault::NotJson,
            "Patient.a",
        ),
        (
            r#"{"resourceType":"Patient","a":"\u0000"}"#,
            Fault::ResourceInvalid,
            "Patient.a",
        ),
        (
            r#"{"resourceType":"Patient","i\u0064":"a"}"#,
            Fault::ResourceInvalid,
            "Patient",
        ),
        (r#"{"resourceType":"Patient"} x"#, Fault::NotJson, "Resource"),
        (r#"{"resourceType":"Human"}"#, Fault::ResourceInvalid, "Resource"),
        (r#"{"id":"a"}"#, Fault::ResourceInvalid, "Resource"),
        (r#"[{"a":1}]"#, Fault::ResourceInvalid, "Resource"),
        ("12", Fault::ResourceInvalid, "Resource"),
        ("no JSON", Fault::NotJson, "Resource"),
        ("", Fault::NotJson, "Resource"),
        (r#"{"resourceType":"Patient","a":"#, Fault::NotJson, "Patient.a"),
        (
            "{\"resourceType\":\"Patient\",\"a\":\"\0\"}",
            Fault::NotJson,
            "Patient.a",
        ),
        (
            r#"{"id":"a","b":{"resourceType":"Patient","c":""}}"#,
            Fault::EmptyValue,
            "Resource.b.c",
        ),
    ];
    for (text, fault, path) in cases {
        assert_eq!(refused(text), (fault, path.to_owned()), "{text}");
    }
    for bytes in [&b"\xef\xbb\xbf{}"[..], b"{\"resourceType\":\"Patient\",\"a\":\"\xff\"}"] {
        assert_eq!(
            screen(bytes, &ScreenLimits::request()).expect_err("refused").fault(),
            Fault::NotUtf8
        );
    }
}

#[test]
fn bombs_are_refused_at_once() {
    let deep = format!("{{\"resourceType\":\"Patient\",\"a\":{}", "{\"a\":[".repeat(100_000));
    assert_eq!(refused(&deep).0, Fault::TooDeep);
    assert_eq!(refused(&"{\"a\":".repeat(100_000)).0, Fault::TooDeep);
    let many: String = (0..1_000_000).map(|i| format!(",\"k{i}\":1")).collect();
    assert_eq!(
        refused(&format!("{{\"resourceType\":\"Patient\"{many}}}")).0,
        Fault::ResourceInvalid
    );
    let values = format!("{{\"resourceType\":\"Patient\",\"a\":[1{}]}}", ",1".repeat(1 << 20));
    assert_eq!(refused(&values).0, Fault::TooLarge);
    let digits = format!("{{\"resourceType\":\"Patient\",\"a\":{}}}", "9".repeat(400));
    assert_eq!(refused(&digits).0, Fault::ResourceInvalid);
    let large = vec![b' '; (16 << 20) + 1];
    assert_eq!(
        screen(&large, &ScreenLimits::request()).expect_err("refused").fault(),
        Fault::TooLarge
    );
}

#[test]
fn t_b07_every_value_counts_and_nothing_in_a_string_does() {
    let needs = |text: &str, values: usize| {
        let limits = |values: usize| ScreenLimits {
            values,
            ..ScreenLimits::request()
        };
        assert!(screen(text.as_bytes(), &limits(values)).is_ok(), "{text}");
        let failure = screen(text.as_bytes(), &limits(values - 1)).expect_err("one too many");
        assert_eq!(failure.fault(), Fault::TooLarge, "{text}");
    };
    needs(r#"{"resourceType":"Basic"}"#, 2);
    needs(" {\n\"resourceType\" : \"Basic\" }\t", 2);
    needs(r#"{"resourceType":"Basic","a":"[1,2,{\"b\":[3]}],\\"}"#, 3);
    needs(r#"{"resourceType":"Basic","a":"\\\"[[[,,,","b":true}"#, 4);
    needs(r#"{"resourceType":"Basic","a":[1,2,3]}"#, 6);
    needs(
        r#"{"resourceType":"Basic","a":[{"b":{"c":[false,-1.5e3]}},{"b":"x"}]}"#,
        10,
    );
    needs(r#"{"resourceType":"Basic","a":["x",null],"_a":[null,{"id":"i"}]}"#, 9);
}

#[test]
fn t_b07_a_request_of_many_small_values_is_refused_where_they_become_too_many() {
    let most = ScreenLimits::request().values;
    let of = |count: usize| format!("{{\"resourceType\":\"Basic\",\"a\":[1{}]}}", ",1".repeat(count - 1));
    // The object, its type and the array count as well.
    assert!(screen(of(most - 3).as_bytes(), &ScreenLimits::request()).is_ok());
    for count in [most - 2, 480_000] {
        assert_eq!(refused(&of(count)), (Fault::TooLarge, format!("Basic.a[{}]", most - 3)));
    }
    // Nothing behind the first value too many is read.
    let cut_off = of(most).replace("]}", "");
    assert_eq!(refused(&cut_off).0, Fault::TooLarge);
}

/// JSON that FHIR allows: element names, no empty values, no nulls.
fn fhirlike() -> impl Strategy<Value = serde_json::Value> {
    let leaf = prop_oneof![
        any::<bool>().prop_map(serde_json::Value::from),
        any::<i64>().prop_map(serde_json::Value::from),
        "[ -~äß€😀\n\t\\\\\"]{1,20}".prop_map(serde_json::Value::from),
    ];
    leaf.prop_recursive(6, 64, 5, |inner| {
        let object = prop::collection::btree_map("[a-z][a-zA-Z]{0,8}", inner, 1..5);
        prop_oneof![
            object
                .clone()
                .prop_map(|map| serde_json::Value::Object(map.into_iter().collect())),
            prop::collection::vec(object, 1..4).prop_map(|maps| maps
                .into_iter()
                .map(|m| serde_json::Value::Object(m.into_iter().collect()))
                .collect()),
        ]
    })
}

fn document() -> impl Strategy<Value = serde_json::Value> {
    prop::collection::btree_map("[b-q][a-zA-Z]{0,8}", fhirlike(), 0..5).prop_map(|map| {
        let mut object = serde_json::Map::new();
        object.insert("resourceType".into(), "Basic".into());
        object.extend(map);
        serde_json::Value::Object(object)
    })
}

proptest! {
    #[test]
    fn what_serde_json_writes_passes_with_every_value_where_it_stands(document in document(), pretty in any::<bool>()) {
        let text = if pretty { serde_json::to_vec_pretty(&document) } else { serde_json::to_vec(&document) }.expect("json");
        let screened = screen(&text, &ScreenLimits::request()).expect("passes");
        for value in screened.values() {
            let parsed: serde_json::Value = serde_json::from_slice(value.raw()).expect("each span is JSON");
            if let Some(text) = value.text() {
                prop_assert_eq!(parsed.as_str(), Some(text.as_ref()));
            }
        }
    }

    #[test]
    fn what_passes_after_a_cut_or_a_changed_byte_is_json_for_serde_too(
        document in document(), at in any::<prop::sample::Index>(), byte in any::<u8>(), cut in any::<bool>(),
    ) {
        let mut text = serde_json::to_vec(&document).expect("json");
        let at = at.index(text.len());
        if cut { text.truncate(at) } else { text[at] = byte }
        if screen(&text, &ScreenLimits::request()).is_ok() {
            prop_assert!(serde_json::from_slice::<serde_json::Value>(&text).is_ok());
        } else if serde_json::from_slice::<serde_json::Value>(&text).is_err() {
            // Refused by both.
        }
    }

    #[test]
    fn arbitrary_bytes_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        let _ = screen(&bytes, &ScreenLimits::request());
    }

    #[test]
    fn json_like_bytes_never_panic(text in "[\\{\\}\\[\\]\":,a_0e.\\-\\\\u nulltrue]{0,80}") {
        let _ = screen(text.as_bytes(), &ScreenLimits::request());
        let _ = screen(format!("{{\"resourceType\":\"Basic\",{text}").as_bytes(), &ScreenLimits::request());
    }
}
