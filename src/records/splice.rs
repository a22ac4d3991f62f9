//! Replaces spans of bytes and leaves every other byte unchanged.

use std::ops::Range;

/// Replaces each span by its text. Spans must be sorted and must not overlap.
pub fn splice(bytes: &[u8], edits: &[(Range<usize>, String)]) -> Vec<u8> {
    let grown: usize = edits.iter().map(|(_, text)| text.len()).sum();
    let mut out = Vec::with_capacity(bytes.len() + grown);
    let mut at = 0;
    for (span, text) in edits {
        out.extend_from_slice(&bytes[at..span.start]);
        out.extend_from_slice(text.as_bytes());
        at = span.end;
    }
    out.extend_from_slice(&bytes[at..]);
    out
}

/// Removes white space between tokens, so that a resource is one line. The bytes must have passed the pre-screen.
pub fn compact(bytes: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(bytes.len());
    let mut inside = false;
    let mut escaped = false;
    for &byte in bytes {
        if inside {
            out.push(byte);
            inside = escaped || byte != b'"';
            escaped = !escaped && byte == b'\\';
        } else if !byte.is_ascii_whitespace() {
            out.push(byte);
            inside = byte == b'"';
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn compacting_leaves_strings_alone() {
        let pretty = b"{\n \"a\" : \" x \\\" \\\\\" ,\r\n\t\"b\": [ 1.10 , true ] }";
        assert_eq!(compact(pretty), b"{\"a\":\" x \\\" \\\\\",\"b\":[1.10,true]}");
    }

    proptest! {
        #[test]
        fn splicing_keeps_everything_else_byte_equal(
            pieces in prop::collection::vec((prop::collection::vec(any::<u8>(), 0..9), any::<bool>(), "[a-z]{0,5}"), 0..9),
        ) {
            let (mut before, mut after, mut edits) = (Vec::new(), Vec::new(), Vec::new());
            for (piece, replaced, text) in pieces {
                let start = before.len();
                before.extend_from_slice(&piece);
                if replaced {
                    edits.push((start..before.len(), text.clone()));
                    after.extend_from_slice(text.as_bytes());
                } else {
                    after.extend_from_slice(&piece);
                }
            }
            prop_assert_eq!(splice(&before, &edits), after);
        }
    }
}
