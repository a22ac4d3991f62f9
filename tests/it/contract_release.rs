//! Promises about what leaves: pages that together are the whole, filters, headers, searches, and what is held back.

use crate::support::client::{ALL_SCOPES, Client, Reply};
use crate::support::payer::{TestPayer, today};
use crate::support::wire::request_by;
use causeway::error::Fault;
use causeway::synth::{self, SharingPolicy, Variation};
use chrono::{DateTime, Days, NaiveDate};
use diesel::prelude::*;
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};

const THIRD_NPI: &str = "1992000038";

/// A payer whose first member has a long record with everything that may be held back, matched by `new-payer`.
struct Long {
    payer: TestPayer,
    client: Client,
    token: String,
    /// The member's Patient.
    id: String,
    /// The record as it was imported, by `Type/id`.
    record: BTreeMap<String, Value>,
}

async fn long() -> Long {
    let (mut payer, client) = TestPayer::prepare(4);
    let id = payer.member(0).patient_id;
    let options = synth::SynthOptions {
        members: 1,
        one_large: Some(400),
        twins: false,
        ..payer.members.clone()
    };
    let (mut lines, mut record) = (String::new(), BTreeMap::new());
    let mut add = |resource: &Value| {
        lines.push_str(&format!("{resource}\n"));
        if belongs(resource, &id) {
            record.insert(name(resource), resource.clone());
        }
    };
    synth::write(&options, &mut |_, line| {
        add(&serde_json::from_slice(line).expect("json"));
        Ok(())
    })
    .expect("in memory");
    for resource in extras(&id) {
        add(&resource);
    }
    std::fs::write(payer.home().join("long.ndjson"), &lines).expect("a file");
    let said = payer.json_command(&["import", "long.ndjson"]);
    assert_eq!(said["rejected"], 0, "{said}");
    // What the payer had of this member before.
    synth::write(&payer.members, &mut |_, line| {
        let resource: Value = serde_json::from_slice(line).expect("json");
        if belongs(&resource, &id) {
            record.entry(name(&resource)).or_insert(resource);
        }
        Ok(())
    })
    .expect("in memory");
    payer.serve();
    let token = client.token(ALL_SCOPES).await;
    client.matched(&token, &payer.request(0, Variation::Exact)).await;
    Long {
        payer,
        client,
        token,
        id,
        record,
    }
}

/// A claim, which is nothing but its money, and a condition whose label nobody knows.
fn extras(id: &str) -> Vec<Value> {
    let patient = json!({"reference": format!("Patient/{id}")});
    let coded = |system: &str, code: &str| json!({"coding": [{"system": system, "code": code}]});
    vec![
        json!({"resourceType": "Claim", "id": "held-claim", "status": "active", "use": "claim", "patient": patient,
            "type": coded("http://terminology.hl7.org/CodeSystem/claim-type", "professional"), "created": "2026-01-05",
            "provider": {"display": "A clinic"}, "priority": coded("http://terminology.hl7.org/CodeSystem/processpriority", "normal"),
            "insurance": [{"sequence": 1, "focal": true, "coverage": {"display": "A cover"}}],
            "total": {"value": 12.5, "currency": "USD"}}),
        json!({"resourceType": "Condition", "id": "held-label", "subject": patient,
            "meta": {"security": [{"system": "http://labels.example", "code": "NEW"}]},
            "clinicalStatus": coded("http://terminology.hl7.org/CodeSystem/condition-clinical", "active"),
            "code": {"text": "Something"}}),
    ]
}

pub fn name(resource: &Value) -> String {
    let part = |key: &str| resource[key].as_str().expect("text").to_owned();
    format!("{}/{}", part("resourceType"), part("id"))
}

fn belongs(resource: &Value, id: &str) -> bool {
    let own = format!("Patient/{id}");
    name(resource) == own
        || ["subject", "patient", "beneficiary"]
            .iter()
            .any(|key| resource[key]["reference"] == own)
        || resource["target"][0]["reference"] == own
}

/// Whether this may leave; `None` too near to the border of a year to say.
fn releasable(resource: &Value, sensitive: bool) -> Option<bool> {
    let labels = resource["meta"]["security"].as_array();
    let unknown = labels.is_some_and(|all| all.iter().any(|one| one["system"] == "http://labels.example"));
    if resource["resourceType"] == "Claim" || unknown || labels.is_some() && !sensitive {
        return Some(false);
    }
    if resource["use"] != "preauthorization" {
        return Some(true);
    }
    let text = resource.to_string();
    if text.contains("\"code\":\"A3\"") || for_a_drug(resource) {
        return Some(false);
    }
    let end = resource["preAuthRefPeriod"][0]["end"].as_str().map(day);
    match end {
        Some(end) if end < today() - Days::new(370) => Some(false),
        Some(end) if end < today() - Days::new(360) => None,
        _ => Some(true),
    }
}

/// Synthetic authorizations ask for one thing each.
fn for_a_drug(authorization: &Value) -> bool {
    let codings = authorization["item"][0]["productOrService"]["coding"].as_array();
    codings.is_some_and(|all| all.iter().any(|one| one["system"] == "http://hl7.org/fhir/sid/ndc"))
}

pub fn day(text: &str) -> NaiveDate {
    text[..10].parse().expect("a date")
}

pub fn entries(bundle: &Value) -> Vec<Value> {
    let all = bundle["entry"].as_array().cloned().unwrap_or_default();
    all.into_iter().map(|mut entry| entry["resource"].take()).collect()
}

fn next(bundle: &Value) -> Option<String> {
    let links = bundle["link"].as_array().expect("links");
    let found = links.iter().find(|link| link["relation"] == "next");
    found.map(|link| link["url"].as_str().expect("a link").to_owned())
}

/// Types that belong to nobody and come along.
const SHARED: &[&str] = &[
    "Location",
    "Medication",
    "Organization",
    "Practitioner",
    "PractitionerRole",
];

/// Everything that a resource refers to.
fn references(value: &Value) -> Vec<String> {
    match value {
        Value::Object(members) => {
            let own = members.get("reference").and_then(Value::as_str).map(str::to_owned);
            own.into_iter().chain(members.values().flat_map(references)).collect()
        }
        Value::Array(items) => items.iter().flat_map(references).collect(),
        _ => Vec::new(),
    }
}

fn names(resources: &[Value]) -> BTreeSet<String> {
    let all: BTreeSet<String> = resources.iter().map(name).collect();
    assert_eq!(all.len(), resources.len(), "something came twice");
    all
}

impl Long {
    async fn everything(&self, query: &str) -> Reply {
        let path = format!("Patient/{}/$everything{query}", self.id);
        self.client.get(&self.token, &path).await
    }

    async fn resources(&self, query: &str) -> Vec<Value> {
        let reply = self.everything(query).await;
        reply.assert_status(200);
        entries(&reply.json())
    }

    /// What came is what may leave of `wanted`, no more and no less; and the shared resources that this names, if any came.
    #[track_caller]
    fn assert_released(&self, resources: &[Value], sensitive: bool, wanted: impl Fn(&Value) -> bool) {
        let came = names(resources);
        for (name, resource) in &self.record {
            if let Some(may) = releasable(resource, sensitive) {
                assert_eq!(came.contains(name), may && wanted(resource), "{name}");
            }
        }
        let shared = |name: &str| SHARED.contains(&name.split('/').next().unwrap_or_default());
        let strangers: BTreeSet<String> = came
            .iter()
            .filter(|name| !self.record.contains_key(*name) && !name.starts_with("Provenance/tx."))
            .cloned()
            .collect();
        let named: BTreeSet<String> = resources
            .iter()
            .flat_map(references)
            .filter(|name| shared(name))
            .collect();
        assert!(strangers.is_subset(&named), "{:?}", strangers.difference(&named));
    }
}

pub fn execute(payer: &TestPayer, statement: &str) {
    let changed = diesel::sql_query(statement).execute(&mut payer.db()).expect("a change");
    assert!(changed > 0, "{statement}");
}

#[tokio::test]
async fn t_d07_pages_are_together_the_whole_and_their_links_serve_nobody_else() {
    let long = long().await;
    let whole = names(&long.resources("").await);
    let (mut came, mut pages, mut short, mut links) = (Vec::new(), 0, 0, Vec::new());
    let mut reply = long.everything("?_count=37").await;
    loop {
        reply.assert_status(200);
        let bundle = reply.json();
        let page = entries(&bundle);
        // The member's own end with a page that may be short, then come the shared ones.
        short += usize::from(page.len() < 37);
        assert!(page.len() == 37 || short <= 2, "a page of {}", page.len());
        came.extend(page);
        pages += 1;
        let Some(link) = next(&bundle) else { break };
        let place = link.split("_page=").nth(1).expect("a place").to_owned();
        assert!(
            place.len() >= 40 && place.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_".contains(&b)),
            "{place}"
        );
        reply = long.client.follow(&long.token, &link).await;
        links.push(link);
    }
    assert!(names(&came) == whole, "the pages are not the whole");
    assert!(pages - whole.len().div_ceil(37) <= 1, "{pages} pages");

    // The link of another partner that may see the same member.
    let link = &links[0];
    let third = long
        .payer
        .register("third-payer", THIRD_NPI, "https://third-payer.example/fhir");
    let thirds = third.token(ALL_SCOPES).await;
    third
        .matched(&thirds, &request_by(&long.payer, 0, THIRD_NPI, SharingPolicy::Regular))
        .await;
    third
        .follow(&thirds, link)
        .await
        .assert_outcome(Fault::ParameterInvalid);
    // Another member of the same partner, another query, another place.
    let other = long.payer.request(2, Variation::Exact);
    let (other, _) = long.client.matched(&long.token, &other).await;
    let at = link.find("_page=").expect("a place") + "_page=".len() + 3;
    let mut edited = link.clone();
    let letter = if link.as_bytes()[at] == b'A' { "B" } else { "A" };
    edited.replace_range(at..=at, letter);
    for (name, changed) in [
        ("member", link.replace(&long.id, &other)),
        ("count", link.replace("_count=37", "_count=38")),
        ("type", link.replace("_count=37", "_count=37&_type=Patient")),
        ("no count", link.replace("_count=37&", "")),
        ("edited", edited),
        ("empty", format!("{}_page=", &link[..at - 9])),
    ] {
        let reply = long.client.follow(&long.token, &changed).await;
        assert!(matches!(reply.status, 400 | 404), "{name}: {}", reply.text());
        assert!(!reply.text().contains("\"entry\""), "{name}");
    }

    // A consent that is withdrawn ends the pages too.
    long.client.follow(&long.token, link).await.assert_status(200);
    execute(
        &long.payer,
        "UPDATE consent SET revoked_ms = recorded_ms WHERE partner_id = 'new-payer'",
    );
    long.client
        .follow(&long.token, link)
        .await
        .assert_outcome(Fault::NotFound);
    let path = format!("Patient/{}", long.id);
    long.client
        .get(&long.token, &path)
        .await
        .assert_outcome(Fault::NotFound);
    third.get(&thirds, &path).await.assert_status(200);
}

#[tokio::test]
async fn t_d08_sensitive_rows_money_and_denials_are_held_back() {
    let long = long().await;
    let kinds = |test: fn(&Value) -> bool| long.record.values().filter(|one| test(one)).count();
    assert!(kinds(|one| one["meta"]["security"].is_array()) > 5);
    assert!(kinds(|one| one.to_string().contains("\"code\":\"A3\"")) > 0);
    assert!(kinds(|one| one["use"] == "preauthorization" && releasable(one, true) == Some(true)) > 0);
    assert!(kinds(|one| one["use"] == "preauthorization" && for_a_drug(one)) > 0);

    let regular = long.resources("").await;
    long.assert_released(&regular, false, |_| true);
    let third = long
        .payer
        .register("third-payer", THIRD_NPI, "https://third-payer.example/fhir");
    let thirds = third.token(ALL_SCOPES).await;
    third
        .matched(
            &thirds,
            &request_by(&long.payer, 0, THIRD_NPI, SharingPolicy::Sensitive),
        )
        .await;
    let reply = third.get(&thirds, &format!("Patient/{}/$everything", long.id)).await;
    reply.assert_status(200);
    let sensitive = entries(&reply.json());
    long.assert_released(&sensitive, true, |_| true);
    assert!(sensitive.len() > regular.len());
    // The other partner's consent widens nothing here.
    assert_eq!(names(&long.resources("").await), names(&regular));

    let mut seen = 0;
    for resource in &sensitive {
        assert!(!resource.to_string().contains("\"USD\""), "{}", name(resource));
        if resource["resourceType"] != "ExplanationOfBenefit" {
            continue;
        }
        seen += 1;
        for money in ["payment", "benefitBalance"] {
            assert_eq!(resource.get(money), None, "{}", name(resource));
        }
        // The totals of an authorization keep what they are of, and how many units of it.
        let totals = resource["total"].as_array().cloned().unwrap_or_default();
        assert!(
            totals.is_empty() || resource["use"] == "preauthorization",
            "{}",
            name(resource)
        );
        assert!(
            totals.iter().all(|total| total.get("amount").is_none()),
            "{}",
            name(resource)
        );
        let profile = resource["meta"]["profile"][0].as_str().expect("a profile");
        assert!(
            !profile.contains("C4BB") || profile.ends_with("-Basis|2.1.0"),
            "{profile}"
        );
        // What is not money is as it was.
        let stored = &long.record[&name(resource)];
        for kept in [
            "identifier",
            "billablePeriod",
            "diagnosis",
            "insurance",
            "created",
            "use",
        ] {
            assert_eq!(resource.get(kept), stored.get(kept), "{} {kept}", name(resource));
        }
        assert_eq!(
            resource["item"][0]["productOrService"],
            stored["item"][0]["productOrService"]
        );
    }
    assert!(seen > 20);
}

#[tokio::test]
async fn everything_takes_its_parameters_by_url_and_by_body() {
    let long = long().await;
    let whole = long.resources("").await;
    long.assert_released(&whole, false, |_| true);
    let of = |rtype: &str| whole.iter().filter(|one| one["resourceType"] == rtype).count();
    assert!(
        of("Practitioner") > 0 && of("Organization") > 0,
        "shared resources come along"
    );

    let types = long.resources("?_type=Observation,Condition").await;
    let two = |one: &Value| one["resourceType"] == "Observation" || one["resourceType"] == "Condition";
    long.assert_released(&types, false, two);
    assert!(types.len() > 10);
    assert!(long.resources("?_type=Claim").await.is_empty());

    // The same by a body, with the values' own types; then with an empty body.
    let post = async |body: String| {
        let path = format!("/fhir/Patient/{}/$everything", long.id);
        let bearer = format!("Bearer {}", long.token);
        let headers = [
            ("authorization", bearer.as_str()),
            ("content-type", "application/fhir+json"),
        ];
        long.client
            .send("POST", &path, &headers[..2 - usize::from(body.is_empty())], body)
            .await
    };
    let body = json!({"resourceType": "Parameters", "parameter": [
        {"name": "_type", "valueCode": "Observation"}, {"name": "_type", "valueCode": "Condition"}]});
    let reply = post(body.to_string()).await;
    reply.assert_status(200);
    assert_eq!(names(&entries(&reply.json())), names(&types));
    let reply = post(String::new()).await;
    reply.assert_status(200);
    assert_eq!(names(&entries(&reply.json())), names(&whole));
    let body = json!({"resourceType": "Parameters", "parameter": [{"name": "_count", "valueInteger": 5}]});
    let reply = post(body.to_string()).await.json();
    assert_eq!(entries(&reply).len(), 5);
    let link = next(&reply).expect("a next page");
    assert_eq!(entries(&long.client.follow(&long.token, &link).await.json()).len(), 5);
    for (body, fault) in [
        (json!({"resourceType": "Patient"}), Fault::ResourceInvalid),
        (
            json!({"resourceType": "Parameters", "parameter": [{"name": "_count", "valueString": "many"}]}),
            Fault::ParameterInvalid,
        ),
    ] {
        post(body.to_string()).await.assert_outcome(fault);
    }
    let path = format!("/fhir/Patient/{}/$everything", long.id);
    let bearer = format!("Bearer {}", long.token);
    long.client
        .send(
            "POST",
            &path,
            &[("authorization", &bearer)],
            "{\"resourceType\":\"Parameters\"}",
        )
        .await
        .assert_outcome(Fault::MediaTypeRefused);

    // Since: by the lastUpdated that the answers themselves show.
    let updated = |one: &Value| {
        let text = one["meta"]["lastUpdated"].as_str().expect("lastUpdated");
        DateTime::parse_from_rfc3339(text).expect("an instant")
    };
    let mut times: Vec<_> = whole.iter().map(updated).collect();
    times.sort();
    times.dedup();
    let middle = times[(times.len() - 1) / 2];
    let since = long
        .resources(&format!("?_since={}", middle.format("%Y-%m-%dT%H:%M:%S%.3fZ")))
        .await;
    let later: Vec<Value> = whole.iter().filter(|one| updated(one) > middle).cloned().collect();
    assert!(!later.is_empty() && later.len() < whole.len());
    // Of the shared ones those come that what came names.
    let own = |all: &[Value]| -> BTreeSet<String> {
        let all = names(all).into_iter();
        all.filter(|name| !SHARED.iter().any(|rtype| name.starts_with(&format!("{rtype}/"))))
            .collect()
    };
    assert_eq!(own(&since), own(&later));
    assert!(names(&since).is_subset(&names(&later)));

    // Start and end: by the date of care.
    let observed = |one: &Value| one["effectiveDateTime"].as_str().map(day);
    let mut days: Vec<NaiveDate> = types.iter().filter_map(observed).collect();
    days.sort();
    let middle = days[days.len() / 2];
    let from = long.resources(&format!("?_type=Observation&start={middle}")).await;
    long.assert_released(&from, false, |one| {
        one["resourceType"] == "Observation" && observed(one).is_some_and(|at| at >= middle)
    });
    let until = long.resources(&format!("?_type=Observation&end={middle}")).await;
    long.assert_released(&until, false, |one| {
        one["resourceType"] == "Observation" && observed(one).is_some_and(|at| at <= middle)
    });
    // The filters go on from page to page.
    let first = long
        .everything(&format!("?_type=Observation&start={middle}&_count=3"))
        .await;
    let (mut came, mut bundle) = (Vec::new(), first.json());
    loop {
        came.extend(entries(&bundle));
        let Some(link) = next(&bundle) else { break };
        bundle = long.client.follow(&long.token, &link).await.json();
    }
    assert_eq!(names(&came), names(&from));
    for query in [
        "_since=yesterday",
        "start=2024-13",
        "end=x",
        "_count=0",
        "_count=-1",
        "_type=",
        "_type=A%20B",
        "_type=%ff",
        "_type=%zz",
        "_since=%00",
    ] {
        long.everything(&format!("?{query}"))
            .await
            .assert_outcome(Fault::ParameterInvalid);
    }
}
