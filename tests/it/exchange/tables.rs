//! The tables of exchanges as users see them.

use crate::support::payer::program;
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
