//! A partner's match and what it reads form one exchange with the states and the view of our own.

use crate::support::client::{ALL_SCOPES, Client};
use crate::support::desk::{Desk, decided, doubtful, only_review};
use crate::support::payer::TestPayer;
use crate::support::store::on_postgres;
use causeway::store::entries::MATCHED;
use causeway::synth::Variation;
use diesel::RunQueryDsl as _;
use serde_json::{Value, json};
use std::time::{Duration, Instant};

async fn one(desk: &Desk<'_>, id: &str) -> Value {
    let reply = desk.get(&format!("exchanges/{id}")).await;
    reply.assert_status(200);
    reply.json()
}

/// The exchange once it fits: ends of disclosures are written a moment later.
async fn once(desk: &Desk<'_>, id: &str, fits: impl Fn(&Value) -> bool) -> Value {
    let began = Instant::now();
    loop {
        let shown = one(desk, id).await;
        if fits(&shown) {
            return shown;
        }
        assert!(began.elapsed() < Duration::from_secs(60), "{shown}");
        tokio::time::sleep(Duration::from_millis(25)).await;
    }
}

async fn inbound(desk: &Desk<'_>, more: &str) -> Vec<Value> {
    desk.all(&format!("exchanges?direction=inbound{more}")).await
}

async fn matched(payer: &TestPayer, client: &Client, token: &str, member: u64) -> String {
    client.matched(token, &payer.request(member, Variation::Exact)).await.0
}

#[tokio::test]
async fn a_match_and_what_is_read_under_it_are_one_exchange() {
    let (payer, client) = TestPayer::start(4);
    let token = client.token(ALL_SCOPES).await;
    let patient = matched(&payer, &client, &token, 0).await;
    let desk = Desk::of(&payer, &client, "auditor");
    let listed = inbound(&desk, "").await;
    assert_eq!(listed.len(), 1, "{listed:?}");
    let item = &listed[0];
    let decisions = desk.all("decisions").await;
    let grants = desk.all("grants").await;
    for (name, wanted) in [
        ("direction", json!("inbound")),
        ("kind", json!("single")),
        ("partner", json!("new-payer")),
        ("phase", json!("matched")),
        ("identity_state", json!("matched")),
        ("consent_state", json!("permitted")),
        ("transport_state", json!("idle")),
        ("delivery_state", json!("none")),
        ("audit_state", json!("open")),
        ("owner", json!("partner")),
        ("sla", json!("on_track")),
        ("id", decisions[0]["id"].clone()),
        ("decision_id", decisions[0]["id"].clone()),
        ("correlation_id", decisions[0]["correlation_id"].clone()),
        ("grant_id", grants[0]["id"].clone()),
        ("consent_id", grants[0]["consent_id"].clone()),
        ("patient_id", json!(patient)),
        ("reason", Value::Null),
        ("ended_at", Value::Null),
    ] {
        assert_eq!(item[name], wanted, "{name}");
    }
    let id = item["id"].as_str().expect("an id").to_owned();

    client
        .get(&token, &format!("Patient/{patient}/$everything"))
        .await
        .assert_status(200);
    let shown = once(&desk, &id, |shown| shown["delivery_state"] == "received").await;
    assert_eq!(shown["phase"], "matched");
    assert_eq!(shown["policy_versions"]["release"], "cms-0057/3");
    let steps = shown["steps"].as_array().expect("steps");
    let names: Vec<&str> = steps.iter().filter_map(|step| step["step"].as_str()).collect();
    assert_eq!(names, ["member_match", "retrieve"]);
    assert_eq!(
        (&steps[0]["class"], &steps[0]["http_status"]),
        (&json!("ok"), &json!(200))
    );
    assert_eq!(
        (&steps[1]["class"], &steps[1]["http_status"]),
        (&json!("ok"), &json!(200))
    );
    assert!(
        shown["sent"]["resources"]["Patient"] == 1 && shown["sent"]["bytes"].as_u64() > Some(100),
        "{shown}"
    );
    let by_command = payer.json_command(&["exchange", "show", &id]);
    assert_eq!(by_command["steps"], shown["steps"]);
    let text = payer.command(&["exchange", "show", &id]);
    let text = String::from_utf8(text.stdout).expect("text");
    assert!(
        text.contains("inbound with new-payer") && text.contains("retrieve"),
        "{text}"
    );
    let support = Desk::of(&payer, &client, "support");
    assert!(one(&support, &id).await.get("patient_id").is_none());

    // A second match renews the grant: a new exchange, and the first one is over.
    matched(&payer, &client, &token, 0).await;
    let both = inbound(&desk, "").await;
    assert_eq!(both.len(), 2);
    assert_eq!(
        (&both[0]["phase"], &both[0]["superseded_by"]),
        (&json!("completed"), &both[1]["id"])
    );
    assert_eq!(
        (&both[1]["phase"], &both[1]["delivery_state"]),
        (&json!("matched"), &json!("none"))
    );
    let grant = grants[0]["id"].as_str().expect("an id");
    payer.json_command(&["grant", "revoke", grant, "--reason", "a test"]);
    let second = one(&desk, both[1]["id"].as_str().expect("an id")).await;
    assert_eq!(
        (&second["phase"], &second["consent_state"], &second["audit_state"]),
        (&json!("refused"), &json!("revoked"), &json!("complete"))
    );
}

#[tokio::test]
async fn both_directions_are_in_one_list_and_filters_find_each() {
    let (payer, client) = TestPayer::start(4);
    let token = client.token(ALL_SCOPES).await;
    let patient = matched(&payer, &client, &token, 0).await;
    for (member, variation) in [(2, Variation::UnknownPerson), (2, Variation::ConsentExpired)] {
        let body = payer.request(member, variation).to_string();
        client.post_match(&token, body, &[]).await.assert_status(422);
    }
    let ours = json!({
        "partner": "new-payer", "member": format!("Patient/{}", payer.member(3).patient_id), "other_member_number": "THEIRS-1",
        "opt_in_by": "desk-4", "opt_in_at": "2026-01-02", "opt_in_how": "portal",
    });
    std::fs::write(payer.home().join("wish.json"), ours.to_string()).expect("a file");
    let started = payer.json_command(&["exchange", "start", "wish.json"]);
    assert_eq!(started["direction"], "outbound");
    matched(&payer, &client, &token, 2).await;

    let desk = Desk::of(&payer, &client, "auditor");
    let all = desk.all("exchanges").await;
    let ways: Vec<&str> = all.iter().filter_map(|one| one["direction"].as_str()).collect();
    assert_eq!(ways, ["inbound", "inbound", "inbound", "outbound", "inbound"]);
    let ids: Vec<&str> = all.iter().filter_map(|one| one["id"].as_str()).collect();
    assert!(ids.is_sorted());
    assert_eq!(
        payer.json_command(&["exchange", "list"]).as_array().map(Vec::len),
        Some(5)
    );
    let way = payer.json_command(&["exchange", "list", "--direction", "inbound"]);
    assert_eq!(way.as_array().map(Vec::len), Some(4));
    for (query, wanted) in [
        ("direction=outbound".to_owned(), vec![3]),
        ("phase=matched".to_owned(), vec![0, 4]),
        ("phase=refused&direction=inbound".to_owned(), vec![1, 2]),
        ("phase=completed".to_owned(), vec![]),
        ("phase=cancelled".to_owned(), vec![]),
        ("state=no_match".to_owned(), vec![1]),
        ("state=parked".to_owned(), vec![]),
        (format!("member=Patient/{patient}"), vec![0]),
        (
            format!("correlation={}", all[4]["correlation_id"].as_str().expect("an id")),
            vec![4],
        ),
        (
            format!("fault={}", all[1]["reason"].as_str().expect("a fault")),
            vec![1],
        ),
        ("partner=new-payer&since=2099-01-01T00:00:00Z".to_owned(), vec![]),
    ] {
        let found = desk.all(&format!("exchanges?{query}")).await;
        let found: Vec<&str> = found.iter().filter_map(|one| one["id"].as_str()).collect();
        let wanted: Vec<&str> = wanted.into_iter().map(|at: usize| ids[at]).collect();
        assert_eq!(found, wanted, "{query}");
    }
    let consent = &all[2];
    assert_eq!(
        (&consent["phase"], &consent["consent_state"]),
        (&json!("refused"), &json!("refused"))
    );
    desk.get("exchanges?direction=sideways").await.assert_status(400);
    desk.get("exchanges/nobody").await.assert_status(404);
}

#[tokio::test]
async fn a_doubtful_match_waits_for_an_operator_and_can_be_late() {
    let (payer, client) = TestPayer::start(6);
    let token = client.token(ALL_SCOPES).await;
    let body = doubtful(&payer, 0, 2).to_string();
    client.post_match(&token, body, &[]).await.assert_status(422);
    let desk = Desk::of(&payer, &client, "auditor");
    let waiting = inbound(&desk, "&phase=manual_review").await;
    assert_eq!(waiting.len(), 1, "{waiting:?}");
    assert_eq!(
        (
            &waiting[0]["identity_state"],
            &waiting[0]["owner"],
            &waiting[0]["ended_at"]
        ),
        (&json!("in_review"), &json!("operator"), &Value::Null)
    );
    decided(&payer, &only_review(&payer), &["--reject"], "ben");
    let over = one(&desk, waiting[0]["id"].as_str().expect("an id")).await;
    assert_eq!(
        (&over["phase"], &over["identity_state"], &over["owner"]),
        (&json!("refused"), &json!("no_match"), &json!("partner"))
    );
}

#[tokio::test]
async fn what_a_partner_began_is_not_ours_to_act_on_and_what_nobody_began_is_not_there() {
    let (payer, client) = TestPayer::start(4);
    let token = client.token(ALL_SCOPES).await;
    matched(&payer, &client, &token, 0).await;
    let desk = Desk::of(&payer, &client, "operator");
    let id = inbound(&desk, "").await[0]["id"].as_str().expect("an id").to_owned();
    for (id, status, fault) in [(id.as_str(), 409, "EX-002"), ("nobody", 404, "EX-001")] {
        for act in ["cancel", "pause", "replay", "supersede", "close", "retract"] {
            let reply = desk
                .post(&format!("exchanges/{id}/{act}"), &json!({"reason": "a test"}))
                .await;
            reply.assert_status(status);
            assert!(reply.text().contains(fault), "{act}: {}", reply.text());
        }
    }
}

#[tokio::test]
async fn a_member_with_more_matches_than_are_looked_through_is_not_listed_in_part() {
    let (payer, client) = TestPayer::start(4);
    let token = client.token(ALL_SCOPES).await;
    let patient = matched(&payer, &client, &token, 0).await;
    let desk = Desk::of(&payer, &client, "auditor");
    let of_member = format!("&member=Patient/{patient}");
    assert_eq!(inbound(&desk, &of_member).await.len(), 1);
    let numbers = if on_postgres() {
        "SELECT n FROM generate_series(1, 10000) AS n"
    } else {
        "WITH RECURSIVE s(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM s WHERE n < 10000) SELECT n FROM s"
    };
    let same = "at_us, action, partner_id, correlation_id, entry, subject, subject_salt, request_id";
    let rows = diesel::sql_query(format!(
        "INSERT INTO ledger_entry (id, {same}) SELECT 'f' || id || '-' || n, {same} FROM ledger_entry, ({numbers}) AS numbers \
         WHERE action = '{MATCHED}' AND subject = '{patient}'"
    ))
    .execute(&mut payer.db())
    .expect("copies");
    assert_eq!(rows, 10_000);
    let refused = desk.get(&format!("exchanges?direction=inbound{of_member}")).await;
    refused.assert_status(400);
    let text = refused.text();
    assert!(
        text.contains("RQ-020") && text.contains("more than 10000 matches"),
        "{text}"
    );
    assert_eq!(inbound(&desk, "&partner=new-payer").await.len(), 1);
}
