//! What a partner and an operator are told when something fails: over the wire, and in the page that lists it all.

use crate::support::client::{ALL_SCOPES, MATCH_SCOPE, Reply};
use crate::support::matched::Matched;
use crate::support::page::compare;
use crate::support::payer::TestPayer;
use causeway::consent::{RULES, RuleClass};
use causeway::error::{ActWithin, Fault, FaultOwner};
use causeway::synth::Variation;
use serde_json::{Value, json};
use std::time::{Duration, Instant};

/// The pages list what the table of the code has: for partners every fault that they can see and every rule of a consent, for operators what
/// they can do about a fault and how soon.
#[test]
fn the_pages_list_every_fault_and_every_rule_of_a_consent() {
    let partners = [
        ("owners", owners()),
        ("faults", faults_of_partners()),
        ("consent", rules_of_a_consent()),
    ];
    compare("docs/partners/errors.md", &partners);
    compare("docs/operators/faults.md", &[("faults", faults_of_operators())]);
}

/// Who has to act, and how soon: the words of the tables.
fn owners() -> String {
    let mut table = String::from("| owner | who has to act |\n|---|---|\n");
    for owner in FaultOwner::ALL {
        table.push_str(&format!("| `{}` | {} |\n", owner.code(), owner.text()));
    }
    table.push_str("\n| act | how soon the owner has to act |\n|---|---|\n");
    for within in ActWithin::ALL {
        table.push_str(&format!("| `{}` | {} |\n", within.code(), within.text()));
    }
    table
}

fn faults_of_partners() -> String {
    let mut table = String::from(
        "| code | HTTP | FHIR issue | severity | retry | owner | act | what happened | what to do |\n\
         |---|---|---|---|---|---|---|---|---|\n",
    );
    for fault in Fault::ALL.iter().filter(|fault| fault.is_for_partners()) {
        let row = fault.row();
        table.push_str(&format!(
            "| `{}` | {} | `{}` | {} | {} | {} | {} | {} | {} |\n",
            row.code,
            row.http,
            row.issue,
            row.severity.code(),
            row.retry.code(),
            row.owner.code(),
            row.within.code(),
            row.text,
            row.remedy
        ));
    }
    table
}

/// By the time to act: faults that end only when somebody other than the caller acts, and those of callers that an operator can help with.
fn faults_of_operators() -> String {
    let mut table = String::new();
    for within in ActWithin::ALL {
        let concerns = |fault: &&Fault| {
            let row = fault.row();
            row.within == within && (row.owner != FaultOwner::Caller || fault.operator_remedy().is_some())
        };
        table.push_str(&format!(
            "### `{}`\n\nTime to act: {}.\n\n",
            within.code(),
            within.text()
        ));
        table.push_str("| code | severity | HTTP | owner | what happened | what to do |\n|---|---|---|---|---|---|\n");
        for fault in Fault::ALL.iter().filter(concerns) {
            let row = fault.row();
            table.push_str(&format!(
                "| `{}` | {} | {} | {} | {} | {} |\n",
                row.code,
                row.severity.code(),
                row.http,
                row.owner.code(),
                row.text,
                fault.operator_remedy().unwrap_or(row.remedy)
            ));
        }
        table.push('\n');
    }
    table
}

fn rules_of_a_consent() -> String {
    let mut table = String::from("| rule | element of Consent | code | what would be right |\n|---|---|---|---|\n");
    for rule in RULES {
        let after = if rule.class == RuleClass::Honour {
            ", after the match"
        } else {
            ""
        };
        table.push_str(&format!(
            "| {}{after} | `{}` | `{}` | {} |\n",
            rule.name,
            rule.element,
            rule.fault.code(),
            rule.remedy
        ));
    }
    table.push_str("| revoked, after the match | | `CO-001` | ");
    table.push_str(&format!("{} |\n", Fault::ConsentNotHonoured.row().remedy));
    table
}

fn remedy(reply: &Reply) -> String {
    reply.json()["issue"][0]["diagnostics"]
        .as_str()
        .unwrap_or_default()
        .to_owned()
}

#[tokio::test]
async fn what_is_not_served_says_so_whoever_asks() {
    let payer = Matched::start(1).await;
    let id = payer.id.clone();
    let operations = [
        ("GET", "/Coverage/$export".to_owned()),
        ("GET", "/$export".to_owned()),
        ("GET", "/Group/$export".to_owned()),
        ("GET", "/Patient/1/$export".to_owned()),
        ("POST", "/Group/$multi-member-match".to_owned()),
        ("POST", "/Patient/1/$davinci-data-export".to_owned()),
        ("GET", format!("/Patient/{id}/$lastn")),
        ("GET", "/Observation/$lastn".to_owned()),
        ("POST", "/Patient/$validate".to_owned()),
        ("POST", format!("/Patient/{id}/$validate")),
        ("POST", "/DocumentReference/$docref".to_owned()),
        ("GET", "/Coverage/%24export".to_owned()),
        ("GET", "/Patient/$everything".to_owned()),
        ("GET", "/CodeSystem/$lookup".to_owned()),
        ("DELETE", "/Coverage/$export".to_owned()),
    ];
    for (method, path) in &operations {
        let reply = payer.send(method, path, &[], "").await;
        reply.assert_outcome(Fault::OperationNotServed);
        // Whether something is served is no secret, and hangs on no token.
        let stranger = payer.client.send(method, &format!("/fhir{path}"), &[], "").await;
        assert_eq!(stranger.json(), reply.json(), "{method} {path}");
    }
    for path in ["/Person", "/AuditEvent", "/Subscription/1", "/ValueSet/1/_history/1"] {
        payer.get(path, &[]).await.assert_outcome(Fault::TypeNotServed);
    }
    for path in ["/Nonsense", "/Nonsense/1", "/nowhere", "/Patient/1/2/3"] {
        payer.get(path, &[]).await.assert_outcome(Fault::RouteUnknown);
    }
    let batch = json!({"resourceType": "Bundle", "type": "batch", "entry": [
        {"request": {"method": "GET", "url": "/Person/1"}}, {"request": {"method": "GET", "url": format!("/Patient/{id}")}},
        {"request": {"method": "GET", "url": format!("/fhir/Patient/{id}/")}}]});
    let reply = payer
        .send(
            "POST",
            "/",
            &[("content-type", "application/fhir+json")],
            batch.to_string(),
        )
        .await;
    reply.assert_status(200);
    let entries = reply.json()["entry"].clone();
    let code = &entries[0]["response"]["outcome"]["issue"][0]["details"]["coding"][0]["code"];
    assert_eq!(code, Fault::TypeNotServed.code());
    for at in [1, 2] {
        assert_eq!(entries[at]["resource"]["id"], id.as_str(), "{}", entries[at]);
    }
}

/// Slashes that clients write too many are put right before routing, so nothing can be asked for in one form that is refused in another.
#[tokio::test]
async fn t_b08_a_path_with_too_many_slashes_is_the_path_without_them() {
    let payer = Matched::start(2).await;
    let (id, stranger) = (payer.id.clone(), payer.payer.member(1).patient_id);
    for (written, normal) in [
        (format!("//Patient/{id}"), format!("/Patient/{id}")),
        (format!("/Patient//{id}/"), format!("/Patient/{id}")),
        (format!("/Patient/?_id={id}"), format!("/Patient?_id={id}")),
        ("//Condition".to_owned(), "/Condition".to_owned()),
        (
            "/Condition/?code=http://x//y/".to_owned(),
            "/Condition?code=http://x//y/".to_owned(),
        ),
        ("//metadata".to_owned(), "/metadata".to_owned()),
        ("/".to_owned(), "/metadata".to_owned()),
        (format!("//Patient//{stranger}"), format!("/Patient/{stranger}")),
        (
            format!("/Patient/{stranger}//$everything/"),
            format!("/Patient/{stranger}/$everything"),
        ),
        ("//Patient//nobody".to_owned(), "/Patient/nobody".to_owned()),
    ] {
        let (one, other) = (payer.get(&written, &[]).await, payer.get(&normal, &[]).await);
        assert_eq!(one.status, other.status, "{written}");
        assert_eq!(without_ids(one.json()), without_ids(other.json()), "{written}");
        // Without a token both are refused alike.
        let ask = |path: &str| format!("/fhir{path}");
        let one = payer.client.send("GET", &ask(&written), &[], "").await;
        let other = payer.client.send("GET", &ask(&normal), &[], "").await;
        assert_eq!((one.status, one.text()), (other.status, other.text()), "{written}");
    }
    let (typed, body) = (
        ("content-type", "application/x-www-form-urlencoded"),
        format!("_id={id}"),
    );
    let posted = payer.send("POST", "//Patient//_search/", &[typed], body).await;
    assert_eq!(posted.json()["entry"][0]["resource"]["id"], id.as_str());
    // An encoded slash is a part of its segment, and no id has one.
    for path in [
        format!("/Patient%2F{id}"),
        format!("%2FPatient/{id}"),
        format!("/Patient/{id}%2F"),
    ] {
        let reply = payer.get(&path, &[]).await;
        assert_eq!(reply.status, 404, "{path}: {}", reply.text());
        assert!(!reply.text().contains("birthDate"), "{path}");
    }
    let log = payer.payer.log();
    assert!(!log.contains("//Patient"), "a log line names the route, never the path");
}

/// The ids that each answer has anew.
fn without_ids(mut answer: Value) -> Value {
    for entry in answer["entry"].as_array_mut().into_iter().flatten() {
        if entry["search"]["mode"] == "outcome" {
            entry["fullUrl"] = Value::Null;
        }
    }
    answer
}

/// A consent that permits nothing leaves with the slot of every other answer: how quickly it was found out does not show.
#[tokio::test]
async fn t_c02_a_consent_that_is_refused_first_waits_for_the_slot() {
    let (mut payer, client) = TestPayer::prepare(1);
    payer.serve_with(&[("CAUSEWAY_POLICY__ANSWER_SLOT_MS", "120")]);
    let token = client.token(MATCH_SCOPE).await;
    for variation in [
        Variation::ConsentExpired,
        Variation::ConsentForOthers,
        Variation::UnknownPerson,
    ] {
        let body = payer.request(0, variation).to_string();
        let asked = Instant::now();
        let reply = client.post_match(&token, body, &[]).await;
        assert_eq!(reply.status, 422, "{}", reply.text());
        assert!(asked.elapsed() >= Duration::from_millis(120), "{variation:?}");
    }
}

#[tokio::test]
async fn operators_are_told_what_operators_can_do() {
    let (payer, client) = TestPayer::start(1);
    let minted = payer.json_command(&["operator", "token", "--role", "auditor"]);
    let token = minted["token"].as_str().expect("a token").to_owned();
    let ask = async |path: &str, token: &str| {
        let sent = client
            .http
            .get(format!("{}/ops/v1/{path}", payer.ops))
            .bearer_auth(token)
            .send()
            .await;
        Reply::of(sent.expect("an answer")).await
    };
    for (path, token, fault) in [
        ("decisions/nobody", token.as_str(), Fault::NotFound),
        ("ledger", "no-such-token", Fault::TokenInvalid),
        ("ledger?sort=at", token.as_str(), Fault::ParameterUnknown),
    ] {
        let reply = ask(path, token).await;
        reply.assert_outcome(fault);
        let told = remedy(&reply);
        for word in [
            "member-match",
            "CapabilityStatement",
            "smart-configuration",
            "Retry-After",
            "operator knows",
        ] {
            assert!(!told.contains(word), "{path}: {told}");
        }
    }
    let items = ask("faults", &token).await.json()["items"].clone();
    let internal = items
        .as_array()
        .expect("items")
        .iter()
        .find(|one| one["code"] == "SV-004")
        .expect("a row");
    assert_ne!(internal["operator_remedy"], internal["remedy"]);
    let failed = payer.command(&["partner", "show", "nobody"]);
    let told = String::from_utf8_lossy(&failed.stderr).into_owned();
    assert!(told.contains("OP-005") && told.contains("next: "), "{told}");
    assert!(
        !told.contains("Retry-After") && !told.contains("ontact the payer"),
        "{told}"
    );
}

/// What is wrong with a request is told in each case by another text, and never with its value.
#[tokio::test]
async fn each_wrong_value_of_a_match_is_told_by_its_rule() {
    let (payer, client) = TestPayer::start(1);
    let token = client.token(ALL_SCOPES).await;
    let mut told = Vec::new();
    for (name, value) in [
        ("birthDate", Value::Null),
        ("birthDate", json!("19-01-1990")),
        ("birthDate", json!("?")),
        ("birthDate", json!("1990-02-30")),
        ("gender", json!("F")),
    ] {
        let mut body = payer.request(0, Variation::Exact);
        let patient = &mut body["parameter"][0]["resource"];
        assert_eq!(patient["resourceType"], "Patient");
        if value.is_null() {
            patient.as_object_mut().expect("an object").remove(name);
        } else {
            patient[name] = value.clone();
        }
        let reply = client.post_match(&token, body.to_string(), &[]).await;
        reply.assert_outcome(Fault::MatchInvalid);
        let place = reply.json()["issue"][0]["expression"].clone();
        assert_eq!(place, json!([format!("Parameters.parameter[0].resource.{name}")]));
        let text = value.as_str().unwrap_or("no value");
        assert!(text.len() < 3 || !reply.text().contains(text), "{}", reply.text());
        told.push(remedy(&reply));
    }
    told.sort();
    told.dedup();
    assert_eq!(told.len(), 5, "{told:?}");
}
