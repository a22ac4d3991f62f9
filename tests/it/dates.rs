//! One reading of dates: a search and `$everything` take the same text for the same span of time.

use crate::support::client::ALL_SCOPES;
use crate::support::payer::TestPayer;
use causeway::synth::Variation;
use serde_json::json;

/// Texts of `end` and `start` with whether what was observed at 10:00:00.500 UTC on 2025-03-03 is inside.
const ENDS: &[(&str, bool)] = &[
    ("2025-03-03T10:00:00Z", true),
    ("2025-03-03T05:00:00-05:00", true),
    ("2025-03-03T10:00:00.500Z", true),
    ("2025-03-03T10:00:00.499Z", false),
    ("2025-03-03T09:59:59Z", false),
    ("2025-03-03", true),
    ("2025-03", true),
    ("2025-03-02", false),
];
const STARTS: &[(&str, bool)] = &[
    ("2025-03-03T10:00:00Z", true),
    ("2025-03-03T10:00:00.500Z", true),
    ("2025-03-03T10:00:00.501Z", false),
    ("2025-03-03T10:00:01Z", false),
    ("2025-03-03", true),
    ("2025-03-04", false),
];

#[tokio::test]
async fn everything_and_search_read_the_same_time_from_the_same_text() {
    let (payer, client) = TestPayer::start(1);
    let token = client.token(ALL_SCOPES).await;
    let (patient, _) = client.matched(&token, &payer.request(0, Variation::Exact)).await;
    let line = json!({"resourceType": "Observation", "id": "at-ten", "status": "final", "code": {"text": "a time"},
        "subject": {"reference": format!("Patient/{patient}")}, "effectiveDateTime": "2025-03-03T10:00:00.500Z"});
    std::fs::write(payer.home().join("time.ndjson"), line.to_string()).expect("a file");
    assert_eq!(payer.json_command(&["import", "time.ndjson"])["stored"], 1);
    let all = ENDS
        .iter()
        .map(|row| ("end", "le", row))
        .chain(STARTS.iter().map(|row| ("start", "ge", row)));
    for (name, prefix, (text, inside)) in all {
        let whole = client
            .get(
                &token,
                &format!("Patient/{patient}/$everything?_type=Observation&{name}={text}"),
            )
            .await;
        whole.assert_status(200);
        assert_eq!(whole.text().contains("at-ten"), *inside, "$everything, {name}={text}");
        let found = client
            .get(
                &token,
                &format!("Observation?patient={patient}&_id=at-ten&date={prefix}{text}"),
            )
            .await;
        found.assert_status(200);
        // The link of the answer names the id as well.
        let is_found = found.json()["entry"].is_array();
        assert_eq!(is_found, *inside, "search, date={prefix}{text}");
    }
    // A search takes a time without a zone and one without seconds; an operation takes what FHIR calls a dateTime.
    for bad in [
        "2025-03-03T10:00:00",
        "2025-03-03 10:00:00Z",
        "2025-03-03T10:00:00%2B15:00",
        "2025-3-3",
    ] {
        for path in [
            format!("Patient/{patient}/$everything?end={bad}"),
            format!("Patient/{patient}/$everything?_since={bad}"),
        ] {
            assert_eq!(client.get(&token, &path).await.status, 400, "{path}");
        }
    }
}
