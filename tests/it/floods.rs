//! A flood of refusals: clients' are listed up to a hundred a minute and then counted, strangers' are counted only.

use crate::support::payer::TestPayer;
use crate::support::pki::Kind;
use crate::support::wire::Wire;
use causeway::error::Fault;
use serde_json::{Value, json};
use std::time::{Duration, Instant};

/// The number of this minute.
fn minute() -> i64 {
    chrono::Utc::now().timestamp().div_euclid(60)
}

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
    const FLOOD: usize = 130;
    let (mut payer, client) = TestPayer::start(1);
    // Until there is a minute with so many, wherever minutes begin and however slow the machine is.
    let (first, began) = (minute(), Instant::now());
    let (mut ids, mut last, mut of_last) = (Vec::new(), first, 0);
    while of_last < FLOOD {
        assert!(
            began.elapsed() < Duration::from_secs(300),
            "{} refusals, {of_last} in the last minute",
            ids.len()
        );
        let reply = client.send("GET", "/fhir/no/such/place", &[], "").await;
        reply.assert_outcome(Fault::RouteUnknown);
        ids.push(reply.header("x-request-id").to_owned());
        let now = minute();
        of_last = if now == last { of_last + 1 } else { 1 };
        last = now;
    }
    payer.terminate();
    let (counts, singly) = recorded(&payer, "request.refused");
    assert_eq!(singly.unsigned_abs() + counts.iter().sum::<u64>(), ids.len() as u64);
    // A hundred of the last minute, and no more of any other.
    let minutes = (last - first).unsigned_abs() + 1;
    assert!(
        (100..=100 * minutes).contains(&singly.unsigned_abs()) && (1..=minutes).contains(&(counts.len() as u64)),
        "{singly} {counts:?} in {minutes} minutes"
    );
    // Of the last minute the first one may have come when the minute before was not over. The next one is listed, and the last one left nothing
    // of its own.
    let told = |id: &str| payer.json_command(&["trace", id])[0].clone();
    let further = told(&ids[ids.len() - of_last + 1]);
    assert!(further["further"].is_u64(), "one in a full minute: {further}");
    assert_eq!((&further["reason"], &further["http"]), (&json!("RQ-010"), &json!(404)));
    let note = further["note"].as_str().expect("a note");
    assert!(
        note.contains("further refusals of this client and reason were counted"),
        "{note}"
    );
    let unlisted = told(&ids[ids.len() - 1]);
    assert!(
        unlisted["counted"]
            .as_u64()
            .is_some_and(|count| counts.contains(&count)),
        "one that is only counted: {unlisted}"
    );
}

#[tokio::test]
async fn strangers_are_counted_and_never_listed() {
    let (mut payer, client) = TestPayer::start(1);
    let wire = Wire::new(&payer, None);
    let first = minute();
    for _ in 0..30 {
        wire.send("GET", "/fhir/Patient/x", &[])
            .assert_outcome(Fault::TokenMissing);
    }
    let unknown = Wire::new(
        &payer,
        Some(&payer.pki.client("https://unknown.example/fhir", Kind::Good)),
    );
    // Two, of which one at least comes and is counted in the same minute.
    let last = [(); 2].map(|()| unknown.send("GET", "/fhir/Patient/x", &[]));
    for reply in &last {
        reply.assert_outcome(Fault::CertificateUnknown);
    }
    drop(client);
    let minutes = (minute() - first).unsigned_abs() + 1;
    payer.terminate();
    let (counts, singly) = recorded(&payer, "request.refused");
    assert_eq!((singly, counts.iter().sum::<u64>()), (0, 32), "{counts:?}");
    assert!(
        counts.len() as u64 <= 2 * minutes,
        "one for each reason and minute: {counts:?} in {minutes} minutes"
    );
    let told = last
        .each_ref()
        .map(|reply| payer.json_command(&["trace", reply.header("x-request-id")]));
    let mut reasons = told
        .iter()
        .flat_map(|told| told.as_array().expect("a list"))
        .filter_map(|item| item["reason"].as_str());
    assert!(
        reasons.any(|reason| reason == Fault::CertificateUnknown.code()),
        "{told:?}"
    );
}
