//! FHIR dates as time spans, and the prefixes of date searches (FHIR R4 search, "date").
//!
//! The checks are tolerant: a server may read a date without a zone in its own time zone, so only clear contradictions count.

use chrono::{DateTime, Datelike as _, NaiveDate};
use serde_json::Value;

const DAY_MS: i64 = 86_400_000;
/// The largest difference between two time zones' readings of the same date.
const SLACK_MS: i64 = 14 * 3_600_000;
const EVER: i64 = i64::MAX / 4;

/// A time span in UTC milliseconds: start inclusive, end exclusive.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct TimeSpan {
    pub(super) from: i64,
    pub(super) to: i64,
}

impl TimeSpan {
    /// The span of a date, dateTime or instant.
    pub(super) fn of(text: &str) -> Option<TimeSpan> {
        let day = |year: i32, month: u32, day: u32| {
            NaiveDate::from_ymd_opt(year, month, day)?
                .and_hms_opt(0, 0, 0)
                .map(|time| time.and_utc().timestamp_millis())
        };
        if text.len() > 10 {
            let at = DateTime::parse_from_rfc3339(text).ok()?.timestamp_millis();
            let width = if text.contains('.') { 1 } else { 1_000 };
            return Some(TimeSpan {
                from: at,
                to: at + width,
            });
        }
        let mut parts = text.split('-');
        let year: i32 = parts.next().filter(|year| year.len() == 4)?.parse().ok()?;
        let month = parts
            .next()
            .map(|month| month.parse::<u32>().ok().filter(|_| month.len() == 2));
        let date = parts
            .next()
            .map(|date| date.parse::<u32>().ok().filter(|_| date.len() == 2));
        if parts.next().is_some() {
            return None;
        }
        Some(match (month, date) {
            (None, _) => TimeSpan {
                from: day(year, 1, 1)?,
                to: day(year + 1, 1, 1)?,
            },
            (Some(month), None) => {
                let month = month?;
                let (next_year, next) = if month == 12 { (year + 1, 1) } else { (year, month + 1) };
                TimeSpan {
                    from: day(year, month, 1)?,
                    to: day(next_year, next, 1)?,
                }
            }
            (Some(month), Some(date)) => {
                let from = day(year, month?, date?)?;
                TimeSpan {
                    from,
                    to: from + DAY_MS,
                }
            }
        })
    }

    /// The time span of an element: a date of any precision, or a Period. `None` for a Timing.
    pub(super) fn of_element(element: &Value) -> Option<TimeSpan> {
        if let Some(text) = element.as_str() {
            return TimeSpan::of(text);
        }
        let end = |name: &str| element.get(name).and_then(Value::as_str).map(TimeSpan::of);
        match (end("start"), end("end")) {
            (None, None) => None,
            (start, stop) => Some(TimeSpan {
                from: start.map_or(Some(-EVER), |span| span.map(|span| span.from))?,
                to: stop.map_or(Some(EVER), |span| span.map(|span| span.to))?,
            }),
        }
    }

    /// Whether both ends are known.
    pub(super) fn is_bounded(self) -> bool {
        self.from > -EVER && self.to < EVER
    }
}

/// The UTC date `days` days after `ms`.
pub(super) fn day(ms: i64, days: i64) -> String {
    DateTime::from_timestamp_millis(ms.saturating_add(days * DAY_MS)).map_or_else(String::new, |at| {
        format!("{:04}-{:02}-{:02}", at.year(), at.month(), at.day())
    })
}

/// Whether a resource with this time span clearly must not be in the answer for `wanted`, a date with or without a prefix.
pub(super) fn contradicts(value: TimeSpan, wanted: &str) -> bool {
    let (prefix, date) = match wanted.get(..2) {
        Some(prefix @ ("eq" | "ne" | "gt" | "lt" | "ge" | "le" | "sa" | "eb" | "ap")) => (prefix, &wanted[2..]),
        _ => ("eq", wanted),
    };
    let Some(range) = TimeSpan::of(date) else { return false };
    match prefix {
        "eq" => value.from < range.from - SLACK_MS || value.to > range.to + SLACK_MS,
        "gt" | "ge" => value.to < range.from - SLACK_MS,
        "lt" | "le" => value.from > range.to + SLACK_MS,
        "sa" => value.from < range.from - SLACK_MS,
        "eb" => value.to > range.to + SLACK_MS,
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn partial_dates_are_spans() {
        let days = |text: &str| TimeSpan::of(text).map(|span| (span.to - span.from) / DAY_MS);
        for (text, wanted) in [
            ("2024", Some(366)),
            ("2024-12", Some(31)),
            ("2023-02", Some(28)),
            ("2024-02-29", Some(1)),
            ("2023-02-29", None),
            ("24-02-01", None),
            ("2024-2", None),
            ("yesterday", None),
        ] {
            assert_eq!(days(text), wanted, "{text}");
        }
        let at = TimeSpan::of("2024-02-29T01:00:00-05:00").expect("a time");
        assert_eq!(
            (day(at.from, 0), day(at.from, 1), at.to - at.from),
            ("2024-02-29".into(), "2024-03-01".into(), 1_000)
        );
    }

    #[test]
    fn only_what_is_clearly_outside_contradicts() {
        let value = TimeSpan::of("2024-05-10T12:00:00Z").expect("a time");
        for (wanted, outside) in [
            ("2024-05-10", false),
            ("2024-05", false),
            ("2024-05-12", true),
            ("ge2024-05-10", false),
            ("gt2024-05-12", true),
            ("lt2024-05-08", true),
            ("le2024-05-10", false),
            ("sa2024-05-12", true),
            ("eb2024-05-12", false),
            ("nonsense", false),
        ] {
            assert_eq!(contradicts(value, wanted), outside, "{wanted}");
        }
        let open = TimeSpan::of_element(&serde_json::json!({"start": "2024-01-01"})).expect("a period");
        assert!(!open.is_bounded() && !contradicts(open, "gt2030-01-01") && contradicts(open, "eb2030-01-01"));
    }
}
