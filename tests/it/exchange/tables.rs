//! The tables of exchanges as users see them.

use crate::support::payer::{is_optimised, program};
use causeway::audit::Action;
use causeway::exchange::failpoints;
use causeway::exchange::moves::MOVES;
use causeway::exchange::step_table::STEP_RULES;
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

#[test]
fn every_move_names_a_heading_of_the_runbook() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/operators/exchanges.md");
    let page = std::fs::read_to_string(path).expect("the page");
    let headings: BTreeSet<String> = page
        .lines()
        .filter_map(|line| line.strip_prefix("## "))
        .map(|heading| heading.to_lowercase().replace(' ', "-"))
        .collect();
    for one in MOVES {
        assert!(headings.contains(one.runbook), "{} of {:?}", one.runbook, one.event);
    }
}

#[test]
fn every_action_of_exchanges_is_on_the_page_for_auditors() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/auditors/exchanges.md");
    let page = std::fs::read_to_string(path).expect("the page");
    let named: BTreeSet<&str> = page.split('`').filter(|word| word.contains('.')).collect();
    let is_about_exchanges = |code: &&str| code.starts_with("exchange.") || code.starts_with("opt-in.");
    let actions = Action::ALL.iter().map(|action| action.code());
    let unnamed: Vec<&str> = actions
        .filter(is_about_exchanges)
        .filter(|code| !named.contains(code))
        .collect();
    assert!(unnamed.is_empty(), "{unnamed:?}");
}

#[test]
fn the_runbook_says_of_each_step_why_it_may_run_again() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/operators/exchanges.md");
    let page = std::fs::read_to_string(path).expect("the page");
    let (_, section) = page.split_once("\n## Run again\n").expect("the section");
    let section = section.split("\n## ").next().unwrap_or_default();
    let rows: Vec<&str> = section.lines().filter(|line| line.starts_with("| `")).collect();
    let wanted: Vec<String> = STEP_RULES
        .iter()
        .map(|rule| {
            format!(
                "| `{}` | {} | {} |",
                rule.step.code(),
                rule.safe_because,
                rule.compensation
            )
        })
        .collect();
    assert_eq!(
        rows,
        wanted,
        "the table is that of `causeway states`:\n{}",
        wanted.join("\n")
    );
}

#[test]
fn every_test_that_the_page_of_requirements_names_exists() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let page = std::fs::read_to_string(root.join("docs/contributors/exchange-tests.md")).expect("the page");
    let mut named = 0;
    for row in page.lines().filter(|line| line.starts_with("| ")) {
        let cell = row.trim_end_matches('|').rsplit('|').next().unwrap_or_default();
        let (mut path, mut text) = ("", String::new());
        for word in cell.split('`').skip(1).step_by(2) {
            if word.contains('/') {
                path = word;
                text =
                    std::fs::read_to_string(root.join(path)).unwrap_or_else(|_| panic!("{path} is not there: {row}"));
            } else {
                named += 1;
                assert!(text.contains(&format!("fn {word}(")), "{path} has no {word}");
            }
        }
    }
    assert!(named > 60, "{named}");
}

/// The files below this folder.
fn files(folder: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(folder).expect("a folder");
    entries
        .flat_map(|entry| {
            let path = entry.expect("an entry").path();
            if path.is_dir() { files(&path) } else { vec![path] }
        })
        .collect()
}

#[test]
fn every_point_at_which_an_exchange_can_die_is_in_the_lists_that_the_tests_of_kills_walk() {
    let listed: Vec<String> = [
        failpoints::all(),
        failpoints::of_taking_back(),
        failpoints::of_asking_again(),
    ]
    .concat();
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut passed = 0;
    for folder in ["exchange", "jobs", "records/ingest", "cli"] {
        for file in files(&source.join(folder)) {
            let text = std::fs::read_to_string(&file).expect("a source file");
            for call in text.split("failpoint::pass(").skip(1) {
                let call = call.split(");").next().unwrap_or_default();
                let (whole, point) = call.rsplit_once(", ").expect("two arguments");
                // A point is written as a text, or as a constant whose name is its text in capitals.
                let point = point.rsplit("::").next().unwrap_or_default();
                let point = point.trim_matches('"').to_lowercase().replace('_', "-");
                let whole = whole.trim_matches('"');
                passed += 1;
                let is_listed = listed.iter().any(|name| match whole {
                    "ingest" => *name == format!("ingest.{point}"),
                    _ => name.ends_with(&format!(".{point}")),
                });
                assert!(is_listed, "{}: {call}", file.display());
            }
        }
    }
    assert!(passed > 20, "{passed}");
}

#[test]
fn the_states_are_printed_as_tables_as_json_and_as_diagrams() {
    let folder = tempfile::tempdir().expect("a folder");
    let printed = |arguments: &[&str]| {
        let output = program(folder.path()).args(arguments).output().expect("it runs");
        assert!(output.status.success(), "{arguments:?}");
        String::from_utf8(output.stdout).expect("text")
    };
    assert!(printed(&["states"]).contains("SAFE TO REPEAT BECAUSE"));
    assert!(printed(&["states", "--dot"]).starts_with("digraph exchange {"));
    assert!(printed(&["states", "--mermaid"]).starts_with("stateDiagram-v2\n  [*] --> requested"));
    let json: serde_json::Value = serde_json::from_str(&printed(&["states", "--json"])).expect("JSON");
    assert_eq!(json["moves"].as_array().map(Vec::len), Some(MOVES.len()));
    for owner in ["retried_by", "escalated_by", "evidence_by", "final_status_by"] {
        assert!(json["moves"][0].get(owner).is_some(), "{owner}");
    }
}

#[test]
fn the_program_lists_every_point_at_which_it_can_die_and_a_release_build_has_none() {
    let folder = tempfile::tempdir().expect("a folder");
    let printed = |arguments: &[&str]| {
        let output = program(folder.path()).args(arguments).output().expect("it runs");
        assert!(output.status.success(), "{arguments:?}");
        String::from_utf8(output.stdout).expect("text")
    };
    let (said, listed) = (printed(&["failpoints"]), printed(&["failpoints", "--list"]));
    let json: serde_json::Value = serde_json::from_str(&printed(&["failpoints", "--list", "--json"])).expect("JSON");
    if is_optimised() {
        assert_eq!(
            (said.as_str(), listed.as_str()),
            ("failpoints: no\n", "failpoints: no\n")
        );
        assert_eq!(json, serde_json::json!({"failpoints": false, "points": []}));
        return;
    }
    assert_eq!(said, "failpoints: yes\n");
    let names: BTreeSet<&str> = listed.lines().collect();
    assert_eq!(names.len(), listed.lines().count(), "each once");
    assert_eq!(json["points"].as_array().map(Vec::len), Some(names.len()));
    for walked in [
        failpoints::all(),
        failpoints::of_taking_back(),
        failpoints::of_asking_again(),
    ]
    .concat()
    {
        assert!(names.contains(walked.as_str()), "{walked}");
    }
    // Every point that the program passes under names of its own.
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let texts: Vec<String> = files(&source)
        .iter()
        .map(|file| std::fs::read_to_string(file).expect("a source file"))
        .collect();
    let mut passed = 0;
    for text in &texts {
        for call in text.split("failpoint::pass(\"").skip(1) {
            let (whole, rest) = call.split_once("\", \"").unwrap_or((call, ""));
            let Some((point, _)) = rest.split_once('"').filter(|_| !whole.contains('\n')) else {
                continue;
            };
            passed += 1;
            assert!(names.contains(format!("{whole}.{point}").as_str()), "{whole}.{point}");
        }
        for call in text.split("failpoint::around(").skip(1) {
            let whole = call.split(',').next().unwrap_or_default().trim().to_lowercase();
            passed += 1;
            for point in ["before", "after"] {
                assert!(names.contains(format!("{whole}.{point}").as_str()), "{whole}.{point}");
            }
        }
    }
    assert!(passed > 15, "{passed}");
    // Every kind of work has the points of its job.
    let names_of_kinds = texts
        .iter()
        .flat_map(|text| text.split("WorkKind = WorkKind {\n    name: \"").skip(1));
    for kind in names_of_kinds.filter_map(|rest| rest.split('"').next()) {
        assert!(names.contains(format!("{kind}.claimed").as_str()), "{kind}");
    }
}
