//! The shape of the program: who may use whom, what only one place may name, and how long a file may get.

use std::path::{Path, PathBuf};

mod names;
mod release_rule;

/// Modules from top to bottom. A module may use what stands in a later row, and itself; nothing in its own row.
const ROWS: &[&[&str]] = &[
    &["cli"],
    &["bench", "demo"],
    &["app"],
    &["dev"],
    &["http"],
    &["runbook"],
    &["controls"],
    &["evidence"],
    &["alerting"],
    &["ops"],
    &["figures"],
    &["erasure"],
    &["bulk"],
    &["exchange", "member_match", "release"],
    &["records", "consent", "review", "policy"],
    &["partner", "witness"],
    &["retention"],
    &["jobs", "security"],
    &["audit"],
    &["config"],
    &["context"],
    &["store"],
    &["telemetry"],
    &["identity", "keeping", "synth"],
    &["secret", "terminal"],
    &["fhir"],
    &["error", "ids", "clock", "percent", "failpoint"],
];

/// Who may name the database library: the store, the ledger, and a bench that fills a store by itself.
const DATABASE: &[&str] = &["store", "audit", "bench"];

/// Rows that stay free of effects, and single files that do.
const PURE: &[&str] = &[
    "synth",
    "identity",
    "fhir",
    "error",
    "ids",
    "jobs/retry.rs",
    "exchange/phase.rs",
    "exchange/event.rs",
    "exchange/moves.rs",
    "exchange/retry.rs",
    "exchange/conclude.rs",
    "exchange/clocks.rs",
    "exchange/inbound.rs",
    "percent",
    "keeping",
    "figures/objective.rs",
    "figures/tally.rs",
    "consent/policy.rs",
    "alerting/message.rs",
    "ops/alerts/judge.rs",
    "ops/alerts/table.rs",
    "audit/cosignature.rs",
    "audit/entry.rs",
    "audit/canonical.rs",
    "audit/fhir/access.rs",
    "audit/fhir/activity.rs",
    "audit/fhir/change.rs",
    "audit/fhir/consent.rs",
    "audit/fhir/disclosure.rs",
    "audit/fhir/entry.rs",
    "audit/fhir/mod.rs",
    "audit/fhir/parts.rs",
    "audit/fhir/table.rs",
    "audit/fhir/token.rs",
    "audit/note.rs",
    "audit/packet.rs",
    "audit/packet/archive.rs",
    "audit/packet/check.rs",
    "audit/packet/manifest.rs",
    "audit/packet/opened.rs",
    "audit/packet/proofs.rs",
    "audit/tree.rs",
    "audit/tree/edge.rs",
    "audit/tree/proof.rs",
    "audit/tree/tiles.rs",
    "audit/verdict.rs",
    "audit/verified.rs",
    "audit/verify.rs",
    "witness/reply.rs",
    "witness/submission.rs",
];
const EFFECTS: &[&str] = &[
    "actix_web",
    "diesel::",
    "tokio::",
    "std::fs",
    "Utc::now",
    "secret::random",
    "reqwest::",
];

/// Lines of a file; unit tests are tables and may be longer.
const LINES_MAX: usize = 500;
const TEST_LINES_MAX: usize = 700;

/// Lines of a function.
const FUNCTION_LINES_MAX: usize = 80;

/// A file of more lines than this, unit tests aside, is long; so many may be. The aim is 5.
const LONG_LINES: usize = 400;
const LONG_FILES_MAX: usize = 5;

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

/// Every `.rs` file below `folder`: path relative to it, and text.
fn sources(folder: &str) -> Vec<(String, String)> {
    fn walk(folder: &Path, base: &Path, found: &mut Vec<(String, String)>) {
        for entry in std::fs::read_dir(folder).expect("a folder") {
            let path = entry.expect("an entry").path();
            if path.is_dir() {
                walk(&path, base, found);
            } else if path.extension().is_some_and(|end| end == "rs") {
                let name = path
                    .strip_prefix(base)
                    .expect("below")
                    .to_str()
                    .expect("utf-8")
                    .to_owned();
                found.push((name, std::fs::read_to_string(&path).expect("a file")));
            }
        }
    }
    let (base, mut found) = (root().join(folder), Vec::new());
    walk(&base, &base, &mut found);
    found.sort();
    found
}

/// Whether a file holds unit tests only.
fn is_tests(file: &str) -> bool {
    file.ends_with("tests.rs") || file.contains("/tests/")
}

/// The program without what is compiled for unit tests only, and without comments.
fn code(text: &str) -> String {
    let production = production(text);
    let code = production.lines().filter(|line| !line.trim_start().starts_with("//"));
    code.collect::<Vec<_>>().join("\n")
}

/// The program without what is compiled for unit tests only.
fn production(text: &str) -> String {
    let indent = |line: &str| line.len() - line.trim_start().len();
    let (mut kept, mut lines) = (Vec::new(), text.lines());
    while let Some(line) = lines.next() {
        if line.trim_start().starts_with("#[cfg(test)]") {
            // An item ends at its semicolon, or at the brace that stands where it began.
            let (depth, mut opened) = (indent(line), false);
            for item in lines.by_ref() {
                opened |= item.trim_end().ends_with('{');
                if (!opened && item.trim_end().ends_with(';')) || (indent(item) == depth && item.trim() == "}") {
                    break;
                }
            }
        } else {
            kept.push(line);
        }
    }
    kept.join("\n")
}

fn module(file: &str) -> &str {
    file.split('/').next().unwrap_or(file).trim_end_matches(".rs")
}

fn row(module: &str) -> Option<usize> {
    ROWS.iter().position(|row| row.contains(&module))
}

/// The modules named by `crate::x` and `crate::{x, y::z}`.
fn edges(code: &str) -> Vec<String> {
    let mut found = Vec::new();
    for (start, _) in code.match_indices("crate::") {
        if code[..start].ends_with(|c: char| c.is_alphanumeric() || c == '_' || c == '$') {
            continue;
        }
        let rest = &code[start + "crate::".len()..];
        let names: Vec<&str> = match rest.strip_prefix('{') {
            None => vec![rest],
            Some(group) => {
                let (mut depth, mut begin, mut parts) = (0, 0, Vec::new());
                for (at, c) in group.char_indices() {
                    match c {
                        '{' => depth += 1,
                        '}' if depth == 0 => {
                            parts.push(&group[begin..at]);
                            break;
                        }
                        '}' => depth -= 1,
                        ',' if depth == 0 => {
                            parts.push(&group[begin..at]);
                            begin = at + 1;
                        }
                        _ => {}
                    }
                }
                parts
            }
        };
        for name in names {
            let name: String = name
                .trim()
                .chars()
                .take_while(|c| c.is_alphanumeric() || *c == '_')
                .collect();
            if !name.is_empty() {
                found.push(name);
            }
        }
    }
    found
}

#[test]
fn a_module_uses_only_what_stands_below_it() {
    let mut wrong = Vec::new();
    for (file, text) in sources("src") {
        let from = module(&file);
        if matches!(from, "lib" | "main") || is_tests(&file) {
            continue;
        }
        let Some(upper) = row(from) else {
            wrong.push(format!(
                "{file}: the module {from} has no row in the table of tests/it/layers.rs"
            ));
            continue;
        };
        for to in edges(&code(&text)) {
            match row(&to) {
                _ if to == from => {}
                Some(lower) if lower > upper => {}
                Some(_) => wrong.push(format!("{file}: {from} must not use {to}")),
                None => wrong.push(format!("{file}: crate::{to} is no module of the table")),
            }
        }
    }
    wrong.dedup();
    assert!(wrong.is_empty(), "\n{}", wrong.join("\n"));
}

#[test]
fn pure_modules_have_no_effects() {
    let mut wrong = Vec::new();
    for (file, text) in sources("src") {
        if is_tests(&file) || !PURE.iter().any(|pure| file == *pure || module(&file) == *pure) {
            continue;
        }
        let code = code(&text);
        for effect in EFFECTS {
            if code.contains(effect) {
                wrong.push(format!("{file} names {effect}"));
            }
        }
    }
    assert!(wrong.is_empty(), "\n{}", wrong.join("\n"));
}

#[test]
fn every_file_says_what_it_owns_and_stays_readable() {
    let mut wrong = Vec::new();
    for folder in ["src", "crates", "tests"] {
        for (file, text) in sources(folder) {
            if !text.starts_with("//!") && !is_tests(&file) {
                wrong.push(format!("{folder}/{file} does not open with `//!`"));
            }
            if text.starts_with("//! TODO") {
                wrong.push(format!("{folder}/{file} is a placeholder"));
            }
            let most = if is_tests(&file) { TEST_LINES_MAX } else { LINES_MAX };
            if text.lines().count() > most {
                wrong.push(format!(
                    "{folder}/{file} has {} lines; {most} are enough",
                    text.lines().count()
                ));
            }
        }
    }
    assert!(wrong.is_empty(), "\n{}", wrong.join("\n"));
}

/// Name, first line and length of each function of a formatted file: from `fn` to the brace that stands where it began.
fn functions(text: &str) -> Vec<(String, usize, usize)> {
    let lines: Vec<&str> = text.lines().collect();
    let mut found = Vec::new();
    for (at, line) in lines.iter().enumerate() {
        let words = line.trim_start();
        let Some((before, name)) = words.split_once("fn ") else {
            continue;
        };
        let is_head = before
            .split_whitespace()
            .all(|word| matches!(word, "const" | "async") || word.starts_with("pub"));
        if !is_head || line.ends_with(';') || line.ends_with('}') {
            continue;
        }
        let end = format!("{}}}", " ".repeat(line.len() - words.len()));
        let length = lines[at..]
            .iter()
            .position(|line| *line == end)
            .map_or(1, |more| more + 1);
        let name = name.split(['(', '<']).next().unwrap_or(name);
        found.push((name.to_owned(), at + 1, length));
    }
    found
}

#[test]
fn no_function_is_too_long_to_be_read_at_once() {
    let mut wrong = Vec::new();
    for folder in ["src", "crates"] {
        for (file, text) in sources(folder).into_iter().filter(|(file, _)| !is_tests(file)) {
            for (name, line, length) in functions(&production(&text)) {
                if length > FUNCTION_LINES_MAX {
                    wrong.push(format!(
                        "{folder}/{file}: {name} (line {line} or later) has {length} lines"
                    ));
                }
            }
        }
    }
    assert!(wrong.is_empty(), "\n{}", wrong.join("\n"));
}

#[test]
fn few_files_of_the_program_are_long() {
    let mut long = Vec::new();
    for folder in ["src", "crates"] {
        for (file, text) in sources(folder).into_iter().filter(|(file, _)| !is_tests(file)) {
            let lines = production(&text).lines().count();
            if lines > LONG_LINES {
                long.push(format!("{folder}/{file}: {lines} lines"));
            }
        }
    }
    assert!(long.len() <= LONG_FILES_MAX, "\n{}", long.join("\n"));
}

#[test]
fn one_place_makes_what_use_cases_are_handed() {
    let makes = |text: &str| {
        ["= Context {", "(Context {"]
            .iter()
            .any(|made| code(text).contains(made))
    };
    let made_in: Vec<String> = sources("src")
        .into_iter()
        .filter(|(file, text)| !is_tests(file) && !file.ends_with("_for_tests.rs") && makes(text))
        .map(|(file, _)| file)
        .collect();
    // The drill plays a payer that does not exist, over a store of its own.
    assert_eq!(made_in, ["app/wiring.rs", "controls/drill_stage.rs"]);
}

#[test]
fn one_place_each_names_the_typed_model_and_the_database() {
    let mut wrong = Vec::new();
    for (file, text) in sources("src").into_iter().filter(|(file, _)| !is_tests(file)) {
        let code = code(&text);
        if code.contains("fhirbolt") {
            wrong.push(format!("src/{file} names fhirbolt; only crates/fhir-types may"));
        }
        if code.contains("diesel::") && !DATABASE.contains(&module(&file)) {
            wrong.push(format!("src/{file} names diesel; only store and the ledger may"));
        }
        if code.contains("aws_lc_rs::") && !matches!(module(&file), "secret" | "security") {
            wrong.push(format!("src/{file} names the cryptography library"));
        }
    }
    assert!(wrong.is_empty(), "\n{}", wrong.join("\n"));
}

#[test]
fn what_stands_after_a_test_item_is_still_looked_at() {
    let text = "use a;\n#[cfg(test)]\n#[path = \"t.rs\"]\nmod tests;\nuse b;\n    #[cfg(test)]\n    fn x() {\n        if y {\n        }\n    }\n// c\nuse d;";
    assert_eq!(code(text), "use a;\nuse b;\nuse d;");
}

#[test]
fn functions_are_measured_from_their_head_to_their_brace() {
    let text =
        "pub(super) async fn a<T>(\n    b: T,\n) {\n    fn c() {\n    }\n}\nfn d() {}\nlet f: fn (x) = y;\n// fn e\n";
    let found = functions(text);
    assert_eq!(found, [("a".to_owned(), 1, 6), ("c".to_owned(), 4, 2)]);
}

#[test]
fn edges_are_found_in_every_form() {
    let text = "use crate::error::{Failure, Fault};\nuse crate::{\n  clock,\n  store::{Db, Store},\n};\nlet x = crate::secret::hex(&y); $crate::nope";
    assert_eq!(edges(text), ["error", "clock", "store", "secret"]);
}
