//! Exchanges over the operations side and by commands, against a running server.

use crate::support::payer::TestPayer;
use diesel::connection::SimpleConnection as _;
use serde_json::{Value, json};
use std::time::{Duration, Instant};

struct Ops {
    payer: TestPayer,
    http: reqwest::Client,
    token: String,
}

impl Ops {
    fn start() -> Ops {
        let (payer, client) = TestPayer::start(3);
        let minted = payer.json_command(&["operator", "token", "--role", "operator", "--name", "ana"]);
        Ops {
            token: minted["token"].as_str().expect("a token").to_owned(),
            http: client.http,
            payer,
        }
    }

    fn enrolment(&self, member: u64) -> Value {
        json!({
            "partner": "new-payer",
            "member": format!("Patient/{}", self.payer.member(member).patient_id),
            "other_member_number": "THEIRS-1",
            "opt_in_by": "desk-4",
            "opt_in_at": "2026-01-02",
            "opt_in_how": "portal",
        })
    }

    async fn call(&self, method: &str, path: &str, key: Option<&str>, body: Option<&Value>) -> (u16, String, Value) {
        let method = reqwest::Method::from_bytes(method.as_bytes()).expect("a method");
        let mut request = self
            .http
            .request(method, format!("{}/ops/v1{path}", self.payer.ops))
            .bearer_auth(&self.token)
            .header("x-correlation-id", "case-7");
        if let Some(key) = key {
            request = request.header("idempotency-key", format!("\"{key}\""));
        }
        if let Some(body) = body {
            request = request
                .header("content-type", "application/json")
                .body(body.to_string());
        }
        let answer = request.send().await.expect("an answer");
        let status = answer.status().as_u16();
        let replayed = answer
            .headers()
            .get("idempotent-replayed")
            .map_or("", |value| value.to_str().expect("text"))
            .to_owned();
        (status, replayed, answer.json().await.expect("JSON"))
    }
}

fn fault(outcome: &Value) -> &str {
    outcome["issue"][0]["details"]["coding"][0]["code"]
        .as_str()
        .unwrap_or("none")
}

#[tokio::test]
async fn an_exchange_is_started_once_shown_and_acted_on_over_the_operations_side() {
    let ops = Ops::start();
    let body = ops.enrolment(0);
    let (status, _, refused) = ops.call("POST", "/exchanges", None, Some(&body)).await;
    assert_eq!((status, fault(&refused)), (400, "ID-001"), "a key is needed");
    let (status, replayed, made) = ops.call("POST", "/exchanges", Some("k1"), Some(&body)).await;
    assert_eq!((status, replayed.as_str()), (202, ""), "{made}");
    assert_eq!(made["phase"], "requested");
    assert_eq!(made["correlation_id"], "case-7");
    assert!(made.get("patient_id").is_none(), "an operator sees no member");
    let (status, replayed, again) = ops.call("POST", "/exchanges", Some("k1"), Some(&body)).await;
    assert_eq!((status, replayed.as_str(), &again["id"]), (202, "true", &made["id"]));
    let (_, _, other_key) = ops.call("POST", "/exchanges", Some("k2"), Some(&body)).await;
    assert_eq!(other_key["id"], made["id"], "the same intent is one exchange");
    let (status, _, reused) = ops
        .call("POST", "/exchanges", Some("k1"), Some(&ops.enrolment(1)))
        .await;
    assert_eq!((status, fault(&reused)), (422, "ID-002"));
    let mut without = body.clone();
    without.as_object_mut().expect("an object").remove("opt_in_by");
    let (status, _, refused) = ops.call("POST", "/exchanges", Some("k3"), Some(&without)).await;
    assert_eq!((status, fault(&refused)), (422, "EX-004"));

    let id = made["id"].as_str().expect("an id");
    let because = json!({"reason": "a test"});
    let (status, _, paused) = ops
        .call("POST", &format!("/exchanges/{id}/pause"), None, Some(&because))
        .await;
    assert_eq!(
        (status, &paused["reason"], &paused["owner"]),
        (202, &json!("EX-017"), &json!("operator"))
    );
    assert!(paused["next_action"].is_string());
    let (_, _, list) = ops
        .call("GET", "/exchanges?state=parked&partner=new-payer", None, None)
        .await;
    assert_eq!(list["items"].as_array().map(Vec::len), Some(1), "{list}");
    let (_, _, none) = ops.call("GET", "/exchanges?phase=completed", None, None).await;
    assert_eq!(none["items"].as_array().map(Vec::len), Some(0));
    let (_, _, by_correlation) = ops.call("GET", "/exchanges?correlation=case-7", None, None).await;
    assert_eq!(by_correlation["items"][0]["id"], made["id"]);
    let created = made["created_at"].as_str().expect("an instant");
    for (since, found) in [(created, 1), ("2000-01-01T00:00:00Z", 1), ("2999-01-01T00:00:00Z", 0)] {
        let (status, _, list) = ops.call("GET", &format!("/exchanges?since={since}"), None, None).await;
        let items = list["items"].as_array().map(Vec::len);
        assert_eq!((status, items), (200, Some(found)), "{since}: {list}");
    }
    for since in ["yesterday", "2026-13-01T00:00:00Z", ""] {
        let (status, _, refused) = ops.call("GET", &format!("/exchanges?since={since}"), None, None).await;
        assert_eq!(status, 400, "{since}: {refused}");
    }
    for filter in ["state=%00", "fault=EX-001%00", "phase=%00", "fault=<b>"] {
        let (status, _, refused) = ops.call("GET", &format!("/exchanges?{filter}"), None, None).await;
        assert_eq!((status, fault(&refused)), (400, "RQ-008"), "{filter}");
    }
    for (hours, found) in [("1", 1), ("0", 0)] {
        let list = ops.payer.json_command(&["exchange", "list", "--within", hours]);
        assert_eq!(list.as_array().map(Vec::len), Some(found), "{hours}: {list}");
    }
    // A name that means nothing must not look like a list without exchanges.
    for (filter, name, is_known) in [
        ("--state", "parked", true),
        ("--phase", "manual_review", true),
        ("--state", "Parked", false),
        ("--state", "manual_review", false),
        ("--phase", "parked", false),
    ] {
        let told = ops.payer.command(&["exchange", "list", filter, name]);
        assert_eq!(told.status.success(), is_known, "{filter} {name}");
    }
    let (status, _, cancelled) = ops
        .call("POST", &format!("/exchanges/{id}/cancel"), None, Some(&because))
        .await;
    assert_eq!((status, &cancelled["phase"]), (202, &json!("cancelled")));
    let (status, _, refused) = ops
        .call("POST", &format!("/exchanges/{id}/pause"), None, Some(&because))
        .await;
    assert_eq!((status, fault(&refused)), (409, "EX-002"));
    let (status, _, refused) = ops.call("GET", "/exchanges/nobody", None, None).await;
    assert_eq!((status, fault(&refused)), (404, "EX-001"));

    let shown = ops.payer.json_command(&["exchange", "show", &id[..8]]);
    assert_eq!(shown["phase"], "cancelled");
    assert_eq!(shown["opt_in"]["status"], "active");
    assert_eq!(shown["consent_id"], shown["opt_in"]["id"]);
    let text = ops.payer.command(&["exchange", "show", id]);
    let text = String::from_utf8(text.stdout).expect("text");
    assert!(text.contains("cancelled") && text.contains("case-7"), "{text}");
    let (_, _, second) = ops
        .call("POST", "/exchanges", Some("k4"), Some(&ops.enrolment(1)))
        .await;
    let opt_in = second["consent_id"].as_str().expect("an id");
    let (status, _, revoked) = ops
        .call("POST", &format!("/consents/{opt_in}/revoke"), None, Some(&because))
        .await;
    assert_eq!((status, &revoked["status"]), (200, &json!("revoked")));
    let shown = ops
        .payer
        .json_command(&["exchange", "show", second["id"].as_str().expect("an id")]);
    assert_eq!(
        (&shown["phase"], &shown["consent_state"]),
        (&json!("refused"), &json!("revoked"))
    );
    let traced = ops
        .payer
        .json_command(&["trace", second["id"].as_str().expect("an id")]);
    assert!(traced.to_string().contains("exchange.consent-revoked"), "{traced}");

    let (_, _, tables) = ops.call("GET", "/states", None, None).await;
    let printed = ops.payer.json_command(&["states"]);
    assert_eq!(tables, printed);
}

#[tokio::test]
async fn parked_exchanges_are_found_by_their_fault_and_replayed_together_with_a_reason() {
    let ops = Ops::start();
    let because = json!({"reason": "the partner moves"});
    for (number, key) in ["k1", "k2", "k3"].into_iter().enumerate() {
        let (_, _, made) = ops
            .call("POST", "/exchanges", Some(key), Some(&ops.enrolment(number as u64)))
            .await;
        let id = made["id"].as_str().expect("an id").to_owned();
        if number < 2 {
            let path = format!("/exchanges/{id}/pause");
            let (status, _, paused) = ops.call("POST", &path, None, Some(&because)).await;
            assert_eq!(status, 202, "{paused}");
        }
    }
    for (query, wanted) in [("fault=EX-017", 2), ("fault=EX-011", 0), ("state=parked", 2)] {
        let (_, _, found) = ops.call("GET", &format!("/exchanges?{query}"), None, None).await;
        assert_eq!(
            found["items"].as_array().map(Vec::len),
            Some(wanted),
            "{query}: {found}"
        );
    }
    let replay = |more: &[&str]| {
        let all = ["exchange", "replay", "--parked", "--reason", "it has moved"];
        ops.payer.json_command(&[&all[..], more].concat())
    };
    assert_eq!(replay(&["--fault", "EX-011"]), json!({"replayed": 0, "refused": 0}));
    assert_eq!(
        replay(&["--partner", "new-payer"]),
        json!({"replayed": 2, "refused": 0})
    );
    assert_eq!(
        replay(&[]),
        json!({"replayed": 0, "refused": 0}),
        "none is parked any more"
    );
    assert_eq!(ops.payer.count("ledger_entry WHERE action = 'exchange.replayed'"), 2);
    let without = ops.payer.command(&["exchange", "replay", "--parked"]);
    assert_eq!(without.status.code(), Some(2), "a reason is needed");
}

#[tokio::test]
async fn d2_d4_what_is_parked_is_counted_and_who_looks_at_it_is_in_the_ledger_and_the_server_stays_ready() {
    let ops = Ops::start();
    let because = json!({"reason": "the partner moves"});
    let mut ids = Vec::new();
    for (number, key) in ["k1", "k2"].into_iter().enumerate() {
        let (_, _, made) = ops
            .call("POST", "/exchanges", Some(key), Some(&ops.enrolment(number as u64)))
            .await;
        let id = made["id"].as_str().expect("an id").to_owned();
        let (status, _, paused) = ops
            .call("POST", &format!("/exchanges/{id}/pause"), None, Some(&because))
            .await;
        assert_eq!(status, 202, "{paused}");
        ids.push(id);
    }
    let get = async |path: &str| {
        let answer = ops.http.get(format!("{}{path}", ops.payer.ops)).send().await;
        let answer = answer.expect("an answer");
        (answer.status().as_u16(), answer.text().await.expect("text"))
    };
    // They are counted once a minute.
    let began = Instant::now();
    let metrics = loop {
        let (_, metrics) = get("/metrics").await;
        if metrics.contains("\ncauseway_exchanges_parked 2\n") {
            break metrics;
        }
        assert!(began.elapsed() < Duration::from_secs(200), "{metrics}");
        let now = "UPDATE job SET due_ms = 1 WHERE kind = 'exchange-watch' AND lease_token IS NULL";
        ops.payer.db().batch_execute(now).expect("written");
        tokio::time::sleep(Duration::from_millis(500)).await;
    };
    assert!(
        metrics.contains("\ncauseway_exchanges_parked_oldest_seconds "),
        "{metrics}"
    );
    assert_eq!(
        get("/ready").await.0,
        200,
        "what is parked waits for a person and stops nothing else"
    );
    let looks = || ops.payer.count("ledger_entry WHERE action = 'operator.viewed'");
    let before = looks();
    let (_, _, parked) = ops.call("GET", "/exchanges?state=parked", None, None).await;
    assert_eq!(parked["items"].as_array().map(Vec::len), Some(2), "{parked}");
    let (_, _, one) = ops.call("GET", &format!("/exchanges/{}", ids[0]), None, None).await;
    assert!(one["next_action"].is_string(), "{one}");
    ops.payer.json_command(&["exchange", "list", "--state", "parked"]);
    ops.payer.json_command(&["exchange", "show", &ids[1]]);
    assert_eq!(looks() - before, 4);
}

#[tokio::test]
async fn a_file_of_enrolments_is_taken_row_by_row_and_a_second_time_changes_nothing() {
    let ops = Ops::start();
    let patient = |index| ops.payer.member(index).patient_id.clone();
    let csv = format!(
        "partner,member,other_member_number,opt_in_by,opt_in_at,opt_in_how,opt_in_until\n\
         new-payer,Patient/{},T-1,desk,2026-01-02,paper,\n\
         new-payer,Patient/{},T-2,,2026-01-02,paper,\n\
         new-payer,Patient/{},T-3,desk,2026-01-02,paper,2026-01-03\n\
         nobody,Patient/{},T-4,desk,2026-01-02,paper,\n\
         new-payer,Patient/stranger,T-5,desk,2026-01-02,paper,\n\
         new-payer,{},T-6,desk,2026-01-02,paper,\n",
        patient(0),
        patient(0),
        patient(1),
        patient(1),
        patient(2),
    );
    std::fs::write(ops.payer.home().join("enrolments.csv"), csv).expect("a file");
    let arguments = ["exchange", "import", "enrolments.csv", "--rejects", "rejects.ndjson"];
    let first = ops.payer.json_command(&arguments);
    assert_eq!(
        first,
        json!({"started": 2, "running": 0, "known": 0, "rejected": 4, "bulk_runs": 0})
    );
    let rejects = std::fs::read_to_string(ops.payer.home().join("rejects.ndjson")).expect("rejects");
    let faults: Vec<(u64, String)> = rejects
        .lines()
        .map(|line| {
            let row: Value = serde_json::from_str(line).expect("JSON");
            (
                row["line"].as_u64().expect("a line"),
                row["fault"].as_str().expect("a fault").to_owned(),
            )
        })
        .collect();
    let expected = [(3, "EX-004"), (4, "EX-005"), (5, "PA-010"), (6, "AU-001")];
    let found: Vec<(u64, &str)> = faults.iter().map(|(line, fault)| (*line, fault.as_str())).collect();
    assert_eq!(found[..2], expected[..2]);
    assert_eq!((found[3].0, found[3].1), expected[3]);
    assert_eq!(found[2].0, 5);
    let second = ops.payer.json_command(&arguments);
    assert_eq!(
        second,
        json!({"started": 0, "running": 0, "known": 2, "rejected": 4, "bulk_runs": 0})
    );
    assert_eq!(ops.payer.count("exchange"), 2);
    let all = ops.payer.json_command(&["exchange", "list"]);
    assert_eq!(all.as_array().map(Vec::len), Some(2));
    assert_eq!(
        ops.payer.command(&["exchange", "import", "missing.csv"]).status.code(),
        Some(3)
    );
    std::fs::write(ops.payer.home().join("wrong.csv"), "partner,colour\nx,red\n").expect("a file");
    assert_ne!(
        ops.payer.command(&["exchange", "import", "wrong.csv"]).status.code(),
        Some(0)
    );
}
