//! Time as a parameter: UTC milliseconds from a clock that tests can hold still, and what holds when the wall clock is set.

mod kept;

pub use kept::JUMP_MS;

use chrono::{DateTime, SecondsFormat, Utc};
use kept::Kept;
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Instant;

/// What time it is. Clones share it.
#[derive(Clone)]
pub enum Clock {
    /// The machine's clocks.
    System,
    /// Clocks that stand until they are moved; for tests.
    Fixed(Arc<Fixed>),
}

/// The clocks of a test.
pub struct Fixed {
    wall_ms: AtomicI64,
    monotonic_ms: AtomicI64,
    kept: Kept,
}

impl Clock {
    /// A clock that stands at `now_ms` (UTC milliseconds).
    pub fn fixed(now_ms: i64) -> Self {
        let clock = Clock::Fixed(Arc::new(Fixed {
            wall_ms: AtomicI64::new(now_ms),
            monotonic_ms: AtomicI64::new(0),
            kept: Kept::new(),
        }));
        clock.look();
        clock
    }

    /// Now, in UTC milliseconds since 1970, as the wall clock has it. For records and for what others stamped.
    pub fn now_ms(&self) -> i64 {
        self.now_us() / 1000
    }

    /// Now, in UTC microseconds since 1970.
    pub fn now_us(&self) -> i64 {
        match self {
            Clock::System => Utc::now().timestamp_micros(),
            Clock::Fixed(fixed) => fixed.wall_ms.load(Ordering::Acquire) * 1000,
        }
    }

    /// Time that never runs back, for the lives of what we issue (docs/operations.md, "Clock"): UTC milliseconds, ahead of the wall clock
    /// by as much as that was set back.
    pub fn lasting_ms(&self) -> i64 {
        self.kept().lasting_ms(self.now_ms(), self.monotonic_ms())
    }

    /// Lets [`Clock::lasting_ms`] be `at_ms` at least: a time that the store has seen.
    pub fn has_seen(&self, at_ms: i64) {
        self.kept().has_seen(at_ms, self.monotonic_ms());
    }

    /// Time by which what others stamped has ended, such as an assertion: the wall clock, or where it would be had it not been set
    /// back within the last ten minutes.
    pub fn ended_ms(&self) -> i64 {
        self.now_ms()
            .max(self.kept().steady_ms(self.now_ms(), self.monotonic_ms()))
    }

    /// Time before which all is surely over, for forgetting: the wall clock, or where it would be had it not been set forward within
    /// the last ten minutes.
    pub fn surely_ms(&self) -> i64 {
        self.now_ms()
            .min(self.kept().steady_ms(self.now_ms(), self.monotonic_ms()))
    }

    /// Compares the wall clock with the monotonic one, for a timer of a second or so: by how many milliseconds the wall clock was set
    /// since the last look, when that is more than [`JUMP_MS`].
    pub fn look(&self) -> Option<i64> {
        self.kept().look(self.now_ms(), self.monotonic_ms())
    }

    /// Moves a fixed clock by `ms`; the machine's clock stays as it is. Time that passes moves both clocks; below 0 it is the wall
    /// clock alone that is set back.
    pub fn advance_ms(&self, ms: i64) {
        self.set_ms(ms);
        if let Clock::Fixed(fixed) = self {
            fixed.monotonic_ms.fetch_add(ms.max(0), Ordering::AcqRel);
        }
    }

    /// Sets the wall clock of a fixed clock forward or back by `ms`.
    pub fn set_ms(&self, ms: i64) {
        if let Clock::Fixed(fixed) = self {
            fixed.wall_ms.fetch_add(ms, Ordering::AcqRel);
        }
    }

    fn monotonic_ms(&self) -> i64 {
        static BEGAN: OnceLock<Instant> = OnceLock::new();
        match self {
            Clock::System => {
                let since = BEGAN.get_or_init(Instant::now).elapsed();
                i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
            }
            Clock::Fixed(fixed) => fixed.monotonic_ms.load(Ordering::Acquire),
        }
    }

    fn kept(&self) -> &Kept {
        static MACHINE: Kept = Kept::new();
        match self {
            Clock::System => &MACHINE,
            Clock::Fixed(fixed) => &fixed.kept,
        }
    }
}

/// `ms` (UTC milliseconds) as RFC 3339 with milliseconds and `Z`.
pub fn rfc3339_ms(ms: i64) -> String {
    DateTime::<Utc>::from_timestamp_millis(ms)
        .unwrap_or_default()
        .to_rfc3339_opts(SecondsFormat::Millis, true)
}

/// `us` (UTC microseconds) as RFC 3339 with microseconds and `Z`.
pub fn rfc3339_us(us: i64) -> String {
    DateTime::<Utc>::from_timestamp_micros(us)
        .unwrap_or_default()
        .to_rfc3339_opts(SecondsFormat::Micros, true)
}

/// Reads an RFC 3339 instant into UTC milliseconds.
pub fn parse_rfc3339_ms(text: &str) -> Option<i64> {
    DateTime::parse_from_rfc3339(text).ok().map(|at| at.timestamp_millis())
}

/// `ms` (UTC milliseconds) as an HTTP date (RFC 9110 section 5.6.7).
pub fn http_date(ms: i64) -> String {
    DateTime::<Utc>::from_timestamp_millis(ms)
        .unwrap_or_default()
        .format("%a, %d %b %Y %H:%M:%S GMT")
        .to_string()
}

/// Reads an HTTP date of any of the three forms (RFC 9110 section 5.6.7) into UTC milliseconds.
pub fn parse_http_date_ms(text: &str) -> Option<i64> {
    use chrono::NaiveDateTime;
    if text.ends_with(" GMT")
        && let Ok(at) = DateTime::parse_from_rfc2822(text)
    {
        return Some(at.timestamp_millis());
    }
    ["%A, %d-%b-%y %H:%M:%S GMT", "%a %b %e %H:%M:%S %Y"]
        .iter()
        .find_map(|form| NaiveDateTime::parse_from_str(text, form).ok())
        .map(|at| at.and_utc().timestamp_millis())
}

/// First instant (UTC milliseconds) of a FHIR date of any precision, `YYYY`, `YYYY-MM` or `YYYY-MM-DD`, or of a dateTime.
pub fn date_start_ms(text: &str) -> Option<i64> {
    span(text).map(|(start, _)| start)
}

/// The instant (UTC milliseconds) after the last of a FHIR date of any precision or of a dateTime.
pub fn date_end_ms(text: &str) -> Option<i64> {
    span(text).map(|(_, end)| end)
}

fn span(text: &str) -> Option<(i64, i64)> {
    use chrono::{Months, NaiveDate, TimeDelta};
    if let Some(at) = parse_rfc3339_ms(text) {
        return Some((at, at + 1));
    }
    let digits = |part: &str, n: usize| {
        (part.len() == n && part.bytes().all(|b| b.is_ascii_digit()))
            .then(|| part.parse::<u32>().ok())
            .flatten()
    };
    let mut parts = text.split('-');
    let year = i32::try_from(digits(parts.next()?, 4)?).ok()?;
    let month = parts.next().map(|part| digits(part, 2));
    let day = parts.next().map(|part| digits(part, 2));
    if parts.next().is_some() {
        return None;
    }
    let (start, end) = match (month, day) {
        (None, _) => {
            let start = NaiveDate::from_ymd_opt(year, 1, 1)?;
            (start, start.checked_add_months(Months::new(12))?)
        }
        (Some(month), None) => {
            let start = NaiveDate::from_ymd_opt(year, month?, 1)?;
            (start, start.checked_add_months(Months::new(1))?)
        }
        (Some(month), Some(day)) => {
            let start = NaiveDate::from_ymd_opt(year, month?, day?)?;
            (start, start.checked_add_signed(TimeDelta::days(1))?)
        }
    };
    let ms = |date: NaiveDate| date.and_time(chrono::NaiveTime::MIN).and_utc().timestamp_millis();
    Some((ms(start), ms(end)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_of_any_precision_span_their_time() {
        const DAY: i64 = 86_400_000;
        for (text, days) in [("2024", 366), ("2024-02", 29), ("2024-02-29", 1)] {
            let (start, end) = span(text).expect(text);
            assert_eq!(end - start, days * DAY, "{text}");
        }
        for bad in [
            "",
            "24",
            "2024-13",
            "2024-02-30",
            "2024-2-3",
            "2024-02-03-04",
            "x",
            "+024",
        ] {
            assert!(span(bad).is_none(), "{bad}");
        }
        assert_eq!(http_date(784_111_777_000), "Sun, 06 Nov 1994 08:49:37 GMT");
        for text in [
            "Sun, 06 Nov 1994 08:49:37 GMT",
            "Sunday, 06-Nov-94 08:49:37 GMT",
            "Sun Nov  6 08:49:37 1994",
        ] {
            assert_eq!(parse_http_date_ms(text), Some(784_111_777_000), "{text}");
        }
        for bad in ["", "now", "1994-11-06T08:49:37Z", "Sun, 06 Nov 1994 08:49:37 +0200"] {
            assert_eq!(parse_http_date_ms(bad), None, "{bad}");
        }
    }
}
