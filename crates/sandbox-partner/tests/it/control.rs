//! The control surface over HTTP, the files, and many sandboxes at once.

use super::support::{MATCH_SCOPE, client, played};
use causeway_jose::SigningKey;
use causeway_sandbox_partner::{Sandbox, SandboxRoute, SandboxScript};
use serde_json::{Value, json};
use std::os::unix::fs::PermissionsExt as _;
use std::time::Duration;

#[tokio::test]
async fn the_control_listener_shows_and_changes_and_wants_its_token() {
    let pair = played("");
    let url = |path: &str| format!("{}/{path}", pair.sandbox.control_url());
    let http = reqwest::Client::builder()
        .tls_backend_preconfigured(plain())
        .build()
        .expect("a client");
    assert_eq!(http.get(url("requests")).send().await.expect("an answer").status(), 401);
    let token = pair.sandbox.control_token();
    let get = async |path: &str| -> Value {
        http.get(url(path))
            .bearer_auth(token)
            .send()
            .await
            .expect("an answer")
            .json()
            .await
            .expect("JSON")
    };
    assert_eq!(get("requests").await, json!([]));
    pair.matched().await;
    assert_eq!(get("requests?route=token").await.as_array().map(Vec::len), Some(2));
    let effects = get("effects").await;
    assert!(effects.as_array().is_some_and(|all| {
        all.iter()
            .any(|one| one["route"] == "member-match" && one["count"] == 1)
    }));
    assert_eq!(get("strays").await, json!([]));
    let put = async |path: &str, body: Value| {
        let request = http.put(url(path)).bearer_auth(token).body(body.to_string());
        request.send().await.expect("an answer").status().as_u16()
    };
    assert_eq!(
        put(
            "rules",
            json!({ "rule": [{ "route": "metadata", "acts": [{ "answer": { "status": 503 } }] }] })
        )
        .await,
        200
    );
    assert_eq!(pair.get("metadata").await.status(), 503);
    assert_eq!(
        put(
            "rules",
            json!({ "rule": [{ "route": "metadata", "acts": ["refuse"] }] })
        )
        .await,
        400
    );
    assert_eq!(put("rules", json!({ "rule": [] })).await, 200);
    assert_eq!(pair.get("metadata").await.status(), 200);
    assert_eq!(put("clock", json!({ "now_ms": 1_800_000_000_000_i64 })).await, 200);
    assert!(
        get("clock").await["now_ms"]
            .as_i64()
            .is_some_and(|now| (1_800_000_000_000..1_800_000_600_000).contains(&now))
    );
    // What controls is never on the payer's own port.
    for path in ["requests", "effects", "rules"] {
        let reply = pair
            .http
            .get(pair.url(path))
            .bearer_auth(token)
            .send()
            .await
            .expect("an answer");
        assert_eq!(reply.status(), 404, "{path}");
    }
}

fn plain() -> rustls::ClientConfig {
    rustls::ClientConfig::builder_with_provider(std::sync::Arc::new(rustls::crypto::aws_lc_rs::default_provider()))
        .with_safe_default_protocol_versions()
        .expect("versions")
        .with_root_certificates(rustls::RootCertStore::empty())
        .with_no_client_auth()
}

#[tokio::test]
async fn the_files_are_enough_to_connect() {
    let folder = tempfile::tempdir().expect("a folder");
    let sandbox = Sandbox::start(SandboxScript::default()).expect("a sandbox");
    sandbox.write_files(&folder.path().join("new")).expect("written");
    let path = |name: &str| folder.path().join("new").join(name);
    let text = |name: &str| std::fs::read_to_string(path(name)).expect(name);
    let value = |name: &str| -> Value { serde_json::from_str(&text(name)).expect(name) };
    for (name, mode) in [
        ("connection.json", 0o600),
        ("client.key", 0o600),
        ("client-jwks.json", 0o600),
        ("ca.pem", 0o644),
    ] {
        assert_eq!(
            std::fs::metadata(path(name)).expect(name).permissions().mode() & 0o777,
            mode,
            "{name}"
        );
    }
    let connection = value("connection.json");
    assert_eq!(connection["base_url"], sandbox.base_url());
    assert_eq!(connection["members"].as_array().map(Vec::len), Some(5));
    assert!(text("partner.toml").contains(&sandbox.base_url()) && text("partner.toml").contains("trust = \"ca.pem\""));

    let id = connection["own_client"]["client_id"].as_str().expect("a client");
    let key = SigningKey::from_jwk(&value("client-jwks.json")["keys"][0]).expect("a key");
    let now_s = sandbox.control().now_ms() / 1000;
    let token_url = connection["token_url"].as_str().expect("a URL");
    let assertion = key.assertion(id, token_url, now_s, "one").expect("signed");
    let http = client(&sandbox, None, Duration::from_secs(180));
    let form = [
        ("grant_type", "client_credentials"),
        (
            "client_assertion_type",
            "urn:ietf:params:oauth:client-assertion-type:jwt-bearer",
        ),
        ("client_assertion", assertion.as_str()),
        ("scope", MATCH_SCOPE),
    ];
    let answer: Value = http
        .post(token_url)
        .form(&form)
        .send()
        .await
        .expect("an answer")
        .json()
        .await
        .expect("JSON");
    let token = answer["access_token"].as_str().expect("a token");
    let url = format!("{}/Patient/$member-match", sandbox.base_url());
    let request = http
        .post(url)
        .bearer_auth(token)
        .header("content-type", "application/fhir+json");
    assert_eq!(
        request
            .body(text("match.json"))
            .send()
            .await
            .expect("an answer")
            .status(),
        200
    );
}

#[tokio::test]
async fn twenty_sandboxes_run_at_once_and_stop_with_their_ports() {
    let pairs: Vec<_> = (0..20).map(|seed| played(&format!("seed = {seed}"))).collect();
    for pair in &pairs {
        assert_eq!(pair.get("metadata").await.status(), 200);
        assert_eq!(pair.sandbox.control().effect_count(SandboxRoute::Token), 0);
    }
    for pair in pairs {
        let url = pair.url("metadata");
        pair.sandbox.stop();
        pair.http.get(url).send().await.expect_err("it has stopped");
    }
}

#[tokio::test]
async fn a_sandbox_comes_back_at_its_old_address_after_it_was_gone() {
    // Meanwhile the port may be somebody else's.
    for tries in 1.. {
        let first = Sandbox::start(SandboxScript::default()).expect("a sandbox");
        let listen = first
            .base_url()
            .trim_start_matches("https://")
            .trim_end_matches("/fhir")
            .to_owned();
        first.stop();
        let again = SandboxScript {
            listen: listen.clone(),
            ..SandboxScript::default()
        };
        match Sandbox::start(again) {
            Ok(second) => {
                assert_eq!(second.base_url(), format!("https://{listen}/fhir"));
                break;
            }
            Err(error) => assert!(tries < 10, "the address is not free again: {error}"),
        }
    }
}

#[test]
fn a_test_can_wait_for_a_request() {
    let pair = played("");
    let control = pair.sandbox.control().clone();
    assert!(!control.wait_for(SandboxRoute::Metadata, 1, Duration::from_millis(30)));
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .expect("a runtime");
    runtime.block_on(async { pair.get("metadata").await });
    assert!(control.wait_for(SandboxRoute::Metadata, 1, Duration::from_secs(120)));
}
