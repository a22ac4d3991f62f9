//! The notice that an address ends: `Deprecation` (RFC 9745) and `Sunset` (RFC 8594) on its answers.
//!
//! It owns how the two headers are written. Which address ends, and when, is in the tables of routes; nothing else may say so.

use super::date;
use actix_web::http::header::{HeaderMap, HeaderName, HeaderValue};
use chrono::{NaiveDate, NaiveTime};

/// Since when an address is deprecated, and when it ends. Both are days, `YYYY-MM-DD`, and begin at midnight UTC.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EndNotice {
    /// The day on which the notice begins. It may be in the future.
    pub deprecated: &'static str,
    /// The first day on which the address is no longer served.
    pub sunset: &'static str,
}

impl EndNotice {
    /// Puts both headers on an answer.
    pub fn put(self, headers: &mut HeaderMap) {
        let values = [
            ("deprecation", begin_s(self.deprecated).map(|s| format!("@{s}"))),
            ("sunset", begin_s(self.sunset).map(|s| date::written(s * 1000))),
        ];
        for (name, value) in values {
            if let Some(value) = value.and_then(|value| HeaderValue::try_from(value).ok()) {
                headers.insert(HeaderName::from_static(name), value);
            }
        }
    }

    /// Whole days between the two; `None` when one of them is no day.
    pub fn days(self) -> Option<i64> {
        Some((begin_s(self.sunset)? - begin_s(self.deprecated)?) / 86_400)
    }
}

/// When `day` begins, in seconds since 1970; `None` for a text that is no day.
fn begin_s(day: &str) -> Option<i64> {
    let day = NaiveDate::parse_from_str(day, "%Y-%m-%d").ok()?;
    Some(day.and_time(NaiveTime::MIN).and_utc().timestamp())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::ops::table::OPS_ROUTES;
    use crate::http::routes::ROUTES;

    /// The shortest notice that docs/partners/versions.md promises, in days.
    const SHORTEST_DAYS: i64 = 365;

    #[test]
    fn the_two_headers_are_written_as_their_standards_say() {
        let notice = EndNotice {
            deprecated: "2027-01-01",
            sunset: "2028-01-01",
        };
        let mut headers = HeaderMap::new();
        notice.put(&mut headers);
        let of = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
        assert_eq!(of("deprecation"), Some("@1798761600"));
        assert_eq!(of("sunset"), Some("Sat, 01 Jan 2028 00:00:00 GMT"));
        assert_eq!(notice.days(), Some(365));
    }

    #[test]
    fn every_address_that_ends_is_announced_a_year_before() {
        let notices = ROUTES.iter().map(|route| (route.path, route.ends));
        let ops = OPS_ROUTES.iter().map(|route| (route.path, route.ends));
        for (path, ends) in notices.chain(ops) {
            if let Some(notice) = ends {
                assert!(notice.days() >= Some(SHORTEST_DAYS), "{path}: {notice:?}");
            }
        }
    }
}
