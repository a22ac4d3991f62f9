//! Converts a FHIR Period to two instants. Dates without a zone are read in the payer's time zone, from the start of the day to its end.

use crate::fhir::elements::Period;
use crate::fhir::when;
use chrono_tz::Tz;

/// Returns `[from, until)` of a period in UTC milliseconds; `None` unless both ends are present, readable and in order.
///
/// Source: FHIR R4 datatypes, Period: "the end value includes any matching date/time".
pub fn bounds(period: &Period, zone: Tz) -> Option<(i64, i64)> {
    let (from, _) = when::range_in(period.start.as_deref()?, zone)?;
    let (_, last) = when::range_in(period.end.as_deref()?, zone)?;
    (from <= last).then_some((from, last + 1))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::parse_rfc3339_ms;

    fn read(start: &str, end: &str, zone: Tz) -> Option<(i64, i64)> {
        bounds(
            &Period {
                start: Some(start.into()),
                end: Some(end.into()),
            },
            zone,
        )
    }

    #[test]
    fn dates_run_from_midnight_to_midnight_in_the_payers_zone() {
        let at = |text| parse_rfc3339_ms(text).expect("instant");
        let new_york = chrono_tz::America::New_York;
        for (start, end, from, until) in [
            (
                "2026-11-20",
                "2026-11-20",
                "2026-11-20T05:00:00Z",
                "2026-11-21T05:00:00Z",
            ),
            (
                "2026-03-08",
                "2026-03-08",
                "2026-03-08T05:00:00Z",
                "2026-03-09T04:00:00Z",
            ),
            ("2026-11", "2026-12", "2026-11-01T04:00:00Z", "2027-01-01T05:00:00Z"),
            ("2026", "2026", "2026-01-01T05:00:00Z", "2027-01-01T05:00:00Z"),
            (
                "2026-01-01T00:00:00Z",
                "2026-01-01T00:00:00Z",
                "2026-01-01T00:00:00Z",
                "2026-01-01T00:00:01Z",
            ),
            (
                "2026-01-01T00:00:00-05:00",
                "2026-01-02",
                "2026-01-01T05:00:00Z",
                "2026-01-03T05:00:00Z",
            ),
        ] {
            assert_eq!(read(start, end, new_york), Some((at(from), at(until))), "{start} {end}");
        }
        let santiago = read("2026-09-06", "2026-09-06", chrono_tz::America::Santiago)
            .expect("a day whose midnight does not exist");
        assert_eq!(santiago.1 - santiago.0, 23 * 3_600_000);
    }

    #[test]
    fn what_cannot_be_read_is_no_period() {
        for (start, end) in [
            ("2026-02-30", "2026-03-01"),
            ("2026-03-02", "2026-03-01"),
            ("2026-1-1", "2026-03-01"),
            ("2026-01-01T00:00", "2026-03-01"),
            ("2026-01-01T00:00:00", "2026-03-01"),
            ("", "2026-03-01"),
            ("+262142", "2026"),
            ("tomorrow", "2026"),
        ] {
            assert_eq!(read(start, end, chrono_tz::UTC), None, "{start} {end}");
        }
        assert_eq!(
            bounds(
                &Period {
                    start: Some("2026".into()),
                    end: None
                },
                chrono_tz::UTC
            ),
            None
        );
    }
}
