//! A flood of refusals: clients' are listed up to a hundred a minute and then counted, strangers' are counted only.

use crate::support::payer::TestPayer;
use crate::support::pki::Kind;
use crate::support::wire::Wire;
use causeway::error::Fault;
use serde_json::{Value, json};

/// The numbers of all counted refusals, and how many refusals are listed singly.
fn recorded(payer: &TestPayer, action: &str) -> (Vec<u64>, i64) {
    use diesel::prelude::*;
    use diesel::sql_types::Binary;
    #[derive(QueryableByName)]
    struct Row {
        #[diesel(sql_type = Binary)]
        entry: Vec<u8>,
    }
    let query = format!("SELECT entry FROM ledger_entry WHERE action = '{action}' ORDER BY id");
    let rows = diesel::sql_query(query).load::<Row>(&mut payer.db()).expect("rows");
    let entries: Vec<Value> = rows
        .iter()
        .map(|row| serde_json::from_slice(&row.entry).expect("json"))
        .collect();
    let counts: Vec<u64> = entries
        .iter()
        .filter_map(|entry| entry["counts"]["refusals"].as_u64())
        .collect();
    let singly = entries.len() - counts.len();
    (counts, i64::try_from(singly).expect("few"))
}

#[tokio::test]
async fn a_flood_of_refusals_is_listed_a_hundred_times_a_minute_and_then_counted() {
    const SENT: u64 = 260;
    let (mut payer, client) = TestPayer::start(1);
    let mut ids = Vec::new();
    for _ in 0..SENT {
        let reply = client.send("GET", "/fhir/no/such/place", &[], "").await;
        reply.assert_outcome(Fault::RouteUnknown);
        ids.push(reply.header("x-request-id").to_owned());
    }
    payer.terminate();
    let (counts, singly) = recorded(&payer, "request.refused");
    assert_eq!(singly.unsigned_abs() + counts.iter().sum::<u64>(), SENT);
    // All in one minute, or in two: at least one of them had more than a hundred.
    assert!(
        (100..=200).contains(&singly) && (1..=2).contains(&counts.len()),
        "{singly} {counts:?}"
    );
    // Wherever a new minute began: one of these is listed in a minute with more, and one left nothing of its own.
    let told = |id: &str| payer.json_command(&["trace", id])[0].clone();
    let further = [&ids[0], &ids[100]].map(|id| told(id));
    let further = further
        .iter()
        .find(|item| item["further"].is_u64())
        .expect("one in a full minute");
    assert_eq!((&further["reason"], &further["http"]), (&json!("RQ-010"), &json!(404)));
    let note = further["note"].as_str().expect("a note");
    assert!(
        note.contains("further refusals of this client and reason were counted"),
        "{note}"
    );
    let unlisted = [&ids[100], &ids[SENT as usize - 1]].map(|id| told(id));
    let unlisted = unlisted
        .iter()
        .find(|item| item["counted"].is_u64())
        .expect("one that is only counted");
    assert!(
        counts.contains(&unlisted["counted"].as_u64().expect("a number")),
        "{unlisted}"
    );
}

#[tokio::test]
async fn strangers_are_counted_and_never_listed() {
    let (mut payer, client) = TestPayer::start(1);
    let wire = Wire::new(&payer, None);
    for _ in 0..30 {
        wire.send("GET", "/fhir/Patient/x", &[])
            .assert_outcome(Fault::TokenMissing);
    }
    let unknown = Wire::new(
        &payer,
        Some(&payer.pki.client("https://unknown.example/fhir", Kind::Good)),
    );
    let last = unknown.send("GET", "/fhir/Patient/x", &[]);
    last.assert_outcome(Fault::CertificateUnknown);
    drop(client);
    payer.terminate();
    let (counts, singly) = recorded(&payer, "request.refused");
    assert_eq!((singly, counts.iter().sum::<u64>()), (0, 31), "{counts:?}");
    assert!(counts.len() <= 4, "one for each reason and minute");
    let told = payer.json_command(&["trace", last.header("x-request-id")]);
    let reasons: Vec<&str> = told
        .as_array()
        .expect("a list")
        .iter()
        .filter_map(|item| item["reason"].as_str())
        .collect();
    assert!(reasons.contains(&Fault::CertificateUnknown.code()), "{told}");
}
