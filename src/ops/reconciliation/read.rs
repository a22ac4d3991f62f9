//! Reads the two sides of a reconciliation: our rows from the store, a page at a time, and the partner's from its file, a line at a time.

use super::compare::ReconcilePeriod;
use super::file::ReconcileFile;
use super::row::ReconcileRow;
use super::rows::{ReconcileAsked, page};
use super::side::{ROWS_MAX, RowsOf, SideRows};
use crate::clock::parse_rfc3339_ms;
use crate::error::{Failure, Fault};
use crate::fhir::when;
use crate::store::Store;
use chrono_tz::Tz;
use std::io::BufRead;

/// How much earlier, or later, than the period the same exchange may have begun at the other payer, milliseconds: our exchange begins when it is
/// accepted, and the partner's when it is asked.
const MARGIN_MS: i64 = 31 * 24 * 3_600_000;

/// The earliest start in a partner's file: the begin of the year 2000, UTC milliseconds.
const FIRST_MS: i64 = 946_684_800_000;
/// How far a partner's clock may be ahead, milliseconds.
const DAY_MS: i64 = 24 * 3_600_000;

const TIMES: &str = "Give a date, such as 2026-10-01, or an RFC 3339 instant, such as 2026-10-01T12:00:00Z; the first before the second.";

/// A period in the words of whoever asks, UTC milliseconds: `from` is included; of `until` a date is included, and an instant is not. `places`
/// are the names of the two.
///
/// # Errors
/// [`Fault::ParameterInvalid`] for what is no time, and for a period that ends before it begins.
pub fn period(
    (from, until): (Option<&str>, Option<&str>),
    places: [&'static str; 2],
    zone: Tz,
) -> Result<(Option<i64>, Option<i64>), Failure> {
    let wrong = |place: &str| Failure::new(Fault::ParameterInvalid).at(place).remedy(TIMES);
    let range = |text: &str, place: &str| when::range_in(text, zone).ok_or_else(|| wrong(place));
    let from_ms = match from {
        Some(text) => Some(range(text, places[0])?.0),
        None => None,
    };
    let until_ms = match until {
        Some(text) => {
            let (first, last) = range(text, places[1])?;
            Some(if text.contains('T') { first } else { last + 1 })
        }
        None => None,
    };
    match from_ms.zip(until_ms).is_some_and(|(from, until)| from >= until) {
        true => Err(wrong(places[1])),
        false => Ok((from_ms, until_ms)),
    }
}

/// Hands over the pages of our rows. Waits on this thread.
///
/// # Errors
/// Those of `each` and of the store.
pub fn each_page(
    store: &Store,
    asked: &ReconcileAsked,
    each: &mut dyn FnMut(Vec<ReconcileRow>) -> Result<(), Failure>,
) -> Result<(), Failure> {
    let mut cursor = None;
    loop {
        let (rows, next) = store.read_blocking(|db| page(db, asked, cursor.as_ref()))?;
        each(rows)?;
        if next.is_none() {
            return Ok(());
        }
        cursor = next;
    }
}

/// The partner's side. `now_ms` is the time now, UTC milliseconds.
///
/// # Errors
/// Those of [`ReconcileFile::next_row`]; [`Fault::InputUnreadable`] for a row that began before the year 2000 or more than a day ahead of now,
/// since the rows say which period is compared, and for a file with more than [`ROWS_MAX`] rows.
pub fn theirs(source: impl BufRead, now_ms: i64) -> Result<SideRows, Failure> {
    filled(source, SideRows::new(RowsOf::Partner), now_ms)
}

fn filled(source: impl BufRead, mut side: SideRows, now_ms: i64) -> Result<SideRows, Failure> {
    let mut file = ReconcileFile::new(source);
    let known = FIRST_MS..=now_ms.saturating_add(DAY_MS);
    while let Some(row) = file.next_row()? {
        if parse_rfc3339_ms(&row.started_at).is_none_or(|at_ms| !known.contains(&at_ms)) {
            return Err(file.bad("The value of started_at cannot be used. Give an instant since the year 2000, and at most one day from now."));
        }
        if !side.add(&row, file.line()) {
            let remedy =
                format!("The file has more than {ROWS_MAX} rows. Ask the partner for files of shorter periods.");
            return Err(file.bad(&remedy));
        }
    }
    side.settle();
    Ok(side)
}

/// Our side, for a comparison over this period. Waits on this thread.
///
/// # Errors
/// [`Fault::ParameterInvalid`] for a period with more than [`ROWS_MAX`] exchanges; those of the store.
pub fn ours(store: &Store, asked: &ReconcileAsked, period: ReconcilePeriod) -> Result<SideRows, Failure> {
    let bounded = |at_ms: i64| (at_ms != i64::MIN && at_ms != i64::MAX).then_some(at_ms);
    let asked = ReconcileAsked {
        from_ms: bounded(period.from_ms).map(|at_ms| at_ms.saturating_sub(MARGIN_MS)),
        until_ms: bounded(period.until_ms).map(|at_ms| at_ms.saturating_add(MARGIN_MS)),
        ..asked.clone()
    };
    let mut side = SideRows::new(RowsOf::Us);
    each_page(store, &asked, &mut |rows| {
        for row in &rows {
            if !side.add(row, 0) {
                return Err(Failure::new(Fault::ParameterInvalid).at("--from").remedy(format!(
                    "There are more than {ROWS_MAX} exchanges. Give --from and --until for a shorter period."
                )));
            }
        }
        Ok(())
    })?;
    side.settle();
    Ok(side)
}

/// The period that is compared: the one that was asked for, and where an end is missing, the first or the last start in the partner's file.
pub fn compared(asked: &ReconcileAsked, theirs: &SideRows) -> ReconcilePeriod {
    let (first_ms, last_ms) = theirs.span().unwrap_or((i64::MIN, i64::MAX - 1));
    ReconcilePeriod {
        from_ms: asked.from_ms.unwrap_or(first_ms),
        until_ms: asked.until_ms.unwrap_or(last_ms + 1),
    }
}

#[cfg(test)]
mod tests {
    use super::super::row::{ReconcileOutcome, csv_header};
    use super::*;

    const PLACES: [&str; 2] = ["--from", "--until"];

    #[test]
    fn a_date_at_the_end_is_included_and_an_instant_is_not() {
        let of = |from, until| period((from, until), PLACES, Tz::UTC).expect("a period");
        let day = 24 * 3_600_000;
        assert_eq!(of(Some("1970-01-02"), Some("1970-01-02")), (Some(day), Some(2 * day)));
        assert_eq!(of(None, Some("1970-01-02T00:00:00Z")), (None, Some(day)));
        for (from, until, place) in [
            (Some("soon"), None, "--from"),
            (None, Some("2026-13-01"), "--until"),
            (Some("2026-02-01"), Some("2026-01-01"), "--until"),
        ] {
            let failure = period((from, until), PLACES, Tz::UTC).expect_err("refused");
            assert_eq!(failure.fault(), Fault::ParameterInvalid);
            assert_eq!(failure.expressions(), [place]);
        }
    }

    fn row(number: usize) -> ReconcileRow {
        ReconcileRow {
            correlation_id: format!("c-{number}"),
            exchange_id: format!("x-{number}"),
            direction: "inbound".into(),
            kind: "single".into(),
            state: "matched".into(),
            outcome: ReconcileOutcome::Open,
            started_at: "2026-10-05T15:00:00Z".into(),
            ended_at: None,
            receipt: None,
            acknowledged_at: None,
            resources: None,
            bytes: None,
        }
    }

    #[test]
    fn a_row_more_than_a_side_takes_is_refused_with_its_line() {
        let file: String = std::iter::once(csv_header())
            .chain((0..5).map(|at| row(at).csv()))
            .collect();
        let now_ms = parse_rfc3339_ms("2026-10-06T00:00:00Z").expect("a time");
        let read = |most| filled(file.as_bytes(), SideRows::of_at_most(RowsOf::Partner, most), now_ms);
        let failure = read(4).expect_err("too many");
        assert_eq!(failure.fault(), Fault::InputUnreadable);
        assert_eq!(failure.expressions(), ["line 6"]);
        assert_eq!(read(5).expect("rows").len(), 5);
    }

    #[test]
    fn a_start_that_no_exchange_has_is_refused_with_its_line() {
        let now_ms = parse_rfc3339_ms("2026-10-06T00:00:00Z").expect("a time");
        let read = |started_at: &str| {
            let row = ReconcileRow {
                started_at: started_at.into(),
                ..row(1)
            };
            theirs(format!("{}{}", csv_header(), row.csv()).as_bytes(), now_ms)
        };
        for right in ["2000-01-01T00:00:00Z", "2026-10-07T00:00:00Z"] {
            assert_eq!(read(right).expect(right).len(), 1, "{right}");
        }
        for wrong in [
            "0001-01-01T00:00:00Z",
            "1999-12-31T23:59:59Z",
            "2026-10-07T00:00:01Z",
            "9999-12-31T00:00:00Z",
        ] {
            let failure = read(wrong).expect_err(wrong);
            assert_eq!(failure.fault(), Fault::InputUnreadable, "{wrong}");
            assert_eq!(failure.expressions(), ["line 2"], "{wrong}");
        }
    }
}
