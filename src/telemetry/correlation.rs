//! The three ids that follow a request: this server's, the caller's, and the W3C trace context.

use super::spans::{SpanContext, trace_of};
use crate::ids::is_correlation_id;

/// The correlation ids of a request. They are part of every answer, log line, decision and ledger entry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Correlation {
    /// This server's id of the request; answered as `X-Request-Id`.
    pub request_id: String,
    /// The caller's id, unchanged, if it has 1 to 128 visible safe characters; otherwise this server's id. Answered as `X-Correlation-Id`.
    pub correlation_id: String,
    /// W3C trace context, `00-<trace>-<span>-<flags>`: the caller's trace with a new span, or a new trace. The flag *sampled* is set when this
    /// server keeps the span of the request, whatever the caller's flag was.
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
        let given = traceparent.and_then(SpanContext::parse);
        let own = SpanContext {
            trace: given.map_or_else(|| trace_of(&request_id), |given| given.trace),
            span,
            is_kept: false,
        };
        Correlation {
            request_id,
            correlation_id,
            traceparent: own.text(),
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
                .starts_with("00-4bf92f3577b34da6a3ce929d0e0e4736-0101010101010101-00")
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
