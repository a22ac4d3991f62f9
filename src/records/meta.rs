//! Writes this server's version number and its time into the bytes of a resource.

use crate::clock::rfc3339_ms;
use crate::fhir::prescreen::{JsonKind, Screened};
use std::ops::Range;

/// The edits that write version and time into a resource.
pub(super) struct MetaWriter {
    /// The edits, sorted.
    pub(super) edits: Vec<(Range<usize>, String)>,
    /// The edit that contains the time, and the position of the time in its text.
    stamp: (Range<usize>, usize),
}

impl MetaWriter {
    /// Returns the position of the time after all of `edits`, which must include these, are applied.
    pub(super) fn stamp_in(&self, edits: &[(Range<usize>, String)]) -> usize {
        let (span, within) = &self.stamp;
        let (mut grown, mut shrunk) = (0, 0);
        for (other, text) in edits {
            if other == span {
                break;
            }
            grown += text.len();
            shrunk += other.len();
        }
        span.start + grown - shrunk + within
    }
}

/// Makes the edits that write version and time.
pub(super) fn meta_edits(resource: &Screened<'_>, version: i64, now_ms: i64) -> MetaWriter {
    let root = resource.root();
    let time = rfc3339_ms(now_ms);
    let made = |mut edits: Vec<(Range<usize>, String)>| {
        edits.sort_by_key(|(span, _)| span.start);
        let stamp = edits
            .iter()
            .find_map(|(span, text)| Some((span.clone(), text.find(&time)?)))
            .unwrap_or((0..0, 0));
        MetaWriter { edits, stamp }
    };
    let Some(meta) = root.get("meta").filter(|meta| meta.kind() == JsonKind::Object) else {
        let after = root
            .get("id")
            .or_else(|| root.get("resourceType"))
            .map_or(0, |value| value.span().end);
        return made(vec![(
            after..after,
            format!(",\"meta\":{{\"versionId\":\"{version}\",\"lastUpdated\":\"{time}\"}}"),
        )]);
    };
    let mut edits = Vec::new();
    let mut first = String::new();
    match meta.get("versionId") {
        Some(old) => edits.push((old.span(), format!("\"{version}\""))),
        None => first.push_str(&format!("\"versionId\":\"{version}\",")),
    }
    match meta.get("lastUpdated") {
        Some(old) => edits.push((old.span(), format!("\"{time}\""))),
        None => first.push_str(&format!("\"lastUpdated\":\"{time}\",")),
    }
    if !first.is_empty() {
        let start = meta.span().start + 1;
        edits.push((start..start, first));
    }
    made(edits)
}
