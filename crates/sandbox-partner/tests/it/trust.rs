//! Who may ask: assertions, tokens, client certificates; and the payer's own certificate when it is not to be trusted.

use super::support::{CLIENT_ID, DATA_SCOPE, MATCH_SCOPE, client, played, started};
use causeway_jose::{Algorithm, SigningKey};
use causeway_sandbox_partner::{ClientCertificates, SandboxClient, SandboxRoute, SandboxScript};
use serde_json::{Value, json};
use std::time::Duration;

#[tokio::test]
async fn an_assertion_is_verified_in_every_part() {
    let pair = played("");
    let now_s = pair.sandbox.control().now_ms() / 1000;
    type Change = Box<dyn Fn(&mut Value)>;
    let set = |name: &'static str, value: Value| -> Change { Box::new(move |claims| claims[name] = value.clone()) };
    let changes: Vec<(&str, Change)> = vec![
        ("another audience", set("aud", json!("https://localhost/auth/token"))),
        ("no audience", set("aud", Value::Null)),
        ("over", set("exp", json!(now_s - 60))),
        ("too long", set("exp", json!(now_s + 900))),
        ("not yet", set("nbf", json!(now_s + 120))),
        ("no end", set("exp", json!("soon"))),
        ("no jti", set("jti", Value::Null)),
        ("another subject", set("sub", json!("someone"))),
        (
            "not registered",
            Box::new(|claims| {
                claims["iss"] = json!("someone");
                claims["sub"] = json!("someone");
            }),
        ),
    ];
    for (what, change) in changes {
        let reply = pair
            .token_request(&pair.assertion(change), MATCH_SCOPE)
            .send()
            .await
            .expect("an answer");
        assert_eq!(reply.status(), 401, "{what}");
        let body: Value = reply.json().await.expect("JSON");
        assert_eq!(body["error"], "invalid_client", "{what}");
    }
    let good = pair.assertion(|_| {});
    let (signed, _) = good.rsplit_once('.').expect("three parts");
    let (_, other) = pair
        .assertion(|_| {})
        .rsplit_once('.')
        .map(|(a, b)| (a.to_owned(), b.to_owned()))
        .expect("three parts");
    let forged = pair
        .token_request(&format!("{signed}.{other}"), MATCH_SCOPE)
        .send()
        .await
        .expect("an answer");
    assert_eq!(forged.status(), 401, "the signature of another text");
    assert_eq!(
        pair.token_request(&good, MATCH_SCOPE)
            .send()
            .await
            .expect("an answer")
            .status(),
        200
    );
    assert_eq!(
        pair.token_request(&good, MATCH_SCOPE)
            .send()
            .await
            .expect("an answer")
            .status(),
        401,
        "used twice"
    );
    assert_eq!(pair.sandbox.control().effect_count(SandboxRoute::Token), 1);
}

#[tokio::test]
async fn another_key_of_the_client_counts_from_its_registration_on() {
    let mut pair = played("");
    pair.key = SigningKey::generate(Algorithm::Es384, "k2").expect("a key");
    let refused = pair
        .token_request(&pair.assertion(|_| {}), MATCH_SCOPE)
        .send()
        .await
        .expect("an answer");
    assert_eq!(refused.status(), 401);
    let jwks = Some(json!({ "keys": [pair.key.public_jwk()] }));
    let client = SandboxClient {
        id: CLIENT_ID.into(),
        jwks,
        ..SandboxClient::default()
    };
    pair.sandbox.control().register(&client).expect("registered");
    pair.token(MATCH_SCOPE).await;
}

#[tokio::test]
async fn a_token_request_that_is_no_such_request_is_told_so() {
    let pair = played("");
    let assertion = pair.assertion(|_| {});
    let post = |form: Vec<(&'static str, String)>| pair.http.post(pair.sandbox.token_url()).form(&form).send();
    let kind = (
        "client_assertion_type",
        "urn:ietf:params:oauth:client-assertion-type:jwt-bearer".to_owned(),
    );
    let signed = ("client_assertion", assertion);
    let scope = |scope: &str| ("scope", scope.to_owned());
    let grant = |grant: &str| ("grant_type", grant.to_owned());
    for (form, error) in [
        (
            vec![grant("client_credentials"), kind.clone(), scope("system/*.rs")],
            "invalid_request",
        ),
        (
            vec![grant("password"), kind.clone(), signed.clone(), scope("system/*.rs")],
            "unsupported_grant_type",
        ),
        (
            vec![
                grant("client_credentials"),
                kind.clone(),
                signed.clone(),
                scope("a"),
                scope("b"),
            ],
            "invalid_request",
        ),
        (
            vec![
                grant("client_credentials"),
                kind.clone(),
                signed.clone(),
                scope("system/*.bad patient/*.rs"),
            ],
            "invalid_scope",
        ),
    ] {
        let reply = post(form).await.expect("an answer");
        assert_eq!(reply.status(), 400);
        let body: Value = reply.json().await.expect("JSON");
        assert_eq!(body["error"], error);
    }
}

#[tokio::test]
async fn a_token_does_only_what_its_scope_says_and_only_until_it_ends() {
    let pair = played("token_seconds = 60");
    let data = pair.matched().await;
    let matching = pair.token(MATCH_SCOPE).await;
    let status = async |token: &str| pair.everything(token).send().await.expect("an answer").status();
    assert_eq!(status(&matching).await, 403, "a token for matching reads nothing");
    let body = pair.match_body(&pair.member());
    assert_eq!(
        pair.match_request(&data, &body)
            .send()
            .await
            .expect("an answer")
            .status(),
        403
    );
    assert_eq!(status("nothing").await, 401);
    assert_eq!(status(&data).await, 200);
    pair.sandbox
        .control()
        .set_time_ms(pair.sandbox.control().now_ms() + 61_000);
    assert_eq!(status(&data).await, 401);
}

#[tokio::test]
async fn a_token_answer_can_leave_out_its_end_and_name_another_scope() {
    let pair = played(
        r#"
        [[rule]]
        route = "token"
        acts = [{ token = { expiry = false, scope = "system/*.cruds", token_type = "mac", lives_s = 0 } }]
        "#,
    );
    let reply = pair
        .token_request(&pair.assertion(|_| {}), DATA_SCOPE)
        .send()
        .await
        .expect("an answer");
    let body: Value = reply.json().await.expect("JSON");
    assert_eq!(
        (body.get("expires_in"), &body["scope"], &body["token_type"]),
        (None, &json!("system/*.cruds"), &json!("mac"))
    );
    let token = body["access_token"].as_str().expect("a token");
    assert_eq!(
        pair.everything(token).send().await.expect("an answer").status(),
        401,
        "it is over at once"
    );
}

#[tokio::test]
async fn a_token_is_bound_to_the_certificate_with_which_it_was_asked_for() {
    let pair = started(SandboxScript::default(), Some("https://new-payer.example/fhir"));
    let token = pair.matched().await;
    assert_eq!(pair.everything(&token).send().await.expect("an answer").status(), 200);
    let without = client(&pair.sandbox, None, Duration::from_secs(10));
    let url = pair.url(&format!("Patient/{}/$everything", pair.member().patient_id));
    assert_eq!(
        without
            .get(url)
            .bearer_auth(&token)
            .send()
            .await
            .expect("an answer")
            .status(),
        401
    );
    let seen = pair.sandbox.control().requests();
    assert!(
        seen.iter().any(|request| request.certificate.is_some())
            && seen.last().is_some_and(|last| last.certificate.is_none())
    );
}

#[tokio::test]
async fn a_payer_that_requires_a_certificate_serves_nobody_without_one() {
    let script = SandboxScript {
        mtls: ClientCertificates::Required,
        ..SandboxScript::default()
    };
    let pair = started(script, Some("https://new-payer.example/fhir"));
    assert_eq!(pair.get("metadata").await.status(), 200);
    let without = client(&pair.sandbox, None, Duration::from_secs(10));
    without
        .get(pair.url("metadata"))
        .send()
        .await
        .expect_err("no certificate");
}

#[tokio::test]
async fn a_flawed_certificate_is_refused_by_a_careful_client_and_a_new_key_is_not() {
    for flaw in [
        "expired",
        "not-yet-valid",
        "other-authority",
        "self-signed",
        "wrong-name",
    ] {
        let rule =
            format!("[[rule]]\nroute = \"connection\"\nrequests = \"1\"\nacts = [{{ certificate = \"{flaw}\" }}]");
        let pair = played(&rule);
        let error = pair.http.get(pair.url("metadata")).send().await.expect_err(flaw);
        assert!(
            format!("{error:?}").to_lowercase().contains("cert"),
            "{flaw}: {error:?}"
        );
        assert!(pair.sandbox.control().requests().is_empty(), "nothing was sent");
        assert_eq!(
            pair.get("metadata").await.status(),
            200,
            "the second connection is good"
        );
    }
    let pair = played("[[rule]]\nroute = \"connection\"\nacts = [{ certificate = \"other-key\" }]");
    assert_eq!(pair.get("metadata").await.status(), 200);
}

#[tokio::test]
async fn a_connection_can_be_refused_or_left_in_silence() {
    let pair = played("[[rule]]\nroute = \"connection\"\nrequests = \"1\"\nacts = [\"refuse\"]");
    pair.http.get(pair.url("metadata")).send().await.expect_err("refused");
    assert_eq!(pair.get("metadata").await.status(), 200);
    let pair = played("[[rule]]\nroute = \"connection\"\nacts = [\"silent-handshake\"]");
    let hasty = client(&pair.sandbox, None, Duration::from_millis(300));
    assert!(
        hasty
            .get(pair.url("metadata"))
            .send()
            .await
            .expect_err("silence")
            .is_timeout()
    );
}

#[tokio::test]
async fn a_wrong_clock_refuses_good_assertions_and_shows_in_the_date() {
    let pair = played("[[rule]]\nroute = \"token\"\nrequests = \"1\"\nacts = [{ clock-skew = { seconds = 900 } }]");
    let skewed = pair
        .token_request(&pair.assertion(|_| {}), MATCH_SCOPE)
        .send()
        .await
        .expect("an answer");
    assert_eq!(skewed.status(), 401);
    let date = |reply: &reqwest::Response| {
        let text = reply.headers()["date"].to_str().expect("text");
        httpdate::parse_http_date(text).expect("a date")
    };
    let right = pair
        .token_request(&pair.assertion(|_| {}), MATCH_SCOPE)
        .send()
        .await
        .expect("an answer");
    assert_eq!(right.status(), 200);
    let apart = date(&skewed).duration_since(date(&right)).expect("later");
    assert!((600..=900).contains(&apart.as_secs()), "{apart:?}");
    let fixed = played("clock = \"2027-01-01T00:00:00Z\"");
    let year = fixed.get("metadata").await.headers()["date"]
        .to_str()
        .expect("text")
        .to_owned();
    assert!(year.contains("01 Jan 2027"), "{year}");
    fixed.token(MATCH_SCOPE).await;
}
