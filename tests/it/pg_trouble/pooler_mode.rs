//! A pooler that begins to share sessions while a server runs on it: noticed, told, and over when it gives each its own again.

use super::{assert_told_to_wait, is_ready, until_ready};
use crate::pg_setup::servers::Pooler;
use crate::support::client::MATCH_SCOPE;
use crate::support::payer::TestPayer;
use crate::support::store::on_postgres;
use causeway::synth::Variation;
use std::time::{Duration, Instant};

/// From a change of the mode to its being noticed: a look each second, and what a loaded machine adds.
const NOTICED: Duration = Duration::from_secs(90);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_pooler_that_begins_to_share_sessions_is_noticed_and_requests_come_back_after_it() {
    if !on_postgres() {
        return;
    }
    let (mut payer, client) = TestPayer::prepare(4);
    let place = payer.place.url_text();
    let rest = place.trim_start_matches("postgres:///");
    let database = rest.split('?').next().expect("a name").to_owned();
    let Some(pooler) = Pooler::start(&database, "session", "") else {
        println!("SKIPPED: pgbouncer is not installed");
        return;
    };
    payer.serve_with(&[("DATABASE_URL", &pooler.url(&database))]);
    let token = client.token(MATCH_SCOPE).await;
    let body = payer.request(2, Variation::Exact).to_string().into_bytes();
    client.post_match(&token, body.clone(), &[]).await.assert_status(200);

    for (times, mode) in [(1, "transaction"), (2, "statement")] {
        pooler.change_to(mode);
        let began = Instant::now();
        while is_ready(&payer.ops).await {
            assert!(began.elapsed() < NOTICED, "{mode} is not noticed");
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        // Not ready may be the first failing statement; what is told comes with the look.
        while payer.log().matches("in front of the database now").count() < times {
            assert!(began.elapsed() < NOTICED, "{mode} is not told: {}", payer.log());
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        assert_told_to_wait(&client.post_match(&token, body.clone(), &[]).await);
        pooler.change_to("session");
        until_ready(&payer.ops, NOTICED).await;
        // Several at once, so that new sessions are taken too: the pooler hands on those that were shared.
        let asked = (0..6).map(|_| client.post_match(&token, body.clone(), &[]));
        for reply in futures_util::future::join_all(asked).await {
            assert_eq!(reply.status, 200, "{}\n{}", reply.text(), payer.log());
        }
    }
}
