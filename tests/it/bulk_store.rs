//! Files of bulk jobs in an S3 store, with a real S3 server: there before their rows, read in parts, removed with their run; and what becomes of
//! jobs and downloads when the store refuses, is slow or lies. Skipped, with a word, where `CAUSEWAY_TEST_S3` names no server; the program must
//! have the feature `s3`.

use crate::bulk::Bulk;
use crate::bulk_match;
use crate::support::client::Reply;
use crate::support::payer::{TestPayer, program};
use crate::support::s3::{Bucket, Mood};
use crate::support::wire::see_closed;
use causeway::error::Fault;
use causeway::synth::Variation;
use diesel::RunQueryDsl as _;
use serde_json::{Value, json};
use std::time::{Duration, Instant};

/// A wait for the store that comes to its end by itself, which is shorter than half a minute, and what is around it on a busy machine.
const BOUND: Duration = Duration::from_secs(90);

async fn started(bucket: &Bucket) -> Bulk {
    let (mut payer, client) = TestPayer::prepare(4);
    serve(&mut payer, bucket);
    Bulk::matched(payer, client).await
}

fn serve(payer: &mut TestPayer, bucket: &Bucket) {
    let set = bucket.environment();
    let set: Vec<_> = set.iter().map(|(name, value)| (*name, value.as_str())).collect();
    payer.serve_with(&set);
}

fn sql(payer: &TestPayer, text: &str) {
    let changed = diesel::sql_query(text).execute(&mut payer.db()).expect("changed");
    assert!(changed > 0, "{text}");
}

fn sql_if_any(payer: &TestPayer, text: &str) {
    diesel::sql_query(text).execute(&mut payer.db()).expect("changed");
}

/// Whether a file of a run is in the folder.
fn has_local_files(payer: &TestPayer) -> bool {
    let runs = std::fs::read_dir(payer.exports()).into_iter().flatten().flatten();
    let mut files = runs.flat_map(|run| std::fs::read_dir(run.path()).into_iter().flatten());
    files.next().is_some()
}

/// Each object has a row, and each row an object; nothing is left in the folder.
async fn assert_agree(payer: &TestPayer, bucket: &Bucket) {
    let keys = bucket.keys().await;
    for key in &keys {
        let (run, name) = key.split_once('/').expect("a run and a name");
        let of_run = format!("bulk_file WHERE job_id = '{run}' AND name = '{name}'");
        assert_eq!(payer.count(&of_run), 1, "no row: {key}");
    }
    assert_eq!(payer.count("bulk_file"), keys.len() as i64);
    for run in std::fs::read_dir(payer.exports()).expect("a folder").flatten() {
        let left = std::fs::read_dir(run.path()).expect("a folder").count();
        assert_eq!(left, 0, "{run:?}");
    }
}

/// Neither the log nor an answer has a credential.
fn assert_silent(payer: &TestPayer) {
    let log = payer.log();
    assert!(
        !log.contains("causeway-secret") && !log.contains("causeway-key"),
        "{log}"
    );
}

fn url_of(bulk: &Bulk, manifest: &Value, rtype: &str) -> String {
    let mut files = manifest["output"].as_array().expect("files").iter();
    let file = files.find(|file| file["type"] == rtype).expect("a file");
    bulk.path(file["url"].as_str().expect("a URL"))
}

fn key_of(url: &str) -> String {
    let mut parts = url.rsplit('/');
    let (name, _, run) = (parts.next(), parts.next(), parts.next());
    format!("{}/{}", run.expect("a run"), name.expect("a name"))
}

async fn assert_refused_in_time(bulk: &Bulk, method: &str, url: &str) {
    let began = Instant::now();
    let reply = bulk.send(method, url, &[]).await;
    match method {
        "HEAD" => reply.assert_status(503),
        _ => reply.assert_outcome(Fault::BulkFolder),
    }
    assert!(began.elapsed() < BOUND, "{:?}", began.elapsed());
}

/// What is found out when a piece is read breaks the connection off, before the answer has begun or in it.
async fn assert_broken_off(bulk: &Bulk, url: &str) {
    let asked = bulk.client.http.get(format!("{}{url}", bulk.client.origin));
    if let Ok(reply) = asked.bearer_auth(&bulk.token).send().await {
        assert_eq!(reply.status().as_u16(), 200, "{url}");
        assert!(reply.bytes().await.is_err(), "{url}");
    }
}

/// Waits until the log says so often that files could not be kept.
async fn await_failures(payer: &TestPayer, most: usize) {
    let began = Instant::now();
    while payer.log().matches("BK-004").count() < most {
        assert!(began.elapsed() < Duration::from_secs(60), "{}", payer.log());
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

#[tokio::test]
async fn an_export_is_kept_taken_in_parts_and_removed() {
    let Some(bucket) = Bucket::created().await else { return };
    let bulk = started(&bucket).await;
    // More than one part of an upload, and more than is read at once.
    let line = |id: usize| {
        json!({"resourceType": "Observation", "id": format!("long-{id}"), "status": "final",
            "code": {"text": "x".repeat(40 * 1024)}, "subject": {"reference": format!("Patient/{}", bulk.ids[0])},
            "effectiveDateTime": "2025-03-03"})
        .to_string()
    };
    let text: Vec<String> = (0..150).map(line).collect();
    std::fs::write(bulk.payer.home().join("more.ndjson"), text.join("\n")).expect("a file");
    assert_eq!(bulk.payer.json_command(&["import", "more.ndjson"])["stored"], 150);

    let status = bulk.begin("").await;
    let manifest = bulk.done(&status).await;
    assert_agree(&bulk.payer, &bucket).await;
    let taken = bulk.taken(&manifest).await;
    assert_eq!(taken, bulk.everything(&bulk.ids).await);

    let url = url_of(&bulk, &manifest, "Observation");
    let whole = bulk.send("GET", &url, &[]).await.body;
    assert!(whole.len() > 5 << 20);
    let sealed = bucket.object(&key_of(&url)).await;
    assert!(!sealed.windows(64).any(|some| some == &[b'x'; 64][..]), "sealed");
    for (first, last) in [(0, 0), (100, 1_200_000), (5_300_000, 5_300_099)] {
        let part = bulk
            .send("GET", &url, &[("range", &format!("bytes={first}-{last}"))])
            .await;
        part.assert_status(206);
        assert_eq!(part.body, whole[first..=last]);
    }
    let last = bulk.send("GET", &url, &[("range", "bytes=-7")]).await;
    assert_eq!(last.body, whole[whole.len() - 7..]);

    bulk.send("DELETE", &status, &[]).await.assert_status(202);
    bucket.await_empty().await;
    bulk.send("GET", &url, &[]).await.assert_outcome(Fault::NotFound);

    let status = bulk.begin("?_type=Patient").await;
    bulk.done(&status).await;
    assert!(!bucket.keys().await.is_empty());
    sql(&bulk.payer, "UPDATE bulk_job SET expires_ms = 1 WHERE state = 'done'");
    sql(&bulk.payer, "UPDATE job SET due_ms = 0 WHERE kind = 'bulk-end'");
    bucket.await_empty().await;
    bulk.send("GET", &status, &[]).await.assert_outcome(Fault::NotFound);
    assert_silent(&bulk.payer);
}

#[tokio::test]
async fn a_store_that_refuses_leaves_no_row_and_the_export_ends_when_it_takes_files() {
    let Some(bucket) = Bucket::named() else { return };
    let bulk = started(&bucket).await;
    let check = |payer: &TestPayer| {
        let mut command = program(payer.home());
        command.args(["config", "--check-files"]).envs(bucket.environment());
        command.output().expect("the program runs")
    };
    let refused = check(&bulk.payer);
    let said = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert!(!refused.status.success() && said.contains("BK-004"), "{said}");
    assert!(said.contains("exports.url") && said.contains("404"), "{said}");

    let status = bulk.begin("").await;
    await_failures(&bulk.payer, 3).await;
    bulk.send("GET", &status, &[]).await.assert_status(202);
    assert_eq!(bulk.payer.count("bulk_file"), 0);

    bucket.create().await;
    let manifest = bulk.done(&status).await;
    assert_eq!(bulk.taken(&manifest).await, bulk.everything(&bulk.ids).await);
    assert_agree(&bulk.payer, &bucket).await;
    let usable = check(&bulk.payer);
    assert!(usable.status.success(), "{}", String::from_utf8_lossy(&usable.stderr));
    assert_agree(&bulk.payer, &bucket).await;
    assert_silent(&bulk.payer);
}

#[tokio::test]
async fn a_slow_store_is_given_up_in_time_and_serves_again() {
    let Some(bucket) = Bucket::created().await else { return };
    let bulk = started(&bucket).await;
    let status = bulk.begin("").await;
    let manifest = bulk.done(&status).await;
    let url = url_of(&bulk, &manifest, "Patient");

    bucket.set(Mood::Stalls).await;
    let other = bulk.begin("?_type=Patient").await;
    assert_refused_in_time(&bulk, "GET", &url).await;
    assert_refused_in_time(&bulk, "HEAD", &url).await;
    bulk.send("GET", &other, &[]).await.assert_status(202);
    let began = Instant::now();
    bulk.send("GET", "/fhir/Patient", &[]).await;
    // The shortest wait for the store is ten seconds.
    assert!(began.elapsed() < Duration::from_secs(9), "other requests do not wait");
    await_failures(&bulk.payer, 1).await;

    bucket.set(Mood::Honest).await;
    bulk.send("GET", &url, &[]).await.assert_status(200);
    bulk.done(&other).await;
    assert_agree(&bulk.payer, &bucket).await;
}

#[tokio::test]
async fn a_store_that_lies_about_a_length_gets_no_row() {
    let Some(bucket) = Bucket::created().await else { return };
    let bulk = started(&bucket).await;
    bucket.set(Mood::AddsToLengths).await;
    let status = bulk.begin("").await;
    await_failures(&bulk.payer, 2).await;
    assert_eq!(bulk.payer.count("bulk_file"), 0);
    assert!(bulk.payer.log().contains("bytes of a file of"), "{}", bulk.payer.log());

    bucket.set(Mood::Honest).await;
    let manifest = bulk.done(&status).await;
    assert_agree(&bulk.payer, &bucket).await;

    bucket.set(Mood::CutsShort).await;
    let url = url_of(&bulk, &manifest, "Patient");
    assert_refused_in_time(&bulk, "GET", &url).await;
    bucket.set(Mood::Honest).await;
    assert_eq!(bulk.taken(&manifest).await, bulk.everything(&bulk.ids).await);
}

#[tokio::test]
async fn an_object_that_lands_after_its_run_was_deleted_is_removed() {
    let Some(bucket) = Bucket::created().await else { return };
    let bulk = started(&bucket).await;
    bucket.set(Mood::Stalls).await;
    let status = bulk.begin("").await;
    let began = Instant::now();
    // The files are sealed here, and on their way.
    while !has_local_files(&bulk.payer) {
        assert!(began.elapsed() < Duration::from_secs(60), "{}", bulk.payer.log());
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    tokio::time::sleep(Duration::from_millis(500)).await;
    bulk.send("DELETE", &status, &[]).await.assert_status(202);
    bulk.send("GET", &status, &[]).await.assert_outcome(Fault::NotFound);
    bucket.set(Mood::Honest).await;
    sql_if_any(&bulk.payer, "UPDATE job SET due_ms = 0 WHERE kind = 'bulk-end'");
    bucket.await_empty().await;
    assert_eq!(bulk.payer.count("bulk_file"), 0);
    // Nothing lands any later.
    tokio::time::sleep(Duration::from_secs(2)).await;
    bucket.await_empty().await;
}

#[tokio::test]
async fn an_object_that_was_changed_behind_our_back_is_never_given() {
    let Some(bucket) = Bucket::created().await else { return };
    let bulk = started(&bucket).await;
    let manifest = bulk.done(&bulk.begin("").await).await;
    let (url, other) = (
        url_of(&bulk, &manifest, "Patient"),
        url_of(&bulk, &manifest, "Condition"),
    );
    let (key, whole) = (key_of(&url), bucket.object(&key_of(&url)).await);
    let mut changed = whole.clone();
    changed[200] ^= 1;
    let another = bucket.object(&key_of(&other)).await;
    bucket.replace(&key, changed).await;
    assert_broken_off(&bulk, &url).await;
    for bytes in [whole[..whole.len() / 2].to_vec(), another, Vec::new()] {
        bucket.replace(&key, bytes).await;
        assert_refused_in_time(&bulk, "GET", &url).await;
    }
    bucket.delete(&key).await;
    assert_refused_in_time(&bulk, "GET", &url).await;
    bucket.replace(&key, whole).await;
    bulk.send("GET", &url, &[]).await.assert_status(200);
}

#[tokio::test]
async fn a_bulk_match_keeps_its_members_and_its_result_there() {
    let Some(bucket) = Bucket::created().await else { return };
    let (mut payer, client, _) = bulk_match::started(4);
    payer.terminate();
    serve(&mut payer, &bucket);
    see_closed().await;
    let token = bulk_match::token(&client).await;
    let members = [0, 2].map(|at| bulk_match::member(&payer, at, Variation::Exact, &format!("p{at}")));
    let body = bulk_match::body(&members);

    bucket.set(Mood::Stalls).await;
    let began = Instant::now();
    let refused: Reply = bulk_match::kick_off(&client, &token, body.clone()).await;
    refused.assert_outcome(Fault::BulkFolder);
    assert!(began.elapsed() < BOUND, "{:?}", began.elapsed());
    assert_eq!(payer.count("bulk_job"), 0);

    bucket.set(Mood::Honest).await;
    let (_, manifest) = bulk_match::run(&client, &token, body).await;
    let groups = bulk_match::lines(&client, &token, &manifest, "output", "Group").await;
    assert!(!groups.is_empty());
    // What the store took after its refusal belongs to no run: it is sealed, nothing names it, and the bucket's lifetime rule removes it.
    for key in bucket.keys().await {
        let run = key.split('/').next().expect("a run");
        if payer.count(&format!("bulk_job WHERE id = '{run}'")) == 0 {
            bucket.delete(&key).await;
        }
    }
    assert_agree(&payer, &bucket).await;
    assert_silent(&payer);
}
