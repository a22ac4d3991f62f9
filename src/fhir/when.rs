//! Reads FHIR dates and times as ranges of UTC milliseconds. All other code uses this file.
//!
//! A partial date is the whole span that it names. Stored and searched dates are read in UTC, so that a column never depends on the server
//! that computed it; a Period of a consent is read in the payer's zone ([`range_in`]). A time without a fraction of a second names the
//! whole second.

use crate::error::{Failure, Fault};
use crate::fhir::prescreen::Value;
use chrono::{Datelike, Days, Months, NaiveDate, NaiveDateTime, NaiveTime, TimeDelta, TimeZone as _};
use chrono_tz::Tz;

/// First and last millisecond of a `date`, `dateTime` or `instant`, with dates in UTC; `None` when it is malformed.
pub fn range_ms(text: &str) -> Option<(i64, i64)> {
    range_in(text, Tz::UTC)
}

/// Like [`range_ms`], with dates from the start to the end of the day in `zone`.
pub fn range_in(text: &str, zone: Tz) -> Option<(i64, i64)> {
    let bytes = text.as_bytes();
    let digits = |part: &str| part.bytes().all(|b| b.is_ascii_digit());
    if !text.is_ascii() || bytes.len() < 4 || !digits(&text[..4]) || &text[..4] == "0000" {
        return None;
    }
    match bytes.len() {
        4 => {
            let from = NaiveDate::from_ymd_opt(text.parse().ok()?, 1, 1)?;
            days(from, from.with_year(from.year() + 1)?, zone)
        }
        7 if bytes[4] == b'-' && digits(&text[5..]) => {
            let from = NaiveDate::from_ymd_opt(text[..4].parse().ok()?, text[5..].parse().ok()?, 1)?;
            days(from, from.checked_add_months(Months::new(1))?, zone)
        }
        10 => {
            let from = date(text)?;
            days(from, from.checked_add_days(Days::new(1))?, zone)
        }
        _ => instant(text),
    }
}

/// The time of a FHIR `instant` (date, time with seconds, and zone) in UTC milliseconds; `None` for any other text.
pub fn instant_ms(text: &str) -> Option<i64> {
    if text.len() > 10 {
        instant(text).map(|(from, _)| from)
    } else {
        None
    }
}

/// Whether `text` is a FHIR `date` (a year, a month or a day).
pub fn is_date(text: &str) -> bool {
    text.len() <= 10 && range_ms(text).is_some()
}

fn date(text: &str) -> Option<NaiveDate> {
    let bytes = text.as_bytes();
    let shape = bytes.len() == 10
        && bytes[4] == b'-'
        && bytes[7] == b'-'
        && [0, 1, 2, 3, 5, 6, 8, 9].iter().all(|&i| bytes[i].is_ascii_digit());
    if !shape {
        return None;
    }
    NaiveDate::from_ymd_opt(
        text[..4].parse().ok()?,
        text[5..7].parse().ok()?,
        text[8..].parse().ok()?,
    )
}

fn instant(text: &str) -> Option<(i64, i64)> {
    // YYYY-MM-DDThh:mm:ss[.f+](Z|+hh:mm)
    let day = date(text.get(..10)?)?;
    let clock = text.get(11..19)?;
    let bytes = text.as_bytes();
    let (c, rest) = (clock.as_bytes(), text.get(19..)?);
    if bytes[10] != b'T' || c[2] != b':' || c[5] != b':' {
        return None;
    }
    let two = |from: usize| -> Option<u32> {
        let part = clock.get(from..from + 2)?;
        if part.bytes().all(|b| b.is_ascii_digit()) {
            part.parse().ok()
        } else {
            None
        }
    };
    let (hour, minute, second) = (two(0)?, two(3)?, two(6)?);
    let (fraction, zone) = match rest.strip_prefix('.') {
        Some(tail) => {
            let len = tail.bytes().take_while(u8::is_ascii_digit).count();
            if len == 0 {
                return None;
            }
            tail.split_at(len)
        }
        None => ("", rest),
    };
    let offset_min = match zone.as_bytes() {
        b"Z" => 0,
        [sign @ (b'+' | b'-'), h1, h2, b':', m1, m2] if [h1, h2, m1, m2].iter().all(|b| b.is_ascii_digit()) => {
            let number = |a: &u8, b: &u8| i64::from(a - b'0') * 10 + i64::from(b - b'0');
            let (hours, minutes) = (number(h1, h2), number(m1, m2));
            if hours > 14 || minutes > 59 {
                return None;
            }
            (hours * 60 + minutes) * if *sign == b'-' { -1 } else { 1 }
        }
        _ => return None,
    };
    // A leap second is the first moment of the next minute.
    let time = NaiveTime::from_hms_opt(hour, minute, second.min(59)).filter(|_| second <= 60)?;
    let leap = i64::from(second == 60) * 1000;
    let padded: String = fraction.chars().chain("000".chars()).take(3).collect();
    let from = NaiveDateTime::new(day, time).and_utc().timestamp_millis() + leap + padded.parse::<i64>().ok()?
        - offset_min * 60_000;
    let to = if fraction.is_empty() { from + 999 } else { from };
    Some((from, to))
}

fn days(from: NaiveDate, next: NaiveDate, zone: Tz) -> Option<(i64, i64)> {
    Some((midnight(from, zone)?, midnight(next, zone)? - 1))
}

/// The first instant of `day` in UTC milliseconds. Where clocks are put forward at midnight, this is the first one that exists.
fn midnight(day: NaiveDate, zone: Tz) -> Option<i64> {
    let mut local = NaiveDateTime::new(day, NaiveTime::MIN);
    // The short way for UTC, which imports use for every date of a record.
    if zone == Tz::UTC {
        return Some(local.and_utc().timestamp_millis());
    }
    for _ in 0..8 {
        if let Some(at) = zone.from_local_datetime(&local).earliest() {
            return Some(at.timestamp_millis());
        }
        local = local.checked_add_signed(TimeDelta::minutes(30))?;
    }
    None
}

/// A span of time; an end that is `None` is open.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ServiceSpan {
    /// First millisecond.
    pub from_ms: Option<i64>,
    /// Last millisecond.
    pub to_ms: Option<i64>,
}

/// Reads a dateTime or a Period.
///
/// # Errors
/// [`Fault::ValueInvalid`] with the place of a text that is not a dateTime.
pub fn span(value: &Value<'_>) -> Result<ServiceSpan, Failure> {
    let read = |value: &Value<'_>| match value.text() {
        Some(text) => range_ms(&text).ok_or_else(|| not_a_date(value)),
        None => Err(not_a_date(value)),
    };
    if value.text().is_some() {
        let (from, to) = read(value)?;
        return Ok(ServiceSpan {
            from_ms: Some(from),
            to_ms: Some(to),
        });
    }
    let from_ms = value
        .get("start")
        .map(|start| read(&start))
        .transpose()?
        .map(|(from, _)| from);
    let to_ms = value.get("end").map(|end| read(&end)).transpose()?.map(|(_, to)| to);
    Ok(ServiceSpan { from_ms, to_ms })
}

fn not_a_date(value: &Value<'_>) -> Failure {
    Failure::new(Fault::ValueInvalid)
        .at(value.path())
        .remedy("Use a FHIR date or dateTime; a time needs its zone.")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::parse_rfc3339_ms;

    #[test]
    fn partial_dates_are_the_span_they_name() {
        let ms = |text: &str| parse_rfc3339_ms(text).expect("rfc3339");
        let day = 86_400_000;
        assert_eq!(
            range_ms("2024"),
            Some((ms("2024-01-01T00:00:00Z"), ms("2024-01-01T00:00:00Z") + 366 * day - 1))
        );
        assert_eq!(
            range_ms("2023-02"),
            Some((ms("2023-02-01T00:00:00Z"), ms("2023-02-01T00:00:00Z") + 28 * day - 1))
        );
        assert_eq!(
            range_ms("2023-12-31"),
            Some((ms("2023-12-31T00:00:00Z"), ms("2023-12-31T00:00:00Z") + day - 1))
        );
        let at = ms("2018-08-03T12:07:22-05:00");
        assert_eq!(range_ms("2018-08-03T12:07:22-05:00"), Some((at, at + 999)));
        assert_eq!(range_ms("2018-08-03T12:07:22.703254-05:00"), Some((at + 703, at + 703)));
        assert_eq!(instant_ms("2018-08-03T17:07:22.5Z"), Some(at + 500));
    }

    #[test]
    fn dates_run_from_midnight_to_midnight_in_a_zone() {
        let ms = |text: &str| parse_rfc3339_ms(text).expect("rfc3339");
        let new_york = chrono_tz::America::New_York;
        for (text, from, until) in [
            ("2026-11-20", "2026-11-20T05:00:00Z", "2026-11-21T05:00:00Z"),
            ("2026-03-08", "2026-03-08T05:00:00Z", "2026-03-09T04:00:00Z"),
            ("2026-11", "2026-11-01T04:00:00Z", "2026-12-01T05:00:00Z"),
            ("2026", "2026-01-01T05:00:00Z", "2027-01-01T05:00:00Z"),
            ("2026-01-01T00:00:00Z", "2026-01-01T00:00:00Z", "2026-01-01T00:00:01Z"),
            (
                "2026-01-01T00:00:00-05:00",
                "2026-01-01T05:00:00Z",
                "2026-01-01T05:00:01Z",
            ),
        ] {
            assert_eq!(range_in(text, new_york), Some((ms(from), ms(until) - 1)), "{text}");
        }
        let (from, to) = range_in("2026-09-06", chrono_tz::America::Santiago).expect("a day without its midnight");
        assert_eq!(to + 1 - from, 23 * 3_600_000);
    }

    #[test]
    fn what_is_no_date_is_refused() {
        for bad in [
            "",
            "24",
            "0000",
            "2024-13",
            "2024-02-30",
            "2024-1-1",
            "2024-01-01T10:00",
            "2024-01-01T10:00:00",
            "+024",
            "2024-01-01T25:00:00Z",
            "2024-01-01T10:00:00.Z",
            "2024-01-01 10:00:00Z",
            "2024-01-01T10:00:00+15:00",
            "2024-01-01T10:00:00+05",
            "２０２４",
            "2024-01-01T10:00:61Z",
            "2024-é1",
        ] {
            assert_eq!(range_ms(bad), None, "{bad}");
        }
        assert_eq!(instant_ms("2024-01-01"), None);
    }
}
