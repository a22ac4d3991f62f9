//! Connections that fall silent, are cut, or are not made: no call waits for ever, and no place is held.

use super::{assert_told_to_wait, is_ready, proxied, through_proxy, until_ready};
use crate::store::insert;
use crate::support::client::{ALL_SCOPES, Client, MATCH_SCOPE, Reply};
use crate::support::payer::TestPayer;
use crate::support::postgres;
use crate::support::store::{Place, on_postgres};
use causeway::error::Fault;
use causeway::store::schema::operator_token;
use causeway::store::{Store, StoreOptions, StoreUrl};
use causeway::synth::Variation;
use diesel::prelude::*;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Our deadline for a statement (5 s at the server, 1.5 s of grace), with what a loaded machine adds.
const GIVEN_UP: Duration = Duration::from_secs(12);
/// From the trouble's end to good answers: 5 s, with slack.
const RECOVERED: Duration = Duration::from_secs(8);

async fn matched(client: &Client, token: &str, body: &[u8]) -> Reply {
    client.post_match(token, body.to_vec(), &[]).await
}

/// Waits for a good answer; what comes before it tells to wait.
async fn until_matched(client: &Client, token: &str, body: &[u8], longest: Duration) -> Duration {
    let began = Instant::now();
    loop {
        let reply = matched(client, token, body).await;
        if reply.status == 200 {
            return began.elapsed();
        }
        assert_told_to_wait(&reply);
        assert!(began.elapsed() < longest, "no good answer after {:?}", began.elapsed());
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn connections_that_stay_silent_are_given_up_and_new_ones_are_made() {
    if !on_postgres() {
        return;
    }
    let (mut payer, client) = TestPayer::prepare(4);
    let (proxy, url) = proxied(&payer);
    payer.serve_with(&[("DATABASE_URL", &url)]);
    let token = client.token(MATCH_SCOPE).await;
    let body = payer.request(2, Variation::Exact).to_string().into_bytes();
    let ask = || async { matched(&client, &token, &body).await };
    // So many at once that the whole pool is in use.
    let warm = futures_util::future::join_all((0..12).map(|_| ask())).await;
    assert!(warm.iter().any(|reply| reply.status == 200));

    proxy.silence_what_stands();
    let before = proxy.accepted();
    let began = Instant::now();
    for reply in futures_util::future::join_all((0..12).map(|_| ask())).await {
        if reply.status != 200 {
            assert_told_to_wait(&reply);
        }
    }
    assert!(began.elapsed() < GIVEN_UP, "{:?}", began.elapsed());
    until_matched(&client, &token, &body, RECOVERED).await;
    for reply in futures_util::future::join_all((0..12).map(|_| ask())).await {
        reply.assert_status(200);
    }
    assert!(proxy.accepted() > before);
    until_ready(&payer.ops, RECOVERED).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_silent_database_is_answered_503_and_served_again_within_five_seconds() {
    if !on_postgres() {
        return;
    }
    let (mut payer, client) = TestPayer::prepare(4);
    let (proxy, url) = proxied(&payer);
    payer.serve_with(&[("DATABASE_URL", &url)]);
    let token = client.token(MATCH_SCOPE).await;
    let body = payer.request(2, Variation::Exact).to_string().into_bytes();
    matched(&client, &token, &body).await.assert_status(200);

    proxy.silent();
    let asked = futures_util::future::join_all((0..20).map(|_| matched(&client, &token, &body)));
    let began = Instant::now();
    let (replies, ready) = tokio::join!(asked, is_ready(&payer.ops));
    assert!(!ready);
    assert!(
        began.elapsed() < GIVEN_UP + Duration::from_secs(5),
        "{:?}",
        began.elapsed()
    );
    for reply in &replies {
        assert_told_to_wait(reply);
    }
    proxy.forward();
    until_matched(&client, &token, &body, RECOVERED).await;
    until_ready(&payer.ops, RECOVERED).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_database_that_cuts_and_refuses_is_served_again_at_once() {
    if !on_postgres() {
        return;
    }
    let (mut payer, client) = TestPayer::prepare(4);
    let (proxy, url) = proxied(&payer);
    payer.serve_with(&[("DATABASE_URL", &url)]);
    let token = client.token(MATCH_SCOPE).await;
    let body = payer.request(2, Variation::Exact).to_string().into_bytes();
    futures_util::future::join_all((0..12).map(|_| matched(&client, &token, &body))).await;

    // A restart that nobody noticed: writes find out before they have done anything, and go on.
    proxy.cut();
    tokio::time::sleep(Duration::from_millis(100)).await;
    until_matched(&client, &token, &body, RECOVERED).await;

    proxy.refuse();
    tokio::time::sleep(Duration::from_millis(100)).await;
    let began = Instant::now();
    for reply in futures_util::future::join_all((0..20).map(|_| matched(&client, &token, &body))).await {
        assert_told_to_wait(&reply);
    }
    assert!(began.elapsed() < GIVEN_UP && !is_ready(&payer.ops).await);
    proxy.forward();
    until_matched(&client, &token, &body, RECOVERED).await;
    until_ready(&payer.ops, RECOVERED).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_call_that_was_given_up_commits_nothing_afterwards() {
    if !on_postgres() {
        return;
    }
    let place = Place::fresh();
    let (proxy, url) = through_proxy(&place);
    let url = StoreUrl::parse(&url).expect("a store address");
    let store = Store::open(
        &url,
        &StoreOptions {
            connections: 2,
            ..StoreOptions::default()
        },
    )
    .expect("opens");
    store.limit_statements(Duration::from_secs(1));
    let proxy = Arc::new(proxy);
    let held = Arc::clone(&proxy);
    let began = Instant::now();
    let failed = store
        .write(move |db| {
            insert(db, vec![1])?;
            held.silent();
            diesel::sql_query("SELECT 1").execute(db)?;
            Ok(())
        })
        .await
        .expect_err("given up");
    assert_eq!(failed.fault(), Fault::StoreSlow, "{:?}", failed.cause());
    assert!(began.elapsed() < Duration::from_secs(6), "{:?}", began.elapsed());
    // The statement is answered after all, and the work ends well. Nobody waits for it any more.
    proxy.forward();
    tokio::time::sleep(Duration::from_millis(500)).await;
    store.write(|db| insert(db, vec![2])).await.expect("a write");
    let rows: Vec<Vec<u8>> = store
        .read(|db| Ok(operator_token::table.select(operator_token::hash).load(db)?))
        .await
        .expect("rows");
    assert_eq!(rows, [vec![2]]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn reads_do_not_meet_a_connection_that_ended_while_it_lay_idle() {
    if !on_postgres() {
        return;
    }
    let (mut payer, client) = TestPayer::prepare(4);
    let (proxy, url) = proxied(&payer);
    payer.serve_with(&[("DATABASE_URL", &url)]);
    let token = client.token(ALL_SCOPES).await;
    let (patient, _) = client.matched(&token, &payer.request(2, Variation::Exact)).await;
    // As a balancer does, or a restart: connections end between two requests.
    for _ in 0..6 {
        proxy.cut();
        tokio::time::sleep(Duration::from_millis(400)).await;
        client
            .get(&token, &format!("Patient/{patient}"))
            .await
            .assert_status(200);
    }
    // As a role with a time limit does.
    postgres::execute("postgres", "ALTER ROLE postgres SET idle_session_timeout = '300ms'");
    proxy.cut();
    let mut seen = Vec::new();
    for _ in 0..4 {
        tokio::time::sleep(Duration::from_millis(600)).await;
        seen.push(client.get(&token, &format!("Patient/{patient}")).await.status);
    }
    postgres::execute("postgres", "ALTER ROLE postgres RESET idle_session_timeout");
    assert_eq!(seen, [200; 4]);
}
