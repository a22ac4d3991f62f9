//! Everything that ends a grant, against all ways out: each asks for the same live grant, and so does the replay of a stored answer.

use crate::support::client::ALL_SCOPES;
use crate::support::payer::TestPayer;
use causeway::error::Fault;
use causeway::synth::Variation;
use diesel::prelude::*;
use serde_json::{Value, json};

/// What ends a grant, and what restores it.
const ENDS: &[(&str, &str)] = &[
    ("grants SET revoked_ms = created_ms", "grants SET revoked_ms = NULL"),
    (
        "grants SET valid_from_ms = valid_from_ms + 864000000000",
        "grants SET valid_from_ms = valid_from_ms - 864000000000",
    ),
    (
        "grants SET valid_until_ms = valid_until_ms - 864000000000",
        "grants SET valid_until_ms = valid_until_ms + 864000000000",
    ),
    ("consent SET revoked_ms = recorded_ms", "consent SET revoked_ms = NULL"),
    (
        "consent SET period_from_ms = period_from_ms + 864000000000",
        "consent SET period_from_ms = period_from_ms - 864000000000",
    ),
    (
        "consent SET period_to_ms = period_to_ms - 864000000000",
        "consent SET period_to_ms = period_to_ms + 864000000000",
    ),
];

#[tokio::test]
async fn every_way_out_asks_for_the_same_live_grant() {
    let (payer, client) = TestPayer::start(2);
    let token = client.token(ALL_SCOPES).await;
    let body = payer.request(0, Variation::Exact);
    let key = [("idempotency-key", "of-the-grant")];
    let first = client.post_match(&token, body.to_string(), &key).await;
    first.assert_status(200);
    let (patient, umb) = client.matched(&token, &body).await;
    let lines = [
        json!({"resourceType": "Binary", "id": "rule-file", "contentType": "text/plain", "data": "bm90ZQ=="}),
        json!({"resourceType": "DocumentReference", "id": "rule-letter", "status": "current",
            "subject": {"reference": format!("Patient/{patient}")}, "content": [{"attachment": {"url": "Binary/rule-file"}}]}),
    ];
    std::fs::write(
        payer.home().join("file.ndjson"),
        lines.map(|line| line.to_string()).join("\n"),
    )
    .expect("a file");
    assert_eq!(payer.json_command(&["import", "file.ndjson"])["stored"], 2);
    let reads = [
        format!("Patient/{patient}"),
        format!("Patient/{patient}/_history/1"),
        format!("Patient/{patient}/$everything"),
        "DocumentReference/rule-letter".to_owned(),
        "Binary/rule-file".to_owned(),
    ];
    let searches = [
        format!("Patient?_id={patient}&_total=accurate"),
        format!("Patient?identifier={umb}&_total=accurate"),
        format!("DocumentReference?patient={patient}&_total=accurate"),
        "DocumentReference?_sort=_lastUpdated&_total=accurate".to_owned(),
        "DocumentReference?_id=rule-letter&_summary=count".to_owned(),
    ];
    let narrowing = [
        ("grant_type", "client_credentials"),
        ("scope", "system/*.rs"),
        ("patient", umb.as_str()),
    ];
    let execute = |set: &str| {
        let changed = diesel::sql_query(format!("UPDATE {set}")).execute(&mut payer.db());
        assert_eq!(changed.expect("an update"), 1, "{set}");
    };
    let lives = async |why: &str| {
        for path in &reads {
            assert_eq!(client.get(&token, path).await.status, 200, "{path} {why}");
        }
        for path in &searches {
            assert_ne!(client.get(&token, path).await.json()["total"], 0, "{path} {why}");
        }
        client.oauth("/oauth/token", &narrowing).await.assert_status(200);
        let again = client.post_match(&token, body.to_string(), &key).await;
        assert_eq!((again.status, &again.body), (200, &first.body), "{why}");
    };
    lives("at first").await;
    for (ended, restored) in ENDS {
        execute(ended);
        for path in &reads {
            assert_eq!(client.get(&token, path).await.status, 404, "{path} after {ended}");
        }
        for path in &searches {
            let found = client.get(&token, path).await.json();
            assert_eq!(
                (&found["total"], &found["entry"]),
                (&json!(0), &Value::Null),
                "{path} after {ended}"
            );
        }
        let narrowed = client.oauth("/oauth/token", &narrowing).await;
        narrowed.assert_oauth(400, "invalid_target", Fault::OauthTarget);
        let again = client.post_match(&token, body.to_string(), &key).await;
        assert_eq!(
            again.status,
            Fault::ConsentNotHonoured.row().http,
            "{ended}: {}",
            again.text()
        );
        execute(restored);
        lives(restored).await;
    }
}
