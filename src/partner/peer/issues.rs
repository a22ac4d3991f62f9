//! What a partner's refusal says, as far as it may be kept: codes, and no text.

use serde::Deserialize;

#[derive(Default, Deserialize)]
#[serde(default)]
struct Outcome {
    issue: Vec<Issue>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Issue {
    code: String,
    details: Details,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Details {
    coding: Vec<Coded>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Coded {
    code: String,
}

/// The issue codes and fault codes of an OperationOutcome, as one word each; its texts are left out, because they may tell of a member.
pub(super) fn issues(bytes: &[u8]) -> String {
    let outcome: Outcome = serde_json::from_slice(bytes).unwrap_or_default();
    let is_code =
        |code: &&str| code.len() <= 64 && code.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-');
    let codes = outcome.issue.iter().flat_map(|issue| {
        std::iter::once(issue.code.as_str()).chain(issue.details.coding.iter().map(|one| one.code.as_str()))
    });
    let codes: Vec<&str> = codes.filter(is_code).filter(|code| !code.is_empty()).take(16).collect();
    codes.join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_a_refusal_only_codes_are_kept() {
        let text = r#"{"resourceType":"OperationOutcome","issue":[{"severity":"error","code":"not-found","diagnostics":"Ana Lima",
            "details":{"text":"Ana Lima","coding":[{"system":"x","code":"MM-001"},{"code":"Ana Lima"}]}},{"code":"<b>"}]}"#;
        assert_eq!(issues(text.as_bytes()), "not-found MM-001");
        assert_eq!(issues(b"<html>"), "");
    }
}
