//! The time that retention goes by. It is kept in the store, never goes back, and follows the wall clock only as fast as time passes for this
//! process, and a day more at each look: a clock that is set forward by years, before a start or after one, makes nothing old (threats F10).
//!
//! A store that was not in use for months therefore deletes later than it could, a day later at each look, and never too early.

use crate::context::Context;
use crate::error::Failure;
use crate::store::Db;
use crate::store::retention as rows;

/// How much more than the time that passed one look accepts, milliseconds.
pub const CATCH_UP_MS: i64 = 86_400_000;
/// How much older than now an entry must be for the first look to believe its stamp: the clock may have been set just before.
pub const SETTLED_MS: i64 = 3_600_000;

/// The time after a look. `seen_ms` is that of the last one (0: none yet), `known_ms` the stamp of the newest settled entry of the ledger,
/// `surely_ms` the wall clock, `passed_ms` what has passed since this process looked last, by the clock that nobody can set. All in
/// milliseconds.
pub fn accepted_ms(seen_ms: i64, known_ms: Option<i64>, surely_ms: i64, passed_ms: i64) -> i64 {
    match (seen_ms, known_ms) {
        // Nothing is on record yet that could be old.
        (..=0, None) => surely_ms,
        (..=0, Some(known_ms)) => surely_ms.min(known_ms.saturating_add(CATCH_UP_MS)),
        (seen_ms, _) => {
            let most = seen_ms.saturating_add(passed_ms.max(0)).saturating_add(CATCH_UP_MS);
            surely_ms.min(most).max(seen_ms)
        }
    }
}

/// Moves the time of the store, notes the size of the ledger's tree at that time, and returns the time before and after. `passed_ms` as in
/// [`accepted_ms`], `surely_ms` the wall clock.
///
/// # Errors
/// Those of the database.
pub fn look(db: &mut Db, surely_ms: i64, passed_ms: i64) -> Result<(i64, i64), Failure> {
    rows::lock(db)?;
    let seen_ms = rows::clock(db)?.seen_ms;
    let known_ms = rows::newest_entry_ms(db, surely_ms - SETTLED_MS)?;
    let now_ms = accepted_ms(seen_ms, known_ms, surely_ms, passed_ms);
    rows::set_clock(db, now_ms)?;
    rows::mark(db, now_ms)?;
    Ok((seen_ms, now_ms))
}

/// The time for who only asks what is old enough: that of the store, which is never later than `surely_ms`, the wall clock, and moves nothing.
///
/// # Errors
/// Those of the database.
pub fn asked(db: &mut Db, surely_ms: i64) -> Result<i64, Failure> {
    match rows::clock(db)?.seen_ms {
        ..=0 => {
            let known_ms = rows::newest_entry_ms(db, surely_ms - SETTLED_MS)?;
            Ok(accepted_ms(0, known_ms, surely_ms, 0))
        }
        seen_ms => Ok(seen_ms.min(surely_ms)),
    }
}

/// The time of the store as it stands, for an operator, who does not move it; when nobody has looked yet, this is the first look. Blocks the thread.
///
/// # Errors
/// Those of the store.
pub fn standing(ctx: &Context) -> Result<i64, Failure> {
    match ctx.store.read_blocking(rows::clock)?.seen_ms {
        0 => {
            let surely_ms = ctx.clock.surely_ms();
            ctx.store.write_blocking(move |db| Ok(look(db, surely_ms, 0)?.1))
        }
        seen_ms => Ok(seen_ms),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: i64 = 1_800_000_000_000;
    const DAY: i64 = CATCH_UP_MS;
    const YEAR: i64 = 365 * DAY;

    #[test]
    fn time_follows_what_passes_and_no_clock_that_is_set() {
        for (what, seen, known, surely, passed, expected) in [
            ("a new store", 0, None, NOW, 0, NOW),
            ("the first look", 0, Some(NOW - 2 * DAY), NOW, 0, NOW - DAY),
            (
                "the first look, by a wrong clock",
                0,
                Some(NOW),
                NOW + 10 * YEAR,
                0,
                NOW + DAY,
            ),
            ("a day later", NOW, None, NOW + DAY, DAY, NOW + DAY),
            ("set forward", NOW, None, NOW + 10 * YEAR, DAY, NOW + 2 * DAY),
            ("set forward before a start", NOW, None, NOW + 10 * YEAR, 0, NOW + DAY),
            ("set back", NOW, None, NOW - YEAR, DAY, NOW),
            ("after a long stop", NOW, None, NOW + 90 * DAY, 0, NOW + DAY),
            (
                "ten years in one piece",
                NOW,
                None,
                NOW + 10 * YEAR,
                10 * YEAR,
                NOW + 10 * YEAR,
            ),
        ] {
            assert_eq!(accepted_ms(seen, known, surely, passed), expected, "{what}");
        }
    }
}
