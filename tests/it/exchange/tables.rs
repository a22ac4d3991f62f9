//! The tables of exchanges as users see them.

use crate::support::payer::program;
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
