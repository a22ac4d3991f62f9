//! When what is due: one week to ask, one business day to answer, a quarter for concurrent cover; and the calendar of US federal
//! holidays. Pure: values in, values out.
//!
//! Source: 42 CFR 422.121(b)(4)-(6); holidays 5 U.S.C. 6103. Days are days of the payer's time zone.

use chrono::{DateTime, Datelike, Days, Months, NaiveDate, NaiveDateTime, NaiveTime, TimeZone, Utc, Weekday};
use chrono_tz::Tz;

/// Days until the former payer has to be asked, once it and the opt-in are known.
pub const ASK_DAYS: u64 = 7;
/// Months between two requests for concurrent cover.
pub const QUARTER_MONTHS: u32 = 3;
/// Days after the end of former cover at which the payer is asked for claims that reached it late.
pub const RUN_OFF_DAYS: [u64; 3] = [30, 90, 180];
/// Milliseconds that the automatic part of an exchange has; after that an operator looks at it.
pub const AUTOMATIC_MS: i64 = 24 * 3_600_000;

/// How an exchange does against its due time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DueState {
    /// There is time, or it ended in time.
    OnTrack,
    /// Less than a quarter of the time is left.
    AtRisk,
    /// The time is over, or it ended too late.
    Breached,
}

impl DueState {
    /// All values.
    pub const ALL: &'static [DueState] = &[DueState::OnTrack, DueState::AtRisk, DueState::Breached];

    /// Its name in `/ops/v1`.
    pub const fn code(self) -> &'static str {
        match self {
            DueState::OnTrack => "on_track",
            DueState::AtRisk => "at_risk",
            DueState::Breached => "breached",
        }
    }

    /// The state at `now_ms` of what began at `began_ms`, is due at `due_ms` and was done at `done_ms`; UTC milliseconds.
    pub fn of(began_ms: i64, due_ms: i64, done_ms: Option<i64>, now_ms: i64) -> DueState {
        let at_ms = done_ms.unwrap_or(now_ms);
        if at_ms > due_ms {
            DueState::Breached
        } else if done_ms.is_none() && (due_ms - at_ms).saturating_mul(4) < due_ms - began_ms {
            DueState::AtRisk
        } else {
            DueState::OnTrack
        }
    }
}

/// When the partner has to be asked: a week after `known_ms` (UTC milliseconds), at the same local time.
pub fn ask_due_ms(known_ms: i64, zone: Tz) -> i64 {
    shifted(known_ms, zone, |local| local.checked_add_days(Days::new(ASK_DAYS)))
}

/// When concurrent cover has to be asked about again: three months after `asked_ms`, at the end of a short month if need be.
pub fn quarter_due_ms(asked_ms: i64, zone: Tz) -> i64 {
    shifted(asked_ms, zone, |local| {
        local.checked_add_months(Months::new(QUARTER_MONTHS))
    })
}

/// When a former payer has to be asked for late claims, after `done` such requests; `None` when no more are due. The days count from
/// `began_ms`, or from the end of the cover (`YYYY-MM-DD`) when that is later.
pub fn run_off_due_ms(began_ms: i64, cover_ends: Option<&str>, done: usize, zone: Tz) -> Option<i64> {
    let days = Days::new(*RUN_OFF_DAYS.get(done)?);
    let over = cover_ends
        .and_then(|date| date.parse::<NaiveDate>().ok()?.succ_opt())
        .and_then(|date| zone.from_local_datetime(&date.and_time(NaiveTime::MIN)).earliest());
    let from_ms = over.map_or(began_ms, |over| over.timestamp_millis().max(began_ms));
    Some(shifted(from_ms, zone, |local| local.checked_add_days(days)))
}

/// When a request that arrived at `asked_ms` has to be answered: at the same local time of the next business day. A request that
/// arrives on a day that is none counts as arriving at the begin of the next one.
pub fn answer_due_ms(asked_ms: i64, zone: Tz) -> i64 {
    shifted(asked_ms, zone, |local| {
        let (first, time) = if is_business_day(local.date()) {
            (local.date(), local.time())
        } else {
            (next_business_day(local.date())?, NaiveTime::MIN)
        };
        Some(next_business_day(first)?.and_time(time))
    })
}

/// Whether the date is neither a weekend nor a federal holiday.
pub fn is_business_day(date: NaiveDate) -> bool {
    !matches!(date.weekday(), Weekday::Sat | Weekday::Sun) && !is_federal_holiday(date)
}

/// Whether federal offices are closed on this date: on a holiday, on the Friday before one that is a Saturday, and on the Monday after one
/// that is a Sunday.
pub fn is_federal_holiday(date: NaiveDate) -> bool {
    let (month, day, weekday) = (date.month(), date.day(), date.weekday());
    let is_fixed = |date: Option<NaiveDate>| {
        date.is_some_and(|date| match (date.month(), date.day()) {
            // New Year, Juneteenth (since 2021), Independence Day, Veterans Day, Christmas
            (6, 19) => date.year() >= 2021,
            (1, 1) | (7, 4) | (11, 11) | (12, 25) => true,
            _ => false,
        })
    };
    let nth = |which: u32| (day - 1) / 7 + 1 == which;
    match (month, weekday) {
        // Martin Luther King, Washington, Labor Day, Columbus Day
        (1 | 2, Weekday::Mon) if nth(3) => return true,
        (9, Weekday::Mon) if nth(1) => return true,
        (10, Weekday::Mon) if nth(2) => return true,
        // Memorial Day: the last Monday of May
        (5, Weekday::Mon) if day > 24 => return true,
        // Thanksgiving
        (11, Weekday::Thu) if nth(4) => return true,
        _ => {}
    }
    is_fixed(Some(date))
        || (weekday == Weekday::Fri && is_fixed(date.succ_opt()))
        || (weekday == Weekday::Mon && is_fixed(date.pred_opt()))
}

fn next_business_day(date: NaiveDate) -> Option<NaiveDate> {
    let mut next = date.succ_opt()?;
    while !is_business_day(next) {
        next = next.succ_opt()?;
    }
    Some(next)
}

/// `at_ms` shifted by a rule of local time. A local time that a change of clocks skips is read one hour later; one that occurs twice is
/// read as the first. A time outside of the calendar stays as it is.
fn shifted(at_ms: i64, zone: Tz, by: impl Fn(NaiveDateTime) -> Option<NaiveDateTime>) -> i64 {
    let shift = || {
        let local = DateTime::<Utc>::from_timestamp_millis(at_ms)?
            .with_timezone(&zone)
            .naive_local();
        let then = by(local)?;
        let found = zone.from_local_datetime(&then).earliest().or_else(|| {
            let later = then.checked_add_signed(chrono::TimeDelta::hours(1))?;
            zone.from_local_datetime(&later).earliest()
        })?;
        Some(found.timestamp_millis())
    };
    shift().unwrap_or(at_ms)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::{parse_rfc3339_ms, rfc3339_ms};

    const NEW_YORK: Tz = chrono_tz::America::New_York;

    fn ms(text: &str) -> i64 {
        parse_rfc3339_ms(text).expect("an instant")
    }

    fn date(text: &str) -> NaiveDate {
        text.parse().expect("a date")
    }

    #[test]
    fn the_federal_holidays_of_2027_are_those_of_the_law() {
        let mut day = date("2026-12-31");
        let mut found = Vec::new();
        while day < date("2028-01-01") {
            if is_federal_holiday(day) {
                found.push(day.to_string());
            }
            day = day.succ_opt().expect("a next day");
        }
        // Juneteenth and Independence Day fall on a weekend, Christmas on a Saturday, and New Year 2028 on a Saturday.
        let expected = [
            "2027-01-01",
            "2027-01-18",
            "2027-02-15",
            "2027-05-31",
            "2027-06-18",
            "2027-06-19",
            "2027-07-04",
            "2027-07-05",
            "2027-09-06",
            "2027-10-11",
            "2027-11-11",
            "2027-11-25",
            "2027-12-24",
            "2027-12-25",
            "2027-12-31",
        ];
        assert_eq!(found, expected);
    }

    #[test]
    fn one_business_day_skips_weekends_and_holidays() {
        for (asked, due) in [
            // Tuesday noon: Wednesday noon.
            ("2027-01-05T17:00:00Z", "2027-01-06T17:00:00.000Z"),
            // Friday before Martin Luther King Day: Tuesday.
            ("2027-01-15T17:00:00Z", "2027-01-19T17:00:00.000Z"),
            // Saturday: counts from the begin of Monday, so it is due when Tuesday begins (local midnight).
            ("2027-01-09T15:00:00Z", "2027-01-12T05:00:00.000Z"),
            // Wednesday before Thanksgiving: Friday.
            ("2027-11-24T20:00:00Z", "2027-11-26T20:00:00.000Z"),
            // Over the change to summer time the local time stays, so it is 23 hours and two days.
            ("2027-03-12T17:00:00Z", "2027-03-15T16:00:00.000Z"),
        ] {
            assert_eq!(rfc3339_ms(answer_due_ms(ms(asked), NEW_YORK)), due, "{asked}");
        }
    }

    #[test]
    fn a_week_to_ask_and_a_quarter_until_it_is_asked_again() {
        assert_eq!(
            rfc3339_ms(ask_due_ms(ms("2027-03-10T17:00:00Z"), NEW_YORK)),
            "2027-03-17T16:00:00.000Z"
        );
        assert_eq!(
            rfc3339_ms(quarter_due_ms(ms("2026-11-30T17:00:00Z"), NEW_YORK)),
            "2027-02-28T17:00:00.000Z"
        );
        // 02:30 does not exist on that day.
        assert_eq!(
            rfc3339_ms(ask_due_ms(ms("2027-03-07T07:30:00Z"), NEW_YORK)),
            "2027-03-14T07:30:00.000Z"
        );
    }

    #[test]
    fn late_claims_are_asked_for_three_times_after_the_cover_is_over() {
        let due = |ends: Option<&str>, done: usize| {
            run_off_due_ms(ms("2027-01-05T17:00:00Z"), ends, done, NEW_YORK).map(rfc3339_ms)
        };
        assert_eq!(due(None, 0).as_deref(), Some("2027-02-04T17:00:00.000Z"));
        // At the same local time, in summer.
        assert_eq!(due(None, 1).as_deref(), Some("2027-04-05T16:00:00.000Z"));
        assert_eq!(due(Some("2026-12-31"), 2).as_deref(), Some("2027-07-04T16:00:00.000Z"));
        assert_eq!(due(Some("2027-01-31"), 0).as_deref(), Some("2027-03-03T05:00:00.000Z"));
        assert_eq!(due(Some("no date"), 0), due(None, 0));
        assert_eq!(due(None, 3), None);
    }

    #[test]
    fn what_is_due_is_on_track_then_at_risk_then_breached() {
        assert_eq!(DueState::of(0, 1_000, None, 750), DueState::OnTrack);
        assert_eq!(DueState::of(0, 1_000, None, 751), DueState::AtRisk);
        assert_eq!(DueState::of(0, 1_000, None, 1_000), DueState::AtRisk);
        assert_eq!(DueState::of(0, 1_000, None, 1_001), DueState::Breached);
        assert_eq!(DueState::of(0, 1_000, Some(999), 5_000), DueState::OnTrack);
        assert_eq!(DueState::of(0, 1_000, Some(1_001), 5_000), DueState::Breached);
    }
}
