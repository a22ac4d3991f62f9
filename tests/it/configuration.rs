//! The page of configuration keys is what the table of keys says.

use crate::support::payer::program;
use causeway::config::keys::{ConfigKey, KEYS, LATER, ValueKind, variable};
use std::path::Path;

#[test]
fn the_page_of_configuration_lists_every_key_as_the_table_has_it() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/configuration.md");
    let page = std::fs::read_to_string(&path).expect("the page");
    let (before, rest) = page.split_once("<!-- keys: begin -->\n").expect("a mark");
    let (_, after) = rest.split_once("<!-- keys: end -->").expect("a mark");
    let wanted = format!("{before}<!-- keys: begin -->\n{}<!-- keys: end -->{after}", sections());
    if std::env::var_os("CAUSEWAY_UPDATE_DOCS").is_some() {
        std::fs::write(&path, &wanted).expect("written");
    } else {
        assert!(
            page == wanted,
            "docs/configuration.md differs from the code: run this test with CAUSEWAY_UPDATE_DOCS=1"
        );
    }
}

/// The examples of the page, put together, are a configuration that is taken.
#[test]
fn the_examples_of_the_page_are_taken_together() {
    let folder = tempfile::tempdir().expect("folder");
    let file = folder.path().join("causeway.toml");
    std::fs::write(
        &file,
        section_names().iter().map(|name| example(name)).collect::<String>(),
    )
    .expect("written");
    let config = causeway::config::Config::load(Some(&file), []).expect("taken");
    assert_eq!(config.limits.body_bytes, 1 << 20);
    assert_eq!(config.tls.client_ca.len(), 1);
}

/// A key that is taken is a key that works: those of later versions are refused wherever they stand, before anything is opened.
#[test]
fn a_key_that_a_later_version_reads_is_refused_in_file_and_environment_with_what_will_read_it() {
    for later in LATER {
        let (section, name) = later.name.split_once('.').expect("a section and a key");
        let written = format!("[{section}]\n{name} = \"x\"\n");
        let variable = variable(later.name);
        for (file, environment, arguments) in [
            (written.as_str(), None, ["config", "--effective"]),
            (written.as_str(), None, ["config", "--json"]),
            ("", Some((variable.as_str(), "x")), ["config", "--effective"]),
            (written.as_str(), None, ["serve", "--dev"]),
        ] {
            let home = tempfile::tempdir().expect("folder");
            std::fs::write(home.path().join("causeway.toml"), file).expect("written");
            let output = program(home.path())
                .envs(environment)
                .args(arguments)
                .output()
                .expect("it runs");
            let told = String::from_utf8_lossy(&output.stderr);
            assert_eq!(output.status.code(), Some(2), "{arguments:?} {file}: {told}");
            for part in [later.name, later.part, "does not have", env!("CARGO_PKG_VERSION")] {
                assert!(told.contains(part), "{arguments:?} {file}: no {part} in {told}");
            }
            assert!(
                output.stdout.is_empty() && !home.path().join("causeway-data").exists(),
                "{arguments:?}"
            );
        }
    }
}

fn section_names() -> Vec<&'static str> {
    let mut names: Vec<&str> = KEYS.iter().map(|key| key.parts().0).collect();
    let mut seen = std::collections::BTreeSet::new();
    names.retain(|name| seen.insert(*name));
    names
}

fn sections() -> String {
    let mut text = String::new();
    for section in section_names() {
        text.push_str(&format!("\n## `[{section}]`\n\n```toml\n{}```\n\n", example(section)));
        text.push_str("| key | value | default | meaning |\n|---|---|---|---|\n");
        for key in keys_of(section) {
            let default = match key.default {
                "" => "none".to_owned(),
                default => format!("`{default}`"),
            };
            let (_, name) = key.parts();
            text.push_str(&format!(
                "| `{name}` | {} | {default} | {} |\n",
                value(key),
                key.meaning
            ));
        }
    }
    text.push_str("\n## Not yet\n\n| key | is for |\n|---|---|\n");
    for later in LATER {
        let (name, part) = (later.name, later.part);
        text.push_str(&format!("| `{name}` (`{}`) | {part} |\n", variable(name)));
    }
    text
}

fn keys_of(section: &str) -> impl Iterator<Item = &'static ConfigKey> {
    KEYS.iter().filter(move |key| key.parts().0 == section)
}

/// What may be written, with its unit and bounds.
fn value(key: &ConfigKey) -> String {
    match key.kind {
        ValueKind::Text => "text".to_owned(),
        ValueKind::Choice(known) => {
            let words: Vec<String> = known.iter().map(|word| format!("`\"{word}\"`")).collect();
            words.join(", ")
        }
        ValueKind::Number { least, most, unit } => format!("{least} to {most} {}", unit.word()),
        ValueKind::Switch => "`true`, `false`".to_owned(),
        ValueKind::File => "file".to_owned(),
        ValueKind::Files => "list of files".to_owned(),
        ValueKind::Texts => "list of texts".to_owned(),
        ValueKind::Url => "address".to_owned(),
    }
}

/// The section as it is written, with an example of each key.
fn example(section: &str) -> String {
    let mut text = format!("[{section}]\n");
    for key in keys_of(section) {
        let (_, name) = key.parts();
        assert!(!key.example.is_empty(), "no example of {}", key.name);
        text.push_str(&format!("{name} = {}\n", key.example));
    }
    text
}
