//! Who is not let in: a token that is not for this sign-in, an answer of another browser or a second time, nobody with a role, and a provider that
//! does not answer. Each gets a page that says so, and no session.

use super::browser::Visitor;
use super::provider::{FakeProvider, SECRET, TOKEN, Twist};
use super::{SESSION, SIGN_IN, entries, prepared, started};
use crate::support::assertion::now_s;
use crate::support::client::Reply;
use crate::support::console::assert_refused;
use crate::support::payer::TestPayer;
use causeway::error::Fault;
use serde_json::{Value, json};
use std::time::{Duration, Instant};

/// The log says of this refusal, in the line with its request id, why.
async fn assert_reason(payer: &TestPayer, reply: &Reply, why: &str) {
    let id = reply.header("x-request-id");
    let began = Instant::now();
    while began.elapsed() < Duration::from_secs(60) {
        let log = payer.log();
        if log.lines().any(|line| line.contains(id) && line.contains(why)) {
            return;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    panic!("not said of {id}: {why}");
}

#[tokio::test]
async fn an_id_token_that_is_not_for_this_sign_in_lets_nobody_in() {
    let provider = FakeProvider::with("ana", json!("ops"));
    let payer = started(&provider);
    let mut visitor = Visitor::of(&payer);
    let now = now_s();
    let claim = Twist::Claim;
    for (twist, why) in [
        (claim("iss", json!("https://evil.example")), "another issuer"),
        (claim("aud", json!("another")), "another client"),
        (claim("aud", json!(["console", "another"])), "another client"),
        (claim("azp", json!("another")), "another client"),
        (claim("nonce", json!("another")), "another sign-in"),
        (claim("nonce", Value::Null), "another sign-in"),
        (claim("exp", json!(now - 1)), "has expired"),
        (claim("iat", json!(now + 600)), "from the future"),
        (claim("nbf", json!(now + 600)), "from the future"),
        (Twist::OtherKey, "signature of the id token is wrong"),
        (Twist::Unsigned, "algorithm that is not taken"),
        (Twist::SharedSecret, "algorithm that is not taken"),
        (claim("sub", json!("a b")), "is no name"),
    ] {
        provider.twist(std::slice::from_ref(&twist));
        let refused = visitor.sign_in().await;
        assert_refused(&refused, Fault::SignInUnfit);
        assert!(!visitor.cookies.contains_key(SESSION), "{twist:?}");
        assert!(!refused.text().contains("evil.example"), "{}", refused.text());
        assert_reason(&payer, &refused, why).await;
    }
    assert_eq!((payer.count("console_session"), payer.count("operator_token")), (0, 0));
    provider.twist(&[]);
    visitor.sign_in().await.assert_status(200);
}

#[tokio::test]
async fn a_person_without_a_role_is_refused_and_an_entry_says_so() {
    let provider = FakeProvider::with("ana", json!("ops"));
    let payer = started(&provider);
    let mut visitor = Visitor::of(&payer);
    for roles in [
        json!(["king"]),
        json!("operator"),
        json!([]),
        json!(null),
        json!({"ops": 1}),
    ] {
        provider.person("ana", roles);
        let refused = visitor.sign_in().await;
        assert_refused(&refused, Fault::SignInNoRole);
        assert!(!visitor.cookies.contains_key(SESSION));
    }
    assert_eq!(entries(&payer, "operator.refused", "ana"), 5);
    assert_eq!((payer.count("console_session"), payer.count("operator_token")), (0, 0));
    assert_eq!(payer.count("ledger_entry WHERE action = 'operator.token-issued'"), 0);
}

#[tokio::test]
async fn an_answer_serves_once_and_in_the_browser_that_began_alone() {
    let provider = FakeProvider::with("ana", json!("ops"));
    let payer = started(&provider);
    let (mut visitor, mut other) = (Visitor::of(&payer), Visitor::of(&payer));
    let begun = visitor.begin().await;
    let held = visitor.cookies[SIGN_IN].clone();
    let back = visitor.at_provider(&begun).await;
    // Without a cookie, with one of another sign-in, and with one that somebody made up.
    assert_refused(&other.go(&back, "cross-site").await, Fault::SignInUnfit);
    other.begin().await;
    assert_refused(&other.go(&back, "cross-site").await, Fault::SignInUnfit);
    other.cookies.insert(SIGN_IN.to_owned(), "A".repeat(43));
    assert_refused(&other.go(&back, "cross-site").await, Fault::SignInUnfit);
    assert!(!other.cookies.contains_key(SESSION));
    assert_eq!(provider.asked(TOKEN), 0, "the code is still whole");
    visitor.go(&back, "cross-site").await.assert_status(200);
    // A second time, even with the cookie.
    visitor.cookies.remove(SESSION);
    visitor.cookies.insert(SIGN_IN.to_owned(), held);
    assert_refused(&visitor.go(&back, "cross-site").await, Fault::SignInUnfit);
    assert_eq!(provider.asked(TOKEN), 1);
    assert_eq!(payer.count("console_session"), 1);

    // Too late.
    let begun = visitor.begin().await;
    let back = visitor.at_provider(&begun).await;
    payer.execute("UPDATE console_sign_in SET expires_ms = 1");
    assert_refused(&visitor.go(&back, "cross-site").await, Fault::SignInUnfit);
    assert_eq!(provider.asked(TOKEN), 1);

    // A person who says no at the provider, an answer of another issuer, and a code of somebody else.
    for (from, to) in [("code=", "error="), ("iss=http", "iss=https"), ("code=", "code=x")] {
        let begun = visitor.begin().await;
        let back = visitor.at_provider(&begun).await;
        assert_refused(
            &visitor.go(&back.replacen(from, to, 1), "cross-site").await,
            Fault::SignInUnfit,
        );
        // It was taken with the first answer.
        assert_refused(&visitor.go(&back, "cross-site").await, Fault::SignInUnfit);
    }
    let mut stolen = Visitor::of(&payer);
    let (begun, theirs) = (visitor.begin().await, stolen.begin().await);
    let (back, other_back) = (visitor.at_provider(&begun).await, stolen.at_provider(&theirs).await);
    let code = |path: &str| {
        let after = path.split("code=").nth(1).unwrap_or_default();
        after.split('&').next().unwrap_or_default().to_owned()
    };
    let injected = back.replacen(&code(&back), &code(&other_back), 1);
    assert_refused(&visitor.go(&injected, "cross-site").await, Fault::SignInUnfit);
    assert!(
        !visitor.cookies.contains_key(SESSION),
        "a code is of use to its own browser"
    );
}

#[tokio::test]
async fn of_two_answers_that_come_at_once_one_counts() {
    let provider = FakeProvider::with("ana", json!("ops"));
    let payer = started(&provider);
    let (mut visitor, mut twin) = (Visitor::of(&payer), Visitor::of(&payer));
    for round in 1..=3 {
        let begun = visitor.begin().await;
        let back = visitor.at_provider(&begun).await;
        twin.cookies = visitor.cookies.clone();
        let (one, other) = tokio::join!(visitor.go(&back, "cross-site"), twin.go(&back, "cross-site"));
        let mut statuses = [one.status, other.status];
        statuses.sort_unstable();
        assert_eq!(statuses, [200, 401], "{round}");
        assert_eq!(provider.asked(TOKEN), round);
    }
}

#[tokio::test]
async fn an_answer_with_a_parameter_twice_is_refused_and_takes_nothing() {
    let provider = FakeProvider::with("ana", json!("ops"));
    let payer = started(&provider);
    let mut visitor = Visitor::of(&payer);
    let begun = visitor.begin().await;
    let back = visitor.at_provider(&begun).await;
    for more in ["&code=x", "&state=x", "&iss=https://evil.example", "&error=a&error=b"] {
        let refused = visitor.go(&format!("{back}{more}"), "cross-site").await;
        assert_refused(&refused, Fault::SignInUnfit);
        assert!(!visitor.cookies.contains_key(SESSION), "{more}");
    }
    assert_eq!(provider.asked(TOKEN), 0);
    visitor.go(&back, "cross-site").await.assert_status(200);
}

#[tokio::test]
async fn a_provider_that_answers_badly_to_a_code_gives_a_page_that_says_so() {
    let provider = FakeProvider::with("ana", json!("ops"));
    let payer = started(&provider);
    let mut visitor = Visitor::of(&payer);
    let says = |status, text: &str| Twist::Says(TOKEN, status, text.to_owned());
    let no_id_token = json!({"access_token": "a", "token_type": "Bearer"}).to_string();
    let no_token = json!({"access_token": "a", "token_type": "Bearer", "id_token": "a.b"}).to_string();
    let endless = "x".repeat(300_000);
    for twist in [
        says(500, "{\"error\": \"server_error\"}"),
        says(502, "<html>"),
        says(307, ""),
        says(200, "<html>"),
        says(200, ""),
        says(200, &no_id_token),
        says(200, &no_token),
        says(200, &endless),
        says(401, "{\"error\": \"invalid_client\"}"),
    ] {
        provider.twist(std::slice::from_ref(&twist));
        let refused = visitor.sign_in().await;
        assert_refused(&refused, Fault::SignInProvider);
        assert!(refused.text().contains("causeway console link"), "{}", refused.text());
        assert!(!visitor.cookies.contains_key(SESSION), "{twist:?}");
    }
    let log = payer.log();
    assert!(
        !log.contains("server_error") && !log.contains(SECRET),
        "what it wrote is not repeated"
    );
    provider.twist(&[]);
    visitor.sign_in().await.assert_status(200);
}

#[tokio::test]
async fn a_provider_that_hangs_is_given_up() {
    let provider = FakeProvider::with("ana", json!("ops"));
    provider.twist(&[Twist::Silence(TOKEN)]);
    let payer = started(&provider);
    let mut visitor = Visitor::of(&payer);
    let begun = visitor.begin().await;
    let back = visitor.at_provider(&begun).await;
    // The provider is silent for longer than this browser waits.
    let refused = visitor.go(&back, "cross-site").await;
    assert_refused(&refused, Fault::SignInProvider);
    assert_reason(&payer, &refused, "did not answer in time").await;
}

#[tokio::test]
async fn a_provider_that_is_down_or_names_other_addresses_is_not_gone_to() {
    // Nobody listens on the first port of this machine.
    let mut down = prepared("http://127.0.0.1:1");
    down.serve();
    let mut visitor = Visitor::of(&down);
    for _ in 0..2 {
        let refused = visitor.follow("/console/sign-in").await;
        assert_refused(&refused, Fault::SignInProvider);
        assert!(refused.header("location").is_empty() && visitor.cookies.is_empty());
    }
    visitor.follow("/console").await.assert_status(401);
    assert_eq!(down.count("console_sign_in"), 0);
    down.terminate();

    let provider = FakeProvider::with("ana", json!("ops"));
    let mut payer = prepared(&provider.issuer);
    for (member, value, why) in [
        ("issuer", json!("https://evil.example"), "names itself otherwise"),
        (
            "authorization_endpoint",
            json!("http://evil.example/authorize"),
            "authorization endpoint",
        ),
        ("jwks_uri", json!("http://10.0.0.1/keys"), "is not https"),
        ("jwks_uri", json!("https://10.0.0.1/keys"), "not public"),
        ("authorization_endpoint", Value::Null, "cannot be used"),
    ] {
        provider.twist(&[Twist::Member(member, value)]);
        payer.serve_with(&[("CAUSEWAY_LOG__LEVEL", "debug")]);
        let mut visitor = Visitor::of(&payer);
        let refused = visitor.follow("/console/sign-in").await;
        assert_refused(&refused, Fault::SignInProvider);
        assert_reason(&payer, &refused, why).await;
        assert!(
            refused.header("location").is_empty() && visitor.cookies.is_empty(),
            "{member}"
        );
        payer.terminate();
    }
}
