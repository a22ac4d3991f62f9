//! Signing in to the console by an identity provider: who is let in as whom, to which page, once, and in the browser that began it.

mod browser;
mod provider;
mod refused;
mod rows;
mod start;

use crate::support::console::{assert_refused, link};
use crate::support::payer::TestPayer;
use crate::support::store::Place;
use browser::Visitor;
use causeway::error::Fault;
use causeway::percent::encode_all;
use causeway::synth::SynthOptions;
use provider::{FakeProvider, SECRET};
use serde_json::json;
use std::os::unix::fs::PermissionsExt as _;

/// The cookie of a session, and that of a sign-in, without TLS.
const SESSION: &str = "causeway-console";
const SIGN_IN: &str = "causeway-sign-in";

/// A payer with the secret of the client in a file. It does not serve yet.
fn bare() -> TestPayer {
    let payer = TestPayer::bare(Place::ready(), SynthOptions::default());
    let secret = payer.home().join("oidc-secret");
    std::fs::write(&secret, SECRET).expect("a file");
    std::fs::set_permissions(&secret, std::fs::Permissions::from_mode(0o600)).expect("a mode");
    payer
}

/// Gives its configuration this section `[oidc]`, in the place of the one before.
fn configure(payer: &TestPayer, lines: &str) {
    let path = payer.home().join("causeway.toml");
    let text = std::fs::read_to_string(&path).expect("a configuration");
    let rest = text.split("[oidc]\n").next().unwrap_or_default();
    std::fs::write(&path, format!("{rest}[oidc]\n{lines}")).expect("written");
}

/// A payer whose people sign in at this provider.
fn prepared(issuer: &str) -> TestPayer {
    let payer = bare();
    let lines = format!(
        "issuer = \"{issuer}\"\nclient_id = \"console\"\nclient_secret_file = \"oidc-secret\"\n\
         roles = [\"ops=operator\", \"ops=reviewer\", \"audit=auditor\"]\n"
    );
    configure(&payer, &lines);
    payer
}

/// The same, with the server.
fn started(provider: &FakeProvider) -> TestPayer {
    let mut payer = prepared(&provider.issuer);
    payer.serve_with(&[("CAUSEWAY_LOG__LEVEL", "debug")]);
    payer
}

/// How many entries have this action and the name of this person.
fn entries(payer: &TestPayer, action: &str, name: &str) -> i64 {
    payer.count(&format!(
        "ledger_entry e JOIN operator_note n ON n.entry_id = e.id WHERE e.action = '{action}' AND n.operator = '{name}'"
    ))
}

#[tokio::test]
async fn a_person_signs_in_with_the_roles_that_the_configuration_gives() {
    let provider = FakeProvider::with("ana", json!(["other", "ops", "audit"]));
    let payer = started(&provider);
    let mut visitor = Visitor::of(&payer);
    let page = visitor.follow("/console/exchanges").await;
    page.assert_status(401);
    let way = "href=\"/console/sign-in?to=/console/exchanges\"";
    assert!(page.text().contains(way), "{}", page.text());

    let begun = visitor.follow("/console/sign-in?to=/console/exchanges").await;
    begun.assert_status(303);
    let set = begun.header("set-cookie").to_owned();
    assert!(set.starts_with("causeway-sign-in="), "{set}");
    assert!(
        set.ends_with("; Path=/console; HttpOnly; SameSite=Lax; Max-Age=600"),
        "{set}"
    );
    let location = begun.header("location").to_owned();
    assert!(
        location.starts_with(&format!("{}/authorize?", provider.issuer)),
        "{location}"
    );
    let held = visitor.cookies[SIGN_IN].clone();
    assert!(!location.contains(&held), "the address tells nothing of the cookie");
    assert_eq!(payer.count("console_sign_in"), 1);

    let back = visitor.at_provider(&begun).await;
    let done = visitor.go(&back, "cross-site").await;
    done.assert_status(200);
    assert_eq!(done.header("refresh"), "0; url=/console/exchanges");
    assert_eq!(done.header("cache-control"), "no-store");
    assert!(
        done.text().contains("href=\"/console/exchanges\"") && done.text().contains("<code>ana</code>"),
        "{}",
        done.text()
    );
    let cookies: Vec<&str> = done
        .headers
        .get_all("set-cookie")
        .iter()
        .map(|line| line.to_str().expect("text"))
        .collect();
    assert!(cookies[0].starts_with("causeway-sign-in=;"), "{cookies:?}");
    assert!(
        cookies[1].starts_with("causeway-console=") && cookies[1].ends_with("; SameSite=Strict; Max-Age=3600"),
        "{cookies:?}"
    );
    let page = visitor.follow("/console/exchanges").await;
    page.assert_status(200);
    assert!(
        page.text()
            .contains("Signed in as <code>ana</code> (operator,reviewer,auditor)"),
        "{}",
        page.text()
    );
    assert_eq!((payer.count("console_sign_in"), payer.count("console_session")), (0, 1));
    assert_eq!(entries(&payer, "operator.token-issued", "ana"), 1);
    let tokens = payer.json_command(&["operator", "list"]);
    assert_eq!(tokens[0]["name"], "ana", "a session is listed as a token is");

    let log = payer.log();
    for part in back.split(['?', '&', '=']).skip(1).filter(|part| part.len() >= 20) {
        assert!(!log.contains(part), "{part}");
    }
    assert!(!log.contains(&held) && !log.contains(SECRET));
}

#[tokio::test]
async fn a_sign_in_ends_in_another_process_than_it_began_in() {
    let provider = FakeProvider::with("ana", json!("ops"));
    let mut payer = started(&provider);
    let mut visitor = Visitor::of(&payer);
    let begun = visitor.begin().await;
    let back = visitor.at_provider(&begun).await;
    payer.terminate();
    payer.serve();
    visitor.go(&back, "cross-site").await.assert_status(200);
    visitor.follow("/console").await.assert_status(200);
}

#[tokio::test]
async fn a_session_is_new_at_each_sign_in_and_the_one_before_ends() {
    let provider = FakeProvider::with("ana", json!("ops"));
    let payer = started(&provider);
    let mut visitor = Visitor::of(&payer);
    // A handle that somebody else chose is never taken.
    let fixed = "A".repeat(43);
    visitor.cookies.insert(SESSION.to_owned(), fixed.clone());
    visitor.sign_in().await.assert_status(200);
    let first = visitor.cookies[SESSION].clone();
    assert_ne!(first, fixed);
    let mut other = Visitor::of(&payer);
    other.cookies.insert(SESSION.to_owned(), fixed);
    other.follow("/console").await.assert_status(401);
    other.cookies.insert(SESSION.to_owned(), first.clone());
    other.follow("/console").await.assert_status(200);

    provider.person("bo", json!(["audit"]));
    visitor.sign_in().await.assert_status(200);
    assert_ne!(visitor.cookies[SESSION], first);
    other.follow("/console").await.assert_status(401);
    assert_eq!(payer.count("console_session"), 1);
    assert_eq!(entries(&payer, "operator.token-revoked", "ana"), 1);
    let page = visitor.follow("/console").await;
    assert!(page.text().contains("<code>bo</code> (auditor)"), "{}", page.text());

    // A link in the same browser does the same to a session of the provider.
    let secret = link(&payer, "support", "carl");
    visitor
        .submit("/console/session", &[("secret", &secret)])
        .await
        .assert_status(303);
    assert_eq!(entries(&payer, "operator.token-revoked", "bo"), 1);
}

#[tokio::test]
async fn a_session_of_the_provider_ends_within_an_hour_and_by_signing_out_from_its_own_page_alone() {
    let provider = FakeProvider::with("ana", json!("ops"));
    let payer = started(&provider);
    let mut visitor = Visitor::of(&payer);
    visitor.sign_in().await.assert_status(200);
    let lasts = payer.count("operator_token WHERE expires_ms - created_ms = 3600000");
    assert_eq!(lasts, 1, "an hour, and not a working day");
    let token = visitor.form_token().await;
    let out = "/console/session/end";
    let forms: [&[(&str, &str)]; 3] = [&[], &[("_csrf", "")], &[("_csrf", "guess")]];
    for fields in forms {
        assert_refused(&visitor.submit(out, fields).await, Fault::FormForeign);
    }
    for site in ["cross-site", "same-site", "none"] {
        let headers = [
            ("sec-fetch-site", site),
            ("sec-fetch-mode", "navigate"),
            ("sec-fetch-dest", "document"),
        ];
        let refused = visitor.submit_from(out, &[("_csrf", &token)], &headers).await;
        assert_refused(&refused, Fault::FormForeign);
    }
    visitor.follow("/console").await.assert_status(200);
    let kept = visitor.cookies.clone();
    let gone = visitor.submit(out, &[("_csrf", &token)]).await;
    gone.assert_status(200);
    let end = format!("href=\"{}/end?client_id=console\"", provider.issuer);
    assert!(
        gone.text().contains("Sign in again") && gone.text().contains(&end),
        "{}",
        gone.text()
    );
    visitor.cookies = kept;
    visitor.follow("/console").await.assert_status(401);
    assert_eq!(entries(&payer, "operator.token-revoked", "ana"), 1);

    visitor.sign_in().await.assert_status(200);
    payer.execute("UPDATE operator_token SET expires_ms = 1");
    visitor.follow("/console").await.assert_status(401);
}

#[tokio::test]
async fn a_sign_in_leads_to_a_page_of_the_console_and_begins_from_one() {
    let provider = FakeProvider::with("ana", json!("ops"));
    let payer = started(&provider);
    let mut visitor = Visitor::of(&payer);
    for bad in [
        "https://evil.example/console",
        "//evil.example",
        "/\\evil.example",
        "/console//evil.example",
        "/console/exchanges/..",
        "/console/../ops/v1/ledger",
        "/console/session/end",
        "/console/sign-in",
        "/console/link/abc",
        "javascript:alert(1)",
    ] {
        let path = format!("/console/sign-in?to={}", encode_all(bad));
        let refused = visitor.follow(&path).await;
        assert_refused(&refused, Fault::ParameterInvalid);
        assert!(
            refused.header("location").is_empty() && visitor.cookies.is_empty(),
            "{bad}"
        );
    }
    // A page of another site can show the link, and begin nothing.
    for site in ["cross-site", "same-site"] {
        let page = visitor.go("/console/sign-in", site).await;
        page.assert_status(401);
        assert!(
            visitor.cookies.is_empty() && page.header("location").is_empty(),
            "{site}"
        );
    }
    assert_eq!(payer.count("console_sign_in"), 0);
    assert_eq!(provider.asked("/authorize"), 0);

    let begun = visitor
        .go("/console/sign-in?to=/console/exchanges/0190-a", "none")
        .await;
    begun.assert_status(303);
    let back = visitor.at_provider(&begun).await;
    let done = visitor.go(&back, "cross-site").await;
    assert_eq!(done.header("refresh"), "0; url=/console/exchanges/0190-a");
    // What the provider's answer names besides is no address either.
    let begun = visitor.begin().await;
    let back = visitor.at_provider(&begun).await;
    let done = visitor
        .go(&format!("{back}&to=https://evil.example"), "cross-site")
        .await;
    assert_eq!(done.header("refresh"), "0; url=/console");
}

#[tokio::test]
async fn keys_that_the_provider_makes_are_found_and_not_asked_for_without_end() {
    let provider = FakeProvider::with("ana", json!("ops"));
    let payer = started(&provider);
    let mut visitor = Visitor::of(&payer);
    visitor.sign_in().await.assert_status(200);
    visitor.sign_in().await.assert_status(200);
    assert_eq!(provider.keys_asked(), 1, "kept");
    provider.rotate("k2");
    visitor.sign_in().await.assert_status(200);
    assert_eq!(provider.keys_asked(), 2);
    provider.rotate("k3");
    for _ in 0..3 {
        assert_refused(&visitor.sign_in().await, Fault::SignInUnfit);
    }
    assert_eq!(provider.keys_asked(), 2, "once a minute");
}

#[tokio::test]
async fn a_key_that_the_provider_makes_under_an_old_name_is_found() {
    let provider = FakeProvider::with("ana", json!("ops"));
    let payer = started(&provider);
    let mut visitor = Visitor::of(&payer);
    visitor.sign_in().await.assert_status(200);
    provider.rotate("k1");
    visitor.sign_in().await.assert_status(200);
    assert_eq!(provider.keys_asked(), 2);
    provider.rotate("k1");
    for _ in 0..3 {
        assert_refused(&visitor.sign_in().await, Fault::SignInUnfit);
    }
    assert_eq!(provider.keys_asked(), 2, "once a minute");
}

#[tokio::test]
async fn a_provider_over_tls_is_trusted_by_the_authorities_that_the_configuration_names() {
    let mut payer = bare();
    let provider = FakeProvider::over_tls(&payer.pki.server(), "ana", json!("ops"));
    let lines = |more: &str| {
        format!(
            "issuer = \"{}\"\nclient_id = \"console\"\nclient_secret_file = \"oidc-secret\"\nroles = [\"ops=operator\"]\n{more}",
            provider.issuer
        )
    };
    configure(&payer, &lines(""));
    payer.serve();
    let mut visitor = Visitor::of(&payer);
    let refused = visitor.follow("/console/sign-in").await;
    assert_refused(&refused, Fault::SignInProvider);
    payer.terminate();
    configure(&payer, &lines("provider_ca = [\"ca.pem\"]\n"));
    payer.serve();
    visitor.sign_in().await.assert_status(200);
}
