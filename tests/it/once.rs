//! Which modules of tests run on one store only: `once.txt`. `.ci/run` leaves them out on PostgreSQL, since what cannot know which store a
//! run is on has done the same on SQLite.
//!
//! One file reads the variable that names the store. A module may be in the list when no use leads from its files to that one, and when its
//! name leaves out no other module: the test program leaves out whatever holds the name.

use crate::circles::read;
use crate::circles::source::{Files, Program};
use std::collections::{BTreeMap, BTreeSet};

const LIST: &str = include_str!("once.txt");
/// What names the store, as code has it.
const VARIABLE: &str = concat!('"', "CAUSEWAY_TEST_STORE", '"');
/// The one file that reads it.
const READER: &str = "tests/it/support/store.rs";

/// The files of the tests; the root is named as that of a library.
fn files() -> Files {
    let mut files = Files::new();
    read("tests/it", &mut files);
    let root = files.remove("tests/it/main.rs").expect("the root");
    files.insert("tests/it/lib.rs".to_owned(), root);
    files
}

/// The module that a file is.
fn module(file: &str) -> String {
    let name = file.trim_start_matches("tests/it/").trim_end_matches(".rs");
    name.trim_end_matches("/mod").replace('/', "::")
}

/// Whether a file is this module, or stands in it.
fn is_within(file: &str, name: &str) -> bool {
    let module = module(file);
    module == name || module.strip_prefix(name).is_some_and(|rest| rest.starts_with("::"))
}

/// Every file that is reached from these, and they themselves.
fn reached<'a>(uses: &BTreeMap<&'a str, BTreeMap<&'a str, String>>, from: Vec<&'a str>) -> BTreeSet<&'a str> {
    let (mut found, mut left) = (BTreeSet::new(), from);
    while let Some(file) = left.pop() {
        if found.insert(file) {
            left.extend(uses.get(file).into_iter().flat_map(BTreeMap::keys).copied());
        }
    }
    found
}

#[test]
fn what_runs_once_cannot_know_which_store_it_is() {
    let files = files();
    let mut program = Program::default();
    program.add("it", "tests/it", &files);
    let uses = program.uses();
    let leads = |file: &&String| reached(&uses, vec![file.as_str()]).contains(READER);
    let leading = files.keys().filter(leads).count();
    assert!(leading > 100, "only {leading} files lead to {READER}");

    let mut wrong = Vec::new();
    for name in LIST.lines() {
        let own: Vec<&str> = files
            .keys()
            .map(String::as_str)
            .filter(|file| is_within(file, name))
            .collect();
        if own.is_empty() {
            wrong.push(format!("{name} is no module"));
        }
        if reached(&uses, own).contains(READER) {
            wrong.push(format!("{name} uses {READER}, directly or by way of others"));
        }
        let skipped = format!("{name}::");
        let others = files.keys().filter(|file| !is_within(file, name));
        for other in others.filter(|file| format!("{}::", module(file)).contains(&skipped)) {
            wrong.push(format!("who leaves out {skipped} leaves out {other}"));
        }
    }
    assert!(wrong.is_empty(), "\n{}", wrong.join("\n"));
    let mut sorted: Vec<&str> = LIST.lines().collect();
    sorted.sort_unstable();
    sorted.dedup();
    assert!(
        sorted.len() > 5 && LIST.lines().eq(sorted),
        "the list is in order and names each once"
    );
}

#[test]
fn one_file_reads_which_store_it_is() {
    let mut all = files();
    for folder in ["src", "crates"] {
        read(folder, &mut all);
    }
    let name = VARIABLE.trim_matches('"');
    let readers: Vec<&str> = all
        .iter()
        .filter(|(file, text)| text.contains(VARIABLE) || (!file.starts_with("tests/") && text.contains(name)))
        .map(|(file, _)| file.as_str())
        .collect();
    assert_eq!(readers, ["tests/it/once.rs", READER]);
    // The whole environment would tell it too.
    let tests = all
        .iter()
        .filter(|(file, _)| file.starts_with("tests/") && *file != "tests/it/once.rs");
    let mut tests = tests.filter(|(_, text)| text.contains("env::vars") || text.contains("vars_os("));
    assert_eq!(tests.next(), None);
}
