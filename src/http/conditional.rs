//! Conditional requests: whether a client needs the resource again (RFC 9110 section 13; FHIR R4 http, "conditional read").
//!
//! Pure functions of the headers and the current version. Authorization and audit happen before and are not affected.

use super::date;
use actix_web::http::header::{self, HeaderMap, HeaderName};

/// The conditional headers of a request.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Conditions {
    /// `If-Match`.
    pub if_match: Option<String>,
    /// `If-None-Match`.
    pub if_none_match: Option<String>,
    /// `If-Modified-Since`.
    pub if_modified_since: Option<String>,
    /// `If-Unmodified-Since`.
    pub if_unmodified_since: Option<String>,
}

/// What to answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Precondition {
    /// 200 with the resource.
    Send,
    /// 304 with the headers of the 200, and no body.
    NotModified,
    /// 412: the client asked for a version that is not the current one.
    Failed,
}

impl Conditions {
    /// The conditions in a request's headers; several lines of one header are joined into one list.
    pub fn of(headers: &HeaderMap) -> Conditions {
        let read = |name: HeaderName| {
            let lines: Vec<&str> = headers.get_all(name).filter_map(|line| line.to_str().ok()).collect();
            (!lines.is_empty()).then(|| lines.join(","))
        };
        Conditions {
            if_match: read(header::IF_MATCH),
            if_none_match: read(header::IF_NONE_MATCH),
            if_modified_since: read(header::IF_MODIFIED_SINCE),
            if_unmodified_since: read(header::IF_UNMODIFIED_SINCE),
        }
    }

    /// Judges the conditions for a resource whose current version is `version` and that was stored at `last_updated_ms` (UTC milliseconds).
    ///
    /// Tags are compared weakly, because this server's tags are weak. HTTP dates have whole seconds, so the resource's time is truncated to
    /// seconds. A date is ignored when it cannot be read, or when the request also has a list of tags.
    pub fn judge(&self, version: &str, last_updated_ms: i64) -> Precondition {
        let updated_ms = last_updated_ms - last_updated_ms.rem_euclid(1000);
        let date = |text: &Option<String>| text.as_deref().and_then(date::read_ms);
        let fits = match &self.if_match {
            Some(list) => names(list, version),
            None => date(&self.if_unmodified_since).is_none_or(|limit_ms| updated_ms <= limit_ms),
        };
        if !fits {
            return Precondition::Failed;
        }
        let known = match &self.if_none_match {
            Some(list) => names(list, version),
            None => date(&self.if_modified_since).is_some_and(|since_ms| updated_ms <= since_ms),
        };
        if known {
            Precondition::NotModified
        } else {
            Precondition::Send
        }
    }
}

/// Whether a list of entity tags contains this version; `*` matches any version.
fn names(list: &str, version: &str) -> bool {
    let list = list.trim();
    if list == "*" {
        return true;
    }
    let mut rest = list;
    while let Some(start) = rest.find('"') {
        let Some(length) = rest[start + 1..].find('"') else {
            return false;
        };
        if &rest[start + 1..start + 1 + length] == version {
            return true;
        }
        rest = &rest[start + 2 + length..];
    }
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Sun, 06 Nov 1994 08:49:37.500 GMT.
    const UPDATED_MS: i64 = 784_111_777_500;
    const SAME: &str = "Sun, 06 Nov 1994 08:49:37 GMT";
    const BEFORE: &str = "Sun, 06 Nov 1994 08:49:36 GMT";
    const AFTER: &str = "Sun, 06 Nov 1994 08:49:38 GMT";

    #[test]
    fn the_verdict_follows_the_order_of_rfc_9110() {
        use Precondition::{Failed, NotModified, Send};
        // If-Match, If-None-Match, If-Modified-Since, If-Unmodified-Since
        for (conditions, wanted) in [
            ((None, None, None, None), Send),
            ((None, Some("W/\"3\""), None, None), NotModified),
            ((None, Some("\"3\""), None, None), NotModified),
            ((None, Some("W/\"1\", W/\"3\""), None, None), NotModified),
            ((None, Some("*"), None, None), NotModified),
            ((None, Some("W/\"33\""), None, None), Send),
            ((None, Some("W/\"1,3\""), None, None), Send),
            ((None, Some("3"), None, None), Send),
            ((None, Some("\"3"), None, None), Send),
            ((None, Some(""), None, None), Send),
            ((None, None, Some(SAME), None), NotModified),
            ((None, None, Some(AFTER), None), NotModified),
            ((None, None, Some(BEFORE), None), Send),
            ((None, None, Some("yesterday"), None), Send),
            ((None, Some("W/\"2\""), Some(AFTER), None), Send),
            ((Some("W/\"3\""), None, None, None), Send),
            ((Some("*"), None, None, None), Send),
            ((Some("W/\"2\""), None, None, None), Failed),
            ((Some("W/\"2\""), Some("W/\"3\""), None, None), Failed),
            ((Some("W/\"3\""), Some("W/\"3\""), None, None), NotModified),
            ((Some("W/\"3\""), None, None, Some(BEFORE)), Send),
            ((None, None, None, Some(BEFORE)), Failed),
            ((None, None, None, Some(SAME)), Send),
            ((None, None, None, Some("soon")), Send),
        ] {
            let (if_match, if_none_match, if_modified_since, if_unmodified_since) = conditions;
            let own = |text: Option<&str>| text.map(str::to_owned);
            let given = Conditions {
                if_match: own(if_match),
                if_none_match: own(if_none_match),
                if_modified_since: own(if_modified_since),
                if_unmodified_since: own(if_unmodified_since),
            };
            assert_eq!(given.judge("3", UPDATED_MS), wanted, "{given:?}");
        }
    }

    #[test]
    fn lines_of_one_header_are_one_list() {
        let mut headers = HeaderMap::new();
        for tag in ["W/\"1\"", "W/\"3\""] {
            headers.append(header::IF_NONE_MATCH, header::HeaderValue::from_static(tag));
        }
        assert_eq!(
            Conditions::of(&headers).judge("3", UPDATED_MS),
            Precondition::NotModified
        );
        assert_eq!(Conditions::of(&headers).judge("2", UPDATED_MS), Precondition::Send);
    }
}
