//! Files that somebody removes under their rows: the body of a bulk match before its members are judged, lists that the end of an export
//! is made from, and a file that is to be downloaded. None of it ends in a wrong answer, and none waits for ever. What a requester has
//! fetched: `tests/it/exchange/bulk_answers.rs`.

use crate::bulk::Bulk;
use crate::bulk_match::{PATH, body, kick_off, lines, run, sent_of, started, three, token};
use crate::support::client::{Client, Reply};
use crate::support::payer::{TestPayer, is_optimised};
use crate::support::wire::see_closed;
use causeway::error::Fault;
use diesel::RunQueryDsl as _;
use serde_json::json;
use std::path::Path;
use std::time::{Duration, Instant};

const WAIT: Duration = Duration::from_secs(240);

fn sql(payer: &TestPayer, text: &str) -> usize {
    diesel::sql_query(text).execute(&mut payer.db()).expect("changed")
}

/// Removes the files of the only run; its id, and how many they were.
fn remove_files(exports: &Path) -> (String, usize) {
    let mut runs = std::fs::read_dir(exports)
        .expect("a folder")
        .map(|entry| entry.expect("an entry"));
    let run = runs.next().expect("a run");
    assert!(runs.next().is_none(), "one run");
    let mut count = 0;
    for file in std::fs::read_dir(run.path()).expect("a folder") {
        std::fs::remove_file(file.expect("an entry").path()).expect("removed");
        count += 1;
    }
    (run.file_name().to_string_lossy().into_owned(), count)
}

/// Asks for the run until it says more than that it runs.
async fn ended(client: &Client, token: &str, id: &str) -> Reply {
    let (began, bearer) = (Instant::now(), format!("Bearer {token}"));
    loop {
        let headers = [("authorization", bearer.as_str())];
        let reply = client.send("GET", &format!("/fhir/jobs/{id}"), &headers, "").await;
        if reply.status != 202 && !reply.is_throttled().await {
            return reply;
        }
        assert!(began.elapsed() < WAIT, "{}", reply.text());
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

/// The work of the run fails because of its files, is tried again, parked, and shown to operators. Then the run has failed, for its partner too.
async fn assert_parked_and_ended(payer: &TestPayer, (client, token): (&Client, &str), (kind, id): (&str, &str)) {
    let began = Instant::now();
    let failed = format!("job WHERE kind = '{kind}' AND last_class = 'store'");
    while payer.count(&failed) == 0 {
        assert!(began.elapsed() < WAIT, "{}", payer.log());
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    // As if its eighth attempt were due. An attempt that is under way is not changed.
    let last = format!("UPDATE job SET attempts = 7, due_ms = 0 WHERE kind = '{kind}' AND state = 'waiting'");
    while payer.count(&format!("job WHERE kind = '{kind}' AND state = 'parked'")) == 0 {
        sql(payer, &last);
        assert!(began.elapsed() < WAIT, "{}", payer.log());
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    let parked = payer.json_command(&["jobs", "list", "--parked"]).to_string();
    assert!(parked.contains(kind) && parked.contains("store"), "{parked}");
    // Lines of the log are written beside the work that they tell of.
    while !payer.log().contains(Fault::BulkFolder.code()) && !payer.log().contains("No such file") {
        assert!(began.elapsed() < WAIT, "{}", payer.log());
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    assert_eq!(sql(payer, "UPDATE job SET due_ms = 0 WHERE kind = 'bulk-end'"), 1);
    ended(client, token, id).await.assert_outcome(Fault::BulkLate);
    let shown = payer.json_command(&["bulk", "show", id]);
    assert_eq!(
        (&shown["state"], &shown["fault"]),
        (&json!("failed"), &json!(Fault::BulkLate.code()))
    );
    assert_eq!(payer.count(&format!("job WHERE kind = '{kind}'")), 0);
}

#[tokio::test]
async fn a_bulk_match_whose_body_is_gone_judges_nobody_is_parked_and_fails() {
    if is_optimised() {
        // An optimised build has no points at which it kills itself.
        return;
    }
    let (mut payer, client, _) = started(6);
    payer.terminate();
    payer.serve_with(&[("CAUSEWAY_FAILPOINT", "bulk-match.claimed")]);
    see_closed().await;
    let token = token(&client).await;
    let request = client.http.post(format!("{}{PATH}", client.origin)).bearer_auth(&token);
    let request = request
        .header("content-type", "application/fhir+json")
        .header("prefer", "respond-async");
    // The server may die before it can answer.
    let _ = request.body(body(&three(&payer))).send().await;
    payer.await_end(WAIT);
    payer.end_leases();
    assert_eq!(
        (payer.count("bulk_job"), payer.count("bulk_file WHERE side = 'spool'")),
        (1, 1)
    );
    let (id, removed) = remove_files(&payer.exports());
    assert_eq!(removed, 1);

    payer.serve();
    see_closed().await;
    assert_parked_and_ended(&payer, (&client, &token), ("bulk-match", &id)).await;
    for table in [
        "decision",
        "grants",
        "member_group_entry",
        "bulk_file WHERE side <> 'spool'",
    ] {
        assert_eq!(payer.count(table), 0, "{table}: nobody was judged");
    }
    // The partner sends it again.
    let (_, manifest) = run(&client, &token, body(&three(&payer))).await;
    let groups = lines(&client, &token, &manifest, "output", "Group").await;
    assert_eq!(sent_of(&groups, "match"), ["mp-0"]);
    kick_off(&client, &token, "{}")
        .await
        .assert_outcome(Fault::ResourceInvalid);
}

#[tokio::test]
async fn an_export_whose_lists_are_gone_before_its_end_has_no_manifest_is_parked_and_fails() {
    if is_optimised() {
        return;
    }
    let (mut payer, client) = TestPayer::prepare(4);
    payer.serve_with(&[("CAUSEWAY_FAILPOINT", "bulk.piece-done")]);
    let mut bulk = Bulk::matched(payer, client).await;
    bulk.begin_to_its_crash("").await;
    bulk.payer.end_leases();
    let rows = bulk.payer.count("bulk_file");
    let (id, removed) = remove_files(&bulk.payer.exports());
    assert!(
        rows > 2 && i64::try_from(removed) == Ok(rows),
        "{rows} rows, {removed} files"
    );

    bulk.payer.serve();
    see_closed().await;
    assert_parked_and_ended(&bulk.payer, (&bulk.client, &bulk.token), ("bulk-export", &id)).await;
    let status = bulk.begin("").await;
    let manifest = bulk.done(&status).await;
    assert_eq!(bulk.taken(&manifest).await, bulk.everything(&bulk.ids).await);
}

#[tokio::test]
async fn a_file_that_is_gone_is_a_fault_of_ours_and_no_disclosure() {
    let bulk = Bulk::start().await;
    let status = bulk.begin("?_type=Patient,Coverage").await;
    let manifest = bulk.done(&status).await;
    let url_of = |rtype: &str| {
        let files = manifest["output"].as_array().expect("files");
        let file = files.iter().find(|file| file["type"] == rtype).expect("a file");
        bulk.path(file["url"].as_str().expect("a URL"))
    };
    let (gone, other) = (url_of("Patient"), url_of("Coverage"));
    let [name, id] = [gone.rsplit('/').next(), status.rsplit('/').next()].map(|part| part.expect("a name"));
    std::fs::remove_file(bulk.payer.exports().join(id).join(name)).expect("removed");

    for (number, more) in [
        ("accept", "application/fhir+ndjson"),
        ("range", "bytes=0-"),
        ("range", "bytes=5-9"),
        ("accept-encoding", "gzip"),
    ]
    .into_iter()
    .enumerate()
    {
        let correlation = format!("lost-{number}");
        let headers = [more, ("x-correlation-id", correlation.as_str())];
        let reply = bulk.send("GET", &gone, &headers).await;
        reply.assert_outcome(Fault::BulkFolder);
        assert!(!reply.header("retry-after").is_empty(), "{more:?}");
        let told = format!("ledger_entry WHERE correlation_id = '{correlation}' AND action LIKE 'disclosure.%'");
        assert_eq!(bulk.payer.count(&told), 0, "{more:?}");
    }
    bulk.send("HEAD", &gone, &[]).await.assert_status(503);
    assert_eq!(bulk.payer.count("disclosed_file"), 0);

    // What is there is given, the manifest stays, and a new export has all of it.
    bulk.send("GET", &other, &[]).await.assert_status(200);
    assert_eq!(bulk.done(&status).await["output"], manifest["output"]);
    let again = bulk.done(&bulk.begin("").await).await;
    assert_eq!(bulk.taken(&again).await, bulk.everything(&bulk.ids).await);
    bulk.send("DELETE", &status, &[]).await.assert_status(202);
    bulk.send("GET", &gone, &[]).await.assert_outcome(Fault::NotFound);
}
