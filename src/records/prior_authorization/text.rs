//! Normalizes texts and codes for comparison.

use crate::fhir::prescreen::Value;

/// Returns the normalized form of a code system or canonical URL: lower case, without scheme, `www.`, final slash and version.
pub(super) fn canonical(text: &str) -> String {
    let text = text.split_once('|').map_or(text, |(before, _)| before);
    let lower = text.to_ascii_lowercase();
    let rest = lower
        .strip_prefix("https://")
        .or_else(|| lower.strip_prefix("http://"))
        .unwrap_or(&lower);
    rest.strip_prefix("www.")
        .unwrap_or(rest)
        .trim_end_matches('/')
        .to_owned()
}

/// Returns only the letters and digits, in lower case, so that different spellings of a name are equal.
pub(super) fn squeezed(text: &str) -> String {
    text.chars()
        .filter(|c| c.is_ascii_alphanumeric())
        .map(|c| c.to_ascii_lowercase())
        .collect()
}

/// Returns the text of the member `name`; empty when there is none.
pub(super) fn text_of(value: &Value<'_>, name: &str) -> String {
    value
        .get(name)
        .and_then(|member| member.text())
        .map(std::borrow::Cow::into_owned)
        .unwrap_or_default()
}
