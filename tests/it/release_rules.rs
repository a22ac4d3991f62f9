//! Every combination of what a row can be and what a grant can cover, against the rule written down once more: a read, a search,
//! the whole record and a search over all members let the same rows leave.

use crate::support::client::{ALL_SCOPES, Client};
use crate::support::payer::TestPayer;
use causeway::synth::Variation;
use diesel::prelude::*;
use serde_json::{Value, json};
use std::collections::BTreeSet;

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
    for sensitivity in [0, 1, 1 << 5, 1 << 59, 1 << 61, 1 << 62] {
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

#[tokio::test]
async fn every_way_out_lets_the_same_rows_leave() {
    let (payer, client) = TestPayer::start(2);
    let token = client.token(ALL_SCOPES).await;
    let (patient, _) = client.matched(&token, &payer.request(0, Variation::Exact)).await;
    let rows = rows();
    prepare(&payer, &patient, &rows);
    for sensitive in [false, true] {
        let set = format!("UPDATE grants SET sensitive = {}", i64::from(sensitive));
        assert_eq!(diesel::sql_query(set).execute(&mut payer.db()).expect("an update"), 1);
        let leave = (0..rows.len()).filter(|at| rows.get(*at).is_some_and(|row| row.leaves(sensitive)));
        let expected: BTreeSet<String> = leave.map(id).collect();
        assert!(!expected.is_empty() && expected.len() < rows.len());
        for path in [
            format!("Patient/{patient}/$everything"),
            format!("Observation?patient={patient}&_count=20"),
            "Observation?_count=1000".to_owned(),
            format!("Patient?_id={patient}&_revinclude=Observation:patient"),
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
        for at in 0..rows.len() {
            let read = client.get(&token, &format!("Observation/{}", id(at))).await;
            let status = if expected.contains(&id(at)) { 200 } else { 404 };
            assert_eq!(read.status, status, "sensitive {sensitive}: {:?}", rows.get(at));
        }
    }
}
