//! Where a span stands in a trace: its ids, and their form in the header `traceparent` (W3C Trace Context, version 00).
//!
//! The headers `tracestate` and `baggage` are read nowhere and sent nowhere: both are texts of others.

use crate::secret::{hex, sha256};

/// The ids of a span.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SpanContext {
    /// The trace; not all zero.
    pub trace: [u8; 16],
    /// The span; not all zero.
    pub span: [u8; 8],
    /// Whether the span is kept for the collector (the flag *sampled*).
    pub is_kept: bool,
}

impl SpanContext {
    /// Reads a well-formed `traceparent` of version 00.
    pub fn parse(text: &str) -> Option<SpanContext> {
        let mut parts = text.split('-');
        let (version, trace, span, flags) = (parts.next()?, parts.next()?, parts.next()?, parts.next()?);
        let flags: [u8; 1] = lower_hex(flags)?;
        let context = SpanContext {
            trace: lower_hex(trace)?,
            span: lower_hex(span)?,
            is_kept: flags[0] & 1 == 1,
        };
        let is_whole = version == "00" && parts.next().is_none();
        (is_whole && context.trace != [0; 16] && context.span != [0; 8]).then_some(context)
    }

    /// The value of `traceparent`.
    pub fn text(&self) -> String {
        let flags = if self.is_kept { "01" } else { "00" };
        format!("00-{}-{}-{flags}", hex(&self.trace), hex(&self.span))
    }
}

/// The id of the trace of everything that has this id: the same in each process, and after a restart.
pub fn trace_of(id: &str) -> [u8; 16] {
    let mut trace = [0; 16];
    trace.copy_from_slice(&sha256(id.as_bytes())[..16]);
    trace
}

/// The id of the span that is named by these parts: the same in each process, and after a restart.
pub fn span_of(parts: &[&str]) -> [u8; 8] {
    let mut span = [0; 8];
    span.copy_from_slice(&sha256(parts.join("\n").as_bytes())[..8]);
    span
}

/// `N` bytes from twice as many hexadecimal digits in small letters.
fn lower_hex<const N: usize>(text: &str) -> Option<[u8; N]> {
    let digits = text.as_bytes();
    if digits.len() != 2 * N {
        return None;
    }
    let value = |digit: u8| match digit {
        b'0'..=b'9' => Some(digit - b'0'),
        b'a'..=b'f' => Some(digit - b'a' + 10),
        _ => None,
    };
    let mut bytes = [0; N];
    for (byte, pair) in bytes.iter_mut().zip(digits.chunks_exact(2)) {
        *byte = (value(pair[0])? << 4) | value(pair[1])?;
    }
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_traceparent_is_read_and_written() {
        for (text, is_kept) in [
            ("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01", true),
            ("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-00", false),
        ] {
            let read = SpanContext::parse(text).expect("well-formed");
            assert_eq!((read.text().as_str(), read.is_kept), (text, is_kept));
        }
        let other = SpanContext::parse("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-ff").expect("well-formed");
        assert!(other.is_kept, "other flags say nothing to us");
        for bad in [
            "",
            "00",
            "01-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
            "00-00000000000000000000000000000000-00f067aa0ba902b7-01",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-0000000000000000-01",
            "00-4BF92F3577B34DA6A3CE929D0E0E4736-00f067aa0ba902b7-01",
            "00-4bf92f3577b34da6a3ce929d0e0e473-00f067aa0ba902b7-01",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-1",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01-more",
        ] {
            assert_eq!(SpanContext::parse(bad), None, "{bad}");
        }
    }

    #[test]
    fn ids_that_are_made_of_others_stay_the_same() {
        assert_eq!(trace_of("a"), trace_of("a"));
        assert_ne!(trace_of("a"), trace_of("b"));
        assert_ne!(span_of(&["a", "b"]), span_of(&["a"]));
    }
}
