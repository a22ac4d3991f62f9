//! Every combination of what a row can be and what a grant can cover, against the rule written down once more: all ways out let the
//! same rows leave. That they ask for the same live grant is tested in `live_grant`.

use crate::support::client::{ALL_SCOPES, Client};
use crate::support::payer::TestPayer;
use causeway::synth::Variation;
use diesel::prelude::*;
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

const DAY_MS: i64 = 86_400_000;

/// What a row's columns say.
#[derive(Clone, Copy, Debug)]
struct Row {
    sensitivity: i64,
    financial: bool,
    released: bool,
    pa_state: i64,
    pa_changed_days_ago: Option<i64>,
}

impl Row {
    /// 42 CFR 422.119(b), and what a consent's policy covers: withheld, unless nothing speaks against it.
    fn leaves(self, sensitive_grant: bool) -> bool {
        let category = match self.sensitivity {
            0 => true,
            known if known < 1 << 40 => sensitive_grant,
            // Reasons that hold under every consent, those of later versions among them.
            _ => false,
        };
        let money = !self.financial || self.released;
        let authorization = match self.pa_state {
            0 => true,
            1 => self.pa_changed_days_ago.is_none_or(|days| days < 365),
            2 => self.pa_changed_days_ago.is_some_and(|days| days < 365),
            _ => false,
        };
        category && money && authorization
    }
}

fn rows() -> Vec<Row> {
    let mut rows = Vec::new();
    for sensitivity in [0, 1, 1 << 5, 1 << 40, 1 << 42, (1 << 55) | 1, 1 << 59, 1 << 61, 1 << 62] {
        for (financial, released) in [(false, false), (false, true), (true, false), (true, true)] {
            for (pa_state, pa_changed_days_ago) in [
                (0, None),
                (1, None),
                (1, Some(-30)),
                (1, Some(364)),
                (1, Some(366)),
                (2, Some(364)),
                (2, Some(366)),
                (2, None),
                (3, Some(1)),
                (4, None),
                (5, Some(1)),
                (6, None),
                (7, None),
                (99, Some(-30)),
            ] {
                rows.push(Row {
                    sensitivity,
                    financial,
                    released,
                    pa_state,
                    pa_changed_days_ago,
                });
            }
        }
    }
    rows
}

fn id(at: usize) -> String {
    format!("rule-{at}")
}

/// The resources of the rows, imported as any other, and then the columns as the rows have them.
fn prepare(payer: &TestPayer, patient: &str, rows: &[Row]) {
    let line = |at: usize| {
        json!({"resourceType": "Observation", "id": id(at), "status": "final", "code": {"text": "a rule"},
            "subject": {"reference": format!("Patient/{patient}")}, "effectiveDateTime": "2025-03-03"})
        .to_string()
    };
    let text: Vec<String> = (0..rows.len()).map(line).collect();
    std::fs::write(payer.home().join("rules.ndjson"), text.join("\n")).expect("a file");
    assert_eq!(payer.json_command(&["import", "rules.ndjson"])["stored"], rows.len());
    let now_ms = chrono::Utc::now().timestamp_millis();
    let mut db = payer.db();
    for (at, row) in rows.iter().enumerate() {
        let changed = row
            .pa_changed_days_ago
            .map_or("NULL".to_owned(), |days| (now_ms - days * DAY_MS).to_string());
        let released = if row.released { "body" } else { "NULL" };
        let set = format!(
            "UPDATE resource SET sensitivity = {}, financial = {}, released = {released}, pa_state = {}, pa_changed_ms = {changed} \
             WHERE type = 'Observation' AND id = '{}'",
            row.sensitivity,
            i64::from(row.financial),
            row.pa_state,
            id(at)
        );
        assert_eq!(diesel::sql_query(set).execute(&mut db).expect("an update"), 1);
    }
}

/// A report of the member that names all our rows, for `_include`.
fn report_on(payer: &TestPayer, patient: &str, rows: usize) {
    let result: Vec<Value> = (0..rows)
        .map(|at| json!({"reference": format!("Observation/{}", id(at))}))
        .collect();
    let report = json!({"resourceType": "DiagnosticReport", "id": "of-rules", "status": "final", "code": {"text": "rules"},
        "subject": {"reference": format!("Patient/{patient}")}, "result": result});
    std::fs::write(payer.home().join("report.ndjson"), report.to_string()).expect("a file");
    assert_eq!(payer.json_command(&["import", "report.ndjson"])["stored"], 1);
}

/// Ids of our rows that a batch of reads answers; `version` stands behind each id.
async fn read_in_batches(client: &Client, token: &str, rows: usize, version: &str) -> BTreeSet<String> {
    let bearer = format!("Bearer {token}");
    let headers = [
        ("authorization", bearer.as_str()),
        ("content-type", "application/fhir+json"),
    ];
    let ids: Vec<String> = (0..rows).map(id).collect();
    let mut found = BTreeSet::new();
    for ids in ids.chunks(50) {
        let entry: Vec<Value> = ids
            .iter()
            .map(|id| json!({"request": {"method": "GET", "url": format!("Observation/{id}{version}")}}))
            .collect();
        let batch = json!({"resourceType": "Bundle", "type": "batch", "entry": entry});
        let reply = client.send("POST", "/fhir", &headers, batch.to_string()).await;
        reply.assert_status(200);
        let answers = reply.json()["entry"].as_array().cloned().expect("entries");
        assert_eq!(answers.len(), ids.len());
        found.extend(
            answers
                .iter()
                .filter(|one| one["response"]["status"] == "200 OK")
                .filter_map(|one| one["resource"]["id"].as_str().map(str::to_owned)),
        );
    }
    found
}

async fn counted(client: &Client, token: &str, path: &str) -> usize {
    let reply = client.get(token, path).await;
    reply.assert_status(200);
    reply.json()["total"]
        .as_u64()
        .and_then(|total| usize::try_from(total).ok())
        .expect("a total")
}

/// Ids of our rows in a Bundle and the pages after it.
async fn listed(client: &Client, token: &str, path: &str) -> BTreeSet<String> {
    let (mut found, mut next) = (BTreeSet::new(), Some(path.to_owned()));
    while let Some(path) = next {
        let reply = client.get(token, &path).await;
        reply.assert_status(200);
        let bundle = reply.json();
        let entries = bundle["entry"].as_array().cloned().unwrap_or_default();
        let ids = entries.iter().filter_map(|entry| entry["resource"]["id"].as_str());
        found.extend(ids.filter(|id| id.starts_with("rule-")).map(str::to_owned));
        let links = bundle["link"].as_array().cloned().unwrap_or_default();
        let following = links.iter().find(|link| link["relation"] == "next");
        next = following
            .and_then(|link| link["url"].as_str())
            .and_then(|url| url.split_once("/fhir/"))
            .map(|(_, path)| path.to_owned());
    }
    found
}

/// Ids of our rows in the files of an export; `query` decides whether records are read one by one or many at once.
async fn exported(client: &Client, token: &str, query: &str) -> BTreeSet<String> {
    let bearer = format!("Bearer {token}");
    let headers = [("authorization", bearer.as_str()), ("prefer", "respond-async")];
    let get = |path: String| async move { client.send("GET", &path, &headers, String::new()).await };
    let path_of = |url: &str| url.strip_prefix(&client.origin).expect("our own address").to_owned();
    let begun = get(format!("/fhir/Patient/$export{query}")).await;
    begun.assert_status(202);
    let status = path_of(begun.header("content-location"));
    let mut reply = get(status.clone()).await;
    while reply.status == 202 {
        tokio::time::sleep(Duration::from_millis(100)).await;
        reply = get(status.clone()).await;
    }
    reply.assert_status(200);
    let mut found = BTreeSet::new();
    for file in reply.json()["output"].as_array().expect("files") {
        let taken = get(path_of(file["url"].as_str().expect("a URL"))).await;
        taken.assert_status(200);
        let resources = taken.text();
        let resources = resources
            .lines()
            .map(|line| serde_json::from_str::<Value>(line).expect("JSON"));
        let ids = resources.filter_map(|resource| resource["id"].as_str().map(str::to_owned));
        found.extend(ids.filter(|id| id.starts_with("rule-")));
    }
    found
}

#[tokio::test]
async fn every_way_out_lets_the_same_rows_leave() {
    let (payer, client) = TestPayer::start(2);
    let token = client.token(ALL_SCOPES).await;
    let (patient, _) = client.matched(&token, &payer.request(0, Variation::Exact)).await;
    let rows = rows();
    let counts = [
        format!("Observation?patient={patient}&_summary=count"),
        "Observation?_summary=count".to_owned(),
    ];
    let mut before = Vec::new();
    for sensitive in [0, 1] {
        let set = format!("UPDATE grants SET sensitive = {sensitive}");
        assert_eq!(diesel::sql_query(set).execute(&mut payer.db()).expect("an update"), 1);
        for path in &counts {
            before.push(counted(&client, &token, path).await);
        }
    }
    prepare(&payer, &patient, &rows);
    report_on(&payer, &patient, rows.len());
    for sensitive in [false, true] {
        // A busy machine needs longer for all of it than a token lives.
        let mut token = client.token(ALL_SCOPES).await;
        let set = format!("UPDATE grants SET sensitive = {}", i64::from(sensitive));
        assert_eq!(diesel::sql_query(set).execute(&mut payer.db()).expect("an update"), 1);
        let leave = (0..rows.len()).filter(|at| rows.get(*at).is_some_and(|row| row.leaves(sensitive)));
        let expected: BTreeSet<String> = leave.map(id).collect();
        assert!(!expected.is_empty() && expected.len() < rows.len());
        for path in [
            format!("Patient/{patient}/$everything"),
            format!("Patient/{patient}/$everything?_type=Observation&_count=100"),
            format!("Observation?patient={patient}&_count=20"),
            format!("Observation?patient={patient}&date=2025-03-03&_sort=-date&_count=100"),
            "Observation?_count=1000".to_owned(),
            "Observation?_sort=_lastUpdated&_count=1000".to_owned(),
            format!("Patient?_id={patient}&_revinclude=Observation:patient"),
            "DiagnosticReport?_id=of-rules&_include=DiagnosticReport:result".to_owned(),
            format!("DiagnosticReport?patient={patient}&_id=of-rules&_include=DiagnosticReport:result"),
        ] {
            let found = listed(&client, &token, &path).await;
            let wrong: Vec<(&String, Value)> = expected
                .symmetric_difference(&found)
                .map(|id| {
                    let at: usize = id.trim_start_matches("rule-").parse().expect("a number");
                    (id, format!("{:?}", rows.get(at)).into())
                })
                .collect();
            assert!(wrong.is_empty(), "sensitive {sensitive}, {path}: {wrong:?}");
        }
        for (path, before) in counts.iter().zip(&before[2 * usize::from(sensitive)..]) {
            assert_eq!(
                counted(&client, &token, path).await,
                before + expected.len(),
                "sensitive {sensitive}, {path}"
            );
        }
        for version in ["", "/_history/1"] {
            assert_eq!(
                read_in_batches(&client, &token, rows.len(), version).await,
                expected,
                "sensitive {sensitive}{version}"
            );
        }
        for query in ["?_type=Observation", ""] {
            assert_eq!(
                exported(&client, &token, query).await,
                expected,
                "sensitive {sensitive}, an export{query}"
            );
        }
        for at in 0..rows.len() {
            if at % 100 == 0 {
                token = client.token(ALL_SCOPES).await;
            }
            let status = if expected.contains(&id(at)) { 200 } else { 404 };
            // Each by its id, and some of every kind by their version too, all of which a batch has read.
            for version in ["", "/_history/1"].iter().take(1 + usize::from(at % 9 == 0)) {
                let path = format!("Observation/{}{version}", id(at));
                let read = client.get(&token, &path).await;
                assert_eq!(read.status, status, "sensitive {sensitive}, {path}: {:?}", rows.get(at));
            }
        }
    }
    // What is listed as withheld is what does not leave under a consent for regular data, and each reason has its sentence.
    let told = payer.json_command(&["records", "withheld", "--type", "Observation", "--member", &patient]);
    let listed = told["items"].as_array().expect("items").iter();
    let listed: BTreeSet<&str> = listed
        .filter_map(|item| item["id"].as_str())
        .filter(|id| id.starts_with("rule-"))
        .collect();
    let leave: BTreeSet<String> = (0..rows.len()).filter(|at| rows[*at].leaves(false)).map(id).collect();
    for at in 0..rows.len() {
        assert_eq!(
            listed.contains(id(at).as_str()),
            !leave.contains(&id(at)),
            "{:?}",
            rows.get(at)
        );
    }
    for count in told["counts"].as_array().expect("counts") {
        assert!(
            count["count"].as_u64() > Some(0) && count["meaning"].as_str() > Some(""),
            "{count}"
        );
    }
}

/// An authorization with this review action for this product.
fn authorization(patient: &str, id: &str, product: Value, action: &str) -> Value {
    let pdex = "http://hl7.org/fhir/us/davinci-pdex/StructureDefinition";
    json!({"resourceType": "ExplanationOfBenefit", "id": id, "meta": {"profile": [format!("{pdex}/pdex-priorauthorization")]},
        "status": "active", "use": "preauthorization", "patient": {"reference": format!("Patient/{patient}")},
        "type": {"coding": [{"system": "http://terminology.hl7.org/CodeSystem/claim-type", "code": "professional"}]},
        "created": "2025-05-01", "preAuthRefPeriod": [{"start": "2025-05-01", "end": "2099-12-31"}],
        "insurer": {"display": "plan"}, "provider": {"display": "clinic"}, "outcome": "complete",
        "insurance": [{"focal": true, "coverage": {"display": "plan"}}],
        "item": [{"sequence": 1, "productOrService": product, "adjudication": [{
            "category": {"coding": [{"system": "http://terminology.hl7.org/CodeSystem/adjudication", "code": "submitted"}]},
            "amount": {"value": 4711.5, "currency": "USD"},
            "extension": [{"url": format!("{pdex}/extension-reviewAction"), "extension": [{
                "url": format!("{pdex}/extension-reviewActionCode"), "valueCodeableConcept": {"coding": [
                    {"system": "https://codesystem.x12.org/005010/306", "code": action}]}}]}]}]}]})
}

fn product(system: &str, code: &str) -> Value {
    json!({"coding": [{"system": system, "code": code}]})
}

/// Resources of `patient`, and why each does not leave; no reason for what does.
fn spellings(patient: &str) -> Vec<(Value, &'static str)> {
    let cpt = || product("http://www.ama-assn.org/go/cpt", "99202");
    let pa = |id: &str, product: Value, action: &str| authorization(patient, id, product, action);
    let changed = |id: &str, change: &dyn Fn(&mut Value)| {
        let mut one = pa(id, cpt(), "A3");
        change(&mut one);
        one
    };
    let at_code = "/item/0/adjudication/0/extension/0/extension/0/valueCodeableConcept/coding/0";
    let reference = |id: &str, to: &str| {
        json!({"resourceType": "DocumentReference", "id": id, "status": "current",
            "subject": {"reference": format!("Patient/{patient}")}, "content": [{"attachment": {"title": "a letter"}}],
            "context": {"related": [{"reference": format!("ExplanationOfBenefit/{to}")}]}})
    };
    let provenance = |id: &str, targets: &[&str]| {
        let targets: Vec<Value> = targets
            .iter()
            .map(|to| json!({"reference": format!("ExplanationOfBenefit/{to}")}))
            .collect();
        json!({"resourceType": "Provenance", "id": id, "target": targets, "recorded": "2025-05-02T00:00:00Z",
            "agent": [{"who": {"display": "plan"}}]})
    };
    vec![
        (pa("rule-approved", cpt(), "A1"), ""),
        (pa("rule-pended", json!({"text": "therapy"}), "A4"), ""),
        (
            pa(
                "rule-modified",
                product("http://terminology.hl7.org/CodeSystem/HCPCS", "E0601"),
                "A6",
            ),
            "",
        ),
        (pa("rule-denied", cpt(), "A3"), "authorization-denied"),
        (pa("rule-contact", cpt(), "CT"), "authorization-unclear"),
        (
            changed("rule-no-system", &|one| {
                *one.pointer_mut(at_code).expect("a coding") = json!({"code": "A3"})
            }),
            "authorization-unclear",
        ),
        (
            changed("rule-display", &|one| {
                *one.pointer_mut(at_code).expect("a coding") = json!({"display": "A3"})
            }),
            "authorization-unclear",
        ),
        (
            changed("rule-as-claim", &|one| one["use"] = "claim".into()),
            "authorization-unclear",
        ),
        (
            pa("rule-ndc", product("urn:oid:2.16.840.1.113883.6.69", "00060277"), "A1"),
            "authorization-drug",
        ),
        (
            pa(
                "rule-j",
                product("https://bluebutton.cms.gov/resources/codesystem/hcpcs", "J0897"),
                "A1",
            ),
            "authorization-drug",
        ),
        (
            pa("rule-snomed", product("http://snomed.info/sct", "372687004"), "A1"),
            "authorization-service-unknown",
        ),
        (reference("rule-letter", "rule-denied"), "attached-to-withheld"),
        (reference("rule-lost", "rule-nowhere"), "attached-to-absent-claim"),
        (reference("rule-own-letter", "rule-approved"), ""),
        (provenance("rule-who", &["rule-denied"]), "attached-to-withheld"),
        (provenance("rule-who-else", &["rule-denied", "rule-approved"]), ""),
    ]
}

#[tokio::test]
async fn t_d08_what_is_not_recognized_leaves_by_no_way_out() {
    let (payer, client) = TestPayer::start(2);
    let token = client.token(ALL_SCOPES).await;
    let (patient, _) = client.matched(&token, &payer.request(0, Variation::Exact)).await;
    let all = spellings(&patient);
    let lines: Vec<String> = all.iter().map(|(one, _)| one.to_string()).collect();
    std::fs::write(payer.home().join("spellings.ndjson"), lines.join("\n")).expect("a file");
    let report = payer.json_command(&["import", "spellings.ndjson"]);
    assert_eq!(report["stored"], all.len(), "{report}");
    let mut expected: BTreeMap<&str, u64> = BTreeMap::new();
    for (_, reason) in all.iter().filter(|(_, reason)| !reason.is_empty()) {
        *expected.entry(reason).or_default() += 1;
    }
    assert_eq!(report["withheld"], json!(expected), "the import tells them by reason");
    let told = payer.json_command(&["records", "withheld", "--member", &patient]);
    for (one, reason) in &all {
        let items = told["items"].as_array().expect("items").iter();
        let reasons: Vec<&str> = items
            .filter(|item| item["id"] == one["id"])
            .filter_map(|item| item["reason"].as_str())
            .collect();
        assert_eq!(
            reasons,
            if reason.is_empty() { vec![] } else { vec![*reason] },
            "{}",
            one["id"]
        );
    }
    let leave = |rtype: Option<&str>| -> BTreeSet<String> {
        let of_type = all
            .iter()
            .filter(|(one, _)| rtype.is_none_or(|rtype| one["resourceType"] == rtype));
        let ids = of_type
            .filter(|(_, reason)| reason.is_empty())
            .filter_map(|(one, _)| one["id"].as_str());
        ids.map(str::to_owned).collect()
    };
    let found = listed(&client, &token, &format!("Patient/{patient}/$everything")).await;
    assert_eq!(found, leave(None));
    for rtype in ["ExplanationOfBenefit", "DocumentReference", "Provenance"] {
        // A Provenance names its targets, and no patient.
        let one = if rtype == "Provenance" {
            format!("{rtype}?_count=50")
        } else {
            format!("{rtype}?patient={patient}&_count=50")
        };
        for path in [one, format!("{rtype}?_count=1000")] {
            assert_eq!(listed(&client, &token, &path).await, leave(Some(rtype)), "{path}");
        }
    }
    let by_target = listed(&client, &token, "Provenance?target=ExplanationOfBenefit/rule-denied").await;
    assert!(by_target.is_empty(), "no search finds what was cut: {by_target:?}");
    for (one, reason) in &all {
        let (rtype, id) = (
            one["resourceType"].as_str().expect("a type"),
            one["id"].as_str().expect("an id"),
        );
        let read = client.get(&token, &format!("{rtype}/{id}")).await;
        assert_eq!(read.status, if reason.is_empty() { 200 } else { 404 }, "{rtype}/{id}");
        if reason.is_empty() {
            let text = read.json().to_string();
            assert!(!text.contains("4711") && !text.contains("rule-denied"), "{text}");
        }
    }
}
