//! Looks at one entry of a Bundle: where its resource stands, of which type it is, and whether it is one of the record.

use crate::error::Failure;
use crate::fhir::prescreen::{ScreenLimits, screen};
use std::ops::Range;

/// Longest entry that is looked at: the longest resource, with what stands around it in a Bundle.
pub(super) const ENTRY_BYTES: usize = ScreenLimits::record().bytes + (64 << 10);

/// The entry is looked at inside a Bundle, because the pre-screen takes resources only.
const BEFORE: &[u8] = b"{\"resourceType\":\"Bundle\",\"entry\":[";
const AFTER: &[u8] = b"]}";

/// What an entry holds.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct EntryFound {
    /// The type of the resource, when it is one of R4.
    pub rtype: Option<&'static str>,
    /// Where the resource stands in the entry.
    pub span: Range<usize>,
    /// Whether it was only included, or is a message about the answer.
    pub is_extra: bool,
}

/// Looks at an entry; `None` when it has no resource.
///
/// # Errors
/// Those of [`screen`].
pub(super) fn look(bytes: &[u8]) -> Result<Option<EntryFound>, Failure> {
    let whole = [BEFORE, bytes, AFTER].concat();
    let limits = ScreenLimits {
        bytes: ENTRY_BYTES + BEFORE.len() + AFTER.len(),
        ..ScreenLimits::record()
    };
    let bundle = screen(&whole, &limits)?;
    let Some(entry) = bundle.root().first(&["entry"]) else {
        return Ok(None);
    };
    let mode = entry.first(&["search", "mode"]);
    Ok(entry.get("resource").map(|resource| {
        let rtype = resource.get("resourceType").and_then(|rtype| rtype.text());
        let span = resource.span();
        EntryFound {
            rtype: rtype.and_then(|rtype| causeway_fhir_types::type_name(&rtype)),
            span: span.start - BEFORE.len()..span.end - BEFORE.len(),
            is_extra: mode.is_some_and(|mode| mode.is("include") || mode.is("outcome")),
        }
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_resource_is_found_where_it_stands() {
        let text = br#"{"search":{"mode":"include"}, "resource" : {"resourceType":"Goal"},"fullUrl":"x"}"#;
        let found = look(text).expect("reads").expect("a resource");
        assert_eq!(&text[found.span.clone()], br#"{"resourceType":"Goal"}"#);
        assert_eq!((found.rtype, found.is_extra), (Some("Goal"), true));
        let unknown = look(br#"{"resource":{"resourceType":"SubscriptionTopic"}}"#)
            .expect("reads")
            .expect("one");
        assert_eq!((unknown.rtype, unknown.is_extra), (None, false));
        assert_eq!(look(br#"{"fullUrl":"x"}"#).expect("reads"), None);
        assert!(look(br#"{"resource":{"a":}}"#).is_err());
        assert!(look(b"{\"resource\":{\"a\":\"\xff\"}}").is_err(), "not UTF-8");
    }
}
