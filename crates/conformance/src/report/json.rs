//! The report as JSON.

use super::{ConformanceReport, TestVerdict};
use crate::surroundings::rfc3339_ms;
use serde_json::{Map, Value, json};

/// The whole report as one JSON document.
pub fn document(report: &ConformanceReport) -> Value {
    let counts: Map<String, Value> = report
        .counts()
        .iter()
        .zip(TestVerdict::WORDS)
        .map(|(count, word)| (word.to_owned(), json!(count)))
        .collect();
    let tests: Vec<Value> = report
        .tested
        .iter()
        .map(|one| {
            let mut value = json!({
                "id": one.test.id, "title": one.test.title, "requirement": one.test.requirement,
                "verdict": one.verdict.word(), "took_ms": one.took_ms,
            });
            if !one.verdict.reason().is_empty() {
                value["reason"] = json!(one.verdict.reason());
            }
            if !one.exchanges.is_empty() {
                value["exchanges"] = json!(one.exchanges);
            }
            value
        })
        .collect();
    json!({
        "base_url": report.base_url, "good": report.is_good(), "counts": counts,
        "started_at": rfc3339_ms(report.started_ms), "ended_at": rfc3339_ms(report.ended_ms), "tests": tests,
    })
}

#[cfg(test)]
mod tests {
    use super::super::tests::sample;
    use super::*;

    #[test]
    fn the_document_tells_all() {
        let document = document(&sample());
        assert_eq!(
            (document["good"].as_bool(), document["counts"]["fail"].as_u64()),
            (Some(false), Some(1))
        );
        let tests = document["tests"].as_array().expect("tests");
        assert!(tests[0].get("reason").is_none() && tests[0].get("exchanges").is_none());
        assert_eq!(tests[1]["exchanges"][0]["status"], 500);
    }
}
