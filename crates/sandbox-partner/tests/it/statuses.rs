//! Statuses, delays and lost answers; which request a rule is for; and what was processed all the same.

use super::support::{MATCH_SCOPE, Pair, client, played};
use causeway_sandbox_partner::{SandboxRoute, SandboxRule};
use serde_json::{Value, json};
use std::time::{Duration, Instant};

async fn statuses(pair: &Pair, path: &str, count: usize) -> Vec<u16> {
    let mut all = Vec::new();
    for _ in 0..count {
        all.push(pair.get(path).await.status().as_u16());
    }
    all
}

#[tokio::test]
async fn a_status_comes_with_the_retry_after_of_the_script_or_without() {
    for (status, retry_after) in [
        (429, Some("2")),
        (429, None),
        (503, Some("Fri, 31 Dec 2027 23:59:59 GMT")),
        (503, None),
        (500, None),
        (502, None),
        (429, Some("-5")),
        (429, Some("soon")),
        (503, Some("315360000")),
        (408, None),
        (404, None),
        (410, None),
    ] {
        let after = retry_after
            .map(|text| format!(", retry_after = \"{text}\""))
            .unwrap_or_default();
        let pair = played(&format!(
            "[[rule]]\nroute = \"metadata\"\nacts = [{{ answer = {{ status = {status}{after} }} }}]"
        ));
        let reply = pair.get("metadata").await;
        assert_eq!(reply.status(), status);
        assert_eq!(
            reply
                .headers()
                .get("retry-after")
                .map(|value| value.to_str().expect("text")),
            retry_after
        );
        let body: Value = reply.json().await.expect("JSON");
        assert_eq!(body["resourceType"], "OperationOutcome");
    }
    let token = played("[[rule]]\nroute = \"token\"\nacts = [{ answer = { status = 503 } }]");
    let reply = token
        .token_request(&token.assertion(|_| {}), MATCH_SCOPE)
        .send()
        .await
        .expect("an answer");
    let body: Value = reply.json().await.expect("JSON");
    assert_eq!(body["error"], "temporarily_unavailable");
    let page = "[[rule]]\nroute = \"any\"\nacts = [{ answer = { status = 502, body = \"<h1>Bad Gateway</h1>\", media_type = \"text/html\" } }]";
    let pair = played(page);
    let reply = pair.get("metadata").await;
    assert_eq!(reply.headers()["content-type"], "text/html");
    assert_eq!(reply.text().await.expect("text"), "<h1>Bad Gateway</h1>");
}

#[tokio::test]
async fn a_rule_is_for_the_requests_that_it_numbers() {
    for (requests, expected) in [
        ("1-2", [500, 500, 200, 200, 200, 200]),
        ("every 3", [200, 200, 500, 200, 200, 500]),
        ("4+", [200, 200, 200, 500, 500, 500]),
        ("2, 5", [200, 500, 200, 200, 500, 200]),
    ] {
        let rule = format!(
            "[[rule]]\nroute = \"metadata\"\nrequests = \"{requests}\"\nacts = [{{ answer = {{ status = 500 }} }}]"
        );
        assert_eq!(statuses(&played(&rule), "metadata", 6).await, expected, "{requests}");
    }
}

#[tokio::test]
async fn a_rule_is_for_a_time_a_chance_a_member_a_type_a_page_or_a_client() {
    let timed = played("[[rule]]\nroute = \"metadata\"\nuntil_ms = 60000\nacts = [{ answer = { status = 503 } }]");
    assert_eq!(timed.get("metadata").await.status(), 503);
    let later = played("[[rule]]\nroute = \"metadata\"\nafter_ms = 60000\nacts = [{ answer = { status = 503 } }]");
    assert_eq!(later.get("metadata").await.status(), 200);
    let chance = "seed = 9\n[[rule]]\nroute = \"metadata\"\nchance = 0.5\nacts = [{ answer = { status = 503 } }]";
    let (first, second) = (
        statuses(&played(chance), "metadata", 40).await,
        statuses(&played(chance), "metadata", 40).await,
    );
    assert_eq!(first, second, "the seed fixes it");
    assert!(first.contains(&200) && first.contains(&503));

    let pair = played("page_size = 2");
    let token = pair.matched().await;
    pair.matched_with(&pair.sandbox.members()[1].clone()).await;
    let (one, two) = (pair.member(), pair.sandbox.members()[1].clone());
    let with = |condition: &str| {
        let rule = format!("route = \"any\"\n{condition}\nacts = [{{ answer = {{ status = 500 }} }}]");
        pair.sandbox
            .control()
            .set_rules(vec![SandboxRule::from_toml(&rule).expect("a rule")])
            .expect("rules");
    };
    let status = async |path: String| {
        pair.data(&token, &path)
            .send()
            .await
            .expect("an answer")
            .status()
            .as_u16()
    };
    let search = |kind: &str, id: &str, page: u64| format!("{kind}?patient={id}&_page={page}");
    for (condition, path, expected) in [
        (
            format!("member = \"{}\"", two.number),
            search("Goal", &two.patient_id, 1),
            500,
        ),
        (
            format!("member = \"{}\"", two.patient_id),
            search("Goal", &one.patient_id, 1),
            200,
        ),
        ("resource = \"Goal\"".into(), search("Goal", &one.patient_id, 1), 500),
        (
            "resource = \"Goal\"".into(),
            search("CarePlan", &one.patient_id, 1),
            200,
        ),
        ("page = 2".into(), search("Goal", &one.patient_id, 2), 500),
        ("page = 2".into(), search("Goal", &one.patient_id, 1), 200),
        ("client = \"new-payer\"".into(), search("Goal", &one.patient_id, 1), 500),
        ("client = \"someone\"".into(), search("Goal", &one.patient_id, 1), 200),
    ] {
        with(&condition);
        assert_eq!(status(path).await, expected, "{condition}");
    }
}

#[tokio::test]
async fn rules_add_up_and_can_be_changed_while_it_runs() {
    let pair = played(
        r#"
        [[rule]]
        route = "any"
        acts = [{ delay = { ms = 120 } }]
        [[rule]]
        route = "metadata"
        acts = [{ answer = { status = 429 } }, { answer = { status = 500 } }]
        "#,
    );
    let began = Instant::now();
    assert_eq!(
        pair.get("metadata").await.status(),
        429,
        "the first of two answers wins"
    );
    assert!(began.elapsed() >= Duration::from_millis(120));
    assert_eq!(pair.sandbox.control().requests()[0].rules, [0, 1]);
    pair.sandbox.control().behave();
    assert_eq!(pair.get("metadata").await.status(), 200);
    let rule = SandboxRule::from_toml("route = \"metadata\"\nrequests = \"2\"\nacts = [{ answer = { status = 410 } }]")
        .expect("a rule");
    assert_eq!(pair.sandbox.control().add_rule(rule).expect("added"), 0);
    assert_eq!(statuses(&pair, "metadata", 3).await, [200, 410, 200]);
}

#[tokio::test]
async fn an_error_may_hide_that_the_request_was_processed() {
    for (processed, effects) in [(false, 0), (true, 1)] {
        let pair = played(&format!(
            "[[rule]]\nroute = \"member-match\"\nacts = [{{ answer = {{ status = 504, processed = {processed} }} }}]"
        ));
        let token = pair.token(MATCH_SCOPE).await;
        let body = pair.match_body(&pair.member());
        assert_eq!(
            pair.match_request(&token, &body)
                .send()
                .await
                .expect("an answer")
                .status(),
            504
        );
        assert_eq!(pair.sandbox.control().effect_count(SandboxRoute::MemberMatch), effects);
    }
}

#[tokio::test]
async fn a_connection_breaks_before_or_after_the_work() {
    for (act, effects) in [("reset-before", 0), ("reset-after", 1), ("lost-reply", 1)] {
        let pair = played(&format!(
            "[[rule]]\nroute = \"member-match\"\nrequests = \"1\"\nacts = [\"{act}\"]"
        ));
        let token = pair.token(MATCH_SCOPE).await;
        let body = pair.match_body(&pair.member());
        let ask = || {
            pair.match_request(&token, &body)
                .header("Idempotency-Key", "px-7")
                .send()
        };
        ask().await.expect_err(act);
        let requests = pair.sandbox.control().requests_to(SandboxRoute::MemberMatch);
        assert_eq!(
            (requests.len(), requests[0].status, requests[0].processed),
            (1, None, effects == 1),
            "{act}"
        );
        assert_eq!(
            pair.sandbox.control().effect_count(SandboxRoute::MemberMatch),
            effects,
            "{act}"
        );
        assert_eq!(ask().await.expect("an answer").status(), 200);
        assert_eq!(
            pair.sandbox.control().effect_count(SandboxRoute::MemberMatch),
            effects + 1,
            "{act}"
        );
    }
}

#[tokio::test]
async fn a_redirect_leads_to_another_origin_or_to_itself() {
    for (to, status) in [
        ("\"elsewhere\"", 307),
        ("\"itself\"", 301),
        ("{ url = \"https://192.0.2.1/x\" }", 302),
    ] {
        let pair = played(&format!(
            "[[rule]]\nroute = \"metadata\"\nacts = [{{ redirect = {{ status = {status}, to = {to} }} }}]"
        ));
        let reply = pair.get("metadata").await;
        assert_eq!(reply.status(), status);
        let location = reply.headers()["location"].to_str().expect("text");
        let expected = match status {
            307 => format!("{}/fhir/metadata", pair.sandbox.elsewhere_url()),
            301 => pair.url("metadata"),
            _ => "https://192.0.2.1/x".into(),
        };
        assert_eq!(location, expected);
    }
}

#[tokio::test]
async fn a_slow_payer_is_slower_than_a_hasty_client_waits() {
    let pair = played("[[rule]]\nroute = \"metadata\"\nrequests = \"1\"\nacts = [{ delay = { ms = 5000 } }]");
    let hasty = client(&pair.sandbox, None, Duration::from_millis(300));
    assert!(
        hasty
            .get(pair.url("metadata"))
            .send()
            .await
            .expect_err("too slow")
            .is_timeout()
    );
    assert_eq!(pair.get("metadata").await.status(), 200, "others are served meanwhile");
}

#[tokio::test]
async fn ids_of_the_request_are_answered() {
    let pair = played("");
    let request = pair.http.get(pair.url("metadata")).header("X-Correlation-Id", "abc");
    let reply = request.send().await.expect("an answer");
    assert_eq!(reply.headers()["x-correlation-id"], "abc");
    assert_eq!(reply.headers()["x-request-id"], "sandbox-1");
    let control = pair.sandbox.control().clone();
    let over = move || control.wait_for(SandboxRoute::Metadata, 1, Duration::from_secs(120));
    assert!(tokio::task::spawn_blocking(over).await.expect("waited"));
    let seen = &pair.sandbox.control().requests()[0];
    assert_eq!(json!(seen.route), json!("metadata"));
    assert!(seen.ended && seen.status == Some(200) && seen.sent_bytes > 1000);
}
