//! Another person's data through every way out, and the card that was sent: the running program, from import to the answer.
//!
//! The generated ranges are in `src/records/other_person/tests.rs`; here is a sample of them, as a partner would see it.

use crate::support::client::{ALL_SCOPES, Client};
use crate::support::grants::grant;
use crate::support::payer::TestPayer;
use causeway::error::Fault;
use causeway::synth::{SharingPolicy, Variation};
use serde_json::{Value, json};
use std::collections::BTreeSet;

/// In every name and number of another person, and nowhere else.
const MARK: &str = "Thackeray";

fn member() -> Value {
    json!({"reference": "Patient/imp"})
}

fn condition(id: &str, contained: Value) -> Value {
    json!({"resourceType": "Condition", "id": id, "code": {"text": "itch"}, "subject": member(), "contained": contained})
}

fn coverage(beneficiary: Value) -> Value {
    json!({"resourceType": "Coverage", "id": "c", "status": "active", "beneficiary": beneficiary, "payor": [{"display": "plan"}]})
}

/// What holds something about another person: withheld, or refused by the gate.
fn of_others() -> Vec<Value> {
    let other = |text: &str| json!({"reference": text});
    let person = json!([{"resourceType": "Person", "id": "p", "name": [{"family": MARK}],
        "link": [{"target": other("https://ehr.source.example/r4/tenant-7/Patient/other")}]}]);
    let patient = json!({"resourceType": "Patient", "id": "p", "name": [{"family": MARK}]});
    let of = |beneficiary: Value| json!([coverage(beneficiary), {"resourceType": "Practitioner", "id": "d", "name": [{"family": MARK}]}]);
    let mut contained = vec![
        person,
        json!([patient]),
        json!([{"resourceType": "RelatedPerson", "id": "p", "patient": member(), "name": [{"family": MARK}]}]),
        json!([{"resourceType": "Group", "id": "p", "type": "person", "actual": true, "name": MARK, "member": [{"entity": other("Patient/other")}]}]),
        json!([{"resourceType": "Bundle", "id": "p", "type": "collection", "entry": [{"resource": patient}]}]),
        json!([{"resourceType": "Parameters", "id": "p", "parameter": [{"name": "a", "resource": patient}]}]),
        json!([{"resourceType": "Organization", "id": "p", "name": MARK,
            "extension": [{"url": "http://x.example", "valueReference": other("https://ehr.source.example/Patient/other")}]}]),
        json!([{"resourceType": "Observation", "id": "p", "status": "final", "code": {"text": MARK}}]),
        of(json!({"display": MARK})),
        of(json!({"type": "Patient", "identifier": {"value": MARK}})),
    ];
    contained.extend(
        [
            "Patient/other",
            "Patient/other/_history/2",
            "https://ehr.source.example/r4/tenant-7/Patient/other",
            "urn:uuid:7b1e0000-0000-4000-8000-0000000000ee",
            "Patient?identifier=http://old.example|M1",
            "RelatedPerson/mother",
        ]
        .map(|text| of(other(text))),
    );
    let conditions = contained.iter().enumerate();
    let mut all: Vec<Value> = conditions
        .map(|(at, one)| condition(&format!("oth-{at}"), one.clone()))
        .collect();
    // What all members share may name nobody either.
    all.extend([
        json!({"resourceType": "Organization", "id": "oth-org", "name": MARK, "contained": [patient]}),
        json!({"resourceType": "Practitioner", "id": "oth-prac", "name": [{"family": MARK}], "contained": [{"resourceType": "Person", "id": "p"}]}),
        json!({"resourceType": "Location", "id": "oth-loc", "name": MARK,
            "extension": [{"url": "http://x.example", "valueReference": other("https://ehr.source.example/Patient/other")}]}),
    ]);
    all
}

/// What may leave, and what the other person's name or number is cut from.
fn of_the_member() -> Vec<Value> {
    let npi = || json!({"identifier": {"system": "http://hl7.org/fhir/sid/us-npi", "value": "1992000012"}});
    let named = |mut coverage: Value, id: &str, subscriber: Value| {
        coverage["id"] = id.into();
        coverage["subscriberId"] = "S1".into();
        coverage["subscriber"] = subscriber.clone();
        coverage["policyHolder"] = subscriber;
        coverage["relationship"] = json!({"coding": [{"system": "http://terminology.hl7.org/CodeSystem/subscriber-relationship", "code": "child"}]});
        coverage
    };
    vec![
        condition("own-coverage", json!([coverage(member())])),
        condition(
            "own-providers",
            json!([{"resourceType": "Practitioner", "id": "a", "name": [{"family": "House"}]},
                {"resourceType": "PractitionerRole", "id": "b", "practitioner": {"display": "Dr. House"}, "organization": npi()},
                {"resourceType": "Organization", "id": "c", "name": "clinic"}, {"resourceType": "Location", "id": "d", "name": "ward"},
                {"resourceType": "Device", "id": "e"}, {"resourceType": "Medication", "id": "f", "code": {"text": "salve"}}]),
        ),
        named(
            coverage(member()),
            "fam-relative",
            json!({"reference": "Patient/other", "display": MARK}),
        ),
        named(
            coverage(member()),
            "fam-absolute",
            json!({"reference": "https://ehr.source.example/r4/Patient/other", "display": MARK}),
        ),
        named(
            coverage(member()),
            "fam-related",
            json!({"reference": "RelatedPerson/mother", "identifier": {"value": MARK}}),
        ),
        named(
            coverage(member()),
            "fam-number",
            json!({"identifier": {"system": "http://old.example", "value": MARK}}),
        ),
        named(
            coverage(member()),
            "fam-name",
            json!({"type": "Patient", "display": MARK}),
        ),
    ]
}

/// Ids in a Bundle and the pages after it; nothing of another person stands in any of them.
async fn listed(client: &Client, token: &str, path: &str) -> BTreeSet<String> {
    let (mut found, mut next) = (BTreeSet::new(), Some(path.to_owned()));
    while let Some(path) = next {
        let reply = client.get(token, &path).await;
        reply.assert_status(200);
        assert!(!reply.text().contains(MARK), "{path}: {}", reply.text());
        let bundle = reply.json();
        let entries = bundle["entry"].as_array().cloned().unwrap_or_default();
        found.extend(
            entries
                .iter()
                .filter_map(|entry| entry["resource"]["id"].as_str().map(str::to_owned)),
        );
        let links = bundle["link"].as_array().cloned().unwrap_or_default();
        let following = links.iter().find(|link| link["relation"] == "next");
        next = following
            .and_then(|link| link["url"].as_str())
            .and_then(|url| url.split_once("/fhir/"))
            .map(|(_, path)| path.to_owned());
    }
    found
}

#[tokio::test]
async fn t_d05_another_persons_data_leaves_by_no_way_and_a_familys_coverage_arrives() {
    let (payer, client) = TestPayer::start(1);
    let (others, own) = (of_others(), of_the_member());
    let patient = json!({"resourceType": "Patient", "id": "imp", "name": [{"family": "Thornbury", "given": ["Marigold"]}],
        "gender": "female", "birthDate": "1970-01-01"});
    let lines: Vec<String> = [&[patient][..], &others[..], &own[..]]
        .concat()
        .iter()
        .map(Value::to_string)
        .collect();
    std::fs::write(payer.home().join("persons.ndjson"), lines.join("\n")).expect("a file");
    let said = payer.json_command(&["import", "persons.ndjson"]);
    assert_eq!(
        (&said["rejected"], &said["stored"]),
        (&json!(0), &json!(lines.len())),
        "{said}"
    );
    grant(&payer, "new-payer", "imp", SharingPolicy::Sensitive);
    let token = client.token(ALL_SCOPES).await;

    let ids = |all: &[Value]| -> BTreeSet<String> {
        all.iter()
            .map(|one| one["id"].as_str().expect("an id").to_owned())
            .collect()
    };
    let (withheld, leaves) = (ids(&others), ids(&own));
    for path in [
        "Patient/imp/$everything",
        "Condition?patient=imp&_count=5",
        "Coverage?patient=imp",
        "Condition?_count=1000",
        "Patient?_id=imp&_revinclude=Condition:patient&_revinclude=Coverage:beneficiary",
        "Organization?_count=200",
        "Practitioner?_count=200",
        "Location?_count=200",
    ] {
        let found = listed(&client, &token, path).await;
        assert!(found.is_disjoint(&withheld), "{path}: {found:?}");
        if path.contains("$everything") || path.contains("_revinclude") {
            assert!(leaves.is_subset(&found), "{path}: {found:?}");
        }
    }
    for one in others.iter().chain(&own) {
        let (rtype, id) = (
            one["resourceType"].as_str().expect("a type"),
            one["id"].as_str().expect("an id"),
        );
        let read = client.get(&token, &format!("{rtype}/{id}")).await;
        assert_eq!(
            read.status,
            if leaves.contains(id) { 200 } else { 404 },
            "{id}: {}",
            read.text()
        );
        assert!(!read.text().contains(MARK), "{id}");
        if id.starts_with("fam-") {
            let out = read.json();
            let literal = &one["subscriber"]["reference"];
            assert_eq!(
                (&out["subscriber"]["reference"], &out["policyHolder"]["reference"]),
                (literal, literal),
                "{id}"
            );
            assert_eq!(
                (&out["subscriberId"], &out["relationship"]),
                (&one["subscriberId"], &one["relationship"]),
                "{id}"
            );
        }
    }
}

#[tokio::test]
async fn of_two_records_of_one_person_the_card_that_was_sent_is_granted() {
    let (payer, client) = TestPayer::start(12);
    let member = payer.member(3);
    let asked = payer.request(3, Variation::Exact);
    // A second record of the same person, with a card of its own; whichever was stored first.
    let system = "http://old-payer.example/identifiers/member";
    let mut record = asked["parameter"][0]["resource"].clone();
    record["id"] = json!("second");
    record["identifier"] = json!([{"system": system, "value": "M7000002",
        "type": {"coding": [{"system": "http://terminology.hl7.org/CodeSystem/v2-0203", "code": "MB"}]}}]);
    record.as_object_mut().expect("a Patient").remove("meta");
    let mut card = coverage(json!({"reference": "Patient/second"}));
    card["id"] = json!("second-card");
    card["identifier"] = record["identifier"].clone();
    card["subscriberId"] = json!("S7000002");
    std::fs::write(payer.home().join("second.ndjson"), format!("{record}\n{card}\n")).expect("a file");
    assert_eq!(payer.json_command(&["import", "second.ndjson"])["stored"], 2);

    let with_card = |number: &str, subscriber: Option<&str>| {
        let mut body = asked.clone();
        let resource = &mut body["parameter"][1]["resource"];
        resource["identifier"][0]["value"] = number.into();
        match subscriber {
            Some(subscriber) => resource["subscriberId"] = subscriber.into(),
            None => drop(resource.as_object_mut().expect("a Coverage").remove("subscriberId")),
        }
        body
    };
    let token = client.token(ALL_SCOPES).await;
    for (number, subscriber) in [("M7000002", Some("S7000002")), ("m-7000002", None), ("M7000002", None)] {
        let (granted, _) = client.matched(&token, &with_card(number, subscriber)).await;
        assert_eq!(granted, "second", "{number} {subscriber:?}");
    }
    let (granted, _) = client.matched(&token, &asked).await;
    assert_eq!(granted, member.patient_id);
    // Both cards at once are a question for a person.
    let mut both = with_card("M7000002", None);
    let identifiers = both["parameter"][1]["resource"]["identifier"]
        .as_array_mut()
        .expect("numbers");
    let mut first = identifiers[0].clone();
    first["value"] = json!(member.member_number);
    identifiers.push(first);
    let reply = client.post_match(&token, both.to_string(), &[]).await;
    reply.assert_outcome(Fault::NoUniqueMember);
    let last = payer.json_command(&["match", "list", "--partner", "new-payer", "--last", "1"]);
    let id = last[0]["id"].as_str().expect("an id").to_owned();
    assert_eq!(
        payer.json_command(&["match", "explain", &id])["detail"]["guard"],
        "other_card"
    );
}
