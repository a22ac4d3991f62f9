//! Promises about trust: narrowed tokens, introspection and revocation, the registry of partners, operators' roles, exit codes.

use crate::support::client::{ALL_SCOPES, Client, MATCH_SCOPE, Reply};
use crate::support::payer::{PARTNER_NPI, TestPayer};
use crate::support::store::on_postgres;
use crate::support::wire::request_by;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use causeway::error::Fault;
use causeway::synth::{SharingPolicy, Variation};
use jsonwebtoken::{Algorithm, EncodingKey};
use rcgen::{KeyPair, PKCS_RSA_SHA256, RsaKeySize};
use serde_json::{Value, json};
use std::os::unix::fs::PermissionsExt as _;
use std::time::Duration;

async fn narrowed(client: &Client, patient: &str) -> Reply {
    let fields = [
        ("grant_type", "client_credentials"),
        ("scope", "system/*.rs"),
        ("patient", patient),
    ];
    client.oauth("/oauth/token", &fields).await
}

#[tokio::test]
async fn a_token_may_be_narrowed_to_one_granted_member() {
    let (payer, client) = TestPayer::start(4);
    let token = client.token(ALL_SCOPES).await;
    let (one, umb) = client.matched(&token, &payer.request(0, Variation::Exact)).await;
    let (two, _) = client.matched(&token, &payer.request(2, Variation::Exact)).await;

    for name in [
        format!("Patient/{one}"),
        umb.clone(),
        format!("http://old-payer.example/identifiers/umb|{umb}"),
    ] {
        let reply = narrowed(&client, &name).await;
        reply.assert_status(200);
        assert_eq!(reply.json()["patient"], one.as_str(), "{name}");
        let narrow = reply.json()["access_token"].as_str().expect("a token").to_owned();
        client.get(&narrow, &format!("Patient/{one}")).await.assert_status(200);
        client
            .get(&narrow, &format!("Patient/{one}/$everything"))
            .await
            .assert_status(200);
        for path in [format!("Patient/{two}"), format!("Patient/{two}/$everything")] {
            client.get(&narrow, &path).await.assert_outcome(Fault::NotFound);
        }
        for path in [
            format!("Patient?_id={two}"),
            format!("Patient?identifier={}", payer.member(2).member_number),
        ] {
            let found = client.get(&narrow, &path).await.json();
            assert_eq!((&found["total"], found.get("entry")), (&json!(0), None), "{path}");
        }
    }
    // A wide token still reads both, and says nothing of a patient.
    client.get(&token, &format!("Patient/{two}")).await.assert_status(200);
    let wide = client
        .ask_token(&client.assertion().sign(&client.key), "system/*.rs")
        .await;
    assert_eq!(wide.json().get("patient"), None);

    // There and not granted, granted to another, not there, no id: one answer.
    let other = payer.register("third-payer", "1992000038", "https://third-payer.example/fhir");
    let mut texts = Vec::new();
    for (who, name) in [
        (&client, format!("Patient/{}", payer.member(3).patient_id)),
        (&client, "Patient/00000000-0000-4000-8000-000000000000".to_owned()),
        (&client, "Patient/../metadata".to_owned()),
        (&client, payer.member(0).member_number),
        (&other, format!("Patient/{one}")),
        (&other, umb),
    ] {
        let reply = narrowed(who, &name).await;
        reply.assert_oauth(400, "invalid_target", Fault::OauthTarget);
        texts.push(reply.text());
    }
    assert!(texts.windows(2).all(|pair| pair[0] == pair[1]), "{texts:?}");
}

/// An RSA key, its public key set, and assertions signed with it.
struct Rsa(KeyPair);

impl Rsa {
    fn jwks(&self) -> Value {
        // RFC 8017 A.1.1: SEQUENCE { INTEGER n, INTEGER e }; with 2048 bits the lengths are fixed.
        let der = self.0.public_key_raw();
        assert_eq!(
            (der.len(), &der[..9]),
            (270, &[0x30, 0x82, 1, 10, 2, 0x82, 1, 1, 0][..])
        );
        json!({"keys": [{"kty": "RSA", "kid": "rsa-1", "use": "sig", "alg": "RS384",
            "n": URL_SAFE_NO_PAD.encode(&der[9..265]), "e": "AQAB"}]})
    }

    fn sign(&self, client: &Client) -> String {
        let mut assertion = client.assertion();
        assertion.header.alg = Algorithm::RS384;
        assertion.header.kid = Some("rsa-1".to_owned());
        let key = EncodingKey::from_rsa_pem(self.0.serialize_pem().as_bytes()).expect("a key");
        jsonwebtoken::encode(&assertion.header, &assertion.claims, &key).expect("a signature")
    }
}

#[tokio::test]
async fn rotating_keys_beside_the_server_ends_the_old_and_takes_an_rs384_assertion() {
    let (payer, client) = TestPayer::start(1);
    let before = client.token(ALL_SCOPES).await;
    client.get(&before, "Patient?_id=x").await.assert_status(200);
    let rsa = Rsa(KeyPair::generate_rsa_for(&PKCS_RSA_SHA256, RsaKeySize::_2048).expect("a key"));
    client
        .ask_token(&rsa.sign(&client), MATCH_SCOPE)
        .await
        .assert_oauth(401, "invalid_client", Fault::OauthClient);
    std::fs::write(payer.home().join("new-payer-jwks.json"), rsa.jwks().to_string()).expect("a file");
    let version = payer.json_command(&["partner", "show", "new-payer"])["version"].clone();
    let rotated = payer.json_command(&["partner", "rotate", "new-payer", "--file", "new-payer.toml"]);
    assert_eq!(
        (rotated["id"].as_str(), rotated["keys"][0]["kid"].as_str()),
        (Some("new-payer"), Some("rsa-1"))
    );
    assert!(rotated["version"].as_i64() > version.as_i64(), "{rotated}");

    let reply = client.ask_token(&rsa.sign(&client), ALL_SCOPES).await;
    reply.assert_status(200);
    let token = reply.json()["access_token"].as_str().expect("a token").to_owned();
    client.get(&token, "Patient?_id=x").await.assert_status(200);
    client
        .ask_token(&client.assertion().sign(&client.key), MATCH_SCOPE)
        .await
        .assert_oauth(401, "invalid_client", Fault::OauthClient);
    until_dead(&client, &before, Fault::TokenInvalid).await;
    assert_eq!(payer.count("ledger_entry WHERE action = 'partner.rotated'"), 1);
}

/// The token must be refused to whoever asks a second from now, or later.
async fn until_dead(client: &Client, token: &str, fault: Fault) {
    let started = std::time::Instant::now();
    loop {
        // An answer may take its time on the way.
        let asked = started.elapsed();
        let reply = client.get(token, "Patient?_id=x").await;
        if reply.status != 200 {
            reply.assert_outcome(fault);
            return;
        }
        assert!(asked < Duration::from_secs(1), "the token still works");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

#[tokio::test]
async fn a_token_can_be_introspected_and_revoked_by_its_own_partner_only() {
    let (payer, client) = TestPayer::start(2);
    let other = payer.register("third-payer", "1992000038", "https://third-payer.example/fhir");
    let wide = client.token(ALL_SCOPES).await;
    let (patient, _) = client.matched(&wide, &payer.request(0, Variation::Exact)).await;
    let narrow = narrowed(&client, &format!("Patient/{patient}")).await.json();
    let token = narrow["access_token"].as_str().expect("a token");

    // By assertion, and by a token of one's own.
    let by_assertion = client.oauth("/oauth/introspect", &[("token", token)]).await;
    let by_token = client.form("/oauth/introspect", &[("token", token)], Some(&wide)).await;
    for reply in [&by_assertion, &by_token] {
        reply.assert_status(200);
        assert!(reply.header("cache-control").contains("no-store"));
        let told = reply.json();
        assert_eq!(
            (&told["active"], told["client_id"].as_str(), told["patient"].as_str()),
            (&json!(true), Some("new-payer"), Some(patient.as_str()))
        );
        assert_eq!(told["scope"], narrow["scope"]);
        let left = told["exp"].as_i64().expect("exp") - crate::support::assertion::now_s();
        assert!((100..=300).contains(&left), "{left}");
        assert!(told["cnf"]["x5t#S256"].is_string());
    }
    let inactive = b"{\"active\":false}";
    let others_token = other.token("system/*.rs").await;
    for (name, reply) in [
        (
            "another's",
            client.oauth("/oauth/introspect", &[("token", &others_token)]).await,
        ),
        (
            "no token",
            client.oauth("/oauth/introspect", &[("token", "guess")]).await,
        ),
        (
            "to another",
            other.oauth("/oauth/introspect", &[("token", token)]).await,
        ),
    ] {
        reply.assert_status(200);
        assert_eq!(reply.body, inactive, "{name}");
    }
    client
        .form("/oauth/introspect", &[("token", token)], None)
        .await
        .assert_oauth(400, "invalid_request", Fault::OauthRequest);

    // Another partner's revocation answers alike and does nothing.
    other
        .oauth("/oauth/revoke", &[("token", token)])
        .await
        .assert_status(200);
    client
        .get(token, &format!("Patient/{patient}"))
        .await
        .assert_status(200);
    client
        .oauth("/oauth/revoke", &[("token", token)])
        .await
        .assert_status(200);
    until_dead(&client, token, Fault::TokenInvalid).await;
    client
        .get(&wide, &format!("Patient/{patient}"))
        .await
        .assert_status(200);
    let told = client.oauth("/oauth/introspect", &[("token", token)]).await;
    assert_eq!(told.body, inactive);
    assert_eq!(payer.count("ledger_entry WHERE action = 'token.revoked'"), 1);
}

#[tokio::test]
async fn the_registry_is_kept_beside_a_running_server() {
    let (payer, client) = TestPayer::start(1);
    if !on_postgres() {
        let socket = std::fs::metadata(payer.home().join("admin.sock")).expect("the admin socket");
        assert_eq!(socket.permissions().mode() & 0o777, 0o600);
    }
    let third = payer.register("third-payer", "1992000038", "https://third-payer.example/fhir");
    third.token("system/*.rs").await;
    let listed = payer.json_command(&["partner", "list"]);
    let ids: Vec<&str> = listed
        .as_array()
        .expect("a list")
        .iter()
        .filter_map(|one| one["id"].as_str())
        .collect();
    assert_eq!(ids, ["new-payer", "third-payer"]);

    let token = client.token(ALL_SCOPES).await;
    let suspended = payer.json_command(&["partner", "suspend", "new-payer", "--reason", "key lost"]);
    assert_eq!(
        (suspended["status"].as_str(), suspended["status_reason"].as_str()),
        (Some("suspended"), Some("key lost"))
    );
    until_dead(&client, &token, Fault::PartnerSuspended).await;
    client
        .ask_token(&client.assertion().sign(&client.key), MATCH_SCOPE)
        .await
        .assert_oauth(401, "invalid_client", Fault::PartnerSuspended);
    third.token("system/*.rs").await;

    let resumed = payer.json_command(&["partner", "resume", "new-payer"]);
    assert_eq!(
        (resumed["status"].as_str(), &resumed["status_reason"]),
        (Some("active"), &Value::Null)
    );
    client.token(ALL_SCOPES).await;
    // Suspension holds tokens back, it does not revoke them: what has not run out works again within a second.
    tokio::time::sleep(Duration::from_millis(600)).await;
    client.get(&token, "Patient?_id=x").await.assert_status(200);

    let shown = payer.json_command(&["partner", "show", "new-payer"]);
    for (field, value) in [
        ("name", "Partner new-payer"),
        ("npi", PARTNER_NPI),
        ("client_id", "new-payer"),
        ("mtls", "required"),
        ("certificate_uri", "https://new-payer.example/fhir"),
        ("endpoint", "https://new-payer.example/fhir"),
    ] {
        assert_eq!(shown[field], value);
    }
    assert_eq!(shown["scopes"][1], MATCH_SCOPE);
    assert_eq!(shown["dialect"]["hrex"], "1.1");
    let checked = payer.command(&["partner", "check", "new-payer", "--json"]);
    let checked: Value = serde_json::from_slice(&checked.stdout).expect("one JSON document");
    assert!(checked["checks"].is_array(), "{checked}");
}

#[tokio::test]
async fn exit_codes_tell_what_went_wrong_and_json_is_alone_on_stdout() {
    let (mut payer, _client) = TestPayer::start(1);
    std::fs::write(payer.home().join("bad.toml"), "id = \"x\"\nnam = \"y\"\n").expect("a file");
    std::fs::write(payer.home().join("cut.ndjson"), "{\"resourceType\":\"Patient\"").expect("a file");
    let cases: [(&[&str], i32); 12] = [
        (&["partner", "show", "nobody"], 1),
        (&["partner", "suspend", "nobody", "--reason", "x"], 1),
        (&["partner", "resume", "nobody"], 1),
        (&["partner", "add", "--file", "new-payer.toml"], 1),
        (&["partner", "add", "--file", "bad.toml"], 2),
        (&["partner", "add"], 2),
        (&["partner", "rotate", "third-payer", "--file", "new-payer.toml"], 2),
        (&["operator", "token", "--role", "king"], 2),
        (&["operator", "token", "--role", "admin", "--ttl", "8d"], 2),
        (&["durability", "--config", "not-there.toml"], 2),
        (&["partner", "add", "--file", "not-there.toml"], 3),
        (&["import", "not-there"], 3),
    ];
    let check = |payer: &TestPayer, when: &str| {
        for (arguments, code) in cases {
            let output = payer.command(&[arguments, &["--json"]].concat());
            let told = String::from_utf8_lossy(&output.stderr).into_owned();
            assert_eq!(output.status.code(), Some(code), "{when} {arguments:?}: {told}");
            assert!(
                output.stdout.is_empty() && !told.is_empty(),
                "{when} {arguments:?}: {told}"
            );
        }
        for arguments in [
            &["config"][..],
            &["config", "--effective"],
            &["faults"],
            &["durability"],
            &["import", "members"],
            &["operator", "token", "--role", "admin"],
            &["partner", "list"],
            &["partner", "show", "new-payer"],
        ] {
            payer.json_command(arguments);
            let quiet = payer.command(&[arguments, &["--json", "--quiet"]].concat());
            assert!(quiet.stderr.is_empty(), "{when} {arguments:?}");
        }
    };
    check(&payer, "beside the server");
    let synth = payer.json_command(&["synth", "--members", "2", "--seed", "7", "--out", "made"]);
    assert_eq!((&synth["members"], &synth["seed"]), (&json!(2), &json!(7)));
    if on_postgres() {
        return;
    }
    let second = payer.command(&["serve", "--quiet"]);
    assert_eq!(second.status.code(), Some(75), "a second server on the store");
    payer.terminate();
    check(&payer, "alone");
    let held = payer.place.open();
    let busy = payer.command(&["partner", "list", "--json"]);
    assert_eq!((busy.status.code(), busy.stdout.is_empty()), (Some(75), true));
    drop(held);
}

#[tokio::test]
async fn operators_see_what_their_role_allows() {
    let (payer, client) = TestPayer::start(1);
    let token = client.token(MATCH_SCOPE).await;
    let body = request_by(&payer, 0, PARTNER_NPI, SharingPolicy::Regular);
    let (patient, _) = client.matched(&token, &body).await;
    let paths = ["decisions", "grants", "ledger", "partners", "faults"];
    for (role, allowed) in [
        ("support", &["decisions", "faults"][..]),
        ("operator", &["decisions", "faults"]),
        ("reviewer", &["faults"]),
        ("auditor", &["decisions", "grants", "ledger", "faults"]),
        ("admin", &["partners", "faults"]),
    ] {
        let minted = payer.json_command(&["operator", "token", "--role", role, "--ttl", "15m"]);
        let keys: Vec<&str> = minted
            .as_object()
            .expect("an object")
            .keys()
            .map(String::as_str)
            .collect();
        assert_eq!(
            (keys, minted["role"].as_str()),
            (vec!["token", "role", "expires_at"], Some(role))
        );
        let ends = minted["expires_at"]
            .as_str()
            .and_then(causeway::clock::parse_rfc3339_ms);
        let left_ms = ends.expect("an instant") - crate::support::assertion::now_s() * 1000;
        assert!((600_000..=901_000).contains(&left_ms), "{left_ms}");
        let bearer = minted["token"].as_str().expect("a token");
        for path in paths {
            let sent = client
                .http
                .get(format!("{}/ops/v1/{path}", payer.ops))
                .bearer_auth(bearer)
                // The server closes what is idle for ten seconds, which nobody sees here while the next token is made.
                .header("connection", "close")
                .send()
                .await;
            let reply = Reply::of(sent.expect("an answer")).await;
            if allowed.contains(&path) {
                reply.assert_status(200);
                // Only who may see the members sees their ids.
                assert!(role == "auditor" || !reply.text().contains(&patient), "{role} {path}");
            } else {
                reply.assert_outcome(Fault::RoleMissing);
            }
        }
        // An operator is no partner.
        client
            .get(bearer, &format!("Patient/{patient}"))
            .await
            .assert_outcome(Fault::TokenInvalid);
    }
    // And a partner is no operator.
    let sent = client
        .http
        .get(format!("{}/ops/v1/faults", payer.ops))
        .bearer_auth(&token)
        .send();
    Reply::of(sent.await.expect("an answer"))
        .await
        .assert_outcome(Fault::TokenInvalid);
    assert_eq!(payer.count("ledger_entry WHERE action = 'operator.token-issued'"), 5);
}
