//! The ends of disclosures when the store does not take them, and when the process does not live to write them.

use super::{proxied, until_ready};
use crate::store::insert;
use crate::support::client::ALL_SCOPES;
use crate::support::payer::TestPayer;
use crate::support::store::{TestStore, on_postgres};
use causeway::error::Fault;
use causeway::store::Db;
use causeway::synth::Variation;
use diesel::connection::SimpleConnection as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

/// What comes sooner or later has come by then, on a busy machine too.
const LONG: Duration = Duration::from_secs(60);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_owed_is_kept_until_the_store_takes_it_and_is_written_once() {
    let store = TestStore::fresh();
    let is_out = Arc::new(AtomicBool::new(true));
    let tried: Arc<[AtomicBool; 3]> = Arc::default();
    for number in 0..3_u8 {
        let (is_out, tried) = (Arc::clone(&is_out), Arc::clone(&tried));
        store.write_surely(Arc::new(move |db: &mut Db| match is_out.load(Ordering::Relaxed) {
            true => {
                tried[usize::from(number)].store(true, Ordering::Relaxed);
                Err(Fault::StoreUnavailable.into())
            }
            false => insert(db, vec![number]),
        }));
    }
    // One that was committed although nobody heard of it.
    store.write(|db| insert(db, vec![1])).await.expect("a write");
    let began = Instant::now();
    while !tried.iter().all(|tried| tried.load(Ordering::Relaxed)) {
        assert!(began.elapsed() < LONG, "{tried:?}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    store.pay().await;
    assert_eq!(store.owes(), 3, "the store is still out of reach");
    is_out.store(false, Ordering::Relaxed);
    while store.owes() > 0 {
        assert!(began.elapsed() < LONG, "{} are owed", store.owes());
        store.pay().await;
    }
    let rows: i64 = store
        .read_blocking(|db| {
            use diesel::prelude::*;
            Ok(causeway::store::schema::operator_token::table.count().get_result(db)?)
        })
        .expect("a count");
    assert_eq!(rows, 3);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stream_that_the_database_cut_gets_its_end_when_the_database_is_back() {
    if !on_postgres() {
        return;
    }
    let (mut payer, client) = TestPayer::prepare(4);
    let (proxy, url) = proxied(&payer);
    payer.serve_with(&[("DATABASE_URL", &url)]);
    let token = client.token(ALL_SCOPES).await;
    let body = payer.request(2, Variation::Exact).to_string().into_bytes();
    client.post_match(&token, body, &[]).await.assert_status(200);
    let mut tries = 0;
    let name = loop {
        let name = format!("cut-{tries}");
        // The stream begins, and waits for its first rows.
        let mut other = payer.db();
        let Db::Pg(holder) = &mut other else { unreachable!() };
        holder
            .batch_execute("BEGIN; LOCK TABLE resource IN ACCESS EXCLUSIVE MODE")
            .expect("a lock");
        let request = client
            .http
            .get(format!(
                "{}/fhir/Patient/{}/$everything",
                client.origin,
                payer.member(2).patient_id
            ))
            .bearer_auth(&token)
            .header("X-Correlation-Id", &name);
        let stream = tokio::spawn(async move { request.send().await?.bytes().await });
        let begun = Instant::now();
        while payer.ledger(&name).is_empty() {
            assert!(begun.elapsed() < LONG, "{name} does not begin");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        proxy.refuse();
        let _ = stream.await.expect("no panic");
        holder.batch_execute("ROLLBACK").expect("let go");
        tokio::time::sleep(Duration::from_secs(1)).await;
        // It waits for the rows for three seconds. A busy machine may be later with the cut: then once more.
        let written = payer.ledger(&name);
        proxy.forward();
        if written == ["disclosure.begun"] {
            break name;
        }
        tries += 1;
        assert!(written.len() == 2 && tries < 10, "{written:?}");
        until_ready(&payer.ops, LONG).await;
    };
    let back = Instant::now();
    while payer.ledger(&name).len() < 2 {
        assert!(back.elapsed() < LONG, "{:?}\n{}", payer.ledger(&name), payer.log());
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    assert_eq!(ends(&payer, &name), ["failed"]);
}

/// Waits until a disclosure has its beginning and its end. Both may fall into one millisecond, so their order is not looked at.
async fn until_ended(payer: &TestPayer, correlation: &str) {
    let began = Instant::now();
    loop {
        let mut actions = payer.ledger(correlation);
        actions.sort();
        if actions == ["disclosure.begun", "disclosure.completed"] {
            return;
        }
        assert!(began.elapsed() < LONG, "{correlation}: {actions:?}\n{}", payer.log());
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_disclosure_that_a_crash_cut_is_ended_as_unknown_at_the_next_start() {
    let (mut payer, client) = TestPayer::start(4);
    let token = client.token(ALL_SCOPES).await;
    let body = payer.request(2, Variation::Exact).to_string().into_bytes();
    client.post_match(&token, body, &[]).await.assert_status(200);
    let read = |name: &'static str| {
        let request = client
            .http
            .get(format!("{}/fhir/Patient/{}", client.origin, payer.member(2).patient_id))
            .bearer_auth(&token)
            .header("X-Correlation-Id", name);
        async move { assert_eq!(request.send().await.expect("an answer").status(), 200) }
    };
    read("whole").await;
    read("lost").await;
    until_ended(&payer, "whole").await;
    until_ended(&payer, "lost").await;
    payer.kill();
    // As it is when the process ends between the two moves.
    let mut statements =
        "DELETE FROM ledger_entry WHERE correlation_id = 'lost' AND action = 'disclosure.completed';".to_owned();
    if on_postgres() {
        // Another process may still be sending what began lately: there it has to be old. Ids are in the order of time.
        statements.push_str(
            "UPDATE ledger_entry SET id = '01900000' || substr(id, 9) WHERE correlation_id = 'lost'; \
             UPDATE disclosure_end_state SET upto = '';",
        );
    }
    payer.db().batch_execute(&statements).expect("a crash");
    payer.serve();
    until_ended(&payer, "lost").await;
    assert_eq!(ends(&payer, "lost"), ["unknown"]);
    assert_eq!(ends(&payer, "whole"), ["ok"]);
    payer.kill();
    payer.serve();
    assert_eq!(ends(&payer, "lost"), ["unknown"], "once");
    let patient = format!("Patient/{}", payer.member(2).patient_id);
    let listed = payer.json_command(&["disclosures", "--member", &patient]);
    let lost = listed
        .as_array()
        .expect("items")
        .iter()
        .find(|item| item["correlation_id"] == "lost")
        .expect("the disclosure")
        .clone();
    assert_eq!(lost["outcome"], "begun", "it may have been made: {lost}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn t_f18_lost_ends_are_looked_for_beside_the_service_and_never_before_it() {
    if !on_postgres() {
        return;
    }
    let (mut payer, client) = TestPayer::start(4);
    payer.kill();
    let mut other = payer.db();
    let Db::Pg(holder) = &mut other else { unreachable!() };
    holder
        .batch_execute("BEGIN; LOCK TABLE disclosure_end_state IN ACCESS EXCLUSIVE MODE")
        .expect("a lock");
    let began = Instant::now();
    payer.serve();
    client.token(ALL_SCOPES).await;
    assert!(
        began.elapsed() < Duration::from_secs(30),
        "served after {:?}",
        began.elapsed()
    );
    // The search still waits, and the stop does not.
    let stopped = Instant::now();
    assert_eq!(payer.terminate(), Some(0), "{}", payer.log());
    assert!(
        stopped.elapsed() < Duration::from_secs(30),
        "stopped after {:?}",
        stopped.elapsed()
    );
    holder.batch_execute("ROLLBACK").expect("let go");
}

/// How the disclosures under a correlation id ended.
fn ends(payer: &TestPayer, correlation: &str) -> Vec<String> {
    use causeway::store::schema::ledger_entry;
    use diesel::prelude::*;
    let rows: Vec<Vec<u8>> = ledger_entry::table
        .filter(ledger_entry::correlation_id.eq(correlation))
        .filter(ledger_entry::action.eq("disclosure.completed"))
        .select(ledger_entry::entry)
        .load(&mut payer.db())
        .expect("rows");
    rows.iter()
        .map(|bytes| serde_json::from_slice::<serde_json::Value>(bytes).expect("json"))
        .map(|entry| entry["outcome"]["class"].as_str().expect("a class").to_owned())
        .collect()
}
