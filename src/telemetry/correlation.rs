//! The three ids that follow a request: this server's, the caller's, and the W3C trace context.

use crate::ids::is_correlation_id;

/// The correlation ids of a request. They are part of every answer, log line, decision and ledger entry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Correlation {
    /// This server's id of the request; answered as `X-Request-Id`.
    pub request_id: String,
    /// The caller's id, unchanged, if it has 1 to 128 visible safe characters; otherwise this server's id. Answered as `X-Correlation-Id`.
    pub correlation_id: String,
    /// W3C trace context, `00-<trace>-<span>-<flags>`: the caller's trace with a new span, or a new trace.
    pub traceparent: String,
}

impl Correlation {
    /// Makes the ids of one request. `request_id` is a new id of this server, `span` eight random bytes.
    ///
    /// The caller's id is taken from `X-Correlation-Id`, or from `X-Request-Id` when that is missing (FHIR R4 http, X-Request-Id).
    pub fn of(
        request_id: String,
        span: [u8; 8],
        correlation: Option<&str>,
        request: Option<&str>,
        traceparent: Option<&str>,
    ) -> Self {
        let given = [correlation, request]
            .into_iter()
            .flatten()
            .find(|text| is_correlation_id(text));
        let correlation_id = given.map_or_else(|| request_id.clone(), str::to_owned);
        let trace = traceparent.and_then(trace_id).map_or_else(
            || crate::secret::hex(&crate::secret::sha256(request_id.as_bytes())[..16]),
            str::to_owned,
        );
        let traceparent = format!("00-{trace}-{}-01", crate::secret::hex(&span));
        Correlation {
            request_id,
            correlation_id,
            traceparent,
        }
    }

    /// The request id, if it differs from the correlation id. Only then is it indexed separately.
    pub fn own_request_id(&self) -> Option<&str> {
        Some(self.request_id.as_str()).filter(|id| *id != self.correlation_id)
    }

    /// The ids of something that no request caused, such as a command.
    pub fn internal(request_id: String) -> Self {
        Correlation::of(request_id, crate::secret::random_of_many(), None, None, None)
    }
}

/// The trace id of a well-formed `traceparent` (W3C Trace Context, version 00).
fn trace_id(text: &str) -> Option<&str> {
    let mut parts = text.split('-');
    let (version, trace, span, flags) = (parts.next()?, parts.next()?, parts.next()?, parts.next()?);
    let lower_hex =
        |s: &str, n: usize| s.len() == n && s.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b));
    (version == "00"
        && parts.next().is_none()
        && lower_hex(trace, 32)
        && lower_hex(span, 16)
        && lower_hex(flags, 2)
        && trace.bytes().any(|b| b != b'0')
        && span.bytes().any(|b| b != b'0'))
    .then_some(trace)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hostile_ids_are_replaced_and_good_ones_kept() {
        let of = |c: Option<&str>, t: Option<&str>| Correlation::of("ours".into(), [1; 8], c, None, t);
        assert_eq!(of(Some("partner-77"), None).correlation_id, "partner-77");
        for bad in ["", "a b", "a\"b", "x\u{e4}", "a{b", &"x".repeat(129)] {
            assert_eq!(of(Some(bad), None).correlation_id, "ours", "{bad}");
        }
        let good = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
        assert!(
            of(None, Some(good))
                .traceparent
                .starts_with("00-4bf92f3577b34da6a3ce929d0e0e4736-0101")
        );
        for bad in [
            "00-00000000000000000000000000000000-00f067aa0ba902b7-01",
            "01-x",
            "00-4BF92F3577B34DA6A3CE929D0E0E4736-00f067aa0ba902b7-01",
        ] {
            assert!(!of(None, Some(bad)).traceparent.contains("4bf92f"), "{bad}");
        }
    }
}
