//! `causeway synth` writes what it says, and the same again from the same seed; its showcase holds all that the guides ask for.

use causeway::cli::synth::{SynthArgs, run};
use causeway::synth::{self, SynthOptions};
use causeway::terminal::{Exit, Out};
use clap::Parser;
use serde_json::Value;
use std::io::{self, Read as _, Write};
use std::path::Path;
use std::sync::{Arc, Mutex};

#[derive(Parser)]
struct Line {
    #[command(flatten)]
    args: SynthArgs,
}

#[derive(Clone, Default)]
struct Shared(Arc<Mutex<Vec<u8>>>);

impl Write for Shared {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn written(cwd: &Path, line: &str) -> Result<serde_json::Value, causeway::error::Failure> {
    let args = Line::parse_from(["synth"].into_iter().chain(line.split_whitespace())).args;
    let printed = Shared::default();
    let mut out = Out::new(true, true, false, Box::new(printed.clone()), Box::new(io::sink()));
    assert_eq!(run(&args, cwd, &mut out)?, Exit::Done);
    let text = printed.0.lock().unwrap().clone();
    Ok(serde_json::from_slice(&text).expect("one JSON document"))
}

fn read(path: &Path) -> String {
    let bytes = std::fs::read(path).expect("a file");
    let mut text = String::new();
    match path.extension().is_some_and(|end| end == "gz") {
        true => flate2::read::GzDecoder::new(bytes.as_slice())
            .read_to_string(&mut text)
            .expect("gzip"),
        false => bytes.as_slice().read_to_string(&mut text).expect("utf-8"),
    };
    text
}

#[test]
fn counts_match_files_and_a_seed_repeats_itself() {
    let home = tempfile::tempdir().expect("a temporary folder");
    let said = written(home.path(), "--members 30 --seed 5 --twins --out a").expect("written");
    let again = written(home.path(), "--members 30 --seed 5 --twins --gzip --out b").expect("written");
    assert_eq!(said, again);
    let types = said["types"].as_object().expect("types");
    assert_eq!(types["Patient"], 32, "thirty members, a twin and the showcase");
    let mut total = 0;
    for (kind, count) in types {
        let plain = read(&home.path().join(format!("a/{kind}.ndjson")));
        assert_eq!(plain, read(&home.path().join(format!("b/{kind}.ndjson.gz"))));
        assert_eq!(plain.lines().count() as u64, count.as_u64().expect("a count"));
        total += plain.lines().count() as u64;
    }
    assert_eq!(said["resources"], total);
}

#[test]
fn a_folder_that_holds_something_is_left_alone() {
    let home = tempfile::tempdir().expect("a temporary folder");
    std::fs::write(home.path().join("mine.txt"), "mine").expect("a file");
    let refused = written(home.path(), "--members 1 --out .").expect_err("refused");
    assert_eq!(refused.fault(), causeway::error::Fault::InputUnreadable);
    assert_eq!(std::fs::read_dir(home.path()).expect("folder").count(), 1);
}

#[test]
fn without_the_showcase_the_other_members_are_the_same() {
    let home = tempfile::tempdir().expect("a temporary folder");
    let with = written(home.path(), "--members 3 --out with").expect("written");
    let without = written(home.path(), "--members 3 --no-showcase --out without").expect("written");
    assert_eq!((&with["showcase"], &without["showcase"]), (&true.into(), &false.into()));
    assert_eq!(without["types"]["Patient"], 3);
    let all = |folder: &str| read(&home.path().join(folder).join("Patient.ndjson"));
    assert!(all("with").starts_with(&all("without")));
}

/// The must-support elements of the guides; `tests/validator/must_support.py` says how the table is written.
const MUST_SUPPORT: &str = include_str!("../validator/must-support.tsv");

/// What no record can hold in good faith, and why.
const EXPLAINED: &[(&str, &str)] = &[(
    "us-core-6.1.0 us-core-blood-pressure: value*",
    "the values of this panel are those of its components",
)];

/// Whether the element at `path` is there: `a{x}` is an `a` in which `x` stands (`x|y`: either), `a*` a choice.
fn has(value: &Value, path: &[&str]) -> bool {
    let Some((step, rest)) = path.split_first() else {
        return true;
    };
    let mut marks = step.split('{');
    let name = marks.next().expect("a name");
    let marks: Vec<&str> = marks.map(|mark| mark.trim_end_matches('}')).collect();
    let fits =
        |element: &Value| marks.iter().all(|mark| mark.split('|').any(|one| holds(element, one))) && has(element, rest);
    let Some(members) = value.as_object() else {
        return false;
    };
    members.iter().any(|(key, inner)| {
        let named = match name.strip_suffix('*') {
            Some(stem) => key
                .strip_prefix(stem)
                .is_some_and(|kind| kind.starts_with(char::is_uppercase)),
            None => key == name || key.strip_prefix('_') == Some(name),
        };
        named
            && match inner {
                Value::Array(items) => items.iter().any(fits),
                one => fits(one),
            }
    })
}

fn holds(value: &Value, text: &str) -> bool {
    match value {
        Value::Object(map) => map.values().any(|inner| holds(inner, text)),
        Value::Array(items) => items.iter().any(|inner| holds(inner, text)),
        one => one == text,
    }
}

/// The steps of a path; dots inside braces are no steps.
fn steps(path: &str) -> Vec<&str> {
    let mut inside = false;
    path.split(|c: char| {
        inside = c == '{' || inside && c != '}';
        c == '.' && !inside
    })
    .collect()
}

#[test]
fn the_showcase_holds_every_must_support_element_of_every_guide() {
    let mut all: Vec<Value> = Vec::new();
    let options = SynthOptions {
        members: 0,
        showcase: true,
        ..SynthOptions::default()
    };
    synth::write(&options, &mut |_, line| {
        all.push(serde_json::from_slice(line)?);
        Ok(())
    })
    .expect("in memory");
    let (mut missing, mut elements) = (Vec::new(), 0);
    for row in MUST_SUPPORT.lines() {
        let mut columns = row.split('\t');
        let [guide, profile, paths] = [(); 3].map(|()| columns.next().expect("three columns"));
        let claims = |one: &&Value| {
            let claimed = one["meta"]["profile"]
                .as_array()
                .into_iter()
                .flatten()
                .filter_map(Value::as_str);
            claimed.into_iter().any(|url| {
                url.split('|')
                    .next()
                    .is_some_and(|url| url.ends_with(&format!("/{profile}")))
            })
        };
        let claiming: Vec<&Value> = all.iter().filter(claims).collect();
        assert!(!claiming.is_empty(), "nothing claims {guide} {profile}");
        for path in paths.split(' ') {
            elements += 1;
            let name = format!("{guide} {profile}: {path}");
            let explained = EXPLAINED.iter().any(|(known, _)| *known == name);
            if explained == claiming.iter().any(|one| has(one, &steps(path))) {
                missing.push(name);
            }
        }
    }
    assert!(missing.is_empty(), "of {elements} elements:\n{}", missing.join("\n"));
    assert!(elements > 1_000, "{elements}");
}
