//! Bulk exports over the wire: started, asked about, taken, cancelled; what they hold is what `$everything` gives.

use crate::support::client::{ALL_SCOPES, Client, Reply};
use crate::support::payer::TestPayer;
use crate::support::wire::see_closed;
use causeway::error::Fault;
use causeway::synth::Variation;
use diesel::prelude::*;
use diesel::sql_types::Text;
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

pub const ASYNC: (&str, &str) = ("prefer", "respond-async");
pub const THIRD_NPI: &str = "1992000038";

/// A payer, and a partner with grants on two of its members.
pub struct Bulk {
    pub payer: TestPayer,
    pub client: Client,
    pub token: String,
    pub ids: Vec<String>,
}

impl Bulk {
    pub async fn start() -> Bulk {
        let (mut payer, client) = TestPayer::prepare(4);
        payer.serve();
        Bulk::matched(payer, client).await
    }

    pub async fn matched(payer: TestPayer, client: Client) -> Bulk {
        let token = client.token(ALL_SCOPES).await;
        let mut ids = Vec::new();
        // Member 1 has a twin and cannot be matched.
        for member in [0, 2] {
            let (id, _) = client.matched(&token, &payer.request(member, Variation::Exact)).await;
            ids.push(id);
        }
        Bulk {
            payer,
            client,
            token,
            ids,
        }
    }

    pub async fn send(&self, method: &str, path: &str, headers: &[(&str, &str)]) -> Reply {
        send(&self.client, &self.token, method, path, headers, "").await
    }

    /// Starts an export; the path of its status address.
    pub async fn begin(&self, query: &str) -> String {
        let reply = self
            .send("GET", &format!("/fhir/Patient/$export{query}"), &[ASYNC])
            .await;
        reply.assert_status(202);
        self.path(reply.header("content-location"))
    }

    /// Starts an export whose work ends the server at a failpoint, perhaps before it can answer, and waits for that; the path of the status
    /// address.
    pub async fn begin_to_its_crash(&mut self, query: &str) -> String {
        #[derive(QueryableByName)]
        struct Row {
            #[diesel(sql_type = Text)]
            id: String,
        }
        let url = format!("{}/fhir/Patient/$export{query}", self.client.origin);
        let asked = self
            .client
            .http
            .get(url)
            .bearer_auth(&self.token)
            .header(ASYNC.0, ASYNC.1);
        let answered = asked.send().await.map(|answer| answer.status().as_u16());
        if let Ok(status) = answered {
            assert_eq!(status, 202);
        }
        self.payer.await_end(Duration::from_secs(120));
        let rows = diesel::sql_query("SELECT id FROM bulk_job").load::<Row>(&mut self.payer.db());
        let rows = rows.expect("rows");
        assert_eq!(rows.len(), 1, "one run");
        format!("/fhir/jobs/{}", rows[0].id)
    }

    /// Path and query of an address of this server.
    pub fn path(&self, url: &str) -> String {
        url.strip_prefix(&self.client.origin)
            .expect("our own address")
            .to_owned()
    }

    /// Polls until the run is done; its manifest.
    pub async fn done(&self, status: &str) -> Value {
        let began = Instant::now();
        loop {
            let reply = self.send("GET", status, &[]).await;
            if reply.status == 200 {
                assert_eq!(reply.header("content-type"), "application/json");
                assert!(!reply.header("expires").is_empty());
                return reply.json();
            }
            if reply.is_throttled().await {
                continue;
            }
            reply.assert_status(202);
            assert!(!reply.header("x-progress").is_empty() && !reply.header("retry-after").is_empty());
            assert!(began.elapsed() < Duration::from_secs(120), "{}", self.payer.log());
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }

    /// The resources of all files, by `Type/id`.
    pub async fn taken(&self, manifest: &Value) -> BTreeMap<String, Value> {
        let mut all = BTreeMap::new();
        for file in manifest["output"].as_array().expect("files") {
            let reply = self
                .send("GET", &self.path(file["url"].as_str().expect("a URL")), &[])
                .await;
            reply.assert_status(200);
            assert_eq!(reply.header("content-type"), "application/fhir+ndjson");
            assert_eq!(file["extension"]["bytes"], reply.body.len(), "{file}");
            let sha256 = causeway::secret::hex(&causeway::secret::sha256(&reply.body));
            assert_eq!(file["extension"]["sha256"], sha256.as_str(), "{file}");
            let text = reply.text();
            assert_eq!(file["count"], text.lines().count(), "{file}");
            for line in text.lines() {
                let resource: Value = serde_json::from_str(line).expect("JSON");
                assert_eq!(resource["resourceType"], file["type"]);
                let former = all.insert(name(&resource), resource);
                assert_eq!(former, None, "each resource comes once");
            }
        }
        all
    }

    /// What `$everything` gives of these members, by `Type/id`.
    pub async fn everything(&self, ids: &[String]) -> BTreeMap<String, Value> {
        let mut all = BTreeMap::new();
        for id in ids {
            let reply = self.send("GET", &format!("/fhir/Patient/{id}/$everything"), &[]).await;
            reply.assert_status(200);
            for entry in reply.json()["entry"].as_array().expect("entries") {
                all.insert(name(&entry["resource"]), entry["resource"].clone());
            }
        }
        all
    }
}

fn name(resource: &Value) -> String {
    let part = |key: &str| resource[key].as_str().expect("text").to_owned();
    format!("{}/{}", part("resourceType"), part("id"))
}

pub async fn send(
    client: &Client,
    token: &str,
    method: &str,
    path: &str,
    headers: &[(&str, &str)],
    body: &str,
) -> Reply {
    let bearer = format!("Bearer {token}");
    let headers = [&[("authorization", bearer.as_str())], headers].concat();
    client.send(method, path, &headers, body.to_owned()).await
}

#[tokio::test]
async fn an_export_has_what_everything_has_and_belongs_to_its_partner() {
    let bulk = Bulk::start().await;
    let status = bulk.begin("").await;
    let manifest = bulk.done(&status).await;
    assert_eq!(manifest["requiresAccessToken"], true);
    assert_eq!(manifest["error"], json!([]));
    assert_eq!(
        manifest["request"],
        format!("{}/fhir/Patient/$export", bulk.client.origin)
    );
    let taken = bulk.taken(&manifest).await;
    let wanted = bulk.everything(&bulk.ids).await;
    let names = |all: &BTreeMap<String, Value>| all.keys().cloned().collect::<BTreeSet<_>>();
    assert_eq!(names(&taken), names(&wanted));
    assert_eq!(taken, wanted);
    assert!(
        taken.keys().any(|name| name.starts_with("Organization/")),
        "shared resources too"
    );

    // Each download is a disclosure of each member in it.
    let files = manifest["output"].as_array().expect("files");
    let patients = files.iter().find(|file| file["type"] == "Patient").expect("patients");
    let url = bulk.path(patients["url"].as_str().expect("a URL"));
    let correlation = [("x-correlation-id", "bulk-download-1")];
    bulk.send("GET", &url, &correlation).await.assert_status(200);
    let (begun, completed) = ("disclosure.begun", "disclosure.completed");
    bulk.payer
        .await_ledger("bulk-download-1", &[begun, begun, completed, completed])
        .await;

    // A part of a file, and what of it is disclosed.
    let whole = bulk.send("GET", &url, &[]).await;
    let part = [("range", "bytes=10-29"), ("x-correlation-id", "bulk-download-2")];
    let some = bulk.send("GET", &url, &part).await;
    some.assert_status(206);
    assert_eq!(some.body, whole.body[10..30]);
    assert_eq!(
        some.header("content-range"),
        format!("bytes 10-29/{}", whole.body.len())
    );
    bulk.payer.await_ledger("bulk-download-2", &[begun, completed]).await;
    let tag = whole.header("etag").to_owned();
    for (tag, status) in [(tag.as_str(), 206), ("\"other\"", 200)] {
        let headers = [("range", "bytes=10-"), ("if-range", tag)];
        bulk.send("GET", &url, &headers).await.assert_status(status);
    }
    let beyond = format!("bytes={}-", whole.body.len());
    let nothing = bulk.send("GET", &url, &[("range", beyond.as_str())]).await;
    nothing.assert_status(416);
    assert_eq!(nothing.header("content-range"), format!("bytes */{}", whole.body.len()));

    // Nobody else finds any of it, nor does anybody without a token.
    let other = bulk.payer.register("third", THIRD_NPI, "https://third.example/fhir");
    let token = other.token(ALL_SCOPES).await;
    for path in [&status, &url] {
        send(&other, &token, "GET", path, &[], "")
            .await
            .assert_outcome(Fault::NotFound);
        bulk.client
            .send("GET", path, &[], "")
            .await
            .assert_outcome(Fault::TokenMissing);
    }
    send(&other, &token, "DELETE", &status, &[], "")
        .await
        .assert_outcome(Fault::NotFound);
    bulk.send("GET", &status, &[]).await.assert_status(200);
    // Its own export has nothing, and says so.
    let empty = send(&other, &token, "GET", "/fhir/Patient/$export", &[ASYNC], "").await;
    empty.assert_status(202);

    bulk.send("DELETE", &status, &[]).await.assert_status(202);
    for path in [&status, &url] {
        bulk.send("GET", path, &[]).await.assert_outcome(Fault::NotFound);
    }
    bulk.send("DELETE", &status, &[]).await.assert_outcome(Fault::NotFound);
}

#[tokio::test]
async fn a_large_record_and_a_record_with_a_large_resource_are_exported_like_small_ones() {
    let bulk = Bulk::start().await;
    let line = |patient: &str, id: String, text: String| {
        json!({"resourceType": "Observation", "id": id, "status": "final", "code": {"text": text},
            "subject": {"reference": format!("Patient/{patient}")}, "effectiveDateTime": "2025-03-03"})
        .to_string()
    };
    let many = (0..600).map(|at| line(&bulk.ids[0], format!("many-{at}"), "one of many".to_owned()));
    let large = line(&bulk.ids[1], "large".to_owned(), "x".repeat(40 * 1024));
    let text: Vec<String> = many.chain([large]).collect();
    std::fs::write(bulk.payer.home().join("more.ndjson"), text.join("\n")).expect("a file");
    assert_eq!(bulk.payer.json_command(&["import", "more.ndjson"])["stored"], 601);
    let manifest = bulk.done(&bulk.begin("").await).await;
    let taken = bulk.taken(&manifest).await;
    assert!(taken.len() > 601 && taken.contains_key("Observation/large"));
    assert_eq!(taken, bulk.everything(&bulk.ids).await);
}

#[tokio::test]
async fn what_an_export_cannot_do_is_refused_at_its_start() {
    let bulk = Bulk::start().await;
    let start = "/fhir/Patient/$export";
    bulk.send("GET", start, &[])
        .await
        .assert_outcome(Fault::BulkAsyncNeeded);
    for (query, fault) in [
        ("?_type=Nonsense", Fault::ParameterInvalid),
        ("?_since=2999-01-01T00:00:00Z", Fault::ParameterInvalid),
        ("?_typeFilter=Condition%3Fcode=1", Fault::ParameterUnknown),
        ("?_elements=id", Fault::ParameterUnknown),
        ("?_outputFormat=csv", Fault::ParameterInvalid),
    ] {
        let refused = bulk.send("GET", &format!("{start}{query}"), &[ASYNC]).await;
        refused.assert_outcome(fault);
    }
    let unknown = bulk.send("GET", "/fhir/Group/0123/$export", &[ASYNC]).await;
    unknown.assert_outcome(Fault::NotFound);
    bulk.send("GET", "/fhir/jobs/0123", &[])
        .await
        .assert_outcome(Fault::NotFound);
    assert_eq!(bulk.payer.count("bulk_job"), 0);

    // A lenient request is told what was left out; some types of some members are a part of the whole.
    let lenient = [("prefer", "respond-async; handling=lenient")];
    let query = format!(
        "?_type=Patient,Condition&organizeOutputBy=Patient&patient=Patient/{}",
        bulk.ids[0]
    );
    let reply = bulk.send("GET", &format!("{start}{query}"), &lenient).await;
    reply.assert_status(202);
    let manifest = bulk.done(&bulk.path(reply.header("content-location"))).await;
    let told = bulk.path(manifest["error"][0]["url"].as_str().expect("a file"));
    let told = bulk.send("GET", &told, &[]).await;
    told.assert_status(200);
    assert!(told.text().contains("organizeOutputBy"), "{}", told.text());
    let mut wanted = bulk.everything(&bulk.ids[..1]).await;
    wanted.retain(|name, _| name.starts_with("Patient/") || name.starts_with("Condition/"));
    assert_eq!(bulk.taken(&manifest).await, wanted);

    // Since the time of the last export nothing became visible; no more runs than a partner may have.
    let since = manifest["transactionTime"]
        .as_str()
        .expect("a time")
        .replace('+', "%2B");
    let status = bulk.begin(&format!("?_since={since}&_type=Condition")).await;
    assert_eq!(bulk.done(&status).await["output"], json!([]));
}

#[tokio::test]
async fn a_partner_has_so_many_runs_and_not_more() {
    let (mut payer, client) = TestPayer::prepare(4);
    payer.serve_with(&[("CAUSEWAY_BULK__JOBS_PER_PARTNER", "1")]);
    let bulk = Bulk::matched(payer, client).await;
    let status = bulk.begin("").await;
    let second = bulk.send("GET", "/fhir/Patient/$export", &[ASYNC]).await;
    if second.status != 202 {
        second.assert_outcome(Fault::BulkBusy);
        assert!(!second.header("retry-after").is_empty());
    }
    bulk.send("DELETE", &status, &[]).await.assert_status(202);
}

#[tokio::test]
async fn an_operator_sees_the_jobs_of_partners_and_ends_one() {
    let bulk = Bulk::start().await;
    let status = bulk.begin("?_type=Patient").await;
    bulk.done(&status).await;
    let listed = bulk.payer.json_command(&["bulk", "list"]);
    let job = &listed["items"][0];
    assert_eq!(
        (&job["kind"], &job["partner"], &job["state"]),
        (&json!("export"), &json!("new-payer"), &json!("done"))
    );
    let id = job["id"].as_str().expect("an id");
    assert!(status.ends_with(id), "{status}");
    let shown = bulk.payer.json_command(&["bulk", "show", &id[..8]]);
    assert_eq!(
        (&shown["members"], &shown["files"][0]["type"]),
        (&json!(2), &json!("Patient"))
    );
    assert!(bulk.ids.iter().all(|member| !shown.to_string().contains(member)));
    let ended = bulk.payer.command(&["bulk", "cancel", id, "--reason", "asked for"]);
    assert!(ended.status.success(), "{}", String::from_utf8_lossy(&ended.stderr));
    bulk.send("GET", &status, &[]).await.assert_outcome(Fault::NotFound);
    assert_eq!(bulk.payer.count("ledger_entry WHERE action = 'bulk.cancelled'"), 1);
    let folder = bulk.payer.exports().join(id);
    for _ in 0..2_400 {
        if !folder.exists() && bulk.payer.count("bulk_job") == 0 {
            return;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    panic!("{} is still there: {}", folder.display(), bulk.payer.log());
}

#[tokio::test]
async fn a_crash_in_the_middle_of_an_export_loses_and_repeats_nothing() {
    for point in ["bulk.planned", "bulk.files-written", "bulk.piece-done"] {
        let (mut payer, client) = TestPayer::prepare(4);
        payer.serve_with(&[("CAUSEWAY_FAILPOINT", point)]);
        let mut bulk = Bulk::matched(payer, client).await;
        let status = bulk.begin_to_its_crash("").await;
        bulk.payer.end_leases();
        bulk.payer.serve();
        see_closed().await;
        let manifest = bulk.done(&status).await;
        assert_eq!(bulk.taken(&manifest).await, bulk.everything(&bulk.ids).await, "{point}");
    }
}

/// A run begins when it is asked for, and its files go when their time is over.
#[tokio::test]
async fn an_export_waits_for_no_poll_and_its_end_for_no_deadline() {
    let (mut payer, client) = TestPayer::prepare(4);
    payer.serve_with(&[
        ("CAUSEWAY_JOBS__POLL_SECONDS", "60"),
        ("CAUSEWAY_BULK__KEEP_HOURS", "1"),
    ]);
    let bulk = Bulk::matched(payer, client).await;
    bulk.done(&bulk.begin("?_type=Patient").await).await;
    // Just after a poll, if it were one that began the first run: the next poll is almost a minute away.
    let began = Instant::now();
    bulk.done(&bulk.begin("?_type=Patient").await).await;
    assert!(began.elapsed() < Duration::from_secs(40), "{:?}", began.elapsed());
    let due =
        "job JOIN bulk_job ON bulk_job.id = job.live_key WHERE job.kind = 'bulk-end' AND job.due_ms <= expires_ms";
    assert_eq!(bulk.payer.count(due), 2);
}

#[tokio::test]
async fn a_data_export_is_posted() {
    let bulk = Bulk::start().await;
    let path = "/fhir/Group/0123/$davinci-data-export";
    let got = bulk.send("GET", path, &[ASYNC]).await;
    got.assert_outcome(Fault::MethodRefused);
    bulk.send("POST", path, &[])
        .await
        .assert_outcome(Fault::BulkAsyncNeeded);
    bulk.send("POST", path, &[ASYNC]).await.assert_outcome(Fault::NotFound);
    bulk.send("GET", "/fhir/jobs/..%2F..%2Freceived.keys", &[])
        .await
        .assert_outcome(Fault::NotFound);
    let status = bulk.begin("?_type=Patient").await;
    bulk.done(&status).await;
    for name in ["..%2F..%2Freceived.keys", "..%5C..%5Creceived.keys", "0123"] {
        let reply = bulk.send("GET", &format!("{status}/files/{name}"), &[]).await;
        assert_eq!(reply.status, 404, "{name}: {}", reply.text());
    }
    assert_eq!(bulk.payer.count("bulk_job"), 1);
}
