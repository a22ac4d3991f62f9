//! Bad requests for exports, and exports that are taken away while they are used: of groups, of other partners, and in the middle of a download.

use crate::bulk::{ASYNC, Bulk, THIRD_NPI, send};
use crate::bulk_match::{body, kick_off, lines, member, run, started, three, token};
use crate::revoked_streams::payer_with_a_record_of;
use crate::support::client::{ALL_SCOPES, Client, Reply};
use crate::support::payer::TestPayer;
use causeway::error::Fault;
use causeway::secret::{hex, sha256};
use causeway::synth::Variation;
use serde_json::{Value, json};
use std::time::Duration;

const FHIR_JSON: (&str, &str) = ("content-type", "application/fhir+json");

async fn posted(client: &Client, token: &str, path: &str, parameters: Value) -> Reply {
    let body = json!({"resourceType": "Parameters", "parameter": parameters}).to_string();
    send(client, token, "POST", path, &[ASYNC, FHIR_JSON], &body).await
}

/// The id of the group of matched members after a match of three.
async fn group(payer: &TestPayer, client: &Client, token: &str) -> String {
    let (_, manifest) = run(client, token, body(&three(payer))).await;
    let groups = lines(client, token, &manifest, "output", "Group").await;
    groups[0]["id"].as_str().expect("an id").to_owned()
}

/// An export of a group needs the scopes of an export of all members: bulk clients ask for those of the types that they want.
#[tokio::test]
async fn a_group_is_exported_with_the_right_to_read_patients_and_not_with_that_to_read_groups() {
    let (payer, client, _) = started(6);
    let matching = token(&client).await;
    let path = format!("/fhir/Group/{}/$export", group(&payer, &client, &matching).await);
    let narrow = client.token("system/Patient.read").await;
    let begun = send(&client, &narrow, "GET", &path, &[ASYNC], "").await;
    begun.assert_status(202);
    let groups_alone = client.token("system/Group.rs").await;
    send(&client, &groups_alone, "GET", &path, &[ASYNC], "")
        .await
        .assert_outcome(Fault::ScopeMissing);
}

#[tokio::test]
async fn what_an_export_of_a_group_cannot_do_is_refused_at_its_start() {
    let (payer, client, other) = started(6);
    let token = token(&client).await;
    let id = group(&payer, &client, &token).await;
    let exports = ["$export", "$davinci-data-export"].map(|name| format!("/fhir/Group/{id}/{name}"));
    for path in &exports {
        for (name, value, fault) in [
            ("_type", json!({"valueString": "Nonsense"}), Fault::ParameterInvalid),
            (
                "_since",
                json!({"valueInstant": "2999-01-01T00:00:00Z"}),
                Fault::ParameterInvalid,
            ),
            ("_since", json!({"valueInstant": "2026-01-01"}), Fault::ParameterInvalid),
            (
                "_outputFormat",
                json!({"valueString": "text/csv"}),
                Fault::ParameterInvalid,
            ),
            (
                "exportType",
                json!({"valueString": "provider"}),
                Fault::ParameterInvalid,
            ),
            ("noSuchParameter", json!({"valueString": "x"}), Fault::ParameterUnknown),
        ] {
            let mut parameter = value;
            parameter["name"] = json!(name);
            posted(&client, &token, path, json!([parameter]))
                .await
                .assert_outcome(fault);
        }
        // Whose group it is, is looked at for each way to begin.
        let theirs = other.token(ALL_SCOPES).await;
        let begun = send(&other, &theirs, "POST", path, &[ASYNC], "").await;
        begun.assert_outcome(Fault::NotFound);
        let cut = "{\"resourceType\":\"Parameters\",\"parameter\":[{\"name\"";
        send(&client, &token, "POST", path, &[ASYNC, FHIR_JSON], cut)
            .await
            .assert_outcome(Fault::NotJson);
        send(&client, &token, "POST", path, &[], "")
            .await
            .assert_outcome(Fault::BulkAsyncNeeded);
        for method in ["PUT", "DELETE"] {
            let refused = send(&client, &token, method, path, &[ASYNC], "").await;
            assert!((400..500).contains(&refused.status), "{method}: {}", refused.text());
        }
    }
    let theirs = other.token(ALL_SCOPES).await;
    send(&other, &theirs, "GET", &exports[0], &[ASYNC], "")
        .await
        .assert_outcome(Fault::NotFound);
    send(&client, &token, "GET", &exports[1], &[ASYNC], "")
        .await
        .assert_outcome(Fault::MethodRefused);
    assert_eq!(payer.count("bulk_job WHERE kind <> 'match'"), 0);
}

#[tokio::test]
async fn a_match_of_more_members_than_the_payer_takes_is_refused_as_a_whole() {
    let (mut payer, client, _) = started(6);
    payer.terminate();
    payer.serve_with(&[("CAUSEWAY_BULK__MEMBERS_MAX", "2")]);
    let token = token(&client).await;
    let all = three(&payer);
    kick_off(&client, &token, body(&all))
        .await
        .assert_outcome(Fault::BulkTooMany);
    assert_eq!((payer.count("decision"), payer.count("bulk_job")), (0, 0));
    // Who is sent twice counts as two: what is counted is what was sent.
    let twice = member(&payer, 0, Variation::Exact, "mp-0");
    kick_off(&client, &token, body(&[twice.clone(), twice.clone(), twice.clone()]))
        .await
        .assert_outcome(Fault::BulkTooMany);
    let (_, manifest) = run(&client, &token, body(&[twice.clone(), twice])).await;
    let groups = lines(&client, &token, &manifest, "output", "Group").await;
    assert_eq!(groups[0]["member"].as_array().map(Vec::len), Some(1));
    assert_eq!(payer.count("decision"), 1);
}

#[tokio::test]
async fn a_job_that_is_deleted_while_it_runs_or_twice_is_gone() {
    let bulk = Bulk::start().await;
    // At once, before anybody asked for its status.
    for _ in 0..6 {
        let status = bulk.begin("").await;
        bulk.send("DELETE", &status, &[]).await.assert_status(202);
        bulk.send("DELETE", &status, &[]).await.assert_outcome(Fault::NotFound);
        bulk.send("GET", &status, &[]).await.assert_outcome(Fault::NotFound);
    }
    // Two at the same time: one of them ends it, and none fails.
    let status = bulk.begin("?_type=Patient").await;
    bulk.done(&status).await;
    let (one, other) = tokio::join!(bulk.send("DELETE", &status, &[]), bulk.send("DELETE", &status, &[]));
    let mut answers = [one.status, other.status];
    answers.sort_unstable();
    assert!(answers == [202, 202] || answers == [202, 404], "{answers:?}");
    // The jobs that were taken away have no part in the number of jobs that a partner may have.
    bulk.done(&bulk.begin("?_type=Patient").await).await;
    let folder = bulk.payer.exports();
    for _ in 0..2_400 {
        let left = std::fs::read_dir(&folder).map_or(0, Iterator::count);
        if left == 1 {
            return;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    panic!("folders of jobs that are gone are still there: {}", bulk.payer.log());
}

/// A download that is under way when its job is deleted comes whole, or breaks off: it never ends as if it were whole.
#[tokio::test]
async fn a_download_of_a_job_that_is_deleted_comes_whole_or_breaks_off() {
    let (mut payer, client, _) = payer_with_a_record_of(2_500, 4_000);
    payer.serve();
    let token = client.token("system/*.rs").await;
    let begun = send(
        &client,
        &token,
        "GET",
        "/fhir/Patient/$export?_type=Observation",
        &[ASYNC],
        "",
    )
    .await;
    begun.assert_status(202);
    let below = |url: &str| url.strip_prefix(&client.origin).expect("our own address").to_owned();
    let status = below(begun.header("content-location"));
    let manifest = loop {
        let reply = send(&client, &token, "GET", &status, &[], "").await;
        if reply.status == 200 {
            break reply.json();
        }
        if !reply.is_throttled().await {
            reply.assert_status(202);
            tokio::time::sleep(Duration::from_millis(500)).await;
        }
    };
    let file = &manifest["output"][0];
    let url = file["url"].as_str().expect("a URL").to_owned();
    let asked = client
        .http
        .get(&url)
        .bearer_auth(&token)
        .header("x-correlation-id", "cancelled-1");
    let mut answer = asked.send().await.expect("an answer");
    assert_eq!(answer.status().as_u16(), 200);
    let mut received = answer.chunk().await.expect("bytes").expect("a first piece").to_vec();
    send(&client, &token, "DELETE", &status, &[], "")
        .await
        .assert_status(202);
    let ended = loop {
        match answer.chunk().await {
            Ok(Some(more)) => received.extend_from_slice(&more),
            Ok(None) => break true,
            Err(_) => break false,
        }
    };
    let whole = file["extension"]["bytes"].as_u64().expect("bytes") as usize;
    assert_eq!(ended, received.len() == whole, "{} of {whole} bytes", received.len());
    if ended {
        assert_eq!(file["extension"]["sha256"], hex(&sha256(&received)).as_str());
    }
    println!("{} of {whole} bytes came", received.len());
    payer
        .await_ledger("cancelled-1", &["disclosure.begun", "disclosure.completed"])
        .await;
    send(&client, &token, "GET", &below(&url), &[], "")
        .await
        .assert_outcome(Fault::NotFound);
    for _ in 0..2_400 {
        if payer.count("bulk_job") == 0 && std::fs::read_dir(payer.exports()).map_or(0, Iterator::count) == 0 {
            return;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    panic!("it is still there: {}", payer.log());
}

#[tokio::test]
async fn nobody_else_finds_an_export_in_any_of_its_states() {
    let bulk = Bulk::start().await;
    let other = bulk.payer.register("third", THIRD_NPI, "https://third.example/fhir");
    let theirs = other.token(ALL_SCOPES).await;
    let status = bulk.begin("").await;
    for state in ["it runs", "it is done"] {
        for (method, path) in [
            ("GET", status.clone()),
            ("DELETE", status.clone()),
            ("GET", format!("{status}/receipt")),
            ("GET", format!("{status}/files/{}", "0".repeat(32))),
        ] {
            let reply = send(&other, &theirs, method, &path, &[], "").await;
            assert_eq!(reply.status, 404, "{state}: {method} {path}: {}", reply.text());
        }
        bulk.done(&status).await;
    }
    bulk.send("DELETE", &status, &[]).await.assert_status(202);
}
