//! A machine whose clock was set back while no server ran: told in log, metrics and ledger, and no token lives longer for it.

use crate::support::client::ALL_SCOPES;
use crate::support::payer::TestPayer;
use causeway::store::schema::operator_token;
use diesel::prelude::*;
use std::time::{Duration, Instant};

/// How long a token lives here.
const LIFE: Duration = Duration::from_secs(2);

#[tokio::test]
async fn t_f10_a_clock_behind_what_the_store_has_seen_is_told_and_tokens_live_as_long_as_they_should() {
    let (mut payer, client) = TestPayer::prepare(1);
    let ahead_ms = chrono::Utc::now().timestamp_millis() + 3_600_000;
    // Made an hour from now: so it looks when the clock was set back by one since.
    diesel::insert_into(operator_token::table)
        .values((
            operator_token::hash.eq(vec![1_u8; 32]),
            operator_token::role.eq("support"),
            operator_token::created_ms.eq(ahead_ms),
            operator_token::expires_ms.eq(ahead_ms + 60_000),
        ))
        .execute(&mut payer.db())
        .expect("a row");
    payer.serve_with(&[("CAUSEWAY_OAUTH__ACCESS_TOKEN_SECONDS", &LIFE.as_secs().to_string())]);
    let begun = Instant::now();
    while payer.count("ledger_entry WHERE action = 'server.clock-jumped'") != 1 {
        assert!(begun.elapsed() < Duration::from_secs(60), "no entry in the ledger");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    // Lines of the log are written beside the work that they tell of.
    while !payer.log().contains("the wall clock was set") {
        assert!(begun.elapsed() < Duration::from_secs(60), "{}", payer.log());
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let metrics = client.http.get(format!("{}/metrics", payer.ops)).send().await;
    let metrics = metrics.expect("an answer").text().await.expect("text");
    assert!(
        metrics.contains("causeway_clock_jumps_total{direction=\"back\"} 1"),
        "{metrics}"
    );

    let token = loop {
        let asked = Instant::now();
        let token = client.token(ALL_SCOPES).await;
        let reply = client.get(&token, "Patient/nobody").await;
        // On a busy machine its time may be over before it is used; then another one is.
        if reply.status != 401 || asked.elapsed() < LIFE {
            reply.assert_status(404);
            break token;
        }
        assert!(begun.elapsed() < Duration::from_secs(120), "no token was good");
    };
    tokio::time::sleep(Duration::from_millis(2_600)).await;
    client.get(&token, "Patient/nobody").await.assert_status(401);
}
