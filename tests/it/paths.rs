//! `docs/contributors/paths.md`: the files of each path exist with their functions, in the order of the calls, and each is entered once.

use std::collections::BTreeSet;
use std::path::PathBuf;

/// One line of a list: a file, and the functions by which the path enters it.
#[derive(Debug, PartialEq, Eq)]
struct Entered {
    file: String,
    functions: Vec<String>,
}

fn text_of(path: &str) -> Option<String> {
    std::fs::read_to_string(PathBuf::from(env!("CARGO_MANIFEST_DIR")).join(path)).ok()
}

/// The lists of a page, each with its heading.
fn lists(page: &str) -> Vec<(&str, Vec<Entered>)> {
    let mut found: Vec<(&str, Vec<Entered>)> = Vec::new();
    for line in page.lines() {
        if let Some(heading) = line.strip_prefix("## ") {
            found.push((heading, Vec::new()));
        } else if let (Some(entered), Some((_, list))) = (entered(line), found.last_mut()) {
            list.push(entered);
        }
    }
    found.retain(|(_, list)| !list.is_empty());
    found
}

/// Reads a line such as ``1. `src/a.rs` (`b`, `c`): why``.
fn entered(line: &str) -> Option<Entered> {
    let (number, rest) = line.split_once(". `")?;
    number.parse::<usize>().ok()?;
    let (file, rest) = rest.split_once("` (`")?;
    let (functions, _) = rest.split_once("`)")?;
    Some(Entered {
        file: file.to_owned(),
        functions: functions.split("`, `").map(str::to_owned).collect(),
    })
}

/// Whether `text` has `name` as a word of its own.
fn has_word(text: &str, name: &str) -> bool {
    let is_part = |c: char| c.is_alphanumeric() || c == '_';
    text.match_indices(name)
        .any(|(at, _)| !text[..at].ends_with(is_part) && !text[at + name.len()..].starts_with(is_part))
}

/// The code of a file, without comments.
fn code(text: &str) -> String {
    let lines = text.lines().filter(|line| !line.trim_start().starts_with("//"));
    lines.collect::<Vec<_>>().join("\n")
}

/// What is wrong with a list.
fn faults(heading: &str, list: &[Entered]) -> Vec<String> {
    let (mut wrong, mut seen, mut before) = (Vec::new(), BTreeSet::new(), String::new());
    for Entered { file, functions } in list {
        if !seen.insert(file) {
            wrong.push(format!("{heading}: {file} is entered twice"));
        }
        let Some(text) = text_of(file) else {
            wrong.push(format!("{heading}: no file {file}"));
            continue;
        };
        let own = code(&text);
        for function in functions {
            if ![format!("fn {function}("), format!("fn {function}<")]
                .iter()
                .any(|head| own.contains(head))
            {
                wrong.push(format!("{heading}: {file} has no function {function}"));
            }
            if !before.is_empty() && !has_word(&before, function) {
                wrong.push(format!("{heading}: no file before {file} names {function}"));
            }
        }
        before.push_str(&own);
    }
    wrong
}

#[test]
fn each_path_enters_each_file_once_and_in_the_order_of_the_calls() {
    let page = text_of("docs/contributors/paths.md").expect("the page");
    let lists = lists(&page);
    let headings: Vec<&str> = lists.iter().map(|(heading, _)| *heading).collect();
    assert_eq!(headings, ["A match", "`$everything`", "An import", "A job"]);
    let mut wrong = Vec::new();
    for (heading, list) in &lists {
        assert!(list.len() > 5, "{heading}: only {} files were found", list.len());
        wrong.extend(faults(heading, list));
    }
    assert!(wrong.is_empty(), "\n{}", wrong.join("\n"));
}

#[test]
fn the_five_steps_of_a_match_are_called_once_each_by_one_file() {
    let line = code(&text_of("src/member_match/mod.rs").expect("a file"));
    for step in [
        "asked::read(",
        "identify::identify_at_once(",
        "resolve::resolve(",
        "decide::decide(",
        "record::record(",
    ] {
        assert_eq!(line.matches(step).count(), 1, "{step}");
    }
}

#[test]
fn a_wrong_list_is_noticed() {
    let page = "## A\n1. `src/ids.rs` (`is_fhir_id`): x\n2. `src/clock.rs` (`no_such_function`): y\n3. `src/ids.rs` (`is_fhir_id`): z\n";
    let found = lists(page);
    assert_eq!(found.len(), 1);
    assert_eq!(
        faults("A", &found[0].1),
        [
            "A: src/clock.rs has no function no_such_function",
            "A: no file before src/clock.rs names no_such_function",
            "A: src/ids.rs is entered twice",
        ]
    );
    assert_eq!(entered("1. `src/a.rs` without functions"), None);
    assert!(has_word("a.read(b)", "read") && !has_word("a.reader(b)", "read"));
}
