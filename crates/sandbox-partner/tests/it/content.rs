//! Records that are not what they should be: other people's, repeated, new, old, incomplete, or without end.

use super::support::{Pair, link, played, resources};
use causeway_sandbox_partner::SandboxRule;
use serde_json::Value;

fn rule(pair: &Pair, acts: &str) {
    let rules = ["everything", "search"]
        .map(|route| SandboxRule::from_toml(&format!("route = \"{route}\"\nacts = [{acts}]")).expect(acts));
    pair.sandbox.control().set_rules(rules.to_vec()).expect("rules");
}

async fn whole(pair: &Pair, token: &str, acts: &str) -> Value {
    rule(pair, acts);
    pair.everything(token)
        .send()
        .await
        .expect("an answer")
        .json()
        .await
        .expect("JSON")
}

#[tokio::test]
async fn resources_are_altered_as_the_script_says() {
    let pair = played("");
    let token = pair.matched().await;
    let record: Vec<Value> = pair.sandbox.record(&pair.member()).collect();
    let other = pair.sandbox.members()[1].patient_id.clone();
    let differing = |bundle: &Value| resources(bundle).iter().filter(|one| !record.contains(one)).count();

    let mixed = whole(&pair, &token, "{ wrong-member = { every = 4 } }").await;
    assert_eq!((resources(&mixed).len(), differing(&mixed)), (40, 10));
    assert!(
        resources(&mixed)[3]["id"]
            .as_str()
            .is_some_and(|id| id.starts_with(&other))
    );
    let strangers = whole(&pair, &token, "{ wrong-member = {} }").await;
    assert_eq!((strangers.get("entry").is_some(), differing(&strangers)), (true, 40));

    let twice = whole(&pair, &token, "{ duplicates = { every = 2 } }").await;
    assert_eq!((resources(&twice).len(), differing(&twice)), (60, 0));
    let changed = whole(&pair, &token, "{ duplicates = { every = 2, changed = true } }").await;
    assert_eq!((resources(&changed).len(), differing(&changed)), (60, 20));

    for shape in ["unknown-field", "new-code", "r5-shape", "unknown-type"] {
        let drifted = whole(
            &pair,
            &token,
            &format!("{{ drift = {{ shape = \"{shape}\", every = 5 }} }}"),
        )
        .await;
        assert_eq!((resources(&drifted).len(), differing(&drifted)), (40, 8), "{shape}");
    }
    let stale = whole(&pair, &token, "{ stale = { days = 400 } }").await;
    assert!(resources(&stale).iter().all(|one| one["meta"]["versionId"] == "2"));
    let loose = whole(
        &pair,
        &token,
        "{ dangling-references = { every = 2, absolute = true } }",
    )
    .await;
    assert!(loose.to_string().matches(&pair.sandbox.elsewhere_url()).count() >= 20);
    assert!(pair.sandbox.control().strays().is_empty());
}

#[tokio::test]
async fn a_partial_record_is_told_or_passed_over_in_silence() {
    let pair = played("");
    let token = pair.matched().await;
    let silent = whole(
        &pair,
        &token,
        "{ leave-out = { types = [\"Observation\", \"Patient\"] } }",
    )
    .await;
    assert_eq!(silent["total"], 40, "the count still says how many there are");
    let kinds: Vec<Value> = resources(&silent)
        .iter()
        .map(|one| one["resourceType"].clone())
        .collect();
    assert!(!kinds.is_empty() && kinds.iter().all(|kind| kind != "Observation" && kind != "Patient"));
    assert!(!silent.to_string().contains("OperationOutcome"));
    let told = whole(
        &pair,
        &token,
        "{ leave-out = { every = 4, told = true } }, { wrong-total = { by = -3 } }",
    )
    .await;
    assert_eq!((resources(&told).len(), &told["total"]), (30, &Value::from(37)));
    let entries = told["entry"].as_array().expect("entries");
    assert_eq!(entries[30]["search"]["mode"], "outcome");
    assert_eq!(entries[30]["resource"]["issue"][0]["code"], "incomplete");
}

#[tokio::test]
async fn pages_go_round_in_circles_elsewhere_or_on_for_ever() {
    let pair = played("everything_page_size = 10");
    let token = pair.matched().await;
    let page = async |url: &str| -> Value {
        pair.http
            .get(url)
            .bearer_auth(&token)
            .send()
            .await
            .expect("an answer")
            .json()
            .await
            .expect("JSON")
    };
    let first = pair.url(&format!("Patient/{}/$everything", pair.member().patient_id));

    rule(&pair, "{ page-loop = {} }");
    let looped = page(&first).await;
    assert_eq!(link(&looped, "next"), Some(first.as_str()), "to itself");
    rule(&pair, "{ page-loop = { to_page = 1 } }");
    let next = link(&page(&first).await, "next").expect("a link").to_owned();
    assert!(next.contains("_page=1"));
    assert_eq!(
        resources(&page(&next).await),
        resources(&looped),
        "the first page again"
    );

    rule(&pair, "\"next-elsewhere\"");
    assert!(link(&page(&first).await, "next").is_some_and(|next| next.starts_with(&pair.sandbox.elsewhere_url())));
    assert!(pair.sandbox.control().strays().is_empty());

    rule(&pair, "\"endless-pages\"");
    let (mut url, mut seen) = (first, std::collections::HashSet::new());
    for _ in 0..12 {
        let bundle = page(&url).await;
        for one in resources(&bundle) {
            assert!(seen.insert(one["id"].to_string()), "always new resources");
        }
        url = link(&bundle, "next").expect("always another").to_owned();
    }
    assert!(seen.len() > 40);
    let rare = format!(
        "{}/Patient?patient={}",
        pair.sandbox.base_url(),
        pair.member().patient_id
    );
    assert!(
        link(&page(&rare).await, "next").is_some(),
        "also of a type that a record has once"
    );
}

#[tokio::test]
async fn one_page_or_one_search_alone_can_fail() {
    let pair = played(
        "page_size = 2\n[[rule]]\nroute = \"search\"\nresource = \"Condition\"\npage = 2\nrequests = \"1\"\nacts = [{ answer = { status = 500 } }]",
    );
    let token = pair.matched().await;
    let first: Value = pair
        .data(&token, &format!("Condition?patient={}", pair.member().patient_id))
        .send()
        .await
        .expect("an answer")
        .json()
        .await
        .expect("JSON");
    let next = link(&first, "next").expect("another page").to_owned();
    let again = async || {
        pair.http
            .get(&next)
            .bearer_auth(&token)
            .send()
            .await
            .expect("an answer")
            .status()
    };
    assert_eq!((again().await.as_u16(), again().await.as_u16()), (500, 200));
}

#[tokio::test]
async fn a_read_can_bring_another_member() {
    let pair = played("[[rule]]\nroute = \"read\"\nacts = [{ wrong-member = {} }]");
    let token = pair.matched().await;
    let id = pair.member().patient_id;
    let read: Value = pair
        .data(&token, &format!("Patient/{id}"))
        .send()
        .await
        .expect("an answer")
        .json()
        .await
        .expect("JSON");
    assert_eq!(
        (read["id"] == id, &read["resourceType"]),
        (false, &Value::from("Patient"))
    );
}
