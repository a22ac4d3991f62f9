//! Links and images of a narrative that mean resources of the same source (FHIR R4 http, "transaction processing rules").
//!
//! Only addresses change; everything else of a narrative stays as it came.

use super::gate::Links;
use crate::fhir::prescreen::Value;
use memchr::memmem;
use std::ops::Range;

/// Adds the edits that make the links and images of `div` local.
pub fn local_edits(div: &Value<'_>, links: &dyn Links, edits: &mut Vec<(Range<usize>, String)>) {
    let (raw, start) = (div.raw(), div.span().start);
    for name in [&b" href="[..], b" src="] {
        for at in memmem::find_iter(raw, name) {
            let from = at + name.len();
            // In JSON the quote is escaped, unless it is a single one.
            let quote: &[u8] = match &raw[from..] {
                [b'\\', b'"', ..] => b"\\\"",
                [b'\'', ..] => b"'",
                _ => continue,
            };
            let from = from + quote.len();
            let Some(length) = memmem::find(&raw[from..], quote) else {
                continue;
            };
            let Ok(address) = std::str::from_utf8(&raw[from..from + length]) else {
                continue;
            };
            // A solidus may be escaped in JSON; other escapes, and those of XML, stand in no address of a resource.
            let address = address.replace("\\/", "/");
            if address.contains(['\\', '&']) {
                continue;
            }
            if let Some(local) = links.local_link(&address) {
                edits.push((start + from..start + from + length, local));
            }
        }
    }
}
