//! Explains a decision in sentences, for the demonstration.

use crate::error::Failure;
use crate::ops::decisions::DecisionItem;

/// What was compared and with what result, and how the consent was judged.
///
/// # Errors
/// As [`DecisionItem::detail`].
pub fn lines(decision: &DecisionItem) -> Result<Vec<String>, Failure> {
    let detail = decision.detail()?;
    let mut lines = Vec::new();
    for (at, candidate) in detail.candidates.iter().enumerate() {
        let fields: Vec<String> = candidate
            .fields
            .iter()
            .filter_map(|(field, level)| Some((field, level.as_str()?)))
            .filter(|(_, level)| *level != "missing")
            .map(|(field, level)| format!("{field} {level}"))
            .collect();
        let rule = candidate.rule.as_ref();
        let rule = rule.map_or("no rule fits".to_owned(), |rule| format!("rule {rule}"));
        lines.push(format!("candidate {}: {}; {rule}", at + 1, fields.join(", ")));
    }
    if lines.is_empty() {
        let nobody = if detail.is_tried() {
            "no candidate"
        } else {
            "nobody was looked up"
        };
        lines.push(nobody.to_owned());
    }
    if let Some(guard) = detail.guard() {
        lines.push(format!("not automatic: {}", guard.words()));
    }
    if let Some(state) = detail.review.and_then(|review| review.state) {
        lines.push(format!("a person said: {state}"));
    }
    let said = |word: Option<String>| word.unwrap_or_else(|| "?".to_owned());
    lines.push(format!(
        "consent: {} ({})",
        said(detail.consent.decision),
        said(detail.consent.rule)
    ));
    Ok(lines)
}
