//! PostgreSQL in trouble while servers run on it: silent and cut connections, locks, unsafe settings, and every error that can be
//! provoked. Only with `CAUSEWAY_TEST_STORE=postgres`, but for what holds on both stores.

mod durability;
mod ends;
mod locks;
mod pooler_mode;
mod proxy;
mod silence;
mod states;
mod storm;

use crate::support::client::Reply;
use crate::support::payer::TestPayer;
use crate::support::postgres;
use crate::support::store::Place;
use proxy::Proxy;
use std::time::{Duration, Instant};

/// The database of a payer, reached through a proxy of the test's.
fn proxied(payer: &TestPayer) -> (Proxy, String) {
    through_proxy(&payer.place)
}

fn through_proxy(place: &Place) -> (Proxy, String) {
    let proxy = Proxy::start(postgres::folder());
    let url = proxy.url(&database_of(place));
    (proxy, url)
}

/// The name of a database in the private cluster.
fn database_of(place: &Place) -> String {
    let url = place.url_text();
    let name = url.trim_start_matches("postgres:///").split('?').next();
    name.expect("a name").to_owned()
}

/// Whether `/ready` says so.
async fn is_ready(ops: &str) -> bool {
    let sent = reqwest::Client::new()
        .get(format!("{ops}/ready"))
        .timeout(Duration::from_secs(30))
        .send()
        .await;
    sent.is_ok_and(|answer| answer.status() == 200)
}

/// Waits until `/ready` says so; how long that took.
async fn until_ready(ops: &str, longest: Duration) -> Duration {
    let began = Instant::now();
    while !is_ready(ops).await {
        assert!(
            began.elapsed() < longest,
            "not ready {:?} after the trouble's end",
            began.elapsed()
        );
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    began.elapsed()
}

/// An answer in trouble tells to come back, and never that something is wrong inside.
#[track_caller]
fn assert_told_to_wait(reply: &Reply) {
    assert_eq!(reply.status, 503, "{}", reply.text());
    let after: u32 = reply.header("retry-after").parse().expect("Retry-After in seconds");
    assert!((1..=60).contains(&after), "{after}");
    assert!(!reply.text().contains("SV-004"), "{}", reply.text());
}
