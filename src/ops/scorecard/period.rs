//! Weeks, months and quarters of UTC. Pure: values in, values out.

use crate::error::{Failure, Fault};
use chrono::{DateTime, Datelike as _, Days, Months, NaiveDate, NaiveTime, Utc, Weekday};

/// The period of a scorecard. Times are UTC milliseconds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CardPeriod {
    /// Its name: `2026-W40`, `2026-10` or `2026-Q4`.
    pub name: String,
    /// Its first instant.
    pub from_ms: i64,
    /// The first instant after it.
    pub until_ms: i64,
    /// The first instant of the period before it.
    pub before_ms: i64,
}

/// What a name says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Unit {
    Week,
    Month,
    Quarter,
}

impl CardPeriod {
    /// The period of this name that has begun at `now_ms` (UTC milliseconds); that of now for `week`, `month` and `quarter`, and without a name the
    /// month of now.
    ///
    /// # Errors
    /// [`Fault::ParameterInvalid`] at `place` for what is none of these, and for a period that has not begun.
    pub fn asked(place: &str, text: Option<&str>, now_ms: i64) -> Result<CardPeriod, Failure> {
        let wrong = |remedy: &str| Failure::new(Fault::ParameterInvalid).at(place).remedy(remedy);
        let today = DateTime::<Utc>::from_timestamp_millis(now_ms)
            .unwrap_or_default()
            .date_naive();
        let begin = begin(text.unwrap_or("month"), today);
        let period = begin.and_then(|(unit, date)| CardPeriod::of(unit, date));
        let period =
            period.ok_or_else(|| wrong("Give week, month or quarter, or one such as 2026-W40, 2026-10 or 2026-Q4."))?;
        match period.from_ms > now_ms {
            true => Err(wrong("Give a period that has begun.")),
            false => Ok(period),
        }
    }

    fn of(unit: Unit, begin: NaiveDate) -> Option<CardPeriod> {
        let (end, before, name) = match unit {
            Unit::Week => {
                let week = begin.iso_week();
                let name = format!("{:04}-W{:02}", week.year(), week.week());
                let (end, before) = (
                    begin.checked_add_days(Days::new(7))?,
                    begin.checked_sub_days(Days::new(7))?,
                );
                (end, before, name)
            }
            Unit::Month => {
                let (end, before) = (
                    begin.checked_add_months(Months::new(1))?,
                    begin.checked_sub_months(Months::new(1))?,
                );
                (end, before, format!("{:04}-{:02}", begin.year(), begin.month()))
            }
            Unit::Quarter => {
                let (end, before) = (
                    begin.checked_add_months(Months::new(3))?,
                    begin.checked_sub_months(Months::new(3))?,
                );
                (end, before, format!("{:04}-Q{}", begin.year(), begin.month0() / 3 + 1))
            }
        };
        Some(CardPeriod {
            name,
            from_ms: at_ms(begin),
            until_ms: at_ms(end),
            before_ms: at_ms(before),
        })
    }
}

/// The unit and the first day that a name says.
fn begin(text: &str, today: NaiveDate) -> Option<(Unit, NaiveDate)> {
    let month = |year: i32, month: u32| NaiveDate::from_ymd_opt(year, month, 1);
    match text {
        "week" => {
            let week = today.iso_week();
            let monday = NaiveDate::from_isoywd_opt(week.year(), week.week(), Weekday::Mon)?;
            return Some((Unit::Week, monday));
        }
        "month" => return Some((Unit::Month, month(today.year(), today.month())?)),
        "quarter" => return Some((Unit::Quarter, month(today.year(), today.month0() / 3 * 3 + 1)?)),
        _ => {}
    }
    let (year, rest) = text.split_once('-')?;
    let is_number = |text: &str, length: usize| text.len() == length && text.bytes().all(|byte| byte.is_ascii_digit());
    let year: i32 = year.parse().ok().filter(|_| is_number(year, 4))?;
    if let Some(week) = rest.strip_prefix('W') {
        let week: u32 = week.parse().ok().filter(|_| is_number(week, 2))?;
        return Some((Unit::Week, NaiveDate::from_isoywd_opt(year, week, Weekday::Mon)?));
    }
    if let Some(quarter) = rest.strip_prefix('Q') {
        let quarter: u32 = quarter.parse().ok().filter(|_| is_number(quarter, 1))?;
        let first = quarter.checked_sub(1)?.checked_mul(3)?.checked_add(1)?;
        return Some((Unit::Quarter, month(year, first)?));
    }
    let number: u32 = rest.parse().ok().filter(|_| is_number(rest, 2))?;
    Some((Unit::Month, month(year, number)?))
}

fn at_ms(date: NaiveDate) -> i64 {
    date.and_time(NaiveTime::MIN).and_utc().timestamp_millis()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::{parse_rfc3339_ms, rfc3339_ms};

    fn now_ms() -> i64 {
        parse_rfc3339_ms("2026-11-29T08:00:00Z").expect("a time")
    }

    #[test]
    fn weeks_months_and_quarters_begin_and_end_where_the_calendar_says() {
        for (asked, name, from, until, before) in [
            (None, "2026-11", "2026-11-01", "2026-12-01", "2026-10-01"),
            (Some("month"), "2026-11", "2026-11-01", "2026-12-01", "2026-10-01"),
            (Some("week"), "2026-W48", "2026-11-23", "2026-11-30", "2026-11-16"),
            (Some("quarter"), "2026-Q4", "2026-10-01", "2027-01-01", "2026-07-01"),
            (Some("2026-01"), "2026-01", "2026-01-01", "2026-02-01", "2025-12-01"),
            (Some("2026-W01"), "2026-W01", "2025-12-29", "2026-01-05", "2025-12-22"),
            (Some("2020-W53"), "2020-W53", "2020-12-28", "2021-01-04", "2020-12-21"),
            (Some("2026-Q1"), "2026-Q1", "2026-01-01", "2026-04-01", "2025-10-01"),
        ] {
            let period = CardPeriod::asked("--period", asked, now_ms()).expect("a period");
            let day = |ms: i64| rfc3339_ms(ms)[..10].to_owned();
            assert_eq!(
                (
                    period.name.as_str(),
                    day(period.from_ms),
                    day(period.until_ms),
                    day(period.before_ms)
                ),
                (name, from.to_owned(), until.to_owned(), before.to_owned())
            );
        }
    }

    #[test]
    fn ten_years_what_is_no_period_and_one_ahead_are_refused() {
        for wrong in [
            "2016/2026",
            "2016-01/2026-01",
            "P10Y",
            "10 years",
            "2016",
            "year",
            "",
            "2026-",
            "2026-13",
            "2026-00",
            "2026-1",
            "2026-W00",
            "2026-W54",
            "2026-W1",
            "2026-Q0",
            "2026-Q5",
            "2026-Q44",
            "2026-Q99999999999",
            "+026-10",
            "2026-10-01",
            "2026-12",
            "2027-Q1",
            "9999-12",
        ] {
            let failure = CardPeriod::asked("--period", Some(wrong), now_ms()).expect_err(wrong);
            assert_eq!(failure.fault(), Fault::ParameterInvalid, "{wrong}");
        }
    }
}
