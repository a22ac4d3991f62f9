//! What the pages name exists: fault codes, paths of this project, commands with their options, and other pages.

use causeway::cli::Cli;
use causeway::error::Fault;
use clap::CommandFactory as _;
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

/// Folders whose paths a page may name; what begins otherwise is a path on somebody's machine.
const FOLDERS: [&str; 10] = [
    "src/",
    "tests/",
    "docs/",
    "crates/",
    "migrations/",
    "fhir-profiles/",
    "conformance/",
    ".ci/",
    "packaging/",
    "deploy/",
];

#[test]
fn every_fault_code_that_the_pages_name_exists() {
    let known: BTreeSet<&str> = Fault::ALL.iter().map(|fault| fault.row().code).collect();
    let areas: BTreeSet<&str> = known.iter().map(|code| &code[..3]).collect();
    let mut wrong = Vec::new();
    let mut seen = 0;
    for (page, text) in pages() {
        let separated = |c: char| !c.is_ascii_alphanumeric() && c != '-';
        for code in text.split(separated).filter(|word| is_code(word)) {
            seen += 1;
            if areas.contains(&code[..3]) && !known.contains(code) {
                wrong.push(format!("{page}: {code}"));
            }
        }
    }
    assert!(seen > 100, "only {seen} codes were found");
    assert_eq!(wrong, Vec::<String>::new(), "codes that do not exist");
}

#[test]
fn every_path_that_the_pages_name_exists() {
    let mut wrong = Vec::new();
    let mut seen = 0;
    for (page, text) in pages() {
        for span in text.lines().flat_map(spans) {
            for word in span.split_whitespace().filter(|word| names_a_path(word)) {
                let path = word.trim_end_matches(['.', ',', ':', ';', ')']);
                for path in expanded(path) {
                    seen += 1;
                    if !root().join(&path).exists() {
                        wrong.push(format!("{page}: {path}"));
                    }
                }
            }
        }
        for target in links(&text) {
            seen += 1;
            if !root().join(&page).with_file_name(target).exists() {
                wrong.push(format!("{page}: link to {target}"));
            }
        }
    }
    assert!(seen > 100, "only {seen} paths were found");
    assert_eq!(wrong, Vec::<String>::new(), "paths that do not exist");
}

#[test]
fn every_page_says_for_whom_it_is() {
    let mut silent: Vec<String> = Vec::new();
    for (page, text) in pages() {
        let is_a_page = page.starts_with("docs/") && !page.starts_with("docs/adr/0") && page != "docs/README.md";
        if is_a_page && !text.contains("This page is for ") {
            silent.push(page);
        }
    }
    assert_eq!(silent, Vec::<String>::new(), "pages that do not say for whom they are");
}

#[test]
fn every_command_and_option_that_the_pages_name_exists() {
    let mut cli = Cli::command();
    cli.build();
    let mut wrong = Vec::new();
    let mut seen = 0;
    for (page, text) in pages() {
        for line in text.lines() {
            for given in commands(&page, line) {
                seen += 1;
                if let Err(what) = check(&cli, &given) {
                    wrong.push(format!("{page}: causeway {given}: {what}"));
                }
            }
        }
    }
    assert!(seen > 60, "only {seen} commands were found");
    assert_eq!(wrong, Vec::<String>::new(), "commands that do not exist");
}

#[test]
fn a_wrong_command_or_option_is_noticed() {
    let mut cli = Cli::command();
    cli.build();
    for given in ["consent list --member X", "link list\\|take-back ID", "trace ID | head"] {
        assert_eq!(check(&cli, given), Ok(()), "{given}");
    }
    for given in ["consents list", "consent end ID", "link list\\|cut", "import X --dry"] {
        assert!(check(&cli, given).is_err(), "{given}");
    }
}

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

/// The pages, each with its path below the project's folder.
fn pages() -> Vec<(String, String)> {
    let mut paths: Vec<PathBuf> = ["README.md", "CHANGELOG.md", "ARCHITECTURE.md"]
        .iter()
        .map(PathBuf::from)
        .collect();
    let mut folders = vec![PathBuf::from("docs")];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(root().join(&folder)).expect("a folder of docs") {
            let path = folder.join(entry.expect("an entry").file_name());
            if root().join(&path).is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "md") {
                paths.push(path);
            }
        }
    }
    assert!(paths.len() > 10, "the docs were not found");
    let text = |path: &Path| std::fs::read_to_string(root().join(path)).expect("a page");
    paths
        .iter()
        .map(|path| (path.display().to_string(), text(path)))
        .collect()
}

fn is_code(word: &str) -> bool {
    let bytes = word.as_bytes();
    bytes.len() == 6
        && bytes[..2].iter().all(u8::is_ascii_uppercase)
        && bytes[2] == b'-'
        && bytes[3..].iter().all(u8::is_ascii_digit)
}

/// What stands between backticks in a line; all of it where the line is indented as code.
fn spans(line: &str) -> Vec<&str> {
    if line.starts_with("    ") && !line.contains('`') {
        return vec![line];
    }
    line.split('`').skip(1).step_by(2).collect()
}

fn names_a_path(word: &str) -> bool {
    FOLDERS.iter().any(|folder| word.starts_with(folder)) && !word.contains(['<', '*', '…', '$'])
}

/// `a/{b,c}.rs` as `a/b.rs` and `a/c.rs`.
fn expanded(path: &str) -> Vec<String> {
    let Some((before, (inside, after))) = path
        .split_once('{')
        .and_then(|(before, rest)| Some((before, rest.split_once('}')?)))
    else {
        return vec![path.to_owned()];
    };
    inside
        .split(',')
        .flat_map(|one| expanded(&format!("{before}{one}{after}")))
        .collect()
}

/// The files that `[text](file)` links to.
fn links(text: &str) -> impl Iterator<Item = &str> {
    text.split("](")
        .skip(1)
        .filter_map(|rest| rest.split([')', '#']).next())
        .filter(|target| target.ends_with(".md"))
        .filter(|target| !target.contains("://"))
}

/// What follows `causeway` in the code of a line; the first column of README's table of commands leaves the word out.
fn commands(page: &str, line: &str) -> Vec<String> {
    let first_column = page == "README.md" && line.starts_with("| `");
    if first_column {
        let column = line[2..].split(" | ").next().unwrap_or_default();
        return spans(column).into_iter().map(str::to_owned).collect();
    }
    let mut found = Vec::new();
    for span in spans(line) {
        let mut rest = span;
        while let Some(at) = rest.find("causeway ") {
            let own_word = rest[..at]
                .chars()
                .next_back()
                .is_none_or(|c| c.is_whitespace() || c == '/' || c == '(');
            rest = &rest[at + "causeway ".len()..];
            if own_word && rest.starts_with(|c: char| c.is_ascii_lowercase()) && !rest.starts_with("causeway ") {
                found.push(rest.split("causeway ").next().unwrap_or_default().to_owned());
            }
        }
    }
    found
}

/// Whether the words are a command, its subcommand (or several, `a|b`), and options that it has.
fn check(cli: &clap::Command, given: &str) -> Result<(), String> {
    let mut words = given.split_whitespace();
    let name = bare(words.next().unwrap_or_default());
    let command = cli.find_subcommand(name).ok_or(format!("no command {name}"))?;
    let mut chosen = vec![command];
    let mut first = true;
    for word in words {
        if word.starts_with(['#', '>', '|', ';', '&']) || word.starts_with("2>") {
            break;
        }
        let is_word = word.starts_with(|c: char| c.is_ascii_lowercase());
        first &= is_word && chosen.iter().any(|command| command.has_subcommands());
        if first {
            let mut deeper = Vec::new();
            for one in word.split(['|', '\\']).map(bare).filter(|one| !one.is_empty()) {
                let found = chosen.iter().find_map(|command| command.find_subcommand(one));
                deeper.push(found.ok_or(format!("no {name} {one}"))?);
            }
            chosen = deeper;
        }
        for option in word
            .trim_start_matches('[')
            .split('|')
            .filter_map(|word| word.strip_prefix("--"))
        {
            let option = bare(option.split(['=', '[']).next().unwrap_or_default());
            let has = |command: &clap::Command| command.get_arguments().any(|arg| arg.get_long() == Some(option));
            if !chosen.iter().any(|command| has(command)) {
                return Err(format!("no option --{option}"));
            }
        }
    }
    Ok(())
}

/// A word without what punctuates it.
fn bare(word: &str) -> &str {
    word.trim_matches(|c: char| !c.is_ascii_alphanumeric() && c != '-')
}
