//! Counts the rows of a time, a page at a time. Reads only.

use super::tally::FigureTally;
use crate::audit::Action;
use crate::error::Failure;
use crate::exchange::clocks::answer_due_ms;
use crate::ids::{before_all_of, made_ms};
use crate::store::figure_rows::{self as rows, BegunExchange, ClockSpan, DecidedMatch, EndedClock, IdSpan};
use crate::store::month_rows::{self, EnteredInMonth, MonthRows, ReviewedInMonth};
use crate::store::{Db, Store};
use chrono_tz::Tz;

/// What the entry of a repeated request has, and that of no other match.
const REPLAYED: &[u8] = b"\"reason\":\"replayed\"";
/// How long before its end the clock of a review began at most, milliseconds: a business day, with all days around it that are none.
pub const REVIEW_MS: i64 = 7 * 86_400_000;

/// The time of which rows are counted.
#[derive(Clone, Copy, Debug)]
pub struct CountedSpan {
    /// From this time on, UTC milliseconds.
    pub from_ms: i64,
    /// And before this one.
    pub until_ms: i64,
    /// The time now: a clock that ends later has not ended.
    pub now_ms: i64,
    /// The payer's time zone, of its business days.
    pub zone: Tz,
}

/// Counts the rows of a time. Waits on this thread. Returns how many rows were read.
///
/// # Errors
/// Those of the store.
pub fn count(store: &Store, span: CountedSpan, tally: &mut FigureTally) -> Result<i64, Failure> {
    let (begin, before) = (before_all_of(span.from_ms), before_all_of(span.until_ms));
    let mut read = 0;
    read += pages(
        &begin,
        |after| {
            let of = IdSpan { after, before: &before };
            store.read_blocking(|db| rows::begun(db, of))
        },
        |row: &BegunExchange| row.id.clone(),
        |row: &BegunExchange| tally.begun(row),
    )?;
    read += pages(
        &begin,
        |after| {
            let of = IdSpan { after, before: &before };
            store.read_blocking(|db| rows::decided(db, of))
        },
        |row: &DecidedMatch| row.id.clone(),
        |row: &DecidedMatch| tally.decided(row),
    )?;
    read += entries(store, &begin, &before, tally)?;
    read += reviews(store, span, tally)?;
    read += clocks(store, span, rows::answers_due, |clock| tally.answer_due(clock))?;
    read += clocks(store, span, rows::asks_due, |clock| tally.ask_due(clock, span.zone))?;
    Ok(read)
}

/// Reads pages of 1,000 rows after `begin`, and gives each row to `each`. Returns how many rows there were.
fn pages<R>(
    begin: &str,
    read: impl Fn(&str) -> Result<Vec<R>, Failure>,
    id: impl Fn(&R) -> String,
    mut each: impl FnMut(&R),
) -> Result<i64, Failure> {
    let (mut after, mut count) = (begin.to_owned(), 0);
    loop {
        let page = read(&after)?;
        for row in &page {
            each(row);
        }
        let found = i64::try_from(page.len()).unwrap_or(i64::MAX);
        count += found;
        match page.last() {
            Some(last) if found >= rows::PAGE => after = id(last),
            _ => return Ok(count),
        }
    }
}

/// Repeated requests and exchanges that were run again, of which the ledger alone has something.
fn entries(store: &Store, begin: &str, before: &str, tally: &mut FigureTally) -> Result<i64, Failure> {
    let of = MonthRows { partner: None, before };
    let mut read = 0;
    for action in [Action::MatchBegun, Action::ExchangeReplayed] {
        read += pages(
            begin,
            |after| store.read_blocking(|db| month_rows::entered(db, of, action.code(), after)),
            |row: &EnteredInMonth| row.id.clone(),
            |row: &EnteredInMonth| {
                let Some(partner) = row.partner_id.as_deref() else {
                    return;
                };
                if action == Action::ExchangeReplayed {
                    tally.replayed(&row.id, partner);
                } else if row.entry.windows(REPLAYED.len()).any(|piece| piece == REPLAYED) {
                    tally.repeated(&row.id, partner);
                }
            },
        )?;
    }
    Ok(read)
}

/// Reviews that were opened in the time, and those whose clock ended in it.
fn reviews(store: &Store, span: CountedSpan, tally: &mut FigureTally) -> Result<i64, Failure> {
    let (begin, before) = (
        before_all_of(span.from_ms.saturating_sub(REVIEW_MS)),
        before_all_of(span.until_ms),
    );
    let of = MonthRows {
        partner: None,
        before: &before,
    };
    pages(
        &begin,
        |after| store.read_blocking(|db| month_rows::reviewed(db, of, after)),
        |row: &ReviewedInMonth| row.id.clone(),
        |row: &ReviewedInMonth| {
            if made_ms(&row.id).is_some_and(|at_ms| at_ms >= span.from_ms) {
                tally.reviewed(row);
            }
            let due_ms = answer_due_ms(row.opened_ms, span.zone);
            if (span.from_ms..span.until_ms).contains(&due_ms) && due_ms <= span.now_ms {
                tally.review_due(row, due_ms);
            }
        },
    )
}

/// Clocks of exchanges that ended in the time.
fn clocks(
    store: &Store,
    span: CountedSpan,
    read: fn(&mut Db, ClockSpan<'_>) -> Result<Vec<EndedClock>, Failure>,
    mut each: impl FnMut(&EndedClock),
) -> Result<i64, Failure> {
    let until_ms = span.until_ms.min(span.now_ms.saturating_add(1));
    let (mut from_ms, mut last, mut count) = (span.from_ms, String::new(), 0);
    loop {
        let of = ClockSpan {
            from_ms,
            after: &last,
            until_ms,
        };
        let page = store.read_blocking(|db| read(db, of))?;
        for clock in &page {
            each(clock);
        }
        let found = i64::try_from(page.len()).unwrap_or(i64::MAX);
        count += found;
        match page.last() {
            Some(clock) if found >= rows::PAGE => {
                from_ms = clock.due_ms;
                last.clone_from(&clock.exchange);
            }
            _ => return Ok(count),
        }
    }
}

/// When the first row began, or the first clock ended, at `from_ms` or later; UTC milliseconds. `None` when there is nothing more.
///
/// # Errors
/// Those of the store.
pub fn first_ms(store: &Store, from_ms: i64) -> Result<Option<i64>, Failure> {
    store.read_blocking(|db| {
        let began = rows::first_after(db, &before_all_of(from_ms))?;
        let [_, _, review, _] = rows::first_after(db, &before_all_of(from_ms.saturating_sub(REVIEW_MS)))?;
        let due_ms = rows::first_due(db, from_ms)?;
        let began = began.iter().flatten().filter_map(|id| made_ms(id));
        // The clock of a review that was opened before may end at any time from now on.
        let review = review.and_then(|id| made_ms(&id)).map(|at_ms| at_ms.max(from_ms));
        Ok(began.chain(review).chain(due_ms).min())
    })
}
