//! The promises that outsiders script against, as far as this version keeps them: commands, headers, answers, lists.

use crate::support::client::{ALL_SCOPES, MATCH_SCOPE, Reply};
use crate::support::payer::TestPayer;
use crate::support::store::on_postgres;
use causeway::error::Fault;
use causeway::synth::Variation;
use serde_json::Value;

#[tokio::test]
async fn a_match_then_the_record_end_to_end() {
    let (payer, client) = TestPayer::start(4);
    let token = client.token(ALL_SCOPES).await;
    let reply = client
        .post_match(
            &token,
            payer.request(0, Variation::Exact).to_string(),
            &[("X-Correlation-Id", "case-1")],
        )
        .await;
    reply.assert_status(200);
    let answer = reply.json();
    assert_eq!(answer["resourceType"], "Parameters");
    let named = |name: &str| {
        answer["parameter"]
            .as_array()
            .and_then(|all| all.iter().find(|one| one["name"] == name).cloned())
    };
    let identifier = named("MemberIdentifier").expect("MemberIdentifier");
    assert!(identifier["valueIdentifier"]["value"].is_string());
    let codes: Vec<&str> = identifier["valueIdentifier"]["type"]["coding"]
        .as_array()
        .expect("codings")
        .iter()
        .filter_map(|c| c["code"].as_str())
        .collect();
    assert!(codes.contains(&"UMB"), "{codes:?}");
    assert_eq!(
        named("MemberId").expect("MemberId")["valueReference"]["reference"],
        format!("Patient/{}", payer.member(0).patient_id)
    );
    payer.assert_ledger(
        "case-1",
        &["member-match.begun", "member-match.matched", "consent.recorded"],
    );

    let everything = client
        .get(&token, &format!("Patient/{}/$everything", payer.member(0).patient_id))
        .await;
    everything.assert_status(200);
    let bundle = everything.json();
    assert_eq!(
        (bundle["resourceType"].as_str(), bundle["type"].as_str()),
        (Some("Bundle"), Some("searchset"))
    );
    let entries = bundle["entry"].as_array().expect("entries");
    assert!(
        entries
            .iter()
            .any(|entry| entry["resource"]["id"] == payer.member(0).patient_id)
    );
    for index in 1..4 {
        assert!(
            !everything.text().contains(&payer.member(index).patient_id),
            "member {index} leaked"
        );
    }
    let correlation = everything.header("x-correlation-id").to_owned();
    // The outcome is written when the last byte has gone, so it may come after the answer has been read.
    payer
        .await_ledger(&correlation, &["disclosure.begun", "disclosure.completed"])
        .await;
}

#[tokio::test]
async fn the_same_key_is_the_same_match() {
    let (payer, client) = TestPayer::start(3);
    let token = client.token(MATCH_SCOPE).await;
    let body = payer.request(0, Variation::Exact).to_string();
    let key = [("Idempotency-Key", "key-1")];
    let (first, second) = (
        client.post_match(&token, body.clone(), &key).await,
        client.post_match(&token, body.clone(), &key).await,
    );
    first.assert_status(200);
    assert_eq!(
        (
            first.header("idempotent-replayed"),
            second.header("idempotent-replayed")
        ),
        ("", "true")
    );
    assert_eq!(first.body, second.body);
    assert_eq!(payer.count("decision"), 1);
    let other = payer.request(2, Variation::Exact).to_string();
    client
        .post_match(&token, other, &key)
        .await
        .assert_outcome(Fault::IdempotencyKeyReused);
    client
        .post_match(&token, body.clone(), &[("Idempotency-Key", "")])
        .await
        .assert_outcome(Fault::IdempotencyKeyBad);
    // Another key: another decision, the same grant.
    client
        .post_match(&token, body, &[("Idempotency-Key", "key-2")])
        .await
        .assert_status(200);
    assert_eq!((payer.count("decision"), payer.count("grants")), (2, 1));
}

#[tokio::test]
async fn every_answer_carries_the_ids_of_its_request() {
    let (payer, client) = TestPayer::start(1);
    let sent = client
        .http
        .get(format!("{}/fhir/metadata", payer.origin))
        .header("X-Correlation-Id", "run:7/a")
        .header("traceparent", "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01")
        .send();
    let reply = Reply::of(sent.await.expect("an answer")).await;
    reply.assert_status(200);
    assert_eq!(reply.json()["resourceType"], "CapabilityStatement");
    assert_eq!(reply.header("x-correlation-id"), "run:7/a");
    assert!(
        reply
            .header("traceparent")
            .starts_with("00-4bf92f3577b34da6a3ce929d0e0e4736-")
    );
    assert!(!reply.header("x-request-id").is_empty());
    // Hostile ids are replaced by ours, also where nothing is served.
    let sent = client
        .http
        .get(format!("{}/nowhere", payer.origin))
        .header("X-Correlation-Id", "a{b")
        .send();
    let reply = Reply::of(sent.await.expect("an answer")).await;
    reply.assert_outcome(Fault::RouteUnknown);
    assert_eq!(reply.header("x-correlation-id"), reply.header("x-request-id"));
}

#[tokio::test]
async fn a_token_is_as_smart_backend_services_says() {
    let (_payer, client) = TestPayer::start(1);
    let reply = client
        .ask_token(&client.assertion().sign(&client.key), ALL_SCOPES)
        .await;
    reply.assert_status(200);
    assert!(reply.header("cache-control").contains("no-store"));
    let token = reply.json();
    assert_eq!(
        (token["token_type"].as_str(), token["expires_in"].as_i64()),
        (Some("bearer"), Some(300))
    );
    assert!(token["scope"].as_str().is_some_and(|scope| scope.contains(MATCH_SCOPE)));
    let discovered = client
        .http
        .get(format!("{}/fhir/.well-known/smart-configuration", client.origin))
        .send()
        .await;
    let discovered = Reply::of(discovered.expect("an answer")).await.json();
    assert_eq!(discovered["token_endpoint"], format!("{}/oauth/token", client.origin));
    for algorithm in ["RS384", "ES384"] {
        let list = discovered["token_endpoint_auth_signing_alg_values_supported"]
            .as_array()
            .expect("a list");
        assert!(list.iter().any(|one| one == algorithm), "{list:?}");
    }
}

#[tokio::test]
async fn suspending_a_partner_works_beside_a_running_server_within_a_second() {
    let (payer, client) = TestPayer::start(3);
    let token = client.token(ALL_SCOPES).await;
    client
        .post_match(&token, payer.request(0, Variation::Exact).to_string(), &[])
        .await
        .assert_status(200);
    let path = format!("Patient/{}", payer.member(0).patient_id);
    client.get(&token, &path).await.assert_status(200);
    assert!(
        payer
            .command(&["partner", "suspend", "new-payer", "--reason", "a test"])
            .status
            .success()
    );
    // What the process remembers is half a second old at most: one second is enough, however slow the machine is.
    tokio::time::sleep(std::time::Duration::from_secs(1)).await;
    let reply = client.get(&token, &path).await;
    assert!(matches!(reply.status, 401 | 403), "{}", reply.text());
    assert!(payer.command(&["partner", "resume", "new-payer"]).status.success());
    let shown = payer.json_command(&["partner", "show", "new-payer"]);
    assert_eq!(
        (shown["id"].as_str(), shown["npi"].as_str()),
        (Some("new-payer"), Some("1992000020"))
    );
    assert!(payer.count("ledger_entry WHERE action IN ('partner.added', 'partner.suspended', 'partner.resumed')") >= 3);
}

#[test]
fn commands_answer_in_json_and_exit_as_promised() {
    let (mut payer, _client) = TestPayer::prepare(1);
    let durability = payer.json_command(&["durability"]);
    assert_eq!(
        (durability["ok"].as_bool(), durability["store"].as_str()),
        (Some(true), Some(if on_postgres() { "postgres" } else { "sqlite" }))
    );
    let faults = payer.json_command(&["faults"]);
    let all = faults
        .as_array()
        .or_else(|| faults["items"].as_array())
        .expect("a table");
    assert_eq!(all.len(), Fault::ALL.len());
    let again = payer.json_command(&["import", "members"]);
    assert_eq!(
        (again["stored"].as_u64(), again["rejected"].as_u64()),
        (Some(0), Some(0)),
        "{again}"
    );
    for (arguments, code) in [
        (vec!["no-such-command"], 2),
        (vec!["import"], 2),
        (vec!["import", "no-such-folder"], 3),
        (vec!["partner", "show", "nobody"], 1),
    ] {
        assert_eq!(payer.command(&arguments).status.code(), Some(code), "{arguments:?}");
    }
    let typo = std::fs::read_to_string(payer.home().join("causeway.toml"))
        .expect("a file")
        .replace("ops_listen", "ops_listne");
    std::fs::write(payer.home().join("typo.toml"), typo).expect("a file");
    let refused = payer.command(&["durability", "--config", "typo.toml"]);
    assert_eq!(refused.status.code(), Some(2));
    assert!(
        String::from_utf8_lossy(&refused.stderr).contains("ops_listen"),
        "the nearest known key is named"
    );

    // Beside a running server the same commands go through it.
    payer.serve();
    assert_eq!(payer.json_command(&["durability"])["ok"], true);
    assert_eq!(payer.terminate(), Some(0));
    assert_eq!(
        payer.count("ledger_entry WHERE action IN ('server.started', 'server.stopped')"),
        2
    );
}

#[tokio::test]
async fn the_operations_side_shows_decisions_grants_and_ledger() {
    let (payer, client) = TestPayer::start(3);
    let token = client.token(MATCH_SCOPE).await;
    client
        .post_match(
            &token,
            payer.request(0, Variation::Exact).to_string(),
            &[("X-Correlation-Id", "case-9")],
        )
        .await
        .assert_status(200);
    let minted = payer.json_command(&["operator", "token", "--role", "auditor"]);
    assert_eq!(minted["role"], "auditor");
    assert!(minted["expires_at"].as_str().is_some_and(|at| at.ends_with('Z')));
    let bearer = minted["token"].as_str().expect("a token").to_owned();
    let get = async |path: &str| -> Value {
        let sent = client
            .http
            .get(format!("{}/ops/v1/{path}", payer.ops))
            .bearer_auth(&bearer)
            .send()
            .await;
        let reply = Reply::of(sent.expect("an answer")).await;
        reply.assert_status(200);
        reply.json()
    };
    for (path, least) in [
        ("decisions?correlation=case-9", 1),
        ("grants?partner=new-payer", 1),
        ("ledger", 3),
    ] {
        let page = get(path).await;
        assert!(
            page["items"].as_array().is_some_and(|items| items.len() >= least),
            "{path}: {page}"
        );
        assert!(page.get("next").is_some(), "{path}");
    }
    let bare = client
        .http
        .get(format!("{}/ops/v1/decisions", payer.ops))
        .send()
        .await
        .expect("an answer");
    assert_eq!(bare.status().as_u16(), 401);
    for path in ["live", "ready", "metrics"] {
        let reply = client
            .http
            .get(format!("{}/{path}", payer.ops))
            .send()
            .await
            .expect("an answer");
        assert_eq!(reply.status().as_u16(), 200, "{path}");
    }
}

#[tokio::test]
async fn logs_hold_no_member_data() {
    let (payer, client) = TestPayer::start(3);
    let token = client.token(ALL_SCOPES).await;
    for variation in [Variation::Exact, Variation::WrongBirthDate, Variation::ConsentExpired] {
        client
            .post_match(&token, payer.request(0, variation).to_string(), &[])
            .await;
    }
    let member = payer.member(0);
    client
        .get(&token, &format!("Patient/{}", member.patient_id))
        .await
        .assert_status(200);
    let log = payer.log();
    for value in [
        &member.member_number,
        &member.patient_id,
        &member.street,
        &member.birth_date.to_string(),
        &token,
    ] {
        assert!(!log.contains(value.as_str()), "the log shows {value}");
    }
}
