//! `Group/$bulk-member-match` over the wire: from the kick-off to the groups.

use crate::support::client::{ALL_SCOPES, Client, Reply};
use crate::support::payer::{TestPayer, today};
use crate::support::wire::see_closed;
use causeway::error::Fault;
use causeway::synth::{self, MatchOptions, Variation, match_request};
use diesel::RunQueryDsl as _;
use serde_json::{Value, json};
use std::time::Duration;

const BULK_SCOPE: &str = "http://hl7.org/fhir/us/davinci-pdex/OperationDefinition/BulkMemberMatch";
pub const PATH: &str = "/fhir/Group/$bulk-member-match";

/// A running payer with its partner and another one, both of which may match in bulk.
pub fn started(members: u64) -> (TestPayer, Client, Client) {
    let (mut payer, client) = TestPayer::prepare(members);
    let other = payer.register("other-payer", "1992000038", "https://other-payer.example/fhir");
    let sql = format!("UPDATE partner SET scopes = scopes || ' {BULK_SCOPE}'");
    diesel::sql_query(sql).execute(&mut payer.db()).expect("scopes");
    payer.serve();
    (payer, client, other)
}

pub async fn token(client: &Client) -> String {
    client.token(&format!("{ALL_SCOPES} {BULK_SCOPE}")).await
}

/// A member of a bulk match: the parts of a single one, about a Patient with this id.
pub fn member(payer: &TestPayer, index: u64, variation: Variation, id: &str) -> Value {
    let parts = payer.request(index, variation)["parameter"].clone();
    let old = parts[0]["resource"]["id"].as_str().expect("an id").to_owned();
    let text = parts.to_string();
    let text = text.replace(&format!("Patient/{old}"), &format!("Patient/{id}"));
    let mut parts: Value = serde_json::from_str(&text).expect("JSON");
    parts[0]["resource"]["id"] = json!(id);
    json!({"name": "MemberBundle", "part": parts})
}

pub fn body(members: &[Value]) -> String {
    json!({"resourceType": "Parameters", "parameter": members}).to_string()
}

pub async fn kick_off(client: &Client, token: &str, body: impl Into<reqwest::Body>) -> Reply {
    let bearer = format!("Bearer {token}");
    let headers = [
        ("authorization", bearer.as_str()),
        ("content-type", "application/fhir+json"),
        ("prefer", "respond-async"),
    ];
    client.send("POST", PATH, &headers, body).await
}

async fn send(client: &Client, token: &str, method: &str, url: &str) -> Reply {
    let path = url.strip_prefix(&client.origin).expect("an absolute URL of ours");
    let bearer = format!("Bearer {token}");
    client
        .send(method, path, &[("authorization", bearer.as_str())], "")
        .await
}

/// Begins a match, waits for its end, and gives the status address and the manifest.
pub async fn run(client: &Client, token: &str, body: impl Into<reqwest::Body>) -> (String, Value) {
    let begun = kick_off(client, token, body).await;
    begun.assert_status(202);
    let status = begun.header("content-location").to_owned();
    for _ in 0..2_400 {
        let reply = send(client, token, "GET", &status).await;
        if reply.status != 202 {
            reply.assert_status(200);
            return (status, reply.json());
        }
        assert!(!reply.header("retry-after").is_empty() && !reply.header("x-progress").is_empty());
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    panic!("the match did not come to its end");
}

/// The lines of the files of this type on this side of a manifest.
pub async fn lines(client: &Client, token: &str, manifest: &Value, side: &str, kind: &str) -> Vec<Value> {
    let mut all = Vec::new();
    for file in manifest[side].as_array().expect("a list") {
        if file["type"] != kind {
            continue;
        }
        let reply = send(client, token, "GET", file["url"].as_str().expect("a URL")).await;
        reply.assert_status(200);
        assert!(reply.header("content-type").starts_with("application/fhir+ndjson"));
        let found: Vec<Value> = reply
            .text()
            .lines()
            .map(|line| serde_json::from_str(line).expect("JSON"))
            .collect();
        assert_eq!(json!(found.len()), file["count"]);
        all.extend(found);
    }
    all
}

/// The ids of the Patients that were sent, by the code of their group.
pub fn sent_of(groups: &[Value], code: &str) -> Vec<String> {
    let found = groups.iter().find(|group| group["code"]["coding"][0]["code"] == code);
    let members = found.map(|group| group["member"].as_array().cloned().unwrap_or_default());
    members
        .unwrap_or_default()
        .iter()
        .map(|member| {
            let sent = &member["entity"]["extension"][0];
            assert!(
                sent["url"]
                    .as_str()
                    .expect("a URL")
                    .ends_with("/base-ext-match-parameters")
            );
            let id = sent["valueReference"]["reference"].as_str().expect("a reference");
            id.trim_start_matches('#').to_owned()
        })
        .collect()
}

pub fn three(payer: &TestPayer) -> Vec<Value> {
    vec![
        member(payer, 0, Variation::Exact, "mp-0"),
        member(payer, 1, Variation::UnknownPerson, "mp-1"),
        member(payer, 2, Variation::ConsentExpired, "mp-2"),
    ]
}

#[tokio::test]
async fn three_members_become_three_groups_and_the_matched_one_can_be_read() {
    let (payer, client, other) = started(6);
    let token = token(&client).await;
    let (status, manifest) = run(&client, &token, body(&three(&payer))).await;
    assert_eq!(manifest["request"], format!("{}{PATH}", client.origin));
    assert_eq!(manifest["requiresAccessToken"], true);
    assert!(manifest["transactionTime"].as_str().expect("a time").starts_with("20"));
    let groups = lines(&client, &token, &manifest, "output", "Group").await;
    assert_eq!(groups.len(), 3);
    for group in &groups {
        causeway_fhir_types::check(group.to_string().as_bytes()).expect("a typed Group");
        assert!(!group.to_string().contains("Consent/"), "no detail of a consent");
    }
    assert_eq!(sent_of(&groups, "match"), ["mp-0"]);
    assert_eq!(sent_of(&groups, "nomatch"), ["mp-1"]);
    assert_eq!(sent_of(&groups, "consentconstraint"), ["mp-2"]);
    assert!(
        lines(&client, &token, &manifest, "error", "OperationOutcome")
            .await
            .is_empty()
    );

    let matched = &groups[0]["member"][0]["entity"]["reference"];
    let patient = matched.as_str().expect("a reference").to_owned();
    assert_eq!(patient, format!("Patient/{}", payer.member(0).patient_id));
    client.get(&token, &patient).await.assert_status(200);
    assert_eq!(payer.count("decision"), 3);
    // Somebody with the address and birth date of a member is a doubt, which the partner is not told.
    for outcome in ["'matched'", "'none', 'review'", "'consent'"] {
        let taken = payer.count(&format!("decision WHERE outcome IN ({outcome})"));
        assert_eq!(taken, 1, "{outcome}");
    }
    assert_eq!(payer.count("grants"), 1);
    assert_eq!(payer.count("member_group_entry WHERE decision_id IS NOT NULL"), 3);

    // Groups stay readable after the run, and only for their partner.
    let id = groups[0]["id"].as_str().expect("an id");
    let read = client.get(&token, &format!("Group/{id}")).await;
    read.assert_status(200);
    assert_eq!(read.json(), groups[0]);
    let found = client.get(&token, "Group?code=match").await;
    found.assert_status(200);
    assert_eq!(found.json()["entry"][0]["resource"], groups[0]);
    assert_eq!(
        client.get(&token, "Group").await.json()["entry"]
            .as_array()
            .map(Vec::len),
        Some(3)
    );
    let theirs = self::token(&other).await;
    other
        .get(&theirs, &format!("Group/{id}"))
        .await
        .assert_outcome(Fault::NotFound);
    assert!(
        other.get(&theirs, "Group").await.json()["entry"]
            .as_array()
            .is_none_or(Vec::is_empty)
    );
    for method in ["GET", "DELETE"] {
        send(&other, &theirs, method, &status)
            .await
            .assert_outcome(Fault::NotFound);
    }
    let file = manifest["output"][0]["url"].as_str().expect("a URL");
    send(&other, &theirs, "GET", file).await.assert_outcome(Fault::NotFound);
    send(&client, &token, "DELETE", &status).await.assert_status(202);
    send(&client, &token, "GET", &status)
        .await
        .assert_outcome(Fault::NotFound);
    send(&client, &token, "GET", file).await.assert_outcome(Fault::NotFound);
    client.get(&token, &format!("Group/{id}")).await.assert_status(200);
}

#[tokio::test]
async fn the_same_file_again_counts_nothing_twice() {
    let (payer, client, _) = started(4);
    let token = token(&client).await;
    let (_, first) = run(&client, &token, body(&three(&payer))).await;
    let counted =
        || ["grants", "consent", "identity_link", "guess", "review", "guess_tally"].map(|table| payer.count(table));
    let sum = "guess WHERE guesses > 1 AND until_ms > 0";
    let (before, before_sum) = (counted(), payer.count(sum));
    let (_, second) = run(&client, &token, body(&three(&payer))).await;
    assert_eq!((counted(), payer.count(sum)), (before, before_sum));
    let of = |groups: Vec<Value>| ["match", "nomatch", "consentconstraint"].map(|code| sent_of(&groups, code));
    let first = of(lines(&client, &token, &first, "output", "Group").await);
    let second = of(lines(&client, &token, &second, "output", "Group").await);
    assert_eq!(first, second);
    assert_eq!(
        payer.count("guess_tally"),
        0,
        "a bulk match has no part in the share of failures"
    );
}

/// PDex pdex-153: one patient with several coverages can be in two groups; equal members count once.
#[tokio::test]
async fn one_patient_with_two_coverages_and_members_that_are_the_same() {
    let (payer, client, _) = started(4);
    let token = token(&client).await;
    let first = member(&payer, 0, Variation::Exact, "mp-0");
    let mut second = first.clone();
    let coverage = &mut second["part"][1]["resource"];
    coverage["identifier"][0]["value"] = json!("M0X0000001");
    coverage["subscriberId"] = json!("S0X0000001");
    let (_, manifest) = run(&client, &token, body(&[first.clone(), first.clone(), second])).await;
    let groups = lines(&client, &token, &manifest, "output", "Group").await;
    assert_eq!(sent_of(&groups, "match"), ["mp-0"]);
    assert_eq!(
        groups[0]["member"][0]["entity"]["extension"].as_array().map(Vec::len),
        Some(2)
    );
    assert_eq!(payer.count("decision"), 2);

    let again = member(&payer, 1, Variation::Exact, "mp-0");
    let refused = kick_off(&client, &token, body(&[first, again])).await;
    refused.assert_outcome(Fault::BulkContradicts);
}

/// A member whose consent is revoked leaves the group, and a file that still names the member is not given any more.
#[tokio::test]
async fn a_member_whose_grant_ends_leaves_the_group_and_its_files() {
    let (payer, client, _) = started(4);
    let token = token(&client).await;
    let (status, manifest) = run(&client, &token, body(&three(&payer))).await;
    let groups = lines(&client, &token, &manifest, "output", "Group").await;
    let id = groups[0]["id"].as_str().expect("an id");
    let consents = payer.json_command(&["consent", "list"]);
    let consent = consents
        .pointer("/consents/0/id")
        .or_else(|| consents.pointer("/0/id"))
        .and_then(Value::as_str)
        .unwrap_or_else(|| panic!("{consents}"))
        .to_owned();
    let ended = payer.command(&["consent", "revoke", &consent, "--reason", "asked for"]);
    assert!(ended.status.success(), "{}", String::from_utf8_lossy(&ended.stderr));
    let group = client.get(&token, &format!("Group/{id}")).await.json();
    assert!(
        group.get("member").is_none() && group.get("contained").is_none(),
        "{group}"
    );
    let file = manifest["output"][0]["url"].as_str().expect("a URL");
    send(&client, &token, "GET", file).await.assert_outcome(Fault::NotFound);
    for _ in 0..2_400 {
        let reply = send(&client, &token, "GET", &status).await;
        if reply.status == 200 && reply.json()["output"][0]["url"] != file {
            let groups = lines(&client, &token, &reply.json(), "output", "Group").await;
            assert!(sent_of(&groups, "match").is_empty());
            assert_eq!(groups.len(), 3);
            return;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    panic!("the result was not written again");
}

/// A crash between the members on the disk and the row of the match leaves nothing there for ever.
#[tokio::test]
async fn members_on_the_disk_without_a_match_are_removed() {
    let (mut payer, client) = TestPayer::prepare(2);
    let sql = format!("UPDATE partner SET scopes = scopes || ' {BULK_SCOPE}'");
    diesel::sql_query(sql).execute(&mut payer.db()).expect("scopes");
    payer.serve_with(&[
        ("CAUSEWAY_FAILPOINT", "bulk.spooled"),
        ("CAUSEWAY_EXPORTS__URL", "file:spooled"),
    ]);
    let token = token(&client).await;
    let request = client.http.post(format!("{}{PATH}", client.origin)).bearer_auth(&token);
    let request = request
        .header("content-type", "application/fhir+json")
        .header("prefer", "respond-async");
    let whole = body(&[member(&payer, 0, Variation::Exact, "mp-0")]);
    assert!(request.body(whole).send().await.is_err());
    payer.await_end(Duration::from_secs(120));
    let folder = payer.home().join("spooled");
    let left = || std::fs::read_dir(&folder).expect("a folder").count();
    assert_eq!((left(), payer.count("bulk_job")), (1, 0));
    let due = diesel::sql_query("UPDATE job SET due_ms = 0 WHERE kind = 'bulk-end'").execute(&mut payer.db());
    assert_eq!(due.expect("due"), 1);
    payer.serve_with(&[("CAUSEWAY_EXPORTS__URL", "file:spooled")]);
    for _ in 0..2_400 {
        if left() == 0 {
            return;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    panic!("it is still there: {}", payer.log());
}

/// A match of many pieces: nobody is lost or twice when the server is killed in the middle.
#[tokio::test]
async fn a_killed_server_finishes_the_match_afterwards() {
    let (mut payer, client) = TestPayer::prepare_with(synth::SynthOptions {
        members: 300,
        resources_per_member: 1,
        twins: false,
        as_of: today(),
        ..synth::SynthOptions::default()
    });
    let sql = format!("UPDATE partner SET scopes = scopes || ' {BULK_SCOPE}'");
    diesel::sql_query(sql).execute(&mut payer.db()).expect("scopes");
    payer.serve();
    let token = token(&client).await;
    let options = MatchOptions::on(today());
    let members: Vec<Value> = (0..300)
        .map(|at| match_request(&payer.member(at), &options, Variation::Exact)["parameter"].clone())
        .enumerate()
        .map(|(at, parts)| {
            let old = parts[0]["resource"]["id"].as_str().expect("an id").to_owned();
            let text = parts
                .to_string()
                .replace(&format!("Patient/{old}"), &format!("Patient/k-{at}"));
            let mut parts: Value = serde_json::from_str(&text).expect("JSON");
            parts[0]["resource"]["id"] = json!(format!("k-{at}"));
            json!({"name": "MemberBundle", "part": parts})
        })
        .collect();
    let begun = kick_off(&client, &token, body(&members)).await;
    begun.assert_status(202);
    let status = begun.header("content-location").to_owned();
    payer.kill();
    payer.end_leases();
    payer.serve();
    see_closed().await;
    for _ in 0..1_800 {
        let reply = send(&client, &token, "GET", &status).await;
        if reply.status == 200 {
            let groups = lines(&client, &token, &reply.json(), "output", "Group").await;
            let wanted: Vec<String> = (0..300).map(|at| format!("k-{at}")).collect();
            assert_eq!(sent_of(&groups, "match"), wanted);
            assert_eq!((payer.count("decision"), payer.count("grants")), (300, 300));
            return;
        }
        if !reply.is_throttled().await {
            reply.assert_status(202);
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }
    panic!("the match did not come to its end");
}

/// The download of a result is in the ledger before its first byte; a group whose members have all left exports nothing, and says so.
#[tokio::test]
async fn a_result_that_is_taken_is_in_the_ledger_and_an_empty_group_exports_nothing() {
    let (payer, client, _) = started(4);
    let token = token(&client).await;
    let one = [member(&payer, 0, Variation::Exact, "mp-0")];
    let (status, manifest) = run(&client, &token, body(&one)).await;
    let url = manifest["output"][0]["url"].as_str().expect("a URL");
    let path = url.strip_prefix(&client.origin).expect("ours");
    let bearer = format!("Bearer {token}");
    let headers = [
        ("authorization", bearer.as_str()),
        ("x-correlation-id", "bulk-result-1"),
        ("range", "bytes=0-9"),
    ];
    client.send("GET", path, &headers, "").await.assert_status(206);
    payer
        .await_ledger("bulk-result-1", &["disclosure.begun", "disclosure.completed"])
        .await;
    let groups = lines(&client, &token, &manifest, "output", "Group").await;
    let id = groups[0]["id"].as_str().expect("an id");
    let consents = payer.json_command(&["consent", "list"]);
    let consent = consents[0]["id"].as_str().expect("an id");
    payer.json_command(&["consent", "revoke", consent, "--reason", "asked for"]);
    let headers = [("authorization", bearer.as_str()), ("prefer", "respond-async")];
    let begun = client
        .send("GET", &format!("/fhir/Group/{id}/$export"), &headers, "")
        .await;
    begun.assert_status(202);
    let export = begun.header("content-location").to_owned();
    for _ in 0..2_400 {
        let reply = send(&client, &token, "GET", &export).await;
        if reply.status == 200 {
            assert_eq!(reply.json()["output"], json!([]));
            let told = lines(&client, &token, &reply.json(), "error", "OperationOutcome").await;
            let text = told[0]["issue"][0]["details"]["text"].as_str().expect("a text");
            assert!(text.starts_with("Members left out: 1."), "{text}");
            send(&client, &token, "DELETE", &status).await.assert_status(202);
            send(&client, &token, "DELETE", &status)
                .await
                .assert_outcome(Fault::NotFound);
            return;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    panic!("the export did not come to its end");
}
