//! Explains a decision in sentences, for the demonstration.

use crate::error::Failure;
use crate::identity::{Field, Level};
use crate::ops::decisions::DecisionItem;
use crate::ops::explain::consent_words;

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
            .map(|(field, level)| compared(field, level))
            .collect();
        let rule = candidate.rule.as_ref();
        let rule = rule.map_or("no rule fits".to_owned(), |rule| format!("rule {rule}"));
        lines.push(format!("candidate {}: {}; {rule}", at + 1, fields.join(", ")));
    }
    if lines.is_empty() {
        let nobody = if detail.is_tried() {
            "no candidate"
        } else {
            "no member was looked up"
        };
        lines.push(nobody.to_owned());
    }
    if let Some(guard) = detail.guard() {
        lines.push(format!("not automatic: {}", guard.words()));
    }
    if let Some(state) = detail.review.and_then(|review| review.state) {
        lines.push(format!("a reviewer's decision: {state}"));
    }
    lines.push(format!("consent: {}", consent_words(&detail.consent)));
    Ok(lines)
}

/// A field and how it compared, with the names that reviewers see.
pub fn compared(field: &str, level: &str) -> String {
    let known = Field::ALL.into_iter().find(|known| known.code() == field);
    let words = known.and_then(|field| {
        let level = Level::ALL.into_iter().find(|known| known.code() == level)?;
        Some(format!("{}: {}", field.words(), level.words(field)))
    });
    words.unwrap_or_else(|| format!("{field}: {level}"))
}
