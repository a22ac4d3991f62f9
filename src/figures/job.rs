//! The job that counts business figures, once a minute in one process.
//!
//! It works in three parts. It counts what has not been counted yet, from the first row on, an hour or a day at a time. It finds what changed
//! since its last run, by the entries of the ledger and the acts of reviews, and counts the minute, hour or day of that again. And it counts the
//! last minutes again, for what was committed late. What is counted takes the place of what was there, so each part may stop anywhere.

use super::count::{CountedSpan, count, first_ms};
use super::tally::FigureTally;
use crate::error::{ActWithin, Failure, RunbookRow};
use crate::ids::{before_all_of, made_ms};
use crate::jobs::runbook::parked;
use crate::jobs::sweeps::Sweep;
use crate::jobs::{HeldJob, JobStep, Priority, WorkKind};
use crate::keeping::DataKind;
use crate::retention::in_force;
use crate::store::figure_rows::{self as rows, IdSpan};
use crate::store::figures::{self, FigureGrain, FigureRow, FigureState};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

/// Counts business figures.
pub static FIGURES: WorkKind = WorkKind {
    name: "figures",
    priority: Priority::Last,
    every: Some(Duration::from_secs(60)),
    timeout: Duration::from_secs(600),
    renews: true,
    safe_because: "what it counts takes the place of what was counted before",
};

/// Rows that one run reads before it leaves the rest to the next one.
const ROWS: i64 = 100_000;
/// As how many rows a piece of work counts besides those that it reads. Even without rows it costs some statements and a commit, and a run has to
/// end well within [`GAP_MS`]: a longer one would look like a pause.
const PIECE_ROWS: i64 = 100;
/// The newest time, which is counted again in each run, milliseconds.
const RECENT_MS: i64 = 600_000;
/// How long an entry may take to be committed, milliseconds; what took longer is counted when something near it changes.
const BEHIND_MS: i64 = 120_000;
/// Two runs that are no further apart belong to one time in which the job ran, milliseconds.
pub const GAP_MS: i64 = 150_000;
/// How long minutes and hours are kept, milliseconds.
pub const MINUTES_MS: i64 = 2 * 86_400_000;
/// As [`MINUTES_MS`].
pub const HOURS_MS: i64 = 90 * 86_400_000;
/// Minutes, hours and days that one run deletes.
const OLD: i64 = 1_440;

const MINUTE_MS: i64 = FigureGrain::Minute.ms();
const HOUR_MS: i64 = FigureGrain::Hour.ms();
const DAY_MS: i64 = FigureGrain::Day.ms();

/// What people do when it is parked.
pub fn runbook() -> RunbookRow {
    parked(
        &FIGURES,
        ActWithin::Day,
        "Business figures are not counted, so budgets stand still. Nothing is lost: they are counted from rows later.",
    )
}

/// The step of [`FIGURES`].
pub fn step() -> Arc<dyn JobStep> {
    Sweep::step(&FIGURES, turn)
}

fn turn(held: &HeldJob) -> Result<(), Failure> {
    let now_ms = held.ctx().clock.now_ms();
    let mut turn = FigureTurn::begin(held, now_ms)?;
    turn.catch_up()?;
    turn.changed()?;
    turn.recent()?;
    turn.prune()
}

/// One run.
struct FigureTurn<'h> {
    held: &'h HeldJob,
    now_ms: i64,
    state: FigureState,
    /// Rows that may still be read.
    left: i64,
    /// What began before this time may be gone, so that it must not be counted again.
    whole_from_ms: i64,
}

impl<'h> FigureTurn<'h> {
    /// Notes that the job runs, and from when on minutes and hours are kept. That never goes back, so that no sum is made of a part.
    fn begin(held: &'h HeldJob, now_ms: i64) -> Result<FigureTurn<'h>, Failure> {
        let ctx = held.ctx();
        let surely_ms = ctx.clock.surely_ms();
        let mut state = ctx.store.read_blocking(figures::state)?;
        if state.began_ms == 0 {
            let first = first_ms(&ctx.store, 0)?.unwrap_or(now_ms).min(now_ms);
            state.began_ms = now_ms;
            state.counted_ms = FigureGrain::Day.floor(first);
            state.seen_ms = now_ms;
        }
        state = without_future(state, now_ms);
        let minutes = beats(state.beat_ms, now_ms);
        state.beat_ms = now_ms;
        let minutes_from_ms = FigureGrain::Hour.floor(surely_ms - MINUTES_MS);
        let hours_from_ms = FigureGrain::Day.floor(surely_ms - HOURS_MS);
        state.minutes_from_ms = state.minutes_from_ms.max(minutes_from_ms);
        state.hours_from_ms = state.hours_from_ms.max(hours_from_ms);
        let configured = Arc::clone(&ctx.keeping);
        let periods = ctx.store.read_blocking(|db| in_force(db, &configured, now_ms))?;
        let counted = [
            DataKind::Decisions,
            DataKind::Exchanges,
            DataKind::Ledger,
            DataKind::Reviews,
        ];
        let gone = counted
            .into_iter()
            .filter_map(|kind| periods.before_ms(kind, surely_ms))
            .max();
        held.write_blocking(move |db| {
            figures::note_up(db, &minutes)?;
            figures::set_state(db, state)
        })?;
        Ok(FigureTurn {
            held,
            now_ms,
            state,
            left: ROWS,
            whole_from_ms: gone.unwrap_or(i64::MIN),
        })
    }

    /// From when on everything is counted again in each run.
    fn recent_ms(&self) -> i64 {
        FigureGrain::Minute.floor(self.now_ms - RECENT_MS)
    }

    /// Counts what has not been counted yet, until the rows of this run are read.
    fn catch_up(&mut self) -> Result<(), Failure> {
        let recent_ms = self.recent_ms();
        while self.state.counted_ms < recent_ms && self.left > 0 {
            let mut from_ms = self.state.counted_ms;
            if recent_ms - from_ms > HOUR_MS && from_ms == FigureGrain::Day.floor(from_ms) {
                // Whole days without anything are passed over; one that has begun is added up at its end.
                let first = first_ms(&self.held.ctx().store, from_ms)?.unwrap_or(recent_ms);
                from_ms = from_ms.max(FigureGrain::Day.floor(first)).min(recent_ms);
            }
            if from_ms >= recent_ms {
                return self.put(FigureState {
                    counted_ms: recent_ms,
                    ..self.state
                });
            }
            let (day_ms, hour_ms) = (FigureGrain::Day.floor(from_ms), FigureGrain::Hour.floor(from_ms));
            let end_ms = match day_ms < self.state.hours_from_ms {
                true => day_ms + DAY_MS,
                false => hour_ms + HOUR_MS,
            };
            let counted_ms = end_ms.min(recent_ms);
            let state = FigureState {
                counted_ms,
                ..self.state
            };
            self.hour(hour_ms, (from_ms, counted_ms), state)?;
        }
        Ok(())
    }

    /// Counts again what changed since the last run.
    fn changed(&mut self) -> Result<(), Failure> {
        let before = before_all_of(self.now_ms + 1);
        let mut after = before_all_of(self.state.seen_ms.saturating_sub(BEHIND_MS));
        self.changed_reviews(&after, &before)?;
        loop {
            let page = self.held.ctx().store.read_blocking(|db| {
                let of = IdSpan {
                    after: &after,
                    before: &before,
                };
                rows::entered(db, of)
            })?;
            let times = page.iter().filter_map(|(_, exchange)| made_ms(exchange.as_deref()?));
            let hours = self.hours_of(times);
            self.again(hours)?;
            let last = page.last().filter(|_| is_full(&page)).map(|(id, _)| id.clone());
            // The next run begins a little before what it is told here.
            let seen_ms = match &last {
                Some(id) => made_ms(id).map_or(self.now_ms, |at_ms| at_ms + BEHIND_MS),
                None => self.now_ms,
            };
            self.put(FigureState {
                seen_ms: seen_ms.min(self.now_ms),
                ..self.state
            })?;
            match last {
                Some(id) if self.left > 0 => after = id,
                _ => return Ok(()),
            }
        }
    }

    fn changed_reviews(&mut self, after: &str, before: &str) -> Result<(), Failure> {
        let mut after = after.to_owned();
        loop {
            let page = self.held.ctx().store.read_blocking(|db| {
                let of = IdSpan { after: &after, before };
                rows::reviewed(db, of)
            })?;
            let times = page.iter().filter_map(|(_, review)| made_ms(review));
            let hours = self.hours_of(times);
            self.again(hours)?;
            match page.last() {
                Some((id, _)) if is_full(&page) => after.clone_from(id),
                _ => return Ok(()),
            }
        }
    }

    /// The hours of these times, each with the first minute and the end of the last one. What is counted anyhow, and what may be gone, is left out.
    fn hours_of(&self, times: impl Iterator<Item = i64>) -> BTreeMap<i64, (i64, i64)> {
        let until_ms = self.recent_ms().min(self.state.counted_ms);
        let mut hours: BTreeMap<i64, (i64, i64)> = BTreeMap::new();
        for at_ms in times.filter(|at_ms| (self.whole_from_ms..until_ms).contains(at_ms)) {
            let minute_ms = FigureGrain::Minute.floor(at_ms);
            let span = (minute_ms, minute_ms + MINUTE_MS);
            let of_hour = hours.entry(FigureGrain::Hour.floor(at_ms)).or_insert(span);
            *of_hour = (of_hour.0.min(span.0), of_hour.1.max(span.1));
        }
        hours
    }

    fn again(&mut self, hours: BTreeMap<i64, (i64, i64)>) -> Result<(), Failure> {
        for (hour_ms, span) in hours {
            self.hour(hour_ms, span, self.state)?;
        }
        Ok(())
    }

    /// Counts the last minutes.
    fn recent(&mut self) -> Result<(), Failure> {
        let until_ms = FigureGrain::Minute.floor(self.now_ms) + MINUTE_MS;
        let mut from_ms = self.recent_ms();
        while from_ms < until_ms {
            let hour_ms = FigureGrain::Hour.floor(from_ms);
            let end_ms = until_ms.min(hour_ms + HOUR_MS);
            self.hour(hour_ms, (from_ms, end_ms), self.state)?;
            from_ms = end_ms;
        }
        Ok(())
    }

    /// Counts these minutes of an hour, and adds up the hour; or counts the hour or its day as a whole, where minutes or hours are not kept.
    fn hour(&mut self, hour_ms: i64, span: (i64, i64), state: FigureState) -> Result<(), Failure> {
        let day_ms = FigureGrain::Day.floor(hour_ms);
        let is_over = day_ms < FigureGrain::Day.floor(self.now_ms);
        if hour_ms >= state.minutes_from_ms {
            let counted = self.counted(FigureGrain::Minute, span)?;
            self.held.write_blocking(move |db| {
                figures::replace(db, FigureGrain::Minute, span, &counted)?;
                figures::sum_hour(db, hour_ms)?;
                if is_over {
                    figures::sum_day(db, day_ms)?;
                }
                figures::set_state(db, state)
            })?;
        } else if day_ms >= state.hours_from_ms {
            let span = (hour_ms, hour_ms + HOUR_MS);
            let counted = self.counted(FigureGrain::Hour, span)?;
            self.held.write_alone_blocking(move |db| {
                figures::replace(db, FigureGrain::Hour, span, &counted)?;
                figures::sum_day(db, day_ms)?;
                figures::set_state(db, state)
            })?;
        } else {
            let span = (day_ms, day_ms + DAY_MS);
            let counted = self.counted(FigureGrain::Day, span)?;
            self.held.write_alone_blocking(move |db| {
                figures::replace(db, FigureGrain::Day, span, &counted)?;
                figures::set_state(db, state)
            })?;
        }
        self.state = state;
        Ok(())
    }

    fn counted(&mut self, grain: FigureGrain, (from_ms, until_ms): (i64, i64)) -> Result<Vec<FigureRow>, Failure> {
        let ctx = self.held.ctx();
        let span = CountedSpan {
            from_ms,
            until_ms,
            now_ms: self.now_ms,
            zone: ctx.payer.time_zone,
        };
        let mut tally = FigureTally::new(grain);
        self.left -= PIECE_ROWS + count(&ctx.store, span, &mut tally)?;
        Ok(tally.rows())
    }

    fn put(&mut self, state: FigureState) -> Result<(), Failure> {
        self.held.write_blocking(move |db| figures::set_state(db, state))?;
        self.state = state;
        Ok(())
    }

    /// Deletes minutes, hours and days that were kept long enough.
    fn prune(&self) -> Result<(), Failure> {
        let ctx = self.held.ctx();
        let days = ctx.keeping.before_ms(DataKind::Figures, ctx.clock.surely_ms());
        for (grain, before_ms) in [
            (FigureGrain::Minute, self.state.minutes_from_ms),
            (FigureGrain::Hour, self.state.hours_from_ms),
            (FigureGrain::Day, FigureGrain::Day.floor(days.unwrap_or(0))),
        ] {
            self.held
                .write_blocking(move |db| figures::prune(db, grain, before_ms, OLD))?;
        }
        Ok(())
    }
}

/// The state without what a clock that was ahead has left in it: what was counted then is counted again, from today on.
fn without_future(mut state: FigureState, now_ms: i64) -> FigureState {
    state.counted_ms = state.counted_ms.min(now_ms);
    state.seen_ms = state.seen_ms.min(now_ms);
    if state.minutes_from_ms > now_ms || state.hours_from_ms > now_ms {
        state.minutes_from_ms = FigureGrain::Hour.floor(now_ms);
        state.hours_from_ms = FigureGrain::Day.floor(now_ms);
        state.counted_ms = state.counted_ms.min(state.hours_from_ms);
    }
    state.counted_ms = FigureGrain::Minute.floor(state.counted_ms);
    state
}

fn is_full<R>(page: &[R]) -> bool {
    i64::try_from(page.len()).is_ok_and(|found| found >= rows::PAGE)
}

/// The minutes in which the job ran, now that it runs at `now_ms` after it ran at `beat_ms`; UTC milliseconds, and 0 if it never did.
fn beats(beat_ms: i64, now_ms: i64) -> Vec<i64> {
    let last_ms = FigureGrain::Minute.floor(now_ms);
    let has_run = beat_ms > 0 && (0..=GAP_MS).contains(&(now_ms - beat_ms));
    let first_ms = if has_run {
        FigureGrain::Minute.floor(beat_ms)
    } else {
        last_ms
    };
    (0_i64..)
        .map(|number| first_ms + number * MINUTE_MS)
        .take_while(|minute_ms| *minute_ms <= last_ms)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn minutes_between_two_runs_count_unless_they_are_far_apart() {
        let noon = 1_800_000_000_000;
        assert_eq!(beats(0, noon + 1), [noon]);
        assert_eq!(beats(noon + 1, noon + 2), [noon]);
        assert_eq!(
            beats(noon + 50_000, noon + 125_000),
            [noon, noon + MINUTE_MS, noon + 2 * MINUTE_MS]
        );
        assert_eq!(beats(noon, noon + GAP_MS + 1), [noon + 2 * MINUTE_MS], "it was down");
        assert_eq!(beats(noon + 600_000, noon), [noon], "the clock was set back");
    }

    #[test]
    fn a_clock_that_was_ahead_lets_today_be_counted_again() {
        let now_ms = 1_800_000_000_000 + 61_001;
        let state = FigureState {
            began_ms: now_ms - DAY_MS,
            counted_ms: now_ms - 600_000 - 1_001,
            seen_ms: now_ms - 1,
            beat_ms: now_ms - 60_000,
            minutes_from_ms: now_ms - MINUTES_MS,
            hours_from_ms: now_ms - HOURS_MS,
        };
        assert_eq!(without_future(state, now_ms), state);
        let ahead = FigureState {
            counted_ms: now_ms + DAY_MS,
            seen_ms: now_ms + DAY_MS,
            hours_from_ms: now_ms + 1,
            ..state
        };
        let today_ms = FigureGrain::Day.floor(now_ms);
        let found = without_future(ahead, now_ms);
        assert_eq!(
            (found.counted_ms, found.hours_from_ms, found.seen_ms),
            (today_ms, today_ms, now_ms)
        );
        assert_eq!(found.minutes_from_ms, FigureGrain::Hour.floor(now_ms));
    }

    #[test]
    fn minutes_and_hours_that_are_added_up_are_kept_as_a_whole() {
        assert_eq!(MINUTES_MS % HOUR_MS, 0);
        assert_eq!(HOURS_MS % DAY_MS, 0);
        const { assert!(RECENT_MS + GAP_MS < MINUTES_MS && MINUTES_MS < HOURS_MS) }
    }
}
