//! Connections that fall silent, are cut, or are not made: no call waits for ever, and no place is held.

use super::{assert_told_to_wait, database_of, is_ready, proxied, through_proxy, until_ready};
use crate::store::insert;
use crate::support::client::{ALL_SCOPES, Client, MATCH_SCOPE, Reply};
use crate::support::payer::TestPayer;
use crate::support::postgres;
use crate::support::store::{Place, connect, on_postgres};
use causeway::error::Fault;
use causeway::store::schema::operator_token;
use causeway::store::{Store, StoreOptions, StoreUrl};
use causeway::synth::Variation;
use diesel::connection::SimpleConnection as _;
use diesel::prelude::*;
use diesel::sql_types::BigInt;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Our deadline for a statement (5 s at the server, 1.5 s of grace), with what a loaded machine adds. Without one a call waits for ever.
const GIVEN_UP: Duration = Duration::from_secs(60);
/// From the trouble's end to good answers: 5 s, with what a loaded machine adds.
const RECOVERED: Duration = Duration::from_secs(60);

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

    // As many as one address may have in flight before it is known whose they are.
    proxy.silent();
    let asked = futures_util::future::join_all((0..16).map(|_| matched(&client, &token, &body)));
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
    assert!(began.elapsed() < GIVEN_UP, "{:?}", began.elapsed());
    // The statement is answered after all, and the work ends well. Nobody waits for it any more.
    store.limit_statements(Duration::from_secs(29));
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
    // As a role with a time limit does. Here it is the database's, so that sessions of other tests do not end.
    let name = database_of(&payer.place);
    postgres::execute(
        "postgres",
        &format!("ALTER DATABASE {name} SET idle_session_timeout = '300ms'"),
    );
    proxy.cut();
    let mut seen = Vec::new();
    for _ in 0..4 {
        tokio::time::sleep(Duration::from_millis(600)).await;
        seen.push(client.get(&token, &format!("Patient/{patient}")).await.status);
    }
    assert_eq!(seen, [200; 4]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn after_a_failover_from_a_frozen_primary_good_answers_come_before_a_statement_would_end() {
    if !on_postgres() {
        return;
    }
    let (mut payer, client) = TestPayer::prepare(4);
    let (proxy, url) = proxied(&payer);
    payer.serve_with(&[("DATABASE_URL", &url)]);
    let token = client.token(MATCH_SCOPE).await;
    let body = payer.request(2, Variation::Exact).to_string().into_bytes();
    let ask = || async { matched(&client, &token, &body).await };
    futures_util::future::join_all((0..12).map(|_| ask())).await;
    // The looks of the server have connections by now, which freeze as well: where time goes slowly, so do these.
    for _ in 0..20 {
        tokio::time::sleep(Duration::from_millis(100)).await;
        is_ready(&payer.ops).await;
    }

    // What stands freezes, and another primary answers at the same address.
    proxy.silence_what_stands();
    let began = Instant::now();
    let (first, ready) = tokio::join!(
        futures_util::future::join_all((0..12).map(|_| async {
            until_matched(&client, &token, &body, GIVEN_UP).await;
            began.elapsed()
        })),
        async {
            until_ready(&payer.ops, GIVEN_UP).await;
            began.elapsed()
        }
    );
    let last = first.into_iter().max().expect("answers");
    println!("good answers to all after {last:?}, ready after {ready:?}");
    // Not by the clock, which a busy machine stretches: that the database is silent was known before the first call was given up.
    let log = payer.log();
    let known = log.find("the database does not answer").expect(&log);
    // None was given up if all of it was known before the first call came.
    let given_up = log.find("the database did not answer in time");
    assert!(given_up.is_none_or(|given_up| known < given_up), "{log}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn frozen_connections_are_given_up_before_a_statement_would_end_though_newer_ones_are_answered() {
    if !on_postgres() {
        return;
    }
    let place = Place::fresh();
    let (proxy, url) = through_proxy(&place);
    let url = StoreUrl::parse(&url).expect("a store address");
    let store = Store::open(&url, &StoreOptions::default()).expect("opens");
    // When a statement would end: long after what is waited for here.
    let statement = Duration::from_secs(29);
    store.limit_statements(statement);
    let ask = |what: &'static str| {
        let store = store.clone();
        async move { store.read(move |db| Ok(diesel::sql_query(what).execute(db)?)).await }
    };
    for done in futures_util::future::join_all((0..3).map(|_| ask("SELECT pg_sleep(0.3)"))).await {
        done.expect("a read");
    }
    let began = Instant::now();
    let frozen = futures_util::future::join_all((0..3).map(|_| ask("SELECT pg_sleep(28)")));
    let (mut answered, mut failed) = (0, Vec::new());
    let others = async {
        // The looks of the server have connections by then, and saw those that freeze: where time goes slowly, so do these.
        let mut rounds = 0;
        while rounds < 20 {
            tokio::time::sleep(Duration::from_millis(100)).await;
            match sleepers(&place) {
                3 => rounds += 1,
                others => assert!(began.elapsed() < Duration::from_secs(20), "{others} wait"),
            }
        }
        proxy.silence_what_stands();
        loop {
            tokio::time::sleep(Duration::from_millis(100)).await;
            match ask("SELECT 2").await {
                Ok(_) => answered += 1,
                Err(failure) => failed.push(failure),
            }
        }
    };
    let ended = tokio::select! {
        ended = frozen => ended,
        () = others => unreachable!("it goes on"),
    };
    println!("given up after {:?}, {answered} answers meanwhile", began.elapsed());
    assert!(answered > 0 && began.elapsed() < statement, "{:?}", began.elapsed());
    failed.extend(ended.into_iter().filter_map(Result::err));
    assert!(!failed.is_empty(), "no call met a frozen connection");
    for failure in failed {
        assert_eq!(failure.fault(), Fault::StoreSlow, "{:?}", failure.cause());
    }
    ask("SELECT 3").await.expect("a read");
}

/// How many statements that sleep run in this database.
fn sleepers(place: &Place) -> i64 {
    #[derive(QueryableByName)]
    struct Row {
        #[diesel(sql_type = BigInt)]
        n: i64,
    }
    let query = "SELECT COUNT(*) AS n FROM pg_stat_activity \
                 WHERE datname = current_database() AND state = 'active' AND query LIKE 'SELECT pg_sleep%'";
    let found = diesel::sql_query(query).get_result::<Row>(&mut connect(&place.url));
    found.expect("a count").n
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_slow_statement_of_a_database_that_answers_is_not_given_up_sooner() {
    if !on_postgres() {
        return;
    }
    let (mut payer, client) = TestPayer::prepare(4);
    payer.serve();
    let token = client.token(MATCH_SCOPE).await;
    let body = payer.request(2, Variation::Exact).to_string().into_bytes();
    matched(&client, &token, &body).await.assert_status(200);
    // Every place waits for longer than a silent database is given. Nobody waits for a lock for more than three seconds, for which a busy
    // machine may hold it: then it is held once more.
    let mut tries = 0;
    loop {
        let mut holder = diesel::PgConnection::establish(&payer.place.url_text()).expect("connects");
        let began = Instant::now();
        holder
            .batch_execute("BEGIN; LOCK TABLE consent IN ACCESS EXCLUSIVE MODE")
            .expect("a lock");
        let asked = futures_util::future::join_all((0..8).map(|_| matched(&client, &token, &body)));
        let free = async {
            tokio::time::sleep(Duration::from_millis(2_500)).await;
            holder.batch_execute("ROLLBACK").expect("let go");
            began.elapsed()
        };
        let (replies, held) = tokio::join!(asked, free);
        if replies.iter().any(|reply| reply.status == 200) {
            break;
        }
        tries += 1;
        assert!(
            held > Duration::from_secs(3) && tries < 10,
            "{held:?}: {:?}",
            replies.iter().map(|reply| reply.status).collect::<Vec<_>>()
        );
    }
    let given_up = reqwest::get(format!("{}/metrics", payer.ops)).await.expect("answers");
    let text = given_up.text().await.expect("text");
    assert!(text.contains("causeway_store_given_up_total 0"), "calls were given up");
}
