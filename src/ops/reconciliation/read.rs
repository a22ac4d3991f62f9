//! Reads the two sides of a reconciliation: our rows from the store, a page at a time, and the partner's from its file, a line at a time.

use super::compare::ReconcilePeriod;
use super::file::ReconcileFile;
use super::row::ReconcileRow;
use super::rows::{ReconcileAsked, page};
use super::side::{ROWS_MAX, RowsOf, SideRows};
use crate::error::{Failure, Fault};
use crate::fhir::when;
use crate::store::Store;
use chrono_tz::Tz;
use std::io::BufRead;

/// How much earlier, or later, than the period the same exchange may have begun at the other payer, milliseconds: our exchange begins when it is
/// accepted, and the partner's when it is asked.
const MARGIN_MS: i64 = 31 * 24 * 3_600_000;

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

/// The partner's side.
///
/// # Errors
/// Those of [`ReconcileFile::next_row`]; [`Fault::InputUnreadable`] for a file with more than [`ROWS_MAX`] rows.
pub fn theirs(source: impl BufRead) -> Result<SideRows, Failure> {
    filled(source, SideRows::new(RowsOf::Partner))
}

fn filled(source: impl BufRead, mut side: SideRows) -> Result<SideRows, Failure> {
    let mut file = ReconcileFile::new(source);
    while let Some(row) = file.next_row()? {
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

    #[test]
    fn a_row_more_than_a_side_takes_is_refused_with_its_line() {
        let row = |number: usize| ReconcileRow {
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
        };
        let file: String = std::iter::once(csv_header())
            .chain((0..5).map(|at| row(at).csv()))
            .collect();
        let read = |most| filled(file.as_bytes(), SideRows::of_at_most(RowsOf::Partner, most));
        let failure = read(4).expect_err("too many");
        assert_eq!(failure.fault(), Fault::InputUnreadable);
        assert_eq!(failure.expressions(), ["line 6"]);
        assert_eq!(read(5).expect("rows").len(), 5);
    }
}
