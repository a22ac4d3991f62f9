//! What a request for a file costs that tells of many members: they are looked at once for all who ask at the same time.

use crate::bulk::send;
use crate::bulk_leaving::revoke_first_consent;
use crate::bulk_match::{body, run, started, three, token};
use causeway::error::Fault;
use std::time::{Duration, Instant};

/// Requests, and how many of them are sent at once.
const HEADS: usize = 50;
const AT_ONCE: usize = 10;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_heads_of_a_result_look_at_its_members_a_few_times() {
    let (mut payer, client, _) = started(4);
    payer.kill();
    payer.serve_with(&[("CAUSEWAY_LOG__LEVEL", "debug")]);
    let token = token(&client).await;
    let (_, manifest) = run(&client, &token, body(&three(&payer))).await;
    let url = manifest["output"][0]["url"].as_str().expect("a URL");
    let path = url.strip_prefix(&client.origin).expect("ours").to_owned();
    let looks = || payer.log().matches("all members of a file are looked at").count();
    assert_eq!(looks(), 0);
    let began = Instant::now();
    for _ in 0..HEADS / AT_ONCE {
        let heads = (0..AT_ONCE).map(|_| send(&client, &token, "HEAD", &path, &[], ""));
        for reply in futures_util::future::join_all(heads).await {
            reply.assert_status(200);
        }
    }
    let part = send(&client, &token, "GET", &path, &[("range", "bytes=0-0")], "").await;
    part.assert_status(206);
    // One stands for half a second.
    let most = 2 + usize::try_from(began.elapsed().as_millis() / 500).expect("a while");
    tokio::time::sleep(Duration::from_millis(300)).await;
    let waited = Instant::now();
    while looks() == 0 && waited.elapsed() < Duration::from_secs(60) {
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    let count = looks();
    println!("{count} looks for {HEADS} requests, {most} at most");
    assert!(count >= 1 && count <= most, "{count} looks, {most} at most");

    revoke_first_consent(&payer);
    let gone = send(&client, &token, "GET", &path, &[], "").await;
    gone.assert_outcome(Fault::NotFound);
}
