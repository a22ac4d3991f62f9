//! The ledger entries of disclosures, whichever way they were written: canonical bytes that open with what stands beside them, durable
//! before the answer, and none where nothing was found.

use crate::support::client::ALL_SCOPES;
use crate::support::matched::Matched;
use crate::support::store::TestStore;
use causeway::audit::commitment;
use causeway::error::Fault;
use causeway::store::ledger::NewEntry;
use causeway::store::schema::{grants, ledger_entry};
use diesel::prelude::*;
use serde_json::Value;
use std::time::{Duration, Instant};

type Row = (String, Vec<u8>, Option<String>, Option<Vec<u8>>);

fn rows(payer: &Matched, correlation: &str) -> Vec<Row> {
    ledger_entry::table
        .filter(ledger_entry::correlation_id.eq(correlation))
        .order(ledger_entry::id)
        .select((
            ledger_entry::action,
            ledger_entry::entry,
            ledger_entry::subject,
            ledger_entry::subject_salt,
        ))
        .load(&mut payer.payer.db())
        .expect("rows")
}

/// What an entry says, after its bytes were found canonical and its commitments open.
#[track_caller]
fn opened(row: &Row, patient: &str, consent: &str) -> Value {
    let entry: Value = serde_json::from_slice(&row.1).expect("JSON");
    assert_eq!(
        entry.to_string().as_bytes(),
        row.1,
        "keys are sorted, and nothing is escaped in vain"
    );
    assert_eq!(row.2.as_deref(), Some(patient));
    let salt: [u8; 32] = row.3.clone().expect("a salt").try_into().expect("32 bytes");
    assert_eq!(entry["object"]["id_commit"], commitment("object", &salt, patient));
    assert_eq!(entry["consent"]["id_commit"], commitment("consent", &salt, consent));
    entry
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_entry_of_a_disclosure_is_canonical_and_opens_with_its_salt() {
    let payer = Matched::start(2).await;
    let consent: String = grants::table
        .filter(grants::patient_id.eq(&payer.id))
        .select(grants::consent_id)
        .first(&mut payer.payer.db())
        .expect("a grant");
    let patient = format!("/Patient/{}", payer.id);
    let whole = payer.get(&patient, &[]).await;
    let version = format!(
        "{patient}/_history/{}",
        whole.header("etag").trim_start_matches("W/").trim_matches('"')
    );
    let ways = [
        ("read", patient.clone()),
        ("version", version),
        ("everything", format!("{patient}/$everything")),
        ("search", format!("/Observation?patient={}", payer.id)),
    ];
    for (correlation, path) in &ways {
        payer
            .get(path, &[("x-correlation-id", correlation)])
            .await
            .assert_status(200);
        // The first is there when the answer is.
        let rows_then = rows(&payer, correlation);
        let begun = rows_then.first().unwrap_or_else(|| panic!("{path}: nothing was begun"));
        let entry = opened(begun, &payer.id, &consent);
        assert_eq!(
            (entry["action"].as_str(), entry["consent"]["rule"].as_str()),
            (Some("disclosure.begun"), Some("regular")),
            "{path}"
        );
        payer
            .payer
            .await_ledger(correlation, &["disclosure.begun", "disclosure.completed"])
            .await;
        let both = rows(&payer, correlation);
        let end = opened(&both[1], &payer.id, &consent);
        assert_ne!(both[0].3, both[1].3, "each entry has a secret of its own");
        assert_eq!(end["outcome"]["class"], "ok", "{path}");
        let same = |key: &str| assert_eq!(end[key], entry[key], "{path}: {key}");
        ["actor", "partner", "policy_version", "request_id"]
            .iter()
            .for_each(|key| same(key));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_is_begun_where_nothing_is_found() {
    let payer = Matched::start(3).await;
    let other = payer.payer.member(2).patient_id;
    let narrowed = {
        let assertion = payer.client.assertion().sign(&payer.client.key);
        let patient = format!("Patient/{}", payer.id);
        let form = [
            ("grant_type", "client_credentials"),
            ("scope", ALL_SCOPES),
            (
                "client_assertion_type",
                "urn:ietf:params:oauth:client-assertion-type:jwt-bearer",
            ),
            ("client_assertion", assertion.as_str()),
            ("patient", patient.as_str()),
        ];
        let sent = payer.client.http.post(format!("{}/oauth/token", payer.client.origin));
        let reply: Value = sent
            .form(&form)
            .send()
            .await
            .expect("an answer")
            .json()
            .await
            .expect("JSON");
        reply["access_token"].as_str().expect("a token").to_owned()
    };
    for (correlation, path) in [
        ("other", format!("/Patient/{other}")),
        ("other-record", format!("/Patient/{other}/$everything")),
        ("version-2", format!("/Patient/{}/_history/2", payer.id)),
        ("version-01", format!("/Patient/{}/_history/01", payer.id)),
        ("version-x", format!("/Patient/{}/_history/x", payer.id)),
        ("absent", "/Observation/none".to_owned()),
    ] {
        let reply = payer.get(&path, &[("x-correlation-id", correlation)]).await;
        reply.assert_outcome(Fault::NotFound);
        payer.payer.assert_ledger(correlation, &["disclosure.refused"]);
    }
    // A second grant, which a token that is narrowed to the first member does not reach.
    let wide = payer.bearer.trim_start_matches("Bearer ").to_owned();
    let body = payer.payer.request(2, causeway::synth::Variation::Exact);
    let (second, _) = payer.client.matched(&wide, &body).await;
    assert_eq!(second, other);
    payer.get(&format!("/Patient/{other}"), &[]).await.assert_status(200);
    payer
        .client
        .get(&narrowed, &format!("Patient/{}", payer.id))
        .await
        .assert_status(200);
    let reply = payer.client.get(&narrowed, &format!("Patient/{other}")).await;
    reply.assert_outcome(Fault::NotFound);
    payer
        .payer
        .assert_ledger(reply.header("x-correlation-id"), &["disclosure.refused"]);
}

fn entry(id: &str) -> NewEntry {
    NewEntry {
        id: id.to_owned(),
        at_us: 1,
        action: "disclosure.completed",
        partner_id: None,
        exchange_id: None,
        correlation_id: "later".to_owned(),
        request_id: None,
        entry: b"{}".to_vec(),
        subject: None,
        salt: [0; 32],
        note: None,
    }
}

fn count(store: &TestStore) -> i64 {
    store
        .read_blocking(|db| Ok(ledger_entry::table.count().get_result(db)?))
        .expect("a count")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn entries_that_follow_answers_share_a_write_and_none_keeps_another_back() {
    let store = TestStore::fresh();
    let before = store.commits();
    for number in 0..1_200 {
        store.append_later(entry(&format!("a-{number:04}")));
    }
    let waited = Instant::now();
    while store.owes() > 0 {
        assert!(waited.elapsed() < Duration::from_secs(60), "{} are owed", store.owes());
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    assert_eq!(count(&store), 1_200);
    let commits = store.commits() - before;
    assert!((1..100).contains(&commits), "{commits} commits for 1,200 entries");

    // One that was written before does no harm to those that are written with it, now or when each is tried alone.
    for id in ["b-1", "a-0007", "b-2"] {
        store.append_later(entry(id));
    }
    store.flush().await;
    while store.owes() > 0 {
        assert!(waited.elapsed() < Duration::from_secs(90), "{} are owed", store.owes());
        store.pay().await;
    }
    assert_eq!(count(&store), 1_202);

    // Those that a request waits for are there when it goes on.
    let rows = vec![entry("c-1"), entry("c-2")];
    store.append(rows).await.expect("durable");
    assert_eq!(count(&store), 1_204);
}
