//! `causeway bench fill`: the same seed fills with the same entries, all in the tree and signed, and people find in them what they look for.

use crate::support::payer::program;
use crate::support::postgres;
use crate::support::store::{connect, on_postgres};
use causeway::store::StoreUrl;
use diesel::prelude::*;
use diesel::sql_types::{Binary, Text};
use serde_json::Value;
use std::path::{Path, PathBuf};
use std::process::Output;

const ENTRIES: i64 = 600;
const EXCHANGES: i64 = 20;
/// Everything that is filled in was before 2025, UTC microseconds; what commands write comes later.
const FILLED: &str = "at_us < 1735689600000000";

#[derive(QueryableByName, PartialEq, Eq, Debug)]
struct Filled {
    #[diesel(sql_type = Text)]
    id: String,
    #[diesel(sql_type = Binary)]
    entry: Vec<u8>,
    #[diesel(sql_type = Binary)]
    subject_salt: Vec<u8>,
}

#[derive(QueryableByName)]
struct Found {
    #[diesel(sql_type = Text)]
    text: String,
}

/// A folder that was filled.
struct FilledFolder {
    _parent: tempfile::TempDir,
    folder: PathBuf,
    url: StoreUrl,
}

impl FilledFolder {
    fn with(seed: &str) -> FilledFolder {
        let parent = tempfile::tempdir().expect("a folder");
        let folder = parent.path().join("filled");
        let database = on_postgres().then(postgres::fresh_database);
        let done = fill(parent.path(), seed, database.as_deref());
        let said = String::from_utf8_lossy(&done.stdout);
        assert!(done.status.success(), "{said}{}", String::from_utf8_lossy(&done.stderr));
        let told: Value = serde_json::from_slice(&done.stdout).expect("JSON");
        let figure = &told["measures"][0];
        assert_eq!(
            (figure["name"].as_str(), figure["rows"].as_i64()),
            (Some("fill"), Some(ENTRIES)),
            "{told}"
        );
        let url = database.unwrap_or_else(|| format!("sqlite:{}", folder.join("causeway.db").display()));
        FilledFolder {
            _parent: parent,
            folder,
            url: StoreUrl::parse(&url).expect("a URL"),
        }
    }

    fn entries(&self) -> Vec<Filled> {
        let query = format!("SELECT id, entry, subject_salt FROM ledger_entry WHERE {FILLED} ORDER BY id");
        diesel::sql_query(query).load(&mut connect(&self.url)).expect("rows")
    }

    fn text(&self, query: &str) -> String {
        let found: Found = diesel::sql_query(query)
            .get_result(&mut connect(&self.url))
            .expect(query);
        found.text
    }

    #[track_caller]
    fn command(&self, arguments: &[&str]) -> Value {
        let mut command = program(&self.folder);
        let done = command.args(arguments).arg("--json").output().expect("it runs");
        let said = String::from_utf8_lossy(&done.stderr);
        assert!(done.status.success(), "{arguments:?}: {said}");
        serde_json::from_slice(&done.stdout).expect("JSON")
    }
}

fn fill(home: &Path, seed: &str, database: Option<&str>) -> Output {
    let (entries, exchanges) = (ENTRIES.to_string(), EXCHANGES.to_string());
    let mut command = program(home);
    command.args(["bench", "fill", "--data", "filled", "--members", "12", "--json"]);
    command.args(["--entries", &entries, "--exchanges", &exchanges, "--seed", seed]);
    if let Some(url) = database {
        command.args(["--store-url", url]);
    }
    command.output().expect("it runs")
}

#[test]
fn the_same_seed_fills_with_the_same_entries_and_another_with_others() {
    let (one, same, other) = (
        FilledFolder::with("5"),
        FilledFolder::with("5"),
        FilledFolder::with("6"),
    );
    let entries = one.entries();
    assert_eq!(entries.len() as i64, ENTRIES);
    assert!(entries == same.entries(), "the same seed gave other entries");
    assert!(entries != other.entries());
}

#[test]
fn what_is_filled_in_is_signed_and_found_by_those_who_ask_why() {
    let filled = FilledFolder::with("7");
    let verified = filled.command(&["audit", "verify"]);
    assert_eq!(
        (verified["result"].as_str(), verified["waiting"].as_i64()),
        (Some("ok"), Some(0)),
        "{verified}"
    );
    assert!(verified["checkpoint"].as_i64() >= Some(ENTRIES), "{verified}");

    let id = filled.text("SELECT id AS text FROM exchange WHERE phase = 'completed' ORDER BY id LIMIT 1");
    let shown = filled.command(&["exchange", "show", &id]);
    assert_eq!(shown["phase"], "completed", "{shown}");
    assert!(
        shown["steps"].as_array().is_some_and(|steps| steps.len() >= 5),
        "{shown}"
    );
    let traced = filled.command(&["trace", &id]);
    let actions: Vec<&str> = traced
        .as_array()
        .expect("a list")
        .iter()
        .filter_map(|item| item["action"].as_str())
        .collect();
    assert_eq!(
        (actions.first(), actions.last()),
        (Some(&"opt-in.recorded"), Some(&"exchange.acknowledged")),
        "{traced}"
    );

    let query = format!(
        "SELECT correlation_id AS text FROM ledger_entry WHERE {FILLED} AND action = 'member-match.matched' ORDER BY id LIMIT 1"
    );
    let traced = filled.command(&["trace", &filled.text(&query)]);
    let matched = traced
        .as_array()
        .expect("a list")
        .iter()
        .find(|item| item["action"] == "member-match.matched");
    assert!(matched.is_some_and(|item| item["decision_id"].is_string()), "{traced}");

    let query = format!(
        "SELECT subject AS text FROM ledger_entry WHERE {FILLED} AND action = 'disclosure.begun' ORDER BY id LIMIT 1"
    );
    let member = format!("Patient/{}", filled.text(&query));
    let told = filled.command(&["disclosures", "--member", &member]);
    let told = told.as_array().expect("a list");
    assert!(!told.is_empty());
    for one in told {
        assert_eq!(one["outcome"], "completed", "{one}");
        for under in ["consent_id", "grant_id", "decision_id"] {
            assert!(one[under].is_string(), "{under}: {one}");
        }
    }
}

#[test]
fn what_cannot_be_filled_is_refused_and_stays_as_it_is() {
    let home = tempfile::tempdir().expect("a folder");
    let refused = |arguments: &[&str]| {
        let done = program(home.path()).args(arguments).output().expect("it runs");
        (done.status.code(), String::from_utf8_lossy(&done.stderr).into_owned())
    };
    for (arguments, code, place) in [
        (&["bench", "fill"][..], 2, "--data"),
        (&["bench", "match", "--data", "x"], 2, "--data"),
        (
            &["bench", "fill", "--data", "x", "--entries", "100", "--exchanges", "50"],
            2,
            "--exchanges",
        ),
        (&["bench", "ledger", "--data", "x"], 3, "bench.json"),
    ] {
        let (exit, said) = refused(arguments);
        assert_eq!(exit, Some(code), "{arguments:?}: {said}");
        assert!(said.contains(place), "{arguments:?}: {said}");
        assert!(!home.path().join("x").exists(), "{arguments:?}");
    }
    std::fs::create_dir(home.path().join("used")).expect("made");
    std::fs::write(home.path().join("used/causeway.toml"), "mine").expect("written");
    let (exit, said) = refused(&["bench", "fill", "--data", "used", "--entries", "100"]);
    assert_eq!(exit, Some(3), "{said}");
    assert_eq!(
        std::fs::read(home.path().join("used/causeway.toml")).expect("a file"),
        b"mine"
    );
}
