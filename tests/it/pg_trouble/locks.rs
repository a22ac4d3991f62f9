//! Tables that somebody else holds: requests are told to wait, `/ready` says so, and both end with the lock.

use super::{assert_told_to_wait, is_ready, until_ready};
use crate::support::client::{ALL_SCOPES, MATCH_SCOPE};
use crate::support::payer::TestPayer;
use crate::support::store::on_postgres;
use causeway::store::Db;
use causeway::synth::Variation;
use diesel::connection::SimpleConnection as _;
use std::time::Duration;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_locked_table_is_answered_503_with_retry_after_and_is_not_ready() {
    if !on_postgres() {
        return;
    }
    let (payer, client) = TestPayer::start(4);
    let token = client.token(ALL_SCOPES).await;
    let body = payer.request(2, Variation::Exact).to_string().into_bytes();
    client.post_match(&token, body.clone(), &[]).await.assert_status(200);
    let member = payer.member(2).patient_id;
    for table in ["grants", "access_token", "partner"] {
        let mut other = payer.db();
        let Db::Pg(holder) = &mut other else { unreachable!() };
        holder
            .batch_execute(&format!("BEGIN; LOCK TABLE {table} IN ACCESS EXCLUSIVE MODE"))
            .expect("a lock");
        // Whose a token is, is remembered for half a second.
        tokio::time::sleep(Duration::from_millis(700)).await;
        let path = format!("Patient/{member}");
        let (reply, ready) = tokio::join!(client.get(&token, &path), is_ready(&payer.ops));
        assert_told_to_wait(&reply);
        assert!(!ready, "{table} is locked");
        if table != "grants" {
            let assertion = client.assertion().sign(&client.key);
            let refused = client.ask_token(&assertion, MATCH_SCOPE).await;
            assert_eq!(refused.status, 503, "{table}: {}", refused.text());
            assert!(!refused.header("retry-after").is_empty(), "{table}");
        }
        holder.batch_execute("ROLLBACK").expect("let go");
        until_ready(&payer.ops, Duration::from_secs(60)).await;
        client.get(&token, &path).await.assert_status(200);
    }
    // Those of whom a file is: a download needs them, and nothing else does.
    for table in ["disclosed_file", "disclosed_share"] {
        let mut other = payer.db();
        let Db::Pg(holder) = &mut other else { unreachable!() };
        let lock = format!("BEGIN; LOCK TABLE {table} IN ACCESS EXCLUSIVE MODE");
        holder.batch_execute(&lock).expect("a lock");
        assert!(!is_ready(&payer.ops).await, "{table} is locked");
        holder.batch_execute("ROLLBACK").expect("let go");
        until_ready(&payer.ops, Duration::from_secs(60)).await;
    }
    assert!(!payer.log().contains("SV-004"), "{}", payer.log());
}
