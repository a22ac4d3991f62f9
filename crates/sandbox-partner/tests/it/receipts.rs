//! Acknowledgements of what was received: taken, taken once, confirmed late.

use super::support::{DATA_SCOPE, played};
use causeway_sandbox_partner::SandboxRoute;
use serde_json::{Value, json};

fn task(patient: &str) -> Value {
    json!({
        "resourceType": "Task", "status": "completed", "intent": "order",
        "identifier": [{ "system": "http://new-payer.example/identifiers/exchange", "value": "x-1" }],
        "for": { "reference": format!("Patient/{patient}") }
    })
}

#[tokio::test]
async fn an_acknowledgement_is_kept_and_confirmed() {
    let pair = played("");
    let token = pair.matched().await;
    let body = task(&pair.member().patient_id);
    let post = async |condition: Option<&str>| {
        let mut request = pair
            .http
            .post(pair.url("Task"))
            .bearer_auth(&token)
            .header("Idempotency-Key", "px-ack");
        if let Some(condition) = condition {
            request = request.header("If-None-Exist", condition);
        }
        request.body(body.to_string()).send().await.expect("an answer")
    };
    let first = post(None).await;
    assert_eq!(first.status(), 201);
    let location = first.headers()["location"].to_str().expect("text").to_owned();
    let same = "identifier=http://new-payer.example/identifiers/exchange|x-1";
    let second = post(Some(same)).await;
    assert_eq!(
        (second.status().as_u16(), second.headers()["location"].to_str().ok()),
        (200, Some(location.as_str()))
    );
    let receipts = pair.sandbox.control().receipts();
    assert_eq!((receipts.len(), receipts[0].confirmed), (1, true));
    assert_eq!(receipts[0].member.as_deref(), Some(pair.member().patient_id.as_str()));
    assert_eq!(pair.sandbox.control().effect_count(SandboxRoute::Receipt), 1);
    let read: Value = pair
        .http
        .get(&location)
        .bearer_auth(&token)
        .send()
        .await
        .expect("an answer")
        .json()
        .await
        .expect("JSON");
    assert_eq!(read["status"], "completed");
    let anonymous = pair
        .http
        .post(pair.url("Task"))
        .body(body.to_string())
        .send()
        .await
        .expect("an answer");
    assert_eq!(anonymous.status(), 401);
}

#[tokio::test]
async fn an_acknowledgement_is_confirmed_after_a_while() {
    let pair = played("[[rule]]\nroute = \"receipt\"\nacts = [{ acknowledge-after = { ms = 3600000 } }]");
    let token = pair.token(DATA_SCOPE).await;
    let body = task("x").to_string();
    let reply = pair
        .http
        .post(pair.url("Task"))
        .bearer_auth(&token)
        .body(body)
        .send()
        .await
        .expect("an answer");
    assert_eq!(reply.status(), 202);
    let location = reply.headers()["location"].to_str().expect("text").to_owned();
    let status = async |token: &str| -> Value {
        let read: Value = pair
            .http
            .get(&location)
            .bearer_auth(token)
            .send()
            .await
            .expect("an answer")
            .json()
            .await
            .expect("JSON");
        read["status"].clone()
    };
    assert_eq!(status(&token).await, "received");
    pair.sandbox
        .control()
        .set_time_ms(pair.sandbox.control().now_ms() + 3_600_001);
    assert_eq!(status(&pair.token(DATA_SCOPE).await).await, "completed");
}
