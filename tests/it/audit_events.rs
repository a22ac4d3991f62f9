//! The ledger as FHIR: each pattern from what really happened, searched as auditors ask, and each look in the ledger.

use crate::bulk::Bulk;
use crate::support::balp::{check, profiles};
use crate::support::client::{ALL_SCOPES, Client};
use crate::support::desk::Desk;
use crate::support::payer::TestPayer;
use causeway::error::Fault;
use causeway::synth::Variation;
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::time::Duration;

const WHY: &str = "a complaint of a member";

fn tag(event: &Value) -> &str {
    event["meta"]["tag"][0]["code"].as_str().expect("an action")
}

fn patient(event: &Value) -> Option<&str> {
    let entities = event["entity"].as_array()?.iter();
    entities
        .filter_map(|entity| entity["what"]["reference"].as_str())
        .next()
}

async fn settled(payer: &TestPayer) {
    for _ in 0..3_000 {
        let left = payer.count("ledger_entry WHERE action = 'disclosure.begun'")
            - payer.count("ledger_entry WHERE action = 'disclosure.completed'");
        if left == 0 {
            return;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    panic!("a disclosure was not completed");
}

/// A payer and its only partner, after a match of one member.
async fn begun(members: u64) -> (TestPayer, Client, String, String) {
    let (payer, client) = TestPayer::start(members);
    let token = client.token(ALL_SCOPES).await;
    let (one, _) = client.matched(&token, &payer.request(0, Variation::Exact)).await;
    (payer, client, token, one)
}

/// Everything that a partner and an operator do here, one after the other.
async fn happened() -> (Bulk, Vec<String>) {
    let run = Bulk::start().await;
    let (client, token, one) = (&run.client, run.token.as_str(), &run.ids[0]);
    let assertion = client.assertion().sign(&client.key);
    client.ask_token(&assertion, ALL_SCOPES).await.assert_status(200);
    let again = client.ask_token(&assertion, ALL_SCOPES).await;
    assert!((400..500).contains(&again.status), "an assertion serves once");
    let refused = client
        .post_match(token, run.payer.request(1, Variation::Exact).to_string(), &[])
        .await;
    refused.assert_status(422);
    for path in [
        format!("Patient/{one}"),
        format!("Patient/{one}/_history/1"),
        format!("Observation?patient={one}"),
        "Patient?_count=50".to_owned(),
        format!("Patient/{one}/$everything"),
    ] {
        client.get(token, &path).await.assert_status(200);
    }
    client
        .get(token, "Patient/nobody")
        .await
        .assert_outcome(Fault::NotFound);
    let manifest = run.done(&run.begin("").await).await;
    run.taken(&manifest).await;
    settled(&run.payer).await;
    let consents = run.payer.json_command(&["consent", "list"]);
    let ids: Vec<String> = consents
        .as_array()
        .into_iter()
        .flatten()
        .map(|one| one["id"].as_str().expect("an id").to_owned())
        .collect();
    let ended = run
        .payer
        .command(&["consent", "revoke", &ids[1], "--reason", "the member asked"]);
    assert!(ended.status.success(), "{}", String::from_utf8_lossy(&ended.stderr));
    (run, ids)
}

#[tokio::test]
async fn each_pattern_is_told_of_what_happened_and_has_its_form() {
    let (run, _) = happened().await;
    let auditor = Desk::named(&run.payer, &run.client, "auditor", "carl");
    let events = auditor.found("fhir/AuditEvent", WHY).await;
    for event in &events {
        check(event);
    }
    let ids: BTreeSet<&str> = events.iter().filter_map(|event| event["id"].as_str()).collect();
    assert_eq!(ids.len(), events.len(), "an id stands twice");
    let named: BTreeSet<&str> = events.iter().flat_map(profiles).collect();
    let wanted = BTreeSet::from([
        "AuthZconsent",
        "IHE.IUA.71",
        "OAUTHaccessTokenUse.Comprehensive",
        "PatientCreate",
        "PatientQuery",
        "PatientRead",
        "PatientUpdate",
        "PrivacyDisclosure.Source",
    ]);
    assert!(named.is_superset(&wanted), "{named:?}");
    // Each way out is a disclosure of its member: two reads, the searches, the whole record, and the files.
    let disclosures = events
        .iter()
        .filter(|event| profiles(event).contains(&"PrivacyDisclosure.Source"));
    let of_one: Vec<&Value> = disclosures
        .filter(|event| patient(event) == Some(&format!("Patient/{}", run.ids[0])))
        .collect();
    assert!(of_one.len() > 5, "{}", of_one.len());
    for event in &of_one {
        let consent = event["entity"].as_array().into_iter().flatten();
        let consent = consent.filter(|entity| entity["type"]["code"] == "Consent");
        let ids: Vec<&Value> = consent.map(|entity| &entity["what"]["identifier"]).collect();
        assert!(
            matches!(ids.as_slice(), [id] if id["system"].is_null()),
            "a consent on record is named: {ids:?}"
        );
    }
    // What failed is told too, and names nobody.
    for action in ["disclosure.refused", "member-match.refused", "token.refused"] {
        let failed: Vec<&Value> = events.iter().filter(|event| tag(event) == action).collect();
        assert!(!failed.is_empty(), "{action}");
        assert!(
            failed
                .iter()
                .all(|event| event["outcome"] == "4" && patient(event).is_none()),
            "{action}"
        );
    }
    // The same entry is the same bytes.
    let base = format!("{}/ops/v1/fhir/AuditEvent", run.payer.ops);
    for event in events.iter().filter(|event| tag(event) == "disclosure.begun").take(4) {
        let url = format!("{base}/{}", event["id"].as_str().expect("an id"));
        let again = auditor.look(&url, WHY).await;
        assert_eq!(again.text(), event.to_string());
    }
}

#[tokio::test]
async fn auditors_search_by_patient_agent_entity_date_and_outcome() {
    let (run, consents) = happened().await;
    let auditor = Desk::named(&run.payer, &run.client, "auditor", "carl");
    let all = auditor.found("fhir/AuditEvent", WHY).await;
    let one = format!("Patient/{}", run.ids[0]);
    let found = async |query: &str| auditor.found(&format!("fhir/AuditEvent?{query}"), WHY).await;
    let ids = |events: &[Value]| -> Vec<String> { events.iter().map(|one| one["id"].to_string()).collect() };
    let wanted = |is: &dyn Fn(&Value) -> bool| -> Vec<String> {
        ids(&all.iter().filter(|event| is(event)).cloned().collect::<Vec<_>>())
    };
    // A consent is an object of its own; and looks at the member come to it meanwhile.
    let of_one = wanted(&|event| patient(event) == Some(&one) && !tag(event).starts_with("consent."));
    for query in [
        format!("patient={one}"),
        format!("patient={}", run.ids[0]),
        format!("entity={one}"),
    ] {
        let told: Vec<Value> = found(&query).await;
        let told: Vec<Value> = told.into_iter().filter(|one| tag(one) != "operator.viewed").collect();
        assert_eq!(ids(&told), of_one, "{query}");
    }
    let of_consent = found(&format!("entity=Consent/{}", consents[1])).await;
    let of_consent: Vec<&str> = of_consent
        .iter()
        .map(tag)
        .filter(|action| *action != "operator.viewed")
        .collect();
    assert_eq!(of_consent, ["consent.recorded", "consent.revoked"]);
    let of_partner = found("agent=new-payer").await;
    assert!(!of_partner.is_empty() && of_partner.len() < all.len());
    assert_eq!(found("agent=somebody").await, Vec::<Value>::new());
    for outcome in [
        "4",
        "http://terminology.hl7.org/CodeSystem/audit-event-outcome%7C4",
        "4,8",
    ] {
        let told = found(&format!("outcome={outcome}")).await;
        assert_eq!(ids(&told), wanted(&|event| event["outcome"] != "0"), "{outcome}");
    }
    let middle = &all[all.len() / 2];
    let at = middle["recorded"].as_str().expect("a time");
    let instant = &at[..23];
    let told = found(&format!("date=ge{instant}Z&date=le{instant}Z")).await;
    let same = |event: &Value| {
        event["recorded"]
            .as_str()
            .is_some_and(|other| other.starts_with(instant))
    };
    assert_eq!(ids(&told), wanted(&same));
    assert_eq!(found("date=lt2020-01-01").await, Vec::<Value>::new());
    assert_eq!(found("date=2020").await, Vec::<Value>::new());
    assert!(found("date=ge2020&outcome=0").await.len() > all.len() / 2);
    let desk = format!("{}/ops/v1/fhir/AuditEvent", run.payer.ops);
    for wrong in [
        "patient=Patient/",
        "patient=a/b",
        "outcome=5",
        "date=ge",
        "date=yesterday",
        "agent=a%20b",
        "cursor=/",
        "outcome=",
        "outcome=0&outcome=4",
        "patient=a&entity=Patient/b",
    ] {
        let reply = auditor.look(&format!("{desk}?{wrong}"), WHY).await;
        assert_eq!(reply.status, 400, "{wrong}: {}", reply.text());
    }
}

#[tokio::test]
async fn a_page_has_a_next_one_until_all_is_told_once() {
    let (payer, client, token, one) = begun(2).await;
    for _ in 0..105 {
        client.get(&token, &format!("Patient/{one}")).await.assert_status(200);
    }
    settled(&payer).await;
    let auditor = Desk::named(&payer, &client, "auditor", "carl");
    for query in [format!("patient={one}"), "agent=new-payer".to_owned()] {
        let first = auditor
            .look(&format!("{}/ops/v1/fhir/AuditEvent?{query}", payer.ops), WHY)
            .await;
        let bundle = first.json();
        let links: Vec<&Value> = bundle["link"].as_array().into_iter().flatten().collect();
        assert_eq!(links.len(), 2, "{query}: self and next");
        let found = auditor.found(&format!("fhir/AuditEvent?{query}"), WHY).await;
        let reads: Vec<&str> = found
            .iter()
            .filter(|event| profiles(event).contains(&"PatientRead"))
            .filter_map(|event| event["id"].as_str())
            .collect();
        let apart: BTreeSet<&&str> = reads.iter().collect();
        assert_eq!((reads.len(), apart.len()), (105, 105), "{query}");
        let times: Vec<&str> = found.iter().filter_map(|event| event["recorded"].as_str()).collect();
        assert!(times.is_sorted(), "oldest first");
    }
}

#[tokio::test]
async fn each_look_says_why_and_is_an_entry_of_the_member_it_is_about() {
    let (payer, client, _, one) = begun(2).await;
    let auditor = Desk::named(&payer, &client, "auditor", "carl");
    let without = auditor.get("fhir/AuditEvent").await;
    without.assert_outcome(Fault::ParameterInvalid);
    assert_eq!(payer.count("ledger_entry WHERE action = 'operator.viewed'"), 0);
    let events = auditor.found(&format!("fhir/AuditEvent?patient={one}"), WHY).await;
    let last = events.last().expect("an event");
    let url = format!(
        "{}/ops/v1/fhir/AuditEvent/{}",
        payer.ops,
        last["id"].as_str().expect("an id")
    );
    auditor.look(&url, "the same complaint").await.assert_status(200);
    let nobody = format!("{}/ops/v1/fhir/AuditEvent/none", payer.ops);
    auditor.look(&nobody, WHY).await.assert_outcome(Fault::NotFound);
    let looks = auditor
        .found(&format!("fhir/AuditEvent?patient={one}&outcome=0"), WHY)
        .await;
    let looks: Vec<(&Value, &Value, &Value)> = looks
        .iter()
        .filter(|event| tag(event) == "operator.viewed")
        .map(|event| {
            check(event);
            let who = &event["agent"][0]["who"]["identifier"]["value"];
            (&event["type"]["code"], who, &event["purposeOfEvent"][0]["text"])
        })
        .collect();
    let (used, carl) = (json!("110101"), json!("carl"));
    let whys = [json!(WHY), json!("the same complaint"), json!(WHY)];
    let wanted: Vec<_> = whys.iter().map(|why| (&used, &carl, why)).collect();
    assert_eq!(looks, wanted);
    // The reason is committed to, and stands in no entry.
    let ledger = auditor.all("ledger").await;
    let viewed = ledger
        .iter()
        .find(|entry| entry["action"] == "operator.viewed")
        .expect("a look");
    assert_eq!(
        (&viewed["note"], viewed["note_commit"].is_string()),
        (&json!(WHY), true)
    );
}

#[tokio::test]
async fn the_accounting_of_a_member_is_a_bundle_on_the_host() {
    let (payer, client, token, one) = begun(2).await;
    client.get(&token, &format!("Patient/{one}")).await.assert_status(200);
    client
        .get(&token, &format!("Patient/{one}/$everything"))
        .await
        .assert_status(200);
    settled(&payer).await;
    let bundle = payer.json_command(&["disclosures", "--member", &one, "--fhir"]);
    assert_eq!(
        (&bundle["resourceType"], &bundle["type"]),
        (&json!("Bundle"), &json!("collection"))
    );
    let events: Vec<&Value> = bundle["entry"]
        .as_array()
        .into_iter()
        .flatten()
        .map(|entry| &entry["resource"])
        .collect();
    assert_eq!(events.len(), 2);
    for event in events {
        check(event);
        assert_eq!(profiles(event), ["PrivacyDisclosure.Source"]);
        assert_eq!(
            (patient(event), &event["outcome"]),
            (Some(format!("Patient/{one}").as_str()), &json!("0"))
        );
        let recipient = &event["agent"][1]["who"]["identifier"]["value"];
        assert_eq!(recipient, "new-payer");
    }
}
