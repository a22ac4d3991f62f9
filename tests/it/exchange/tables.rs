//! The tables of exchanges as users see them.

use crate::support::payer::program;
use causeway::audit::Action;
use causeway::exchange::moves::MOVES;
use std::collections::BTreeSet;
use std::path::Path;

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
