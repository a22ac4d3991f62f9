//! A match decision as a table that a support person understands. Reads a decision item; shows levels and weights, never a value.

use crate::identity::{Field, Guard, Level};
use serde_json::Value;
use std::fmt::Write as _;

/// Width of a candidate's column.
const WIDTH: usize = 29;

/// The table of a decision, as `ops::decision` gives it.
pub fn table(item: &Value) -> String {
    let detail = &item["detail"];
    let mut text = String::new();
    let said = |value: &Value| value.as_str().unwrap_or("-").to_owned();
    let mut line = |name: &str, value: String| {
        let _ = writeln!(text, "{name:<20} {value}");
    };
    line(
        "decision",
        format!("{}, {}", said(&item["id"]), said(&item["created_at"])),
    );
    line(
        "partner",
        format!(
            "{}, correlation {}",
            said(&item["partner"]),
            said(&item["correlation_id"])
        ),
    );
    line("outcome", outcome(&said(&item["outcome"])));
    if let Some(guard) = guard(&detail["guard"]) {
        line("not automatic", guard.words().to_owned());
    }
    if let Some(state) = detail["review"]["state"].as_str() {
        line(
            "a person",
            format!("review {} is {state}", said(&detail["review"]["id"])),
        );
    }
    line(
        "consent",
        format!(
            "{} ({})",
            said(&detail["consent"]["decision"]),
            said(&detail["consent"]["rule"])
        ),
    );
    line("rules", said(&item["policy_version"]));
    if detail["identity"] == "not-tried" {
        line("identity", "not tried: the consent was refused by itself".to_owned());
        return text;
    }
    let roster = &detail["roster"];
    line(
        "roster",
        format!(
            "state {} of {} records, {}",
            roster["no"],
            roster["records"],
            said(&roster["digest"])
        ),
    );
    let needed = &detail["thresholds"];
    line(
        "bits needed",
        format!(
            "{} to match, {} where little else agrees, {} for a person to look, {} over the next",
            needed["accept"], needed["thin"], needed["review"], needed["margin"]
        ),
    );
    if let Some(bits) = needed["needed"].as_f64() {
        line(
            "here",
            format!("{bits:.1} bits were needed to match, by what agrees besides name and birth date"),
        );
    }
    let margin = detail["margin"].as_f64();
    line(
        "over the next",
        margin.map_or("there is no other".to_owned(), |bits| format!("{bits:.1} bits")),
    );
    candidates(&mut text, detail);
    text
}

fn candidates(text: &mut String, detail: &Value) {
    let shown = detail["candidates"].as_array().map_or(&[][..], Vec::as_slice);
    let count = detail["candidates_count"].as_u64().unwrap_or(0);
    let _ = match shown.len() {
        0 => writeln!(text, "\nnobody comes near"),
        some => writeln!(text, "\n{some} of {count} candidates, best first"),
    };
    let mut row = |name: &str, cells: Vec<String>| {
        let cells: String = cells.iter().map(|cell| format!(" {cell:<WIDTH$}")).collect();
        let _ = writeln!(text, "{}", format!("{name:<20}{cells}").trim_end());
    };
    if shown.is_empty() {
        return;
    }
    row("", (1..=shown.len()).map(|no| format!("candidate {no}")).collect());
    for field in Field::ALL {
        let cell = |one: &Value| {
            let code = one["fields"][field.code()].as_str().unwrap_or("missing");
            let level = Level::ALL.into_iter().find(|level| level.code() == code);
            let words = level.map_or(code, |level| level.words(field));
            match one["weights"][field.code()].as_f64() {
                Some(weight) => format!("{words:<21} {weight:>+6.1}"),
                None => words.to_owned(),
            }
        };
        row(field.words(), shown.iter().map(cell).collect());
    }
    if let Some(bits) = detail["thresholds"]["prior"].as_f64() {
        row(
            "before comparing",
            shown.iter().map(|_| format!("{:<21} {bits:>+6.1}", "")).collect(),
        );
    }
    for (name, key) in [("own", "individual"), ("household", "household"), ("bits", "total")] {
        let cell = |one: &Value| {
            one[key]
                .as_f64()
                .map_or(String::new(), |bits| format!("{:<21} {bits:>+6.1}", ""))
        };
        row(name, shown.iter().map(cell).collect());
    }
    let rule = |one: &Value| one["rule"].as_str().unwrap_or("-").to_owned();
    row("rule that holds", shown.iter().map(rule).collect());
}

/// The guard of this code.
pub(crate) fn guard(code: &Value) -> Option<Guard> {
    let code = code.as_str()?;
    Guard::ALL.into_iter().find(|guard| guard.code() == code)
}

fn outcome(word: &str) -> String {
    let meaning = match word {
        "matched" => "one member, and the consent is good",
        "review" => "a person must decide; the partner was told no match",
        "none" => "no member",
        "consent" => "one member, but the consent cannot be honoured",
        "consent-first" => "the consent permits nothing by itself; nobody was looked up",
        "guarded" => "one member, but too many guesses came near that record; the partner was told no match",
        "gate" => "the consent is between other parties or about somebody else",
        _ => return word.to_owned(),
    };
    format!("{word}: {meaning}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_decision_reads_as_a_table_without_values() {
        let item = json!({
            "id": "d1", "created_at": "2026-07-01T16:00:00.000Z", "partner": "new-payer", "correlation_id": "c1", "outcome": "review",
            "policy_version": "fs-3:safe:0a1b2c3d4e5f",
            "detail": {
                "guard": "id_contradicts", "margin": null, "point": "safe", "consent": {"decision": "permit", "rule": "regular"},
                "roster": {"no": 3, "records": 10, "digest": "abc"},
                "thresholds": {"accept": 10.0, "thin": 12.0, "review": 3.0, "margin": 6.0}, "candidates_count": 4,
                "candidates": [{"fields": {"given": "exact", "member_id": "differ", "phone": "missing"},
                    "weights": {"given": 8.8, "member_id": -6.1}, "individual": 20.0, "household": -6.1, "total": 13.9, "rule": null}],
            },
        });
        let table = table(&item);
        for part in [
            "review: a person must decide",
            "the member number sent is another's",
            "state 3 of 10 records",
            "first name           the same                +8.8",
            "member number        differs                 -6.1",
            "telephone            not said",
            "1 of 4 candidates",
            "there is no other",
        ] {
            assert!(table.contains(part), "{part} in\n{table}");
        }
    }

    #[test]
    fn a_decision_by_the_consent_alone_says_that_identity_was_not_tried() {
        let table = table(&json!({
            "id": "d", "outcome": "consent-first", "policy_version": "hrex-consent:2",
            "detail": {"identity": "not-tried", "candidates": [], "consent": {"decision": "refuse", "rule": "not-ended"}},
        }));
        for part in [
            "nobody was looked up",
            "refuse (not-ended)",
            "not tried: the consent was refused",
        ] {
            assert!(table.contains(part), "{part} in\n{table}");
        }
        assert!(!table.contains("bits needed"), "{table}");
    }

    #[test]
    fn an_old_or_empty_detail_still_reads() {
        let table = table(&json!({"id": "d", "outcome": "none", "detail": {"candidates": []}}));
        assert!(table.contains("nobody comes near"));
    }
}
