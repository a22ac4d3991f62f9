//! No two files of the program use each other, directly or by way of others.
//!
//! A use is a path in code, or an import, that leads to an item of another file; a name that is given on (`pub use`) leads to the
//! file in which the item stands. No use are: declaring a module, giving a name on, and what is compiled for unit tests only. Calls of
//! methods are not seen, since a text does not tell where the method of a value stands: so that a type whose methods stand in several
//! files (`Store`, `Config`, `Session`) has those that need others above it.

pub mod source;

use source::{Files, Program, tokens};
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

/// The crates: name, and folder of their source.
const CRATES: [(&str, &str); 5] = [
    ("causeway", "src"),
    ("causeway_fhir_types", "crates/fhir-types/src"),
    ("causeway_identity", "crates/identity/src"),
    ("causeway_jose", "crates/jose/src"),
    ("causeway_conformance", "crates/conformance/src"),
];

/// Reads all source files of a folder of this repository.
pub fn read(folder: &str, files: &mut Files) {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    for entry in std::fs::read_dir(root.join(folder)).expect("a folder") {
        let entry = entry.expect("an entry");
        let name = format!("{folder}/{}", entry.file_name().to_string_lossy());
        if entry.path().is_dir() {
            read(&name, files);
        } else if name.ends_with(".rs") {
            files.insert(name, std::fs::read_to_string(entry.path()).expect("a file"));
        }
    }
}

/// The uses that lead back to where they come from, one line each.
fn circles(program: &Program) -> Vec<String> {
    let uses = program.uses();
    let reached = |from: &str| -> BTreeSet<&str> {
        let (mut reached, mut left) = (BTreeSet::new(), vec![from.to_owned()]);
        while let Some(file) = left.pop() {
            for other in uses.get(file.as_str()).into_iter().flat_map(BTreeMap::keys) {
                if reached.insert(*other) {
                    left.push((*other).to_owned());
                }
            }
        }
        reached
    };
    let mut found = Vec::new();
    for (file, others) in &uses {
        for (other, path) in others {
            if reached(other).contains(file) {
                found.push(format!("{file} uses {path} of {other}, which leads back to it"));
            }
        }
    }
    found
}

#[test]
fn no_file_uses_another_that_uses_it() {
    let mut program = Program::default();
    for (name, folder) in CRATES {
        let mut files = Files::new();
        read(folder, &mut files);
        program.add(name, folder, &files);
    }
    let files = program.uses().len();
    assert!(files > 200, "only {files} files were found to use others");
    let circles = circles(&program);
    assert!(circles.is_empty(), "\n{}", circles.join("\n"));
}

fn program(files: &[(&str, &str)]) -> Program {
    let files: Files = files
        .iter()
        .map(|(path, text)| (format!("src/{path}"), (*text).to_owned()))
        .collect();
    let mut program = Program::default();
    program.add("causeway", "src", &files);
    program
}

#[test]
fn a_circle_is_found_in_every_form_of_use() {
    let ways = [
        ("use crate::b::B; pub struct A;", "use crate::a::A; pub struct B;"),
        (
            "use super::b::{self}; pub struct A(b::B);",
            "pub struct B; fn f() -> super::a::A { todo!() }",
        ),
        (
            "use crate::{b::B as Other}; pub fn f() {}",
            "pub struct B; fn g() { crate::a::f() }",
        ),
        (
            "use super::*; pub struct A; fn f() { b::g() }",
            "pub fn g() { crate::A; }",
        ),
        (
            "pub struct A; pub mod c { fn f() { crate::b::g() } }",
            "use crate::a; pub fn g() { a::A; }",
        ),
    ];
    for (a, b) in ways {
        let found = circles(&program(&[
            ("lib.rs", "pub mod a; pub mod b; pub use a::A;"),
            ("a.rs", a),
            ("b.rs", b),
        ]));
        assert!(!found.is_empty(), "{a} / {b}");
    }
}

#[test]
fn declaring_giving_on_and_testing_are_no_use() {
    let found = circles(&program(&[
        ("lib.rs", "pub mod a; pub use a::{A, B};"),
        (
            "a/mod.rs",
            "mod b; mod c; pub use b::B; pub struct A; #[cfg(test)] mod tests { use super::b::B; }",
        ),
        (
            "a/b.rs",
            "use super::A; use crate::A as Again; /* super::c::C */ pub struct B(&'static str, char); // super::c::C",
        ),
        (
            "a/c.rs",
            "use super::B; pub struct C; const T: &str = \"super::d\"; const D: char = '\\''; fn f<'a>(b: &'a B) {}",
        ),
    ]));
    assert_eq!(found, Vec::<String>::new());
}

#[test]
fn a_name_that_is_given_on_leads_to_where_it_stands() {
    let files = [
        ("lib.rs", "pub mod a; pub mod b; pub mod c;"),
        ("a.rs", "pub use crate::b::*; pub use crate::c::C as Renamed;"),
        ("b.rs", "pub struct B; use crate::c::D;"),
        (
            "c.rs",
            "pub struct C; pub struct D; fn f(_: crate::a::Renamed, _: crate::a::B) {}",
        ),
    ];
    let program = program(&files);
    let uses = program.uses();
    assert_eq!(uses["src/c.rs"].keys().copied().collect::<Vec<_>>(), ["src/b.rs"]);
    assert_eq!(circles(&program).len(), 2, "b and c use each other");
}

#[test]
fn texts_comments_and_numbers_are_no_names() {
    let text = "r#\"a::b\"# b\"c\" 'd' '\\n' '\\'' 'e: /* f /* g */ h */ // i\n 0..j 1_000u64 br\"k\" l::m";
    assert_eq!(tokens(text), [":", ".", ".", "j", "l", "::", "m"]);
}
