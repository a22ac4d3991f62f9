//! `causeway slo`, `/ops/v1/slo`, and the policy that says what is promised: shown, imported, put in force; and what is refused.

use crate::support::desk::Desk;
use crate::support::payer::TestPayer;
use causeway::error::Fault;
use serde_json::{Value, json};

const OBJECTIVES: [&str; 5] = ["business-day", "week", "quarterly", "acknowledgement", "availability"];

/// The text of the policy that ships.
fn shipped(payer: &TestPayer) -> String {
    let shown = payer.json_command(&["policy", "show", "default", "--kind", "slo"]);
    shown["text"].as_str().expect("a text").to_owned()
}

/// The text with this in place of that.
fn with(text: &str, from: &str, to: &str) -> String {
    let changed = text.replacen(from, to, 1);
    assert_ne!(changed, text, "{from} is not in {text}");
    changed
}

fn import(payer: &TestPayer, name: &str, text: &str) -> std::process::Output {
    std::fs::write(payer.home().join("slo.txt"), text).expect("a file");
    let import = ["policy", "import", "slo.txt", "--kind", "slo", "--name", name];
    payer.command(&[&import[..], &["--reason", "a test", "--json"]].concat())
}

#[tokio::test]
async fn what_is_promised_is_shown_and_changed_by_a_policy() {
    let (payer, client) = TestPayer::start(2);
    let shown = payer.command(&["slo", "--json"]);
    let shown: Value = serde_json::from_slice(&shown.stdout).expect("JSON");
    let items = shown["items"].as_array().expect("items");
    let codes: Vec<&str> = items.iter().filter_map(|item| item["objective"].as_str()).collect();
    assert_eq!(codes, OBJECTIVES);
    assert_eq!(
        (
            &items[0]["target_percent"],
            &items[0]["window_days"],
            &items[0]["state"]
        ),
        (&json!("99"), &json!(28), &json!("no-data")),
        "{shown}"
    );
    assert!(
        shown["policy"]
            .as_str()
            .is_some_and(|policy| policy.starts_with("default-")),
        "{shown}"
    );
    let only = payer.json_command(&["slo", "week"]);
    assert_eq!(only["items"].as_array().map(Vec::len), Some(1));
    let table = payer.command(&["slo"]);
    let table = String::from_utf8_lossy(&table.stdout).into_owned();
    assert!(OBJECTIVES.iter().all(|code| table.contains(code)), "{table}");

    let strict = with(
        &shipped(&payer),
        "week.target_percent = 99\n",
        "week.target_percent = 99.95\n",
    );
    let imported = import(&payer, "strict", &strict);
    assert_eq!(
        imported.status.code(),
        Some(0),
        "{}",
        String::from_utf8_lossy(&imported.stderr)
    );
    payer.json_command(&["policy", "activate", "strict", "--kind", "slo", "--reason", "a test"]);
    for role in ["support", "operator", "auditor"] {
        let found = Desk::of(&payer, &client, role).get("slo").await.json();
        assert!(
            found["policy"]
                .as_str()
                .is_some_and(|policy| policy.starts_with("strict-")),
            "{found}"
        );
        assert_eq!(found["items"][1]["target_percent"], "99.95");
    }
    for role in ["reviewer", "admin"] {
        Desk::of(&payer, &client, role).get("slo").await.assert_status(403);
    }
}

#[test]
fn a_policy_that_promises_too_much_or_for_no_time_is_refused() {
    let (payer, _) = TestPayer::prepare(1);
    let ships = shipped(&payer);
    for (from, to, line) in [
        ("week.target_percent = 99\n", "week.target_percent = 100.5\n", "line 4"),
        ("week.target_percent = 99\n", "week.target_percent = 0\n", "line 4"),
        ("week.window_days = 28\n", "week.window_days = 0\n", "line 5"),
        ("week.window_days = 28\n", "week.window_days = 3653\n", "line 5"),
        ("week.window_days = 28\n", "", "line 0"),
        ("slo 1\n", "slo 1\nweather.target_percent = 50\n", "line 2"),
    ] {
        let refused = import(&payer, "odd", &with(&ships, from, to));
        let said = String::from_utf8_lossy(&refused.stderr).into_owned();
        assert_eq!(refused.status.code(), Some(2), "{to}: {said}");
        assert!(said.contains("PO-001") && said.contains(line), "{to}: {said}");
    }
    assert_eq!(payer.count("policy_version WHERE name = 'odd'"), 0);
    let unknown = payer.command(&["slo", "weather"]);
    assert_eq!(unknown.status.code(), Some(2));
    let said = String::from_utf8_lossy(&unknown.stderr).into_owned();
    assert!(said.contains("business-day"), "{said}");
}

#[tokio::test]
async fn scorecards_are_tables_files_and_pages_and_ten_years_are_refused() {
    let (payer, client) = TestPayer::start(2);
    let written = [
        "scorecard",
        "new-payer",
        "--period",
        "quarter",
        "--csv",
        "card.csv",
        "--html",
        "card.html",
    ];
    let card = payer.json_command(&written);
    assert_eq!(
        (&card["partner"], &card["is_over"]),
        (&json!("new-payer"), &json!(false))
    );
    let csv = std::fs::read_to_string(payer.home().join("card.csv")).expect("a file");
    assert_eq!(csv.lines().count(), 3, "{csv}");
    let page = std::fs::read_to_string(payer.home().join("card.html")).expect("a file");
    assert!(page.contains("<svg") && !page.contains("<script"), "{page}");
    let whole = payer.json_command(&["scorecard"]);
    assert_eq!(whole["card"]["partner"], "(all)");
    for (arguments, code) in [
        (vec!["scorecard", "nobody"], 1),
        (vec!["scorecard", "new-payer", "--period", "2016-01/2026-01"], 2),
        (vec!["scorecard", "new-payer", "--period", "10 years"], 2),
        (vec!["scorecard", "--period", "2999-01", "--csv", "never.csv"], 2),
        (vec!["scorecard", "new-payer", "--csv", "card.csv"], 3),
    ] {
        let output = payer.command(&arguments);
        let said = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(code), "{arguments:?}: {said}");
    }
    assert!(!payer.home().join("never.csv").exists(), "what failed leaves no file");

    let desk = Desk::of(&payer, &client, "operator");
    for path in ["scorecards/new-payer/page", "service/page?period=week"] {
        let page = desk.get(path).await;
        page.assert_status(200);
        assert_eq!(page.header("content-type"), "text/html; charset=utf-8");
        let policy = page.header("content-security-policy");
        assert!(policy.starts_with("default-src 'none'"), "{policy}");
        assert!(page.text().contains("<svg"), "{path}");
    }
    assert_eq!(
        desk.get("scorecards/new-payer?period=week").await.json()["partner"],
        "new-payer"
    );
    desk.get("scorecards/nobody")
        .await
        .assert_status(Fault::PartnerUnknown.row().http);
    for wrong in ["2016/2026", "P10Y", "2999-01"] {
        let refused = desk.get(&format!("service?period={wrong}")).await;
        refused.assert_status(Fault::ParameterInvalid.row().http);
    }
}
