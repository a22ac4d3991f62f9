//! Wrong shapes in an import: each is refused with its place, the rest is stored, and no message contains a value.

use super::*;
use crate::fhir::elements;
use crate::fhir::prescreen::{ScreenLimits, screen};
use crate::fhir::shape::{judge, samples_for_tests as samples};
use crate::store::schema::compartment as full;
use crate::synth;

fn told(text: &str) -> Result<(), crate::error::Failure> {
    judge(&screen(text.as_bytes(), &ScreenLimits::record())?)
}

/// Returns a seed from the environment (`CAUSEWAY_TEST_SEED`) or from the clock; prints it, so that a failure can be repeated.
fn seed() -> u64 {
    let own = std::env::var("CAUSEWAY_TEST_SEED")
        .ok()
        .and_then(|seed| seed.parse().ok());
    let seed = own.unwrap_or_else(|| {
        std::time::UNIX_EPOCH
            .elapsed()
            .map_or(1, |since| since.as_nanos() as u64)
    });
    println!("CAUSEWAY_TEST_SEED={seed}");
    seed
}

struct Dice(u64);

impl Dice {
    fn below(&mut self, count: usize) -> usize {
        self.0 = self
            .0
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        ((self.0 >> 33) as usize) % count.max(1)
    }
}

fn synthetic() -> Vec<String> {
    let mut lines = Vec::new();
    let options = synth::SynthOptions {
        members: 6,
        ..synth::SynthOptions::default()
    };
    synth::write(&options, &mut |_, bytes| {
        lines.push(String::from_utf8(bytes.to_vec()).expect("UTF-8"));
        Ok(())
    })
    .expect("written");
    lines
}

#[test]
fn what_synth_writes_is_taken() {
    for line in synthetic() {
        if let Err(failure) = told(&line) {
            panic!("{failure} {}: {line}", failure.remedy_text());
        }
    }
}

/// Replaces one value, or one name, of a record by junk.
fn changed(line: &str, dice: &mut Dice) -> String {
    const JUNK: &[&str] = &[
        "\"Marigold\"",
        "5",
        "-1",
        "1.5",
        "true",
        "null",
        "{\"id\":\"x\"}",
        "[\"Marigold\"]",
        "[5]",
        "[null]",
        "[{\"id\":\"x\"}]",
        "{\"text\":\"x\"}",
        "\"2020-01-01\"",
        "\"male\"",
        "\"active\"",
        "{\"reference\":\"Patient/x\"}",
        "[[5]]",
        "{}",
        "[]",
        "\"\"",
    ];
    let screened = screen(line.as_bytes(), &ScreenLimits::record()).expect("passes");
    let values: Vec<_> = screened.values().skip(1).collect();
    let value = values[dice.below(values.len())];
    let (span, junk) = if dice.below(4) == 0 && !value.key().is_empty() {
        let start = value.member_span().start + 1;
        let names = [
            "value",
            "valueString",
            "_status",
            "name",
            "extension",
            "contained",
            "id",
            "wrongElement",
        ];
        (
            start..start + value.key().len(),
            names[dice.below(names.len())].to_owned(),
        )
    } else {
        (value.span(), JUNK[dice.below(JUNK.len())].to_owned())
    };
    format!("{}{junk}{}", &line[..span.start], &line[span.end..])
}

#[test]
fn of_randomly_changed_records_the_typed_model_takes_whatever_is_taken() {
    let (lines, mut dice) = (synthetic(), Dice(seed()));
    let (mut taken, mut patients) = (0, 0);
    for _ in 0..20_000 {
        let text = changed(&lines[dice.below(lines.len())], &mut dice);
        if told(&text).is_err() {
            continue;
        }
        taken += 1;
        let model = causeway_fhir_types::check(text.as_bytes());
        assert!(model.is_ok(), "{model:?}: {text}");
        if text.contains("\"resourceType\":\"Patient\"") {
            patients += 1;
            serde_json::from_str::<elements::Patient>(&text).expect("identity can read it");
        }
    }
    println!("20,000 changed records, {taken} still right, of them {patients} Patients");
    assert!(taken > 100);
}

/// Returns wrong samples, one line each, of types that are stored.
fn wrong_lines(count: usize, dice: &mut Dice) -> Vec<String> {
    let mut all = Vec::new();
    samples::wrong(&mut |case| {
        if crate::records::compartment::kind(case.rtype).is_some() {
            all.push(case.json);
        }
    });
    (0..count).map(|_| all[dice.below(all.len())].clone()).collect()
}

#[test]
fn wrong_shapes_of_every_kind_are_refused_and_what_stands_between_them_goes_in() {
    let payer = Payers::new();
    let mut dice = Dice(seed());
    let wrong = wrong_lines(1_500, &mut dice);
    let mut lines = vec![patient("a", "x")];
    for (number, wrong) in wrong.iter().enumerate() {
        lines.push(wrong.clone());
        lines.push(condition(&format!("c{number}"), "a"));
    }
    let report = payer.import(&[payer.file("x.ndjson", &lines.join("\n"))]);
    assert_eq!(
        (report.stored, report.rejected),
        (wrong.len() as u64 + 1, wrong.len() as u64)
    );
    let mut refused: Vec<u64> = payer.rejects().iter().map(|row| row.1).collect();
    refused.sort_unstable();
    assert_eq!(
        refused,
        (1..=wrong.len() as u64).map(|number| number * 2).collect::<Vec<_>>()
    );
    let text = fs::read_to_string(payer.rejects_path()).expect("a file");
    assert!(!text.contains(samples::MARK), "a value is told");
}

#[test]
fn a_patient_in_a_wrong_shape_is_told_by_line_place_and_expectation_alone() {
    let payer = Payers::new();
    let lines = [
        r#"{"resourceType":"Patient","name":{"family":"Marigold"},"gender":"female","id":"s0"}"#.to_owned(),
        patient("a", "x"),
        r#"{"resourceType":"Patient","name":[{"family":"x","given":"Marigold"}],"id":"s1"}"#.to_owned(),
        condition("c", "a"),
    ];
    let report = payer.import(&[payer.file("x.ndjson", &lines.join("\n"))]);
    assert_eq!((report.stored, report.rejected), (2, 2));
    let text = fs::read_to_string(payer.rejects_path()).expect("a file");
    let rows: Vec<serde_json::Value> = text
        .lines()
        .map(|line| serde_json::from_str(line).expect("JSON"))
        .collect();
    let row = |at: usize, name: &str| rows[at][name].clone();
    assert_eq!((row(0, "line"), row(1, "line")), (1.into(), 3.into()));
    assert_eq!(
        (row(0, "expression"), row(1, "expression")),
        ("Patient.name".into(), "Patient.name[0].given".into())
    );
    assert_eq!(row(0, "reason"), "Expected an array of HumanName.");
    assert!(
        rows.iter().all(|row| row["fault"] == Fault::ElementShape.code()) && !text.contains("Marigold"),
        "{text}"
    );
}

#[test]
fn a_record_that_panics_its_judge_is_refused_and_the_rest_goes_in() {
    let payer = Payers::new();
    let trap = condition(crate::records::pipeline::PANICS, "a");
    let lines = [patient("a", "x"), condition("b", "a"), trap, condition("d", "a")];
    let report = payer.import(&[payer.file("x.ndjson", &lines.join("\n"))]);
    assert_eq!((report.stored, report.rejected), (3, 1));
    assert_eq!(
        (payer.rejects()[0].1, payer.rejects()[0].3.as_str()),
        (3, Fault::JudgementFailed.code())
    );
}

#[test]
fn a_record_that_the_store_refuses_is_refused_alone() {
    let payer = Payers::new();
    let file = payer.file("a.ndjson", &[patient("a", "x"), patient("b", "x")].join("\n"));
    payer.import(&[file]);
    // The compartment of `b` is full.
    let full = payer.ctx.store.write_blocking(|db| {
        diesel::update(full::table.filter(full::patient_id.eq("b")))
            .set(full::next_seq.eq((1i64 << 24) - 1))
            .execute(db)?;
        Ok(())
    });
    full.expect("set");
    let mut lines: Vec<String> = (0..40).map(|number| condition(&format!("a{number}"), "a")).collect();
    lines.insert(7, condition("b1", "b"));
    lines.insert(30, condition("b2", "b"));
    let report = payer.import(&[payer.file("b.ndjson", &lines.join("\n"))]);
    assert_eq!((report.stored, report.rejected), (40, 2));
    let refused: Vec<(u64, String)> = payer.rejects().into_iter().map(|row| (row.1, row.3)).collect();
    assert_eq!(
        refused,
        [
            (8, Fault::RecordFull.code().to_owned()),
            (31, Fault::RecordFull.code().to_owned())
        ]
    );
}

#[test]
fn demographics_that_cannot_be_read_refuse_what_needs_them_and_nothing_else() {
    let payer = Payers::new();
    payer.import(&[payer.file("a.ndjson", &[patient("a", "x"), patient("b", "x")].join("\n"))]);
    let spoilt = payer.ctx.store.write_blocking(|db| {
        diesel::update(member::table.filter(member::patient_id.eq("b")))
            .set(member::demographics.eq(r#"{"name":{"family":"Marigold"}}"#))
            .execute(db)?;
        Ok(())
    });
    spoilt.expect("set");
    let coverage = |id: &str, member: &str| {
        format!(
            r#"{{"resourceType":"Coverage","id":"{id}","status":"active","beneficiary":{{"reference":"Patient/{member}"}},"payor":[{{"display":"x"}}]}}"#
        )
    };
    let lines = [
        coverage("c1", "a"),
        coverage("c2", "b"),
        condition("d", "b"),
        coverage("c3", "a"),
    ];
    let report = payer.import(&[payer.file("b.ndjson", &lines.join("\n"))]);
    assert_eq!((report.stored, report.rejected), (3, 1));
    let text = fs::read_to_string(payer.rejects_path()).expect("a file");
    assert!(
        text.contains(Fault::NotStorable.code()) && !text.contains("Marigold"),
        "{text}"
    );
    index::catch_up(&payer.ctx).expect("a bad member does not stop a start");
}

#[test]
fn a_patient_with_very_long_values_goes_in() {
    let payer = Payers::new();
    let mut dice = Dice(seed());
    // Letters that an index cannot compress.
    let mut long = |count: usize| -> String { (0..count).map(|_| char::from(b'a' + dice.below(26) as u8)).collect() };
    let names: Vec<String> = (0..300)
        .map(|_| format!(r#"{{"family":"{}","given":["{}"]}}"#, long(40), long(9)))
        .collect();
    let lines = [
        format!(
            r#"{{"resourceType":"Patient","id":"a","name":[{{"family":"{}","given":["{}"]}},{}],"birthDate":"2000-01-01","identifier":[{{"system":"http://{}","value":"{}"}},{{"value":"{}"}}],"address":[{{"line":["{}"],"city":"{}"}}],"telecom":[{{"system":"email","value":"{}"}}]}}"#,
            long(20_000),
            long(20_000),
            names.join(","),
            long(5_000),
            long(5_000),
            long(500),
            long(9_000),
            long(9_000),
            long(9_000)
        ),
        condition("c", "a"),
    ];
    let report = payer.import(&[payer.file("x.ndjson", &lines.join("\n"))]);
    assert_eq!((report.stored, report.rejected), (2, 0), "{:?}", payer.rejects());
}
