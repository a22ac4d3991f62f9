//! Whether a partner may be called: the budget of repetitions and the circuit breaker. Computations on the row of the partner; pure.
//!
//! A partner without a row is well. The numbers survive a restart, since they are rows.

use crate::store::partner_health::HealthRow;

/// Size of the budget, in thousandths of a repetition.
const BUDGET_MILLI: i64 = 20_000;
/// What a repetition costs.
const REPETITION_MILLI: i64 = 1_000;
/// What a first attempt adds, and what a second adds.
const FIRST_MILLI: i64 = 100;
const SECOND_MILLI: i64 = 100;
/// Failures in a row that open the circuit.
const FAILURES: i64 = 5;
/// Length of the window, milliseconds; calls in it from which on the share of failures counts.
const WINDOW_MS: i64 = 60_000;
const WINDOW_CALLS: i64 = 20;
/// How long the circuit is open at first and at most, milliseconds.
const OPEN_MS: i64 = 30_000;
const OPEN_MOST_MS: i64 = 600_000;
/// How long the one call that tries the partner may take, milliseconds.
pub const PROBE_MS: i64 = 60_000;

/// Whether a partner may be called now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MayCall {
    /// Yes.
    Yes,
    /// By one caller, to see whether it is well again.
    Probe,
    /// Not before this time, UTC milliseconds.
    NotBefore(i64),
}

/// The row of a partner that was well until now.
pub fn well(partner_id: &str, now_ms: i64) -> HealthRow {
    HealthRow {
        partner_id: partner_id.to_owned(),
        budget_milli: BUDGET_MILLI,
        budget_at_ms: now_ms,
        failures: 0,
        window_from_ms: now_ms,
        window_calls: 0,
        window_failed: 0,
        opened: 0,
        open_until_ms: None,
        probe_until_ms: None,
    }
}

/// Whether the partner may be called. `unit` in `0.0..1.0` spreads those that wait.
pub fn may_call(row: &HealthRow, now_ms: i64, unit: f64) -> MayCall {
    match row.open_until_ms {
        // What is later than any wait was written before the clock was set back.
        Some(until_ms) if until_ms > now_ms && until_ms - now_ms <= OPEN_MOST_MS / 5 * 6 => {
            MayCall::NotBefore(until_ms + part(OPEN_MS / 10, unit))
        }
        Some(_) => match row.probe_until_ms {
            Some(probe_ms) if probe_ms > now_ms && probe_ms - now_ms <= PROBE_MS => {
                MayCall::NotBefore(now_ms + part(PROBE_MS / 2, unit) + 1_000)
            }
            _ => MayCall::Probe,
        },
        None => MayCall::Yes,
    }
}

/// Takes a repetition out of the budget. `Err` says when there will be one, UTC milliseconds.
///
/// # Errors
/// The time at which the budget has room again.
pub fn take_repetition(row: &mut HealthRow, now_ms: i64, unit: f64) -> Result<(), i64> {
    refill(row, now_ms);
    if row.budget_milli < REPETITION_MILLI {
        let lacks_ms = (REPETITION_MILLI - row.budget_milli) * 1_000 / SECOND_MILLI;
        return Err(now_ms + lacks_ms + part(lacks_ms.max(10_000), unit));
    }
    row.budget_milli -= REPETITION_MILLI;
    Ok(())
}

/// Notes a first attempt.
pub fn first_attempt(row: &mut HealthRow, now_ms: i64) {
    refill(row, now_ms);
    row.budget_milli = (row.budget_milli + FIRST_MILLI).min(BUDGET_MILLI);
}

/// Notes a failure for which the partner's server is to blame. Returns whether it opened the circuit.
pub fn failed(row: &mut HealthRow, now_ms: i64, unit: f64) -> bool {
    refill(row, now_ms);
    count(row, now_ms);
    row.window_failed += 1;
    row.failures += 1;
    let was_probe = row.open_until_ms.is_some();
    let is_bad_share = row.window_calls >= WINDOW_CALLS && row.window_failed * 2 >= row.window_calls;
    if !(row.failures >= FAILURES || is_bad_share || was_probe) {
        return false;
    }
    row.opened += 1;
    let doubled = OPEN_MS
        .saturating_mul(1 << (row.opened - 1).clamp(0, 16))
        .min(OPEN_MOST_MS);
    row.open_until_ms = Some(now_ms + doubled + part(doubled / 5, unit));
    row.probe_until_ms = None;
    row.failures = 0;
    (row.window_calls, row.window_failed) = (0, 0);
    true
}

/// Notes that the partner's server answered. Returns whether it closed the circuit.
pub fn answered(row: &mut HealthRow, now_ms: i64) -> bool {
    refill(row, now_ms);
    count(row, now_ms);
    let was_open = row.open_until_ms.is_some();
    row.failures = 0;
    row.opened = 0;
    row.open_until_ms = None;
    row.probe_until_ms = None;
    was_open
}

/// Whether the row says no more than no row.
pub fn is_well(row: &HealthRow) -> bool {
    row.budget_milli >= BUDGET_MILLI && row.failures == 0 && row.open_until_ms.is_none() && row.window_failed == 0
}

fn count(row: &mut HealthRow, now_ms: i64) {
    if !(0..WINDOW_MS).contains(&(now_ms - row.window_from_ms)) {
        row.window_from_ms = now_ms;
        (row.window_calls, row.window_failed) = (0, 0);
    }
    row.window_calls += 1;
}

fn refill(row: &mut HealthRow, now_ms: i64) {
    // A clock that was set back adds nothing.
    let passed_ms = (now_ms - row.budget_at_ms).clamp(0, BUDGET_MILLI * 1_000);
    row.budget_milli = (row.budget_milli + passed_ms * SECOND_MILLI / 1_000).min(BUDGET_MILLI);
    row.budget_at_ms = now_ms;
}

#[allow(clippy::cast_precision_loss, clippy::cast_possible_truncation)] // waits are far below 2^53
fn part(ms: i64, unit: f64) -> i64 {
    (ms as f64 * unit.clamp(0.0, 1.0)) as i64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn five_failures_in_a_row_open_the_circuit_and_one_probe_closes_it() {
        let mut row = well("p", 0);
        for _ in 0..4 {
            assert!(!failed(&mut row, 0, 0.0));
        }
        assert!(failed(&mut row, 0, 0.0));
        assert_eq!(may_call(&row, 29_999, 0.0), MayCall::NotBefore(30_000));
        assert_eq!(may_call(&row, 30_000, 0.0), MayCall::Probe);
        row.probe_until_ms = Some(90_000);
        assert!(matches!(may_call(&row, 30_000, 0.0), MayCall::NotBefore(_)));
        assert!(failed(&mut row, 40_000, 0.0), "a probe that fails opens it again");
        assert_eq!(row.open_until_ms, Some(100_000), "for twice as long");
        assert!(answered(&mut row, 100_000));
        assert_eq!(may_call(&row, 100_000, 0.0), MayCall::Yes);
    }

    #[test]
    fn the_circuit_is_open_for_ten_minutes_at_most() {
        let mut row = well("p", 0);
        row.opened = 40;
        row.open_until_ms = Some(0);
        assert!(failed(&mut row, 1_000, 0.0));
        assert_eq!(row.open_until_ms, Some(601_000));
    }

    #[test]
    fn a_clock_that_was_set_back_keeps_nobody_from_a_partner() {
        let mut row = well("p", 0);
        row.open_until_ms = Some(720_000);
        let waits = |row: &HealthRow, now_ms| matches!(may_call(row, now_ms, 0.0), MayCall::NotBefore(_));
        assert!(waits(&row, 0), "the longest wait");
        assert_eq!(may_call(&row, -1, 0.0), MayCall::Probe);
        row.open_until_ms = Some(-900_000);
        row.probe_until_ms = Some(PROBE_MS);
        assert!(waits(&row, 0), "another one tries");
        assert_eq!(may_call(&row, -1, 0.0), MayCall::Probe);
    }

    #[test]
    fn repetitions_are_taken_from_a_budget_that_fills_slowly() {
        let mut row = well("p", 0);
        for _ in 0..20 {
            assert_eq!(take_repetition(&mut row, 0, 0.0), Ok(()));
        }
        assert_eq!(take_repetition(&mut row, 0, 0.0), Err(10_000));
        assert_eq!(take_repetition(&mut row, 10_000, 0.0), Ok(()));
        for _ in 0..10 {
            first_attempt(&mut row, 10_000);
        }
        assert_eq!(
            take_repetition(&mut row, 10_000, 0.0),
            Ok(()),
            "ten first attempts pay for one"
        );
        assert!(
            take_repetition(&mut row, 5_000, 0.0).is_err(),
            "a clock that is set back adds nothing"
        );
    }

    #[test]
    fn half_of_twenty_calls_in_a_minute_open_the_circuit() {
        let mut row = well("p", 0);
        for call in 0..19 {
            if call % 2 == 0 {
                assert!(!failed(&mut row, call * 1_000, 0.0), "{call}");
            } else {
                answered(&mut row, call * 1_000);
            }
        }
        assert!(failed(&mut row, 19_000, 0.0));
    }
}
