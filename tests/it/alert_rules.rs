//! The files under `deploy/` and the page of alerts say what the table of alerts says, and name only families that there are.
//!
//! Whether the rules are right is tried by `promtool` (`.ci/run alerts`).

use causeway::ops::alerts::table::ALERTS;
use causeway::telemetry::metrics::{FAMILIES, MetricKind};
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

const RULES: &str = "deploy/prometheus/causeway.rules.yml";
const INCIDENTS: &str = "deploy/prometheus/causeway.rules.test.yml";
const DASHBOARD: &str = "deploy/grafana/causeway.json";

fn read(name: &str) -> String {
    std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(name))
        .unwrap_or_else(|error| panic!("{name}: {error}"))
}

/// The names in an expression that are those of metrics of ours or of a process.
fn named(expression: &str) -> BTreeSet<String> {
    let words = expression.split(|c: char| !(c.is_ascii_alphanumeric() || c == '_'));
    words
        .filter(|word| word.starts_with("causeway_") || word.starts_with("process_"))
        .map(str::to_owned)
        .collect()
}

/// The family that a series with this name belongs to.
fn family(series: &str) -> Option<&'static str> {
    let found = FAMILIES.iter().find(|family| match family.kind {
        MetricKind::Histogram => ["_bucket", "_sum", "_count"]
            .iter()
            .any(|end| series.strip_suffix(*end) == Some(family.name)),
        _ => family.name == series,
    });
    found.map(|family| family.name)
}

#[track_caller]
fn families(expression: &str) -> BTreeSet<&'static str> {
    let names = named(expression);
    names
        .iter()
        .map(|name| family(name).unwrap_or_else(|| panic!("{name} is no family of the table: {expression}")))
        .collect()
}

/// One rule as it is written: its expression, and the values under the other keys.
struct Rule {
    expression: String,
    values: BTreeMap<String, String>,
}

/// The rules by their names. The file is ours, with one key on each line and expressions that stand deeper than their key.
fn rules() -> BTreeMap<String, Rule> {
    let text = read(RULES);
    let mut found = BTreeMap::new();
    for block in text.split("      - alert: ").skip(1) {
        let (name, rest) = block.split_once('\n').expect("a name");
        let (expression, rest) = rest.split_once("        labels:\n").expect("labels");
        let expression = expression.trim_start().strip_prefix("expr:").expect("an expression");
        let values = rest.lines().filter_map(|line| line.trim().split_once(": "));
        let values = values.map(|(key, value)| (key.to_owned(), value.trim_matches('"').to_owned()));
        let rule = Rule {
            expression: expression.to_owned(),
            values: values.collect(),
        };
        assert!(found.insert(name.to_owned(), rule).is_none(), "{name} twice");
    }
    found
}

#[test]
fn every_alert_has_a_rule_and_every_rule_an_alert() {
    let rules = rules();
    let wanted: BTreeSet<&str> = ALERTS.iter().map(|alert| alert.rule).collect();
    assert_eq!(rules.keys().map(String::as_str).collect::<BTreeSet<_>>(), wanted);
    for alert in ALERTS {
        let rule = &rules[alert.rule];
        let of = |key: &str| rule.values.get(key).map_or("", String::as_str);
        let page = format!("docs/operators/alerts.md#{}", alert.code);
        for (key, value) in [
            ("code", alert.code),
            ("severity", alert.severity.code()),
            ("owner", alert.owner.code()),
            ("within", alert.within.code()),
            ("summary", alert.meaning),
            ("runbook", page.as_str()),
        ] {
            assert_eq!(of(key), value, "{key} of {}", alert.rule);
        }
        let judged_by: BTreeSet<&str> = alert.families.iter().copied().collect();
        assert_eq!(families(&rule.expression), judged_by, "{}", alert.rule);
    }
}

#[test]
fn every_rule_has_an_incident_and_a_quiet_time() {
    let text = read(INCIDENTS);
    let incidents: Vec<&str> = text.split("  - name: ").skip(1).collect();
    assert!(incidents[0].starts_with("quiet\n") && !incidents[0].contains("alertname=\"Causeway"));
    for incident in &incidents {
        let quiet = incident.matches("exp_samples: []").count() + incident.matches("*none_at_first").count();
        assert!(quiet >= 1, "{incident}");
        families(incident);
    }
    for alert in ALERTS {
        let own = format!("alertname=\"{}\"", alert.rule);
        let of_it = incidents.iter().filter(|incident| incident.contains(&own));
        let clears = of_it
            .filter(|incident| incident.matches("exp_samples: []").count() >= 1)
            .count();
        assert!(clears >= 1, "no incident raises {} and clears", alert.rule);
    }
}

#[test]
fn the_dashboard_names_only_families_of_the_table() {
    let dashboard: Value = serde_json::from_str(&read(DASHBOARD)).expect("JSON");
    let panels = dashboard["panels"].as_array().expect("panels");
    let (mut ids, mut shown) = (BTreeSet::new(), BTreeSet::new());
    for panel in panels {
        assert!(ids.insert(panel["id"].as_u64().expect("an id")), "an id twice");
        for target in panel["targets"].as_array().into_iter().flatten() {
            let expression = target["expr"].as_str().expect("an expression");
            let found = families(expression);
            assert!(!found.is_empty(), "{expression}");
            shown.extend(found);
        }
    }
    for name in [
        "causeway_alerts_raised",
        "causeway_jobs_late_seconds",
        "causeway_http_seconds",
    ] {
        assert!(shown.contains(name), "{name} is not shown");
    }
}

/// The section of the page about one alert.
fn section(alert: &causeway::ops::alerts::table::Alert) -> String {
    let steps: Vec<String> = (1..)
        .zip(alert.steps)
        .map(|(number, step)| format!("{number}. {step}\n"))
        .collect();
    format!(
        "### {}\n\n{}\n\n- Raised when: {}\n- Window: {}. Judged by: {}.\n- Severity {}, owner {}, to act within: {}.\n\n{}",
        alert.code,
        alert.meaning,
        alert.condition,
        alert.window,
        alert.figures,
        alert.severity.code(),
        alert.owner.code(),
        alert.within.code(),
        steps.concat()
    )
}

#[test]
fn the_page_of_alerts_has_each_with_its_steps() {
    let page = read("docs/operators/alerts.md");
    let sections: Vec<String> = ALERTS.iter().map(section).collect();
    let wanted = sections.join("\n");
    assert!(
        page.contains(&wanted),
        "docs/operators/alerts.md does not hold:\n{wanted}"
    );
}
