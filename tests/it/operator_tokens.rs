//! Operators' tokens: whoever runs the host sees which there are and takes them back; who did it is in the ledger.

use crate::support::client::{Client, Reply};
use crate::support::payer::TestPayer;
use causeway::error::Fault;
use serde_json::{Value, json};

fn minted(payer: &TestPayer, role: &str, name: &str) -> String {
    let minted = payer.json_command(&["operator", "token", "--role", role, "--name", name]);
    minted["token"].as_str().expect("a token").to_owned()
}

fn listed(payer: &TestPayer) -> Vec<Value> {
    let list = payer.json_command(&["operator", "list"]);
    list.as_array().expect("a list").clone()
}

fn id_of(payer: &TestPayer, name: &str) -> String {
    let tokens = listed(payer);
    let found: Vec<&Value> = tokens.iter().filter(|token| token["name"] == name).collect();
    assert_eq!(found.len(), 1, "{tokens:?}");
    found[0]["id"].as_str().expect("an id").to_owned()
}

async fn ask(payer: &TestPayer, client: &Client, path: &str, token: &str) -> Reply {
    let url = format!("{}/ops/v1/{path}", payer.ops);
    let sent = client.http.get(url).bearer_auth(token).send().await;
    Reply::of(sent.expect("an answer")).await
}

#[tokio::test]
async fn tokens_are_listed_without_themselves_and_revoked_at_once_beside_a_running_server() {
    let (payer, client) = TestPayer::start(1);
    assert_eq!(listed(&payer), Vec::<Value>::new());
    let lost = minted(&payer, "auditor", "ana");
    let kept = minted(&payer, "auditor", "carl");
    let list = listed(&payer);
    let names: Vec<(&Value, &Value)> = list.iter().map(|token| (&token["name"], &token["role"])).collect();
    assert_eq!(
        names,
        [(&json!("ana"), &json!("auditor")), (&json!("carl"), &json!("auditor"))]
    );
    for token in &list {
        let keys: Vec<&str> = token
            .as_object()
            .expect("an object")
            .keys()
            .map(String::as_str)
            .collect();
        assert_eq!(keys, ["id", "role", "name", "created_at", "expires_at"]);
        let time = |key: &str| causeway::clock::parse_rfc3339_ms(token[key].as_str().expect("a time")).expect("a time");
        let life_ms = time("expires_at") - time("created_at");
        assert_eq!(life_ms, 3_600_000, "{token}");
    }
    let told = payer.command(&["operator", "list"]);
    let told = String::from_utf8_lossy(&told.stdout).into_owned();
    assert!(told.contains("ana") && told.contains("UNTIL"), "{told}");
    for token in [&lost, &kept] {
        assert!(!told.contains(token.as_str()) && !json!(list).to_string().contains(token.as_str()));
        ask(&payer, &client, "ledger", token).await.assert_status(200);
    }

    let id = id_of(&payer, "ana");
    for bad in [
        ["operator", "revoke", &id, "--reason", "a\nb"],
        ["operator", "revoke", &id, "--reason", ""],
    ] {
        assert_eq!(payer.command(&bad).status.code(), Some(2), "{bad:?}");
    }
    let revoked = payer.json_command(&["operator", "revoke", &id, "--reason", "the laptop is lost"]);
    assert_eq!(
        (&revoked["id"], &revoked["role"], &revoked["name"]),
        (&json!(id), &json!("auditor"), &json!("ana"))
    );
    ask(&payer, &client, "ledger", &lost)
        .await
        .assert_outcome(Fault::TokenInvalid);
    ask(&payer, &client, "faults", &lost)
        .await
        .assert_outcome(Fault::TokenInvalid);
    let names: Vec<Value> = listed(&payer).iter().map(|token| token["name"].clone()).collect();
    assert_eq!(names, ["carl"]);
    for unknown in [id.as_str(), "0000000000000000", "", "%", &lost] {
        let said = payer.command(&["operator", "revoke", unknown]);
        let error = String::from_utf8_lossy(&said.stderr).into_owned();
        assert_eq!(said.status.code(), Some(1), "{unknown}: {error}");
        assert!(error.contains(Fault::OperatorTokenUnknown.code()), "{error}");
    }

    // Who took it back and why is an entry, committed with it; the one that is left may still read it.
    let page = ask(&payer, &client, "ledger", &kept).await.json();
    let entries = page["items"].as_array().expect("items");
    let of = |action: &str| -> Vec<&Value> { entries.iter().filter(|entry| entry["action"] == action).collect() };
    assert_eq!(of("operator.token-issued").len(), 2);
    let revoked = of("operator.token-revoked");
    assert_eq!(revoked.len(), 1, "{entries:?}");
    let me = format!("uid-{}", rustix::process::getuid().as_raw());
    assert_eq!(
        (&revoked[0]["operator"], &revoked[0]["note"], &revoked[0]["actor"]["id"]),
        (&json!(me), &json!("the laptop is lost"), &json!("host"))
    );
    assert_eq!(revoked[0]["object"]["kind"], "operator-token");
    assert_eq!(
        payer.count(&format!("ledger_entry WHERE subject = '{id}'")),
        2,
        "made and revoked"
    );
    assert_eq!(payer.count("operator_token"), 1);
}

#[test]
fn a_token_is_revoked_without_a_reason_and_without_a_server() {
    let (payer, _) = TestPayer::prepare(1);
    minted(&payer, "admin", "dora");
    let said = payer.command(&["operator", "revoke", &id_of(&payer, "dora")]);
    let told = String::from_utf8_lossy(&said.stdout).into_owned();
    assert!(
        said.status.success() && told.contains("is revoked: role admin, name dora"),
        "{told}"
    );
    assert_eq!(payer.count("ledger_entry WHERE action = 'operator.token-revoked'"), 1);
    assert_eq!(listed(&payer), Vec::<Value>::new());
}
