//! Groups that their partner reads are disclosures of their members: begun before the first byte, ended with their bytes, found by each member.

use crate::bulk::send;
use crate::bulk_leaving::{Stalled, revoke_first_consent, shared_wire};
use crate::bulk_match::{body, lines, member, run, started, three, token};
use crate::revoked_streams::{ended, number};
use crate::support::client::{Client, Reply};
use crate::support::desk::Desk;
use crate::support::payer::TestPayer;
use causeway::error::Fault;
use causeway::store::schema::ledger_entry;
use causeway::synth::Variation;
use diesel::prelude::*;
use serde_json::{Value, json};
use std::time::{Duration, Instant};

const BEGUN: &str = "disclosure.begun";
const COMPLETED: &str = "disclosure.completed";
/// Time for the end of a disclosure to be on record.
const MOST: Duration = Duration::from_secs(60);

/// The id of the group with this code.
fn id_of(groups: &[Value], code: &str) -> String {
    let found = groups.iter().find(|group| group["code"]["coding"][0]["code"] == code);
    found.expect("a group")["id"].as_str().expect("an id").to_owned()
}

async fn ask(client: &Client, token: &str, method: &str, path: &str, correlation: &str) -> Reply {
    send(client, token, method, path, &[("x-correlation-id", correlation)], "").await
}

/// What an auditor finds under this member and this correlation id.
async fn told(desk: &Desk<'_>, member: &str, correlation: &str) -> Vec<Value> {
    let mut items = desk.all(&format!("disclosures?member=Patient/{member}")).await;
    items.retain(|item| item["correlation_id"] == correlation);
    items
}

#[tokio::test]
async fn a_group_that_is_read_is_in_the_ledger_and_found_by_its_member() {
    let (payer, client, _) = started(4);
    let token = token(&client).await;
    let (_, manifest) = run(&client, &token, body(&three(&payer))).await;
    let groups = lines(&client, &token, &manifest, "output", "Group").await;
    let member = payer.member(0).patient_id;
    let auditor = Desk::named(&payer, &client, "auditor", "carl");
    let path = format!("/fhir/Group/{}", id_of(&groups, "match"));
    let reply = ask(&client, &token, "GET", &path, "group-read").await;
    reply.assert_status(200);
    payer.await_ledger("group-read", &[BEGUN, COMPLETED]).await;
    let items = told(&auditor, &member, "group-read").await;
    assert_eq!(items.len(), 1, "{items:#?}");
    for (name, wanted) in [
        ("outcome", json!("completed")),
        ("bytes", json!(reply.body.len())),
        ("resources", json!({"Group": 1})),
        ("partner", json!("new-payer")),
    ] {
        assert_eq!(items[0][name], wanted, "{name}: {}", items[0]);
    }
    // A group is not the record: nothing was delivered.
    let grants = auditor.all(&format!("grants?member=Patient/{member}")).await;
    let decision = grants[0]["decision_id"].as_str().expect("an id");
    let exchange = auditor.get(&format!("exchanges/{decision}")).await.json();
    assert_ne!(exchange["delivery_state"], "received", "{exchange:#}");

    // Only a head: a disclosure of no bytes.
    ask(&client, &token, "HEAD", &path, "group-head")
        .await
        .assert_status(200);
    payer.await_ledger("group-head", &[BEGUN, COMPLETED]).await;
    let items = told(&auditor, &member, "group-head").await;
    assert_eq!((&items[0]["bytes"], &items[0]["resources"]), (&json!(0), &json!({})));

    // All three groups: one names the member, and two name nobody.
    let reply = ask(&client, &token, "GET", "/fhir/Group", "group-search").await;
    reply.assert_status(200);
    let six = [BEGUN, BEGUN, BEGUN, COMPLETED, COMPLETED, COMPLETED];
    payer.await_ledger("group-search", &six).await;
    assert_eq!(told(&auditor, &member, "group-search").await.len(), 1);
    let path = format!("/fhir/Group/{}", id_of(&groups, "nomatch"));
    ask(&client, &token, "GET", &path, "group-none")
        .await
        .assert_status(200);
    let entry = ended(&payer, "group-none", MOST);
    assert_eq!(entry["object"]["kind"], "bulk-job", "{entry}");
    // Whom the caller does not see was not disclosed.
    let none = ask(&client, &token, "GET", "/fhir/Group/none-match", "group-unknown").await;
    none.assert_outcome(Fault::NotFound);
    payer.assert_ledger("group-unknown", &["request.refused"]);
}

#[tokio::test]
async fn a_group_of_many_is_one_entry_and_each_member_finds_it() {
    const MEMBERS: u64 = 20;
    let (payer, client, _) = started(MEMBERS);
    let token = token(&client).await;
    let asked: Vec<Value> = (0..MEMBERS)
        .map(|at| member(&payer, at, Variation::Exact, &format!("mp-{at}")))
        .collect();
    let (_, manifest) = run(&client, &token, body(&asked)).await;
    let groups = lines(&client, &token, &manifest, "output", "Group").await;
    let members: Vec<String> = groups[0]["member"]
        .as_array()
        .expect("members")
        .iter()
        .filter_map(|one| one["entity"]["reference"].as_str()?.strip_prefix("Patient/"))
        .map(str::to_owned)
        .collect();
    assert!(members.len() > 5, "{members:?}");
    let auditor = Desk::named(&payer, &client, "auditor", "carl");
    let path = format!("/fhir/Group/{}", id_of(&groups, "match"));
    for correlation in ["many-read", "many-again"] {
        let reply = ask(&client, &token, "GET", &path, correlation).await;
        reply.assert_status(200);
        payer.await_ledger(correlation, &[BEGUN, COMPLETED]).await;
        for member in &members {
            let items = told(&auditor, member, correlation).await;
            assert_eq!(items.len(), 1, "{member}");
            assert_eq!(items[0]["bytes"], json!(reply.body.len()), "{}", items[0]);
            assert_eq!(items[0]["resources"], json!({"Group": 1}), "{}", items[0]);
        }
    }
    assert_eq!(payer.count("disclosed_file"), 1, "who they are is stored once");
    // What opens the ledger is erased of a member whose record stays: what is shown after that is on record as before.
    let subject = format!("Patient/{}", members[0]);
    let basis = ["--reason", "test-data", "--legal-basis", "no-duty-to-keep"];
    payer.json_command(&[&["audit", "erase-subject", &subject][..], &basis].concat());
    assert_eq!(told(&auditor, &members[0], "many-read").await.len(), 0);
    ask(&client, &token, "GET", &path, "many-after")
        .await
        .assert_status(200);
    payer.await_ledger("many-after", &[BEGUN, COMPLETED]).await;
    for member in &members[..2] {
        assert_eq!(told(&auditor, member, "many-after").await.len(), 1, "{member}");
    }
    assert_eq!(payer.count("disclosed_file"), 2);
    // Who has left is not shown, and not told of.
    revoke_first_consent(&payer);
    let reply = ask(&client, &token, "GET", &path, "many-less").await;
    reply.assert_status(200);
    payer.await_ledger("many-less", &[BEGUN, COMPLETED]).await;
    let shown = reply.text();
    assert_eq!(payer.count("disclosed_file"), 3);
    let mut left = 0;
    for member in &members {
        let is_shown = shown.contains(&format!("\"Patient/{member}\""));
        left += usize::from(!is_shown);
        let items = told(&auditor, member, "many-less").await;
        assert_eq!(items.len(), usize::from(is_shown), "{member}");
    }
    assert_eq!(left, 1);
}

#[tokio::test]
async fn no_group_leaves_while_its_entry_cannot_be_written() {
    let (payer, client, _) = started(4);
    let token = token(&client).await;
    let (_, manifest) = run(&client, &token, body(&three(&payer))).await;
    let groups = lines(&client, &token, &manifest, "output", "Group").await;
    let rename = |from: &str, to: &str| payer.execute(&format!("ALTER TABLE {from} RENAME TO {to}"));
    rename("ledger_entry", "ledger_entry_away");
    let read = format!("/fhir/Group/{}", id_of(&groups, "match"));
    let mut refused = Vec::new();
    for path in [read.as_str(), "/fhir/Group"] {
        refused.push(send(&client, &token, "GET", path, &[], "").await);
    }
    rename("ledger_entry_away", "ledger_entry");
    for reply in refused {
        reply.assert_outcome(Fault::AuditUnavailable);
    }
    send(&client, &token, "GET", &read, &[], "").await.assert_status(200);
}

/// How the disclosures of this request ended, once so many have.
fn all_ended(payer: &TestPayer, correlation: &str, count: usize) -> Vec<Value> {
    let began = Instant::now();
    loop {
        let found: Vec<Vec<u8>> = ledger_entry::table
            .filter(ledger_entry::correlation_id.eq(correlation))
            .filter(ledger_entry::action.eq(COMPLETED))
            .select(ledger_entry::entry)
            .load(&mut payer.db())
            .expect("entries");
        if found.len() == count {
            let read = |entry: &Vec<u8>| serde_json::from_slice(entry).expect("JSON");
            return found.iter().map(read).collect();
        }
        assert!(began.elapsed() < MOST, "{:?}", payer.ledger(correlation));
        std::thread::sleep(Duration::from_millis(50));
    }
}

/// The member's own part has left when the access ends, and the rest of the answer does not leave.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn t_d10_a_search_for_groups_ends_when_a_member_leaves() {
    let (payer, mut client, _) = started(6);
    let wire = shared_wire(&payer, &mut client);
    let token = token(&client).await;
    let photo = json!([{"contentType": "image/png", "data": "A".repeat(900_000)}]);
    let members: Vec<Value> = (0..15)
        .map(|at| {
            let is_first = at == 0;
            let variation = if is_first {
                Variation::Exact
            } else {
                Variation::UnknownPerson
            };
            let mut one = member(&payer, at % 6, variation, &format!("mp-{at}"));
            if !is_first {
                one["part"][0]["resource"]["photo"] = photo.clone();
            }
            one
        })
        .collect();
    run(&client, &token, body(&members)).await;
    let whole = send(&client, &token, "GET", "/fhir/Group", &[], "").await;
    whole.assert_status(200);
    let size = whole.body.len() as u64;
    assert!(size > 12_000_000, "{size}");
    let reading = Stalled::begin(&wire, &token, "/fhir/Group", "groups-cut");
    std::thread::sleep(Duration::from_millis(300));
    revoke_first_consent(&payer);
    let ends = all_ended(&payer, "groups-cut", 2);
    for entry in &ends {
        assert_eq!(
            (entry["outcome"]["class"].as_str(), entry["outcome"]["reason"].as_str()),
            (Some("failed"), Some(Fault::NotFound.code())),
            "{entry}"
        );
    }
    let sent: u64 = ends.iter().map(|entry| number(&entry["bytes"])).sum();
    assert!(sent > 0 && sent < size, "{sent} of {size}");
    let came = reading.rest() as u64;
    assert!(came < size, "{came} of {size}");
}
