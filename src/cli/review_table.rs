//! One review for people: what was asked beside what is held of each candidate, in words. Shows personal data, so only whoever may
//! see it comes here, and nothing of it is kept.

use super::Out;
use crate::identity::{Field, Level};
use crate::ops::explain::guard;
use serde_json::Value;

/// Candidates in one table; more would not fit a terminal.
const ABREAST: usize = 2;

/// Prints a review, as `ops::reviews::one` gives it.
pub(super) fn show(item: &Value, out: &mut Out) {
    out.line(&format!(
        "review {}: {}, due {}, asked {} times by {}",
        text(&item["id"]),
        text(&item["state"]),
        text(&item["due_at"]),
        item["asked_count"],
        text(&item["partner"])
    ));
    out.line(&format!("why: {}", why(&item["reason"])));
    let candidates = item["candidates"].as_array().map_or(&[][..], Vec::as_slice);
    for abreast in candidates.chunks(ABREAST) {
        out.line("");
        beside(abreast, out);
    }
    for act in item["acts"].as_array().into_iter().flatten() {
        out.line(&format!(
            "{}  {} {} by {}: {}",
            text(&act["at"]),
            text(&act["act"]),
            act["verdict"].as_str().unwrap_or(""),
            text(&act["operator"]),
            text(&act["reason"])
        ));
    }
}

/// Why a person has to look, in words: a guard's, or the queue's own.
pub(super) fn why(reason: &Value) -> String {
    match guard(reason) {
        Some(guard) => guard.words().to_owned(),
        None => text(reason),
    }
}

fn beside(candidates: &[Value], out: &mut Out) {
    let mut header = vec!["FIELD".to_owned(), "ASKED".to_owned()];
    let mut record = vec!["record".to_owned(), String::new()];
    let mut bits = vec!["bits".to_owned(), String::new()];
    for candidate in candidates {
        header.extend([
            format!("CANDIDATE {}", candidate["place"]),
            "COMPARED".to_owned(),
            "BITS".to_owned(),
        ]);
        record.extend([
            format!("Patient/{}", text(&candidate["patient_id"])),
            String::new(),
            String::new(),
        ]);
        let total = candidate["total"].as_f64();
        bits.extend([String::new(), String::new(), total.map_or_else(String::new, signed)]);
    }
    let mut rows = vec![record];
    rows.extend(fields(candidates).into_iter().map(|name| row(name, candidates)));
    rows.push(bits);
    let header: Vec<&str> = header.iter().map(String::as_str).collect();
    out.table(&header, &rows);
}

/// Every field that some candidate shows, in the order of the first.
fn fields(candidates: &[Value]) -> Vec<&str> {
    let mut names: Vec<&str> = Vec::new();
    let all = candidates
        .iter()
        .filter_map(|candidate| candidate["fields"].as_array())
        .flatten();
    for name in all.filter_map(|field| field["field"].as_str()) {
        if !names.contains(&name) {
            names.push(name);
        }
    }
    names
}

fn row(name: &str, candidates: &[Value]) -> Vec<String> {
    let field = Field::ALL.into_iter().find(|field| field.code() == name);
    let cell = |candidate: &Value, key: &str| {
        let of_name = candidate["fields"]
            .as_array()?
            .iter()
            .find(|field| field["field"] == name)?;
        Some(of_name[key].clone())
    };
    let asked = candidates.iter().find_map(|candidate| cell(candidate, "asked"));
    let mut cells = vec![
        field.map_or_else(|| name.to_owned(), |field| field.words().to_owned()),
        asked
            .and_then(|asked| asked.as_str().map(str::to_owned))
            .unwrap_or_default(),
    ];
    for candidate in candidates {
        let said = |key: &str| cell(candidate, key).unwrap_or(Value::Null);
        let level = said("level");
        let code = level.as_str().unwrap_or_default();
        let known = Level::ALL.into_iter().find(|level| level.code() == code);
        let compared = match (known, field) {
            (Some(level), Some(field)) => level.words(field),
            _ => code,
        };
        let missing = known == Some(Level::Missing);
        let weight = said("weight").as_f64().filter(|_| !missing);
        cells.extend([
            said("held").as_str().unwrap_or_default().to_owned(),
            compared.to_owned(),
            weight.map_or_else(String::new, signed),
        ]);
    }
    cells
}

fn signed(bits: f64) -> String {
    format!("{bits:+.1}")
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or("-").to_owned()
}
