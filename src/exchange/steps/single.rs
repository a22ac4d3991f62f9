//! The answer to a read of one resource, in the form in which bodies are kept: a Bundle whose only entry is the resource, byte for byte.
//! Pure.

use serde::Deserialize;

/// What a kept body has before the resource.
pub(super) const BEFORE: &[u8] = b"{\"resourceType\":\"Bundle\",\"type\":\"collection\",\"entry\":[{\"resource\":";
/// What it has after it.
pub(super) const AFTER: &[u8] = b"}]}";

#[derive(Deserialize)]
struct ReadResource<'b> {
    #[serde(rename = "resourceType", borrow)]
    resource_type: std::borrow::Cow<'b, str>,
    #[serde(borrow)]
    id: std::borrow::Cow<'b, str>,
}

/// Whether a body is the resource that was asked for as `Type/id`.
pub(super) fn is(body: &[u8], wanted: &str) -> bool {
    let found = serde_json::from_slice::<ReadResource<'_>>(body);
    found.is_ok_and(|found| wanted.split_once('/') == Some((&*found.resource_type, &*found.id)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_resource_that_was_asked_for_is_taken() {
        let wanted = "Location/l1";
        assert!(is(br#" {"id":"l1","name":"x","resourceType":"Location"} "#, wanted));
        for other in [
            r#"{"resourceType":"Location","id":"l2"}"#,
            r#"{"resourceType":"Organization","id":"l1"}"#,
            r#"{"resourceType":"OperationOutcome","issue":[]}"#,
            r#"{"resourceType":"Location","id":"l1"}}],"link":[{"#,
            "<html></html>",
            "",
        ] {
            assert!(!is(other.as_bytes(), wanted), "{other}");
        }
    }
}
