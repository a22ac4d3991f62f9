//! Makes links and images in a narrative local when they mean resources of the same source (FHIR R4 http, "transaction processing rules").
//!
//! Only addresses change; the rest of a narrative is left as received.

use super::local::Links;
use crate::fhir::prescreen::Value;
use memchr::memmem;
use std::ops::Range;

/// Adds the edits that make the links and images of `div` local.
pub fn local_edits(div: &Value<'_>, links: &dyn Links, edits: &mut Vec<(Range<usize>, String)>) {
    let (raw, start) = (div.raw(), div.span().start);
    for name in [&b" href="[..], b" src="] {
        for at in memmem::find_iter(raw, name) {
            let from = at + name.len();
            // In JSON a double quote is escaped; a single quote is not.
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
            // A slash may be escaped in JSON; addresses of resources contain no other JSON escapes and no XML escapes.
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
