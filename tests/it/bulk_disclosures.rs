//! The download of a file of many members is one entry of the ledger, and a disclosure of each of them in every account.

use crate::bulk::Bulk;
use crate::ledger::store::covered;
use crate::support::client::ALL_SCOPES;
use crate::support::desk::Desk;
use crate::support::payer::TestPayer;
use causeway::audit::{member_leaf, members_root};
use causeway::store::disclosed;
use causeway::synth::Variation;
use diesel::connection::SimpleConnection as _;
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};

const BEGUN: &str = "disclosure.begun";
const COMPLETED: &str = "disclosure.completed";
/// Members that are asked about; some have a twin and are not matched.
const MEMBERS: u64 = 14;

/// A payer, and a partner with grants on more than a few of its members.
async fn many() -> Bulk {
    let (payer, client) = TestPayer::start(MEMBERS);
    let token = client.token(ALL_SCOPES).await;
    let mut ids = Vec::new();
    for member in 0..MEMBERS {
        let body = payer.request(member, Variation::Exact).to_string();
        let reply = client.post_match(&token, body, &[]).await;
        if reply.status == 200 {
            ids.push(id_of(&reply.json()));
        }
    }
    assert!(ids.len() > 4, "{ids:?}");
    Bulk {
        payer,
        client,
        token,
        ids,
    }
}

/// The Patient that an answer names.
fn id_of(answer: &Value) -> String {
    let mut all = answer["parameter"].as_array().expect("parameters").iter();
    let named = all.find(|one| one["name"] == "MemberId").expect("a member");
    let reference = named["valueReference"]["reference"].as_str().expect("a reference");
    reference.trim_start_matches("Patient/").to_owned()
}

/// The address of the file with this type.
fn file_of(bulk: &Bulk, manifest: &Value, rtype: &str) -> String {
    let files = manifest["output"].as_array().expect("files");
    let file = files.iter().find(|file| file["type"] == rtype).expect("a file");
    bulk.path(file["url"].as_str().expect("a URL"))
}

/// Bytes and lines of each member in a file of Patients.
fn shares(text: &str) -> BTreeMap<String, u64> {
    text.lines()
        .map(|line| {
            let patient: Value = serde_json::from_str(line).expect("JSON");
            (patient["id"].as_str().expect("an id").to_owned(), line.len() as u64 + 1)
        })
        .collect()
}

async fn under(desk: &Desk<'_>, member: &str, correlation: &str) -> Vec<Value> {
    let mut items = desk.all(&format!("disclosures?member=Patient/{member}")).await;
    items.retain(|item| item["correlation_id"] == correlation);
    items
}

#[tokio::test]
async fn a_file_of_many_is_one_entry_and_each_member_finds_it() {
    let bulk = many().await;
    let manifest = bulk.done(&bulk.begin("?_type=Patient,Coverage").await).await;
    let url = file_of(&bulk, &manifest, "Patient");
    let whole = bulk.send("GET", &url, &[("x-correlation-id", "many-1")]).await;
    whole.assert_status(200);
    bulk.payer.await_ledger("many-1", &[BEGUN, COMPLETED]).await;
    let again = bulk.send("GET", &url, &[("x-correlation-id", "many-2")]).await;
    again.assert_status(200);
    bulk.payer.await_ledger("many-2", &[BEGUN, COMPLETED]).await;
    assert_eq!(bulk.payer.count("disclosed_file"), 1, "the shares are stored once");
    let members = i64::try_from(bulk.ids.len()).expect("a few");
    assert_eq!(bulk.payer.count("disclosed_share"), members);

    let auditor = Desk::named(&bulk.payer, &bulk.client, "auditor", "carl");
    let shares = shares(&whole.text());
    assert_eq!(shares.len(), bulk.ids.len());
    for member in &bulk.ids {
        for correlation in ["many-1", "many-2"] {
            let items = under(&auditor, member, correlation).await;
            assert_eq!(items.len(), 1, "{member}");
            let grants = auditor.all(&format!("grants?member=Patient/{member}")).await;
            for (name, wanted) in [
                ("member", json!(format!("Patient/{member}"))),
                ("partner", json!("new-payer")),
                ("outcome", json!("completed")),
                ("policy", json!("regular")),
                ("bytes", json!(shares[member])),
                ("resources", json!({"Patient": 1})),
                ("consent_id", grants[0]["consent_id"].clone()),
                ("grant_id", grants[0]["id"].clone()),
                ("decision_id", grants[0]["decision_id"].clone()),
            ] {
                assert_eq!(items[0][name], wanted, "{name}: {}", items[0]);
            }
        }
    }
    assert_traced(&bulk, &auditor, shares[&bulk.ids[0]]).await;
    assert_committed(&bulk, &auditor).await;
    for member in &bulk.ids {
        assert_told(&bulk, &auditor, member, shares[member]).await;
    }
    assert_told_of_all(&bulk, &auditor).await;

    // A part of the file is told to those whose bytes are in it, and to nobody else.
    let first = whole.text().lines().next().expect("a line").to_owned();
    let first: Value = serde_json::from_str(&first).expect("JSON");
    let part = [("range", "bytes=10-29"), ("x-correlation-id", "many-3")];
    bulk.send("GET", &url, &part).await.assert_status(206);
    bulk.payer.await_ledger("many-3", &[BEGUN, COMPLETED]).await;
    for member in &bulk.ids {
        let items = under(&auditor, member, "many-3").await;
        assert_eq!(items.len(), usize::from(first["id"] == member.as_str()), "{member}");
        assert!(items.iter().all(|item| item["bytes"] == 20));
    }
    // Only a head: a disclosure of no bytes.
    let head = bulk.send("HEAD", &url, &[("x-correlation-id", "many-4")]).await;
    head.assert_status(200);
    bulk.payer.await_ledger("many-4", &[BEGUN, COMPLETED]).await;
    let items = under(&auditor, &bulk.ids[0], "many-4").await;
    assert_eq!((&items[0]["bytes"], &items[0]["resources"]), (&json!(0), &json!({})));
}

/// What opens the ledger is erased of a member whose record stays: what is fetched after that is on record as before.
#[tokio::test]
async fn a_file_that_is_fetched_after_an_erasure_is_found_by_its_member() {
    let bulk = many().await;
    let manifest = bulk.done(&bulk.begin("?_type=Patient").await).await;
    let url = file_of(&bulk, &manifest, "Patient");
    bulk.send("GET", &url, &[("x-correlation-id", "before")])
        .await
        .assert_status(200);
    bulk.payer.await_ledger("before", &[BEGUN, COMPLETED]).await;
    let subject = format!("Patient/{}", bulk.ids[0]);
    let basis = ["--reason", "test-data", "--legal-basis", "no-duty-to-keep"];
    bulk.payer
        .json_command(&[&["audit", "erase-subject", &subject][..], &basis].concat());
    let auditor = Desk::named(&bulk.payer, &bulk.client, "auditor", "carl");
    assert_eq!(under(&auditor, &bulk.ids[0], "before").await.len(), 0);
    assert_eq!(under(&auditor, &bulk.ids[1], "before").await.len(), 1);
    bulk.send("GET", &url, &[("x-correlation-id", "after")])
        .await
        .assert_status(200);
    let each = [vec![BEGUN; bulk.ids.len()], vec![COMPLETED; bulk.ids.len()]].concat();
    bulk.payer.await_ledger("after", &each).await;
    for member in &bulk.ids {
        assert_eq!(under(&auditor, member, "after").await.len(), 1, "{member}");
    }
}

#[tokio::test]
async fn a_range_of_all_bytes_is_the_whole_file_and_any_other_is_told_to_each() {
    let bulk = many().await;
    let manifest = bulk.done(&bulk.begin("?_type=Patient").await).await;
    let url = file_of(&bulk, &manifest, "Patient");
    let whole = bulk.send("GET", &url, &[("x-correlation-id", "range-1")]).await;
    let bytes = whole.body.len();
    let (all, last) = (bulk.ids.len(), bytes - 1);
    bulk.payer.await_ledger("range-1", &[BEGUN, COMPLETED]).await;
    for (number, range) in [
        "bytes=0-".to_owned(),
        format!("bytes=0-{last}"),
        format!("bytes=0-{}", bytes * 2),
        format!("bytes=-{bytes}"),
    ]
    .iter()
    .enumerate()
    {
        let correlation = format!("range-all-{number}");
        let headers = [("range", range.as_str()), ("x-correlation-id", correlation.as_str())];
        let reply = bulk.send("GET", &url, &headers).await;
        reply.assert_status(206);
        assert_eq!(
            reply.header("content-range"),
            format!("bytes 0-{last}/{bytes}"),
            "{range}"
        );
        assert_eq!(reply.body, whole.body, "{range}");
        bulk.payer.await_ledger(&correlation, &[BEGUN, COMPLETED]).await;
    }
    assert_eq!(bulk.payer.count("disclosed_file"), 1, "the shares are stored once");

    let each: Vec<&str> = [vec![BEGUN; all], vec![COMPLETED; all]].concat();
    for (correlation, range) in [
        ("range-from-1", "bytes=1-".to_owned()),
        ("range-to-last", format!("bytes=0-{}", last - 1)),
    ] {
        let headers = [("range", range.as_str()), ("x-correlation-id", correlation)];
        let reply = bulk.send("GET", &url, &headers).await;
        reply.assert_status(206);
        assert_eq!(reply.body.len(), last, "{range}");
        bulk.payer.await_ledger(correlation, &each).await;
    }

    let auditor = Desk::named(&bulk.payer, &bulk.client, "auditor", "carl");
    let shares = shares(&whole.text());
    for member in &bulk.ids {
        let items = under(&auditor, member, "range-all-0").await;
        assert_eq!(items.len(), 1, "{member}");
        assert_eq!(items[0]["bytes"], shares[member], "{member}");
    }
}

/// The trace of a grant has the downloads with the member's share, and so has the exchange of the match.
async fn assert_traced(bulk: &Bulk, auditor: &Desk<'_>, bytes: u64) {
    let member = &bulk.ids[0];
    let grants = auditor.all(&format!("grants?member=Patient/{member}")).await;
    let grant = grants[0]["id"].as_str().expect("an id");
    let items = auditor.all(&format!("trace/{grant}")).await;
    let told: Vec<&Value> = items
        .iter()
        .filter(|item| item["action"] == "disclosure" && item["bytes"] == bytes)
        .collect();
    assert_eq!(told.len(), 2, "{items:#?}");
    assert!(told.iter().all(|item| item["grant_id"] == grant), "{told:#?}");
    let decision = grants[0]["decision_id"].as_str().expect("an id");
    let exchange = auditor.get(&format!("exchanges/{decision}")).await.json();
    assert_eq!(exchange["delivery_state"], "received", "{exchange:#}");
    assert_eq!(exchange["sent"]["bytes"], bytes * 2, "{exchange:#}");
    assert_eq!(exchange["sent"]["disclosures"], 2, "{exchange:#}");
}

/// Each download of the whole file is an event of its own for each member, which is found by the member and by its id.
async fn assert_told(bulk: &Bulk, auditor: &Desk<'_>, member: &str, bytes: u64) {
    const WHY: &str = "a complaint";
    let events = auditor.found(&format!("fhir/AuditEvent?patient={member}"), WHY).await;
    let of_files: Vec<&Value> = events
        .iter()
        .filter(|event| {
            let entities = event["entity"].to_string();
            entities.contains(&format!("Patient/{member}")) && entities.contains(&format!("\"{bytes}\""))
        })
        .collect();
    assert_eq!(of_files.len(), 2, "{events:#?}");
    for event in of_files {
        let id = event["id"].as_str().expect("an id");
        let one = format!("{}/ops/v1/fhir/AuditEvent/{id}", bulk.payer.ops);
        assert_eq!(auditor.look(&one, WHY).await.json(), *event);
    }
}

/// Who asks about nobody in particular is told of each member in a file, too.
async fn assert_told_of_all(bulk: &Bulk, auditor: &Desk<'_>) {
    let events = auditor.found("fhir/AuditEvent?agent=new-payer", "a yearly look").await;
    for member in &bulk.ids {
        let whose = format!("Patient/{member}");
        let of_files = events.iter().filter(|event| {
            let id = event["id"].as_str().unwrap_or_default();
            id.matches('.').count() == 2 && event["entity"].to_string().contains(&whose)
        });
        let ids: BTreeSet<&str> = of_files.filter_map(|event| event["id"].as_str()).collect();
        assert_eq!(ids.len(), 2, "{member}: {ids:?}");
    }
}

/// What the entries commit to is what is stored of the members.
async fn assert_committed(bulk: &Bulk, auditor: &Desk<'_>) {
    let entries = auditor.all("ledger?correlation=many-1").await;
    let begun = entries.iter().find(|entry| entry["action"] == BEGUN).expect("an entry");
    assert_eq!(begun["object"]["kind"], "bulk-file");
    assert_eq!(begun["members"]["count"], bulk.ids.len());
    let mut db = bulk.payer.db();
    let mut rows = Vec::new();
    for member in &bulk.ids {
        rows.extend(disclosed::shares_of(&mut db, member).expect("rows"));
    }
    rows.sort_by_key(|row| row.place);
    let file = disclosed::file(&mut db, &rows[0].file).expect("read").expect("a file");
    let leaves: Vec<[u8; 32]> = rows
        .iter()
        .map(|row| member_leaf(row.place, row.salt.as_slice().try_into().expect("a salt"), &row.line()))
        .collect();
    let root = causeway::secret::hex(&members_root(&leaves));
    assert_eq!(begun["members"]["root"], root);
    // Each share is shown by itself: the file keeps the leaves of all, and no two have a salt in common.
    assert_eq!(file.leaves, leaves.concat());
    let salts: BTreeSet<&[u8]> = rows.iter().map(|row| row.salt.as_slice()).collect();
    assert_eq!(salts.len(), bulk.ids.len());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn verifying_in_full_finds_a_share_that_was_changed_and_misses_no_erased_one() {
    let mut bulk = many().await;
    let manifest = bulk.done(&bulk.begin("?_type=Patient").await).await;
    let url = file_of(&bulk, &manifest, "Patient");
    bulk.send("GET", &url, &[("x-correlation-id", "many-1")])
        .await
        .assert_status(200);
    bulk.payer.await_ledger("many-1", &[BEGUN, COMPLETED]).await;
    covered(&bulk.payer);
    assert_eq!(bulk.payer.terminate(), Some(0), "{}", bulk.payer.log());
    let verified = |change: &str| {
        bulk.payer.db().batch_execute(change).expect(change);
        let output = bulk.payer.command(&["audit", "verify", "--full", "--json"]);
        let told: Value = serde_json::from_slice(&output.stdout).expect("JSON");
        (output.status.code(), told["shares"].clone())
    };
    let (code, told) = verified("DELETE FROM disclosed_share WHERE place = 0");
    assert_eq!(code, Some(0), "{told}");
    assert_eq!(
        (&told["files"], told["shares"].as_u64()),
        (&json!(1), Some(bulk.ids.len() as u64 - 1))
    );
    let (code, told) = verified("UPDATE disclosed_share SET bytes = bytes + 1 WHERE place = 2");
    assert_eq!((code, &told["bad_place"]), (Some(1), &json!(2)), "{told}");
    let (code, told) = verified("UPDATE disclosed_share SET bytes = bytes - 1 WHERE place = 2");
    assert_eq!(code, Some(0), "{told}");
    let swapped = "UPDATE disclosed_file SET root = (SELECT subject_salt FROM ledger_entry LIMIT 1)";
    let (code, told) = verified(swapped);
    assert_eq!(code, Some(1), "{told}");
    assert!(told["bad_file"].is_string(), "{told}");
}
