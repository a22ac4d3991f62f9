//! One name, one type: whoever reads `Verdict` should not have to ask whose.

use super::{is_tests, production, sources};
use std::collections::BTreeMap;

/// Names that several public types share, each with the reason. At most ten.
const SHARED: &[(&str, &str)] = &[];
const SHARED_MAX: usize = 10;

/// The public types that a file defines.
fn types(text: &str) -> Vec<&str> {
    let name_of = |line| {
        let words: &str = str::trim_start(line);
        let mut rest = words.strip_prefix("pub")?;
        if let Some(scoped) = rest.strip_prefix('(') {
            rest = scoped.split_once(')')?.1;
        }
        let (kind, name) = rest.trim_start().split_once(' ')?;
        let is_type = matches!(kind, "struct" | "enum" | "trait" | "type" | "union");
        let end = name.find(|c: char| !c.is_alphanumeric()).unwrap_or(name.len());
        // A name that a macro is given begins with `$`.
        (is_type && end > 0).then_some(&name[..end])
    };
    text.lines().filter_map(name_of).collect()
}

#[test]
fn a_public_type_has_a_name_of_its_own() {
    assert!(SHARED.len() <= SHARED_MAX);
    let mut places: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for folder in ["src", "crates"] {
        for (file, text) in sources(folder).into_iter().filter(|(file, _)| !is_tests(file)) {
            for name in types(&production(&text)) {
                places
                    .entry(name.to_owned())
                    .or_default()
                    .push(format!("{folder}/{file}"));
            }
        }
    }
    assert!(places.len() > 300, "types are no longer found");
    let shared: BTreeMap<_, _> = places.iter().filter(|(_, files)| files.len() > 1).collect();
    let unknown: Vec<_> = shared
        .iter()
        .filter(|(name, _)| !SHARED.iter().any(|(known, _)| known == *name))
        .collect();
    assert!(unknown.is_empty(), "\n{unknown:#?}");
    for (name, _) in SHARED {
        assert!(shared.contains_key(&(*name).to_owned()), "{name} is no longer shared");
    }
}

#[test]
fn public_types_are_found_in_every_form() {
    let text = "pub struct A<T> {\npub(super) enum B {\n    pub(in crate::x) type C = u8;\npub trait D: Send {\nstruct E;\npub fn f() {}\n// pub struct G;\npub struct H(u8);";
    assert_eq!(types(text), ["A", "B", "C", "D", "H"]);
}
