//! `causeway import` and what it refuses: exit codes, what is printed, and values that are too long for an index.

use crate::support::payer::TestPayer;
use serde_json::Value;
use std::fs;

const PATIENT: &str = r#"{"resourceType":"Patient","id":"imp","name":[{"family":"Thornbury","given":["Marigold"]}],"gender":"female","birthDate":"1970-01-01"}"#;

/// Exit code, counts, and all that was printed or written.
fn import(payer: &TestPayer, text: &str) -> (i32, Value, String) {
    let home = payer.place.folder.path();
    fs::write(home.join("in.ndjson"), text).expect("written");
    let done = payer.command(&["import", "in.ndjson", "--json", "--rejects", "rejects.ndjson"]);
    let said = String::from_utf8_lossy(&done.stdout).into_owned();
    let rejects = fs::read_to_string(home.join("rejects.ndjson")).unwrap_or_default();
    let all = format!("{said}{}{rejects}", String::from_utf8_lossy(&done.stderr));
    (
        done.status.code().unwrap_or(-1),
        serde_json::from_str(&said).unwrap_or_default(),
        all,
    )
}

/// Each wrong in one place.
const WRONG: &[(&str, &str, &str)] = &[
    (
        r#"{"resourceType":"Patient","name":{"family":"Thornbury","given":["Marigold"]},"id":"s0"}"#,
        "Patient.name",
        "IM-011",
    ),
    (
        r#"{"resourceType":"Patient","name":[{"family":"Thornbury","given":"Marigold"}],"id":"s1"}"#,
        "Patient.name[0].given",
        "IM-011",
    ),
    (
        r#"{"resourceType":"Patient","identifier":{"value":"Marigold"},"id":"s2"}"#,
        "Patient.identifier",
        "IM-011",
    ),
    (
        r#"{"resourceType":"Patient","active":"true","name":[{"family":"Marigold"}],"id":"s3"}"#,
        "Patient.active",
        "IM-011",
    ),
    (
        r#"{"resourceType":"Patient","gender":"M","name":[{"family":"Marigold"}],"id":"s4"}"#,
        "Patient.gender",
        "IM-012",
    ),
    (
        r#"{"resourceType":"Patient","birthDate":"19-01-1990","name":[{"family":"Marigold"}],"id":"s5"}"#,
        "Patient.birthDate",
        "IM-003",
    ),
    (
        r#"{"resourceType":"Condition","id":"s6","code":[{"text":"Marigold"}],"subject":{"reference":"Patient/imp"}}"#,
        "Condition.code",
        "IM-011",
    ),
    (
        r#"{"resourceType":"Observation","id":"s7","status":"nonsense","code":{"text":"Marigold"},"subject":{"reference":"Patient/imp"}}"#,
        "Observation.status",
        "IM-012",
    ),
    (
        r#"{"resourceType":"Coverage","id":"s8","status":"active","subscriberId":"Marigold","beneficiary":{"reference":"Patient/imp"},"payor":{"display":"x"}}"#,
        "Coverage.payor",
        "IM-011",
    ),
    (
        r#"{"resourceType":"Coverage","id":"s9","status":"active","subscriberId":"Marigold","beneficiary":{"reference":"Patient/imp"}}"#,
        "Coverage",
        "IM-013",
    ),
    (
        r#"{"resourceType":"Patient","id":"s10","name":[{"family":"Mari\u0000gold"}]}"#,
        "Patient.name[0].family",
        "RQ-007",
    ),
];

#[test]
fn the_exit_code_of_an_import_says_whether_anything_of_it_could_be_kept() {
    let (payer, _client) = TestPayer::prepare(1);
    let wrong: Vec<&str> = WRONG.iter().map(|row| row.0).collect();
    let (code, counts, all) = import(&payer, &wrong.join("\n"));
    assert_eq!(
        (code, &counts["rejected"], &counts["stored"]),
        (1, &11.into(), &0.into()),
        "{all}"
    );
    assert!(!all.contains("Marigold"), "{all}");

    let (code, counts, all) = import(&payer, &format!("{PATIENT}\n{}", wrong.join("\n")));
    assert_eq!(
        (code, &counts["rejected"], &counts["stored"]),
        (0, &11.into(), &1.into()),
        "{all}"
    );
    assert!(!all.contains("Marigold"), "{all}");
    let rows = all.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
    let mut told: Vec<_> = rows
        .filter(|row| row["line"].is_u64())
        .map(|row| {
            (
                row["line"].as_u64().unwrap_or(0),
                row["expression"].clone(),
                row["fault"].clone(),
            )
        })
        .collect();
    told.sort_by_key(|row| row.0);
    for ((line, place, fault), (number, wrong)) in told.into_iter().zip((2..).zip(WRONG)) {
        assert_eq!(
            (line, place, fault),
            (number, wrong.1.into(), wrong.2.into()),
            "{}",
            wrong.0
        );
    }

    let (code, counts, _) = import(&payer, PATIENT);
    assert_eq!((code, &counts["unchanged"]), (0, &1.into()));
    let (code, counts, _) = import(&payer, &format!("{PATIENT}\n{}", wrong[0]));
    assert_eq!(
        (code, &counts["unchanged"], &counts["rejected"]),
        (0, &1.into(), &1.into())
    );
    assert_eq!(import(&payer, "").0, 0);
    assert_eq!(
        payer.command(&["import", "none.ndjson", "--json"]).status.code(),
        Some(3)
    );
}

#[test]
fn values_of_any_length_go_in_or_are_refused_alone() {
    let (payer, _client) = TestPayer::prepare(1);
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    // Letters that no index can compress.
    let mut long = |count: usize| -> String {
        let mut letter = || {
            state = state
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1_442_695_040_888_963_407);
            char::from(b'a' + ((state >> 33) % 26) as u8)
        };
        (0..count).map(|_| letter()).collect()
    };
    let mut lines = vec![PATIENT.to_owned()];
    for (number, length) in [100, 1_000, 3_000, 20_000, 200_000].into_iter().enumerate() {
        lines.push(format!(
            r#"{{"resourceType":"Patient","id":"p{number}","name":[{{"family":"{}","given":["{}"],"suffix":["{}"]}}],"birthDate":"2000-01-01","identifier":[{{"type":{{"coding":[{{"system":"http://{}","code":"{}"}}]}},"system":"http://{}","value":"{}"}}],"address":[{{"line":["{}"],"city":"{}","state":"{}","postalCode":"{}"}}],"telecom":[{{"system":"email","value":"{}"}}]}}"#,
            long(length), long(length), long(length), long(length), long(length), long(length), long(length), long(length),
            long(length), long(length), long(length), long(length)
        ));
        lines.push(format!(
            r#"{{"resourceType":"Observation","id":"o{number}","status":"final","category":[{{"text":"{}","coding":[{{"system":"http://{}","code":"{}"}}]}}],"code":{{"text":"{}","coding":[{{"system":"http://{}","code":"{}"}}]}},"subject":{{"reference":"Patient/p{number}"}},"encounter":{{"reference":"http://{}"}},"valueString":"{}"}}"#,
            long(length), long(length), long(length), long(length), long(length), long(length), long(length), long(length)
        ));
    }
    let (code, counts, all) = import(&payer, &lines.join("\n"));
    assert_eq!(
        (code, &counts["stored"], &counts["rejected"]),
        (0, &11.into(), &0.into()),
        "{all}"
    );
}
