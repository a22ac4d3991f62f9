//! All that happened under one id can be found by it: refusals of every kind, matches, disclosures, reviews, withdrawals.

use crate::support::client::{ALL_SCOPES, Client, MATCH_SCOPE, Reply};
use crate::support::desk::{Desk, decided, doubtful, only_review, place_of};
use crate::support::payer::TestPayer;
use causeway::error::Fault;
use causeway::synth::Variation;
use serde_json::{Value, json};
use std::time::{Duration, Instant};

const TYPED: (&str, &str) = ("content-type", "application/fhir+json");

/// The items of a trace by role `support`. What a caller was refused who is not known for sure is written after the answer: that is waited for.
async fn traced(desk: &Desk<'_>, id: &str) -> Vec<Value> {
    let encoded: String = id
        .bytes()
        .map(|b| {
            if b.is_ascii_alphanumeric() || b"-._~".contains(&b) {
                char::from(b).to_string()
            } else {
                format!("%{b:02X}")
            }
        })
        .collect();
    let (path, began) = (format!("trace/{encoded}"), Instant::now());
    while desk.get(&path).await.status == 404 && began.elapsed() < Duration::from_secs(60) {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    desk.all(&path).await
}

fn actions(items: &[Value]) -> Vec<&str> {
    items.iter().filter_map(|item| item["action"].as_str()).collect()
}

/// One refused request: what it is called, its correlation id, and its answer.
type Refused = (&'static str, &'static str, Reply, Fault, &'static str);

/// What it is called, its correlation id, method, path, headers and body; then the fault, and the action in the ledger.
type Case<'a> = (
    &'static str,
    &'static str,
    &'a str,
    &'a str,
    &'a [(&'a str, &'a str)],
    &'a str,
    Fault,
    &'static str,
);

async fn refusals(payer: &TestPayer, client: &Client, token: &str) -> Vec<Refused> {
    let bearer = format!("Bearer {token}");
    let auth = ("authorization", bearer.as_str());
    let body = payer.request(0, Variation::Exact).to_string();
    let name = format!("/fhir/Patient/{}", payer.member(0).patient_id);
    let matching = "/fhir/Patient/$member-match";
    let mut all: Vec<Refused> = Vec::new();
    let rows: &[Case<'_>] = &[
        (
            "no json",
            "case:1/a",
            "POST",
            matching,
            &[auth, TYPED],
            "{",
            Fault::NotJson,
            "member-match.refused",
        ),
        (
            "wrong type",
            "case:1/b",
            "POST",
            matching,
            &[auth, ("content-type", "text/plain")],
            &body,
            Fault::MediaTypeRefused,
            "member-match.refused",
        ),
        (
            "no profile",
            "case=1@c",
            "POST",
            matching,
            &[auth, TYPED],
            "{\"resourceType\":\"Parameters\"}",
            Fault::MatchParameterMissing,
            "member-match.refused",
        ),
        (
            "bad key",
            "case:1/d",
            "POST",
            matching,
            &[auth, TYPED, ("idempotency-key", "a b")],
            &body,
            Fault::IdempotencyKeyBad,
            "member-match.refused",
        ),
        (
            "nobody there",
            "case:1/e",
            "GET",
            "/fhir/Patient/nobody",
            &[auth],
            "",
            Fault::NotFound,
            "disclosure.refused",
        ),
        (
            "no route",
            "case:1/f",
            "GET",
            "/fhir/no/such/place",
            &[auth],
            "",
            Fault::RouteUnknown,
            "request.refused",
        ),
        (
            "no such type",
            "case:1/g",
            "GET",
            "/fhir/Spaceship/1",
            &[auth],
            "",
            Fault::RouteUnknown,
            "request.refused",
        ),
        (
            "method",
            "case:1/h",
            "DELETE",
            &name,
            &[auth],
            "",
            Fault::MethodRefused,
            "request.refused",
        ),
        (
            "not acceptable",
            "case:1/i",
            "GET",
            &name,
            &[auth, ("accept", "application/pdf")],
            "",
            Fault::NotAcceptable,
            "request.refused",
        ),
        (
            "bad parameter",
            "case:1/j",
            "GET",
            "/fhir/Patient?_count=many",
            &[auth],
            "",
            Fault::ParameterInvalid,
            "request.refused",
        ),
        (
            "no token",
            "case:1/k",
            "GET",
            &name,
            &[],
            "",
            Fault::TokenMissing,
            "request.refused",
        ),
        (
            "bad token",
            "case:1/l",
            "GET",
            &name,
            &[("authorization", "Bearer x")],
            "",
            Fault::TokenInvalid,
            "request.refused",
        ),
        (
            "too large",
            "case:1/m",
            "POST",
            "/fhir",
            &[auth, TYPED],
            &" ".repeat(300_000),
            Fault::TooLarge,
            "request.refused",
        ),
    ];
    for (what, correlation, method, path, headers, body, fault, action) in rows {
        let headers = [headers, &[("x-correlation-id", *correlation)][..]].concat();
        let reply = client.send(method, path, &headers, (*body).to_owned()).await;
        reply.assert_outcome(*fault);
        all.push((what, correlation, reply, *fault, action));
    }
    all
}

#[tokio::test]
async fn every_refusal_is_found_by_the_callers_id_and_by_ours() {
    let (payer, client) = TestPayer::start(3);
    let token = client.token(ALL_SCOPES).await;
    let support = Desk::named(&payer, &client, "support", "sue");
    for (what, correlation, reply, fault, action) in refusals(&payer, &client, &token).await {
        let request = reply.header("x-request-id").to_owned();
        for id in [correlation, request.as_str()] {
            let items = traced(&support, id).await;
            assert_eq!(actions(&items), [action], "{what} by {id}: {items:?}");
            let item = &items[0];
            assert_eq!(
                (&item["http"], &item["reason"], &item["text"]),
                (&json!(fault.row().http), &json!(fault.code()), &json!(fault.row().text)),
                "{what}"
            );
            assert_eq!(item["partner"], "new-payer", "{what}");
            assert_eq!(item["request_id"], request.as_str());
            // The caller's own words are told only to who knows them.
            assert_eq!(item.get("correlation_id").is_some(), id == correlation, "{what}");
        }
    }
    // The same by a path that was not encoded.
    let items = support.all("trace/case:1/a").await;
    assert_eq!(items.len(), 1);
}

#[tokio::test]
async fn a_refused_token_is_found_by_the_id_of_its_request() {
    let (payer, client) = TestPayer::start(1);
    let support = Desk::named(&payer, &client, "support", "sue");
    let wrong_key = crate::support::assertion::ClientKey::new("k1");
    for (assertion, scope, fault) in [
        (client.assertion().sign(&wrong_key), MATCH_SCOPE, Fault::OauthClient),
        ("x.y.z".to_owned(), MATCH_SCOPE, Fault::OauthClient),
        (
            client.assertion().sign(&client.key),
            "system/Practitioner.cud",
            Fault::OauthScope,
        ),
    ] {
        let reply = client.ask_token(&assertion, scope).await;
        let items = traced(&support, reply.header("x-request-id")).await;
        assert_eq!(actions(&items), ["token.refused"], "{items:?}");
        assert_eq!(
            (&items[0]["reason"], &items[0]["partner"]),
            (&json!(fault.code()), &json!("new-payer"))
        );
    }
}

#[tokio::test]
async fn what_happened_to_a_member_is_found_by_decision_grant_consent_review_and_request() {
    let (payer, client) = TestPayer::start(4);
    let token = client.token(ALL_SCOPES).await;
    let body = payer.request(0, Variation::Exact).to_string();
    let keyed = |correlation| [("Idempotency-Key", "one"), ("X-Correlation-Id", correlation)];
    let first = client.post_match(&token, body.clone(), &keyed("M-1")).await;
    first.assert_status(200);
    client
        .post_match(&token, body.clone(), &keyed("M-2"))
        .await
        .assert_status(200);
    let patient = payer.member(0).patient_id;
    let read = client.get(&token, &format!("Patient/{patient}")).await;
    read.assert_status(200);
    let whole = client.get(&token, &format!("Patient/{patient}/$everything")).await;
    whole.assert_status(200);
    let whole_id = whole.header("x-correlation-id").to_owned();
    payer
        .await_ledger(&whole_id, &["disclosure.begun", "disclosure.completed"])
        .await;

    let support = Desk::named(&payer, &client, "support", "sue");
    let made = traced(&support, "M-1").await;
    assert_eq!(
        actions(&made),
        ["member-match.begun", "member-match.matched", "consent.recorded"]
    );
    let text = |item: &Value, key: &str| {
        item[key]
            .as_str()
            .unwrap_or_else(|| panic!("no {key}: {item}"))
            .to_owned()
    };
    let (decision, grant) = (text(&made[1], "decision_id"), text(&made[1], "grant_id"));
    let consent = text(&made[2], "consent_id");
    assert_eq!(text(&made[1], "consent_id"), consent);
    // A replay tells that it is one.
    let replay = traced(&support, "M-2").await;
    assert_eq!((replay.len(), replay[0]["reason"].as_str()), (1, Some("replayed")));

    let operator = Desk::named(&payer, &client, "operator", "ana");
    let revoked = operator
        .post(&format!("consents/{consent}/revoke"), &json!({"reason": "by letter"}))
        .await;
    revoked.assert_status(200);
    client
        .get(&token, &format!("Patient/{patient}"))
        .await
        .assert_outcome(Fault::NotFound);

    assert_eq!(actions(&traced(&support, &decision).await), actions(&made));
    assert_eq!(
        actions(&traced(&support, first.header("x-request-id")).await),
        actions(&made)
    );
    let all = [
        "member-match.begun",
        "member-match.matched",
        "consent.recorded",
        "disclosure",
        "disclosure",
        "consent.revoked",
    ];
    for id in [&grant, &consent] {
        let items = traced(&support, id).await;
        assert_eq!(actions(&items), all, "{id}");
        let times: Vec<&str> = items.iter().filter_map(|item| item["at"].as_str()).collect();
        assert!(times.is_sorted(), "{times:?}");
        let last = &items[5];
        assert_eq!(
            (&last["operator"], &last["consent_id"]),
            (&json!("ana"), &json!(consent))
        );
        let record = &items[4];
        assert_eq!(
            (
                &record["outcome"],
                &record["bytes"],
                &record["decision_id"],
                &record["grant_id"]
            ),
            (
                &json!("completed"),
                &json!(whole.body.len()),
                &json!(decision),
                &json!(grant)
            )
        );
    }
    // No member, number or reason is in any of it, and everybody who may ask is told the same.
    let number = payer.member(0).member_number;
    let auditor = Desk::named(&payer, &client, "auditor", "carl");
    let told = support.get(&format!("trace/{grant}")).await.text();
    for secret in [patient.as_str(), number.as_str(), "by letter"] {
        assert!(!told.contains(secret), "{secret}");
    }
    for desk in [&operator, &auditor] {
        assert_eq!(desk.get(&format!("trace/{grant}")).await.text(), told);
    }
    let by_command = payer.json_command(&["trace", &grant]);
    assert_eq!(by_command, support.get(&format!("trace/{grant}")).await.json()["items"]);

    for (path, fault) in [
        ("trace/nothing-here", Fault::TraceUnknown),
        ("trace/a%20b", Fault::ParameterInvalid),
        ("trace/%22", Fault::ParameterInvalid),
        ("trace/x?since=1", Fault::ParameterUnknown),
        ("trace/x?cursor=%20", Fault::ParameterInvalid),
    ] {
        support.get(path).await.assert_outcome(fault);
    }
    // Whoever looks is in the ledger by name, and that is no part of what happened.
    let views: Vec<Value> = auditor.all("ledger").await;
    let views: Vec<&Value> = views
        .iter()
        .filter(|entry| entry["action"] == "operator.viewed")
        .collect();
    assert!(
        views
            .iter()
            .any(|view| view["operator"] == "sue" && view["outcome"]["reason"] == "trace")
    );
}

#[tokio::test]
async fn a_review_is_found_by_its_own_id_from_opening_to_decision() {
    let (payer, client) = TestPayer::start(6);
    let token = client.token(ALL_SCOPES).await;
    let body = doubtful(&payer, 0, 2).to_string();
    let headers = [("X-Correlation-Id", "doubt-1")];
    client
        .post_match(&token, body, &headers)
        .await
        .assert_outcome(Fault::NoUniqueMember);
    let review = only_review(&payer);
    let place = place_of(&payer, &review, 0);
    decided(&payer, &review, &["--confirm", &place], "ana");
    let support = Desk::named(&payer, &client, "support", "sue");
    let items = traced(&support, &review).await;
    let found = actions(&items);
    for wanted in [
        "member-match.begun",
        "member-match.refused",
        "review.opened",
        "review.decided",
    ] {
        assert_eq!(
            found.iter().filter(|action| **action == wanted).count(),
            1,
            "{wanted} in {found:?}"
        );
    }
    let refused = items
        .iter()
        .find(|item| item["action"] == "member-match.refused")
        .expect("a refusal");
    let decision = refused["decision_id"].as_str().expect("a decision");
    assert_eq!(actions(&traced(&support, decision).await), found);
    assert_eq!(actions(&traced(&support, "doubt-1").await)[..3], found[..3]);
}
