//! `causeway synth` writes what it says, and the same again from the same seed.

use causeway::cli::synth::{SynthArgs, run};
use causeway::cli::{Exit, Out};
use clap::Parser;
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

fn synth(cwd: &Path, line: &str) -> Result<serde_json::Value, causeway::error::Failure> {
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
    let said = synth(home.path(), "--members 30 --seed 5 --twins --out a").expect("written");
    let again = synth(home.path(), "--members 30 --seed 5 --twins --gzip --out b").expect("written");
    assert_eq!(said, again);
    let types = said["types"].as_object().expect("types");
    assert_eq!(types["Patient"], 31);
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
    let refused = synth(home.path(), "--members 1 --out .").expect_err("refused");
    assert_eq!(refused.fault(), causeway::error::Fault::InputUnreadable);
    assert_eq!(std::fs::read_dir(home.path()).expect("folder").count(), 1);
}
