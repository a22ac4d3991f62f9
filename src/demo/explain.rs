//! A decision in sentences, for the demonstration.

use crate::identity::Guard;
use serde_json::Value;

/// What was compared with what result, and what the consent came to.
pub fn lines(decision: &Value) -> Vec<String> {
    let detail = &decision["detail"];
    let mut lines = Vec::new();
    for (at, candidate) in detail["candidates"].as_array().into_iter().flatten().enumerate() {
        let fields: Vec<String> = candidate["fields"]
            .as_object()
            .into_iter()
            .flatten()
            .filter(|(_, level)| *level != "missing")
            .map(|(field, level)| format!("{field} {}", level.as_str().unwrap_or("?")))
            .collect();
        let rule = candidate["rule"]
            .as_str()
            .map_or(String::from("no rule fits"), |rule| format!("rule {rule}"));
        lines.push(format!("candidate {}: {}; {rule}", at + 1, fields.join(", ")));
    }
    if lines.is_empty() {
        let tried = detail["identity"] != "not-tried";
        lines.push(if tried { "no candidate" } else { "nobody was looked up" }.to_owned());
    }
    let guard = Guard::ALL.into_iter().find(|guard| detail["guard"] == guard.code());
    if let Some(guard) = guard {
        lines.push(format!("not automatic: {}", guard.words()));
    }
    if let Some(state) = detail["review"]["state"].as_str() {
        lines.push(format!("a person said: {state}"));
    }
    let consent = &detail["consent"];
    lines.push(format!(
        "consent: {} ({})",
        consent["decision"].as_str().unwrap_or("?"),
        consent["rule"].as_str().unwrap_or("?")
    ));
    lines
}
