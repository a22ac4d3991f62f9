//! The form of every read model, member by member and in its order: programs that read `/ops/v1` and `--json` rely on it.
//!
//! `tests/it/snapshots/ops-shapes.txt` has the forms. A member may be added to it; none may go, change its type or its place.

use crate::support::client::{ALL_SCOPES, Client};
use crate::support::desk::{BECAUSE, Desk, decided, doubtful, only_review, place_of};
use crate::support::payer::TestPayer;
use causeway::synth::Variation;
use serde_json::Value;
use std::path::Path;
use std::time::{Duration, Instant};

/// The form of a value: members in their order, and of lists each form that occurs.
fn form(value: &Value, indent: usize, text: &mut String) {
    let pad = "  ".repeat(indent);
    match value {
        Value::Object(members) => {
            for (name, member) in members {
                match member {
                    // Members whose names are data.
                    Value::Object(counts) if ["fields", "weights", "resources", "counts"].contains(&name.as_str()) => {
                        let kinds: std::collections::BTreeSet<&str> = counts.values().map(kind).collect();
                        *text += &format!("{pad}{name}: {{{}}}\n", kinds.into_iter().collect::<Vec<_>>().join(" "));
                    }
                    Value::Object(_) | Value::Array(_) => {
                        *text += &format!("{pad}{name}: {}\n", kind(member));
                        form(member, indent + 1, text);
                    }
                    _ => *text += &format!("{pad}{name}: {}\n", kind(member)),
                }
            }
        }
        Value::Array(items) => {
            let mut forms: Vec<String> = Vec::new();
            for item in items {
                let mut one = format!("{pad}- {}\n", kind(item));
                form(item, indent + 1, &mut one);
                forms.push(one);
            }
            forms.sort();
            forms.dedup();
            text.extend(forms);
        }
        _ => {}
    }
}

fn kind(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "true or false",
        Value::Number(number) if number.to_string().contains('.') => "number with a point",
        Value::Number(_) => "number",
        Value::String(_) => "text",
        Value::Array(_) => "list",
        Value::Object(_) => "object",
    }
}

/// A match, a review that is confirmed, a read, a withdrawal, a refusal, and a version that runs as a shadow.
async fn happened(payer: &TestPayer, client: &Client) -> (String, String) {
    payer.json_command(&["policy", "shadow", "balanced", "--reason", "tried"]);
    let token = client.token(ALL_SCOPES).await;
    let (patient, _) = client.matched(&token, &payer.request(0, Variation::Exact)).await;
    client
        .get(&token, &format!("Patient/{patient}"))
        .await
        .assert_status(200);
    let asked = client.post_match(&token, doubtful(payer, 1, 3).to_string(), &[]).await;
    assert_eq!(asked.status, 422, "{}", asked.text());
    let review = only_review(payer);
    let place = place_of(payer, &review, 1);
    decided(payer, &review, &["--confirm", &place], "ana");
    for correlation in ["case:8/a", "case:8/a"] {
        let headers = [("X-Correlation-Id", correlation)];
        client.post_match(&token, "{", &headers).await.assert_status(400);
    }
    let consents = payer.json_command(&["consent", "list"]);
    let consent = consents[0]["id"].as_str().expect("an id");
    payer.json_command(&["consent", "revoke", consent, "--reason", BECAUSE]);
    let began = Instant::now();
    loop {
        let ended = payer.count("ledger_entry WHERE action = 'disclosure.completed'") > 0;
        let report = payer.json_command(&["policy", "shadow"]);
        if ended && report["report"]["compared"].as_u64() >= Some(2) {
            break;
        }
        assert!(began.elapsed() < Duration::from_secs(60), "{ended}: {report}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    (patient, review)
}

#[tokio::test]
async fn every_read_model_keeps_its_members_in_their_order() {
    let (payer, client) = TestPayer::start(6);
    let (patient, review) = happened(&payer, &client).await;
    let grants = payer.json_command(&["grant", "list"]);
    let id = |key: &str| grants[0][key].as_str().expect("an id").to_owned();
    let (decision, grant, consent) = (id("decision_id"), id("id"), id("consent_id"));
    let mut text = String::new();
    let mut add = |what: &str, value: &Value| {
        text += &format!("{what}: {}\n", kind(value));
        form(value, 1, &mut text);
    };
    for (what, arguments) in [
        ("match list", &["match", "list"][..]),
        ("match explain", &["match", "explain", &decision]),
        ("trace CONSENT", &["trace", &consent]),
        ("trace REVIEW", &["trace", &review]),
        ("trace CORRELATION", &["trace", "case:8/a"]),
        ("grant list", &["grant", "list"]),
        ("consent list", &["consent", "list"]),
        ("consent show", &["consent", "show", &consent]),
        ("disclosures", &["disclosures", "--member", &patient]),
        ("review list", &["review", "list", "--all"]),
        ("review show", &["review", "show", &review, "--reason", BECAUSE]),
        ("link list", &["link", "list"]),
        ("link graph", &["link", "graph", &patient, "--reason", BECAUSE]),
        ("policy list", &["policy", "list"]),
        ("policy show", &["policy", "show"]),
        ("policy shadow", &["policy", "shadow"]),
        ("faults", &["faults"]),
    ] {
        add(&format!("causeway {what}"), &payer.json_command(arguments));
    }
    let all = ["support", "operator", "reviewer", "auditor", "admin"];
    for (path, roles) in [
        ("decisions".to_owned(), &["support", "auditor"][..]),
        (format!("decisions/{decision}"), &["support", "auditor"]),
        ("grants".to_owned(), &["auditor"]),
        ("consents".to_owned(), &["operator", "auditor"]),
        (format!("consents/{consent}"), &["operator", "auditor"]),
        (format!("disclosures?member={patient}"), &["auditor"]),
        (format!("trace/{grant}"), &["support"]),
        ("ledger".to_owned(), &["auditor"]),
        ("reviews?state=all".to_owned(), &["reviewer"]),
        (format!("reviews/{review}"), &["support", "auditor", "reviewer"]),
        ("links".to_owned(), &["auditor", "reviewer"]),
        (format!("members/{patient}/graph"), &["reviewer"]),
        ("partners".to_owned(), &["admin"]),
        ("policies".to_owned(), &["admin"]),
        ("faults".to_owned(), &all[..1]),
    ] {
        let name = [&patient, &review, &decision, &grant, &consent]
            .into_iter()
            .fold(path.clone(), |name, id| name.replace(id.as_str(), "ID"));
        for role in roles {
            let reply = Desk::of(&payer, &client, role).get(&path).await;
            reply.assert_status(200);
            let mut json = reply.json();
            // Whether an entry has its place in the tree already is a matter of time.
            let items = json.get_mut("items").and_then(serde_json::Value::as_array_mut);
            for index in items.into_iter().flatten().filter_map(|item| item.get_mut("index")) {
                *index = serde_json::Value::Null;
            }
            add(&format!("GET {name} as {role}"), &json);
        }
    }
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it/snapshots/ops-shapes.txt");
    if std::env::var_os("CAUSEWAY_UPDATE_SHAPES").is_some() {
        std::fs::write(&path, &text).expect("written");
        return;
    }
    let kept = std::fs::read_to_string(&path).expect("the forms");
    let (mut now, mut line) = (text.lines(), 0);
    for wanted in kept.lines() {
        line += 1;
        assert_eq!(now.next(), Some(wanted), "line {line} of ops-shapes.txt");
    }
    assert_eq!(now.next(), None, "more than ops-shapes.txt has");
}
