//! The page of configuration keys is what the table of keys says.

use causeway::config::keys::{KEYS, Key, Kind, LATER, POLICIES, variable};
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
    for (name, part) in LATER {
        text.push_str(&format!("| `{name}` (`{}`) | {part} |\n", variable(name)));
    }
    text
}

fn keys_of(section: &str) -> impl Iterator<Item = &'static Key> {
    KEYS.iter().filter(move |key| key.parts().0 == section)
}

/// What may be written, with its unit and bounds.
fn value(key: &Key) -> String {
    if let Some((_, known)) = POLICIES.iter().find(|(name, _)| *name == key.name) {
        return known
            .iter()
            .map(|word| format!("`\"{word}\"`"))
            .collect::<Vec<_>>()
            .join(", ");
    }
    let units = [
        ("_seconds", "seconds"),
        ("_ms", "milliseconds"),
        ("_bytes", "bytes"),
        ("_hours", "hours"),
        ("_percent", "percent"),
    ];
    let unit = units.iter().find(|(end, _)| key.name.ends_with(end));
    match key.kind {
        Kind::Text => "text".to_owned(),
        Kind::Number(least, most) => {
            let unit = unit.map_or_else(String::new, |(_, unit)| format!(" {unit}"));
            format!("{least} to {most}{unit}")
        }
        Kind::Switch => "`true`, `false`".to_owned(),
        Kind::File => "file".to_owned(),
        Kind::Files => "list of files".to_owned(),
        Kind::Texts => "list of texts".to_owned(),
        Kind::Url => "address".to_owned(),
    }
}

/// The section as it is written, with the default of each key, or with an example where there is none.
fn example(section: &str) -> String {
    let mut text = format!("[{section}]\n");
    for key in keys_of(section) {
        let (_, name) = key.parts();
        let written = match (key.name, key.default) {
            ("tls.certificate", _) => "\"server.pem\"",
            ("tls.key", _) => "\"server.key\"",
            ("tls.client_ca", _) => "[\"partners-ca.pem\"]",
            ("tls.client_crl", _) => "[\"partners.crl\"]",
            ("server.proxy_from", _) => "[\"192.0.2.10\", \"198.51.100.0/24\"]",
            ("store.schema", _) => "\"causeway\"",
            ("store.connections", _) => "16",
            (_, default) => default,
        };
        assert!(!written.is_empty(), "no example of {}", key.name);
        text.push_str(&format!("{name} = {written}\n"));
    }
    text
}
