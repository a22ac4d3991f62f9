//! The `Prefer` header (RFC 7240), as far as FHIR defines it for reads and searches.
//!
//! `respond-async` counts for bulk work only: every other answer is made at once. `return` is ignored: nothing is written that could be
//! returned.

use actix_web::http::header::HeaderMap;

/// What to do with unknown parameters.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Handling {
    /// Ignore them and report them in the answer (the default).
    #[default]
    Lenient,
    /// Refuse the request.
    Strict,
}

/// Whether a request prefers to be answered later (`respond-async`).
pub fn responds_async(headers: &HeaderMap) -> bool {
    parts(headers).any(|part| part.trim().eq_ignore_ascii_case("respond-async"))
}

/// Whether a request says `handling=lenient` itself.
pub fn says_lenient(headers: &HeaderMap) -> bool {
    let said = parts(headers).any(|part| part.to_ascii_lowercase().contains("handling"));
    said && handling(headers) == Handling::Lenient
}

fn parts(headers: &HeaderMap) -> impl Iterator<Item = &str> {
    headers
        .get_all("prefer")
        .filter_map(|line| line.to_str().ok())
        .flat_map(|line| line.split([',', ';']))
}

/// The `handling` that a request prefers; the first value counts (RFC 7240 section 2).
pub fn handling(headers: &HeaderMap) -> Handling {
    parts(headers)
        .filter_map(|part| part.split_once('='))
        .find(|(name, _)| name.trim().eq_ignore_ascii_case("handling"))
        .map_or(Handling::Lenient, |(_, value)| {
            if value.trim().trim_matches('"').eq_ignore_ascii_case("strict") {
                Handling::Strict
            } else {
                Handling::Lenient
            }
        })
}

#[cfg(test)]
mod tests {
    use super::*;
    use actix_web::http::header::{HeaderName, HeaderValue};

    #[test]
    fn what_bulk_work_needs_is_found_and_never_supposed() {
        for (line, responds_async, lenient) in [
            ("respond-async", true, false),
            ("Respond-Async; handling=lenient", true, true),
            ("respond-async, handling=strict", true, false),
            ("not-respond-async", false, false),
            ("handling=lenient", false, true),
        ] {
            let mut headers = HeaderMap::new();
            assert!(!super::responds_async(&headers) && !says_lenient(&headers));
            headers.append(HeaderName::from_static("prefer"), HeaderValue::from_static(line));
            assert_eq!(
                (super::responds_async(&headers), says_lenient(&headers)),
                (responds_async, lenient),
                "{line}"
            );
        }
    }

    #[test]
    fn handling_is_found_among_other_preferences() {
        for (lines, strict) in [
            (&[][..], false),
            (&["handling=strict"], true),
            (&["handling=lenient"], false),
            (&["return=minimal, Handling = \"strict\""], true),
            (&["return=minimal; handling=strict"], true),
            (&["respond-async", "handling=strict"], true),
            (&["handling=lenient", "handling=strict"], false),
            (&["nothandling=strict", "xhandling=strict"], false),
            (&["handling"], false),
        ] {
            let mut headers = HeaderMap::new();
            for line in lines {
                headers.append(HeaderName::from_static("prefer"), HeaderValue::from_static(line));
            }
            assert_eq!(handling(&headers) == Handling::Strict, strict, "{lines:?}");
        }
    }
}
