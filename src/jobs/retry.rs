//! When failed work is tried again: a table, and the computation of the wait. Pure functions.
//!
//! The wait has full jitter, so that workers that fail together do not retry together.

/// Why an attempt failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum FailureClass {
    /// The store failed; the work itself was not at fault.
    Store,
    /// The step failed.
    Failed,
    /// The step exceeded its time limit.
    Timeout,
    /// The step panicked.
    Panic,
    /// The leases of the job kept ending without a result.
    CrashLoop,
}

/// How jobs of one class are retried.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RetryRule {
    /// The code of the class, in the job's row, in logs and in metrics.
    pub code: &'static str,
    /// Upper limit of the first wait, milliseconds; it doubles with each further wait.
    pub base_ms: u64,
    /// Upper limit of all waits, milliseconds, unless the other side asks for more.
    pub cap_ms: u64,
    /// Attempts in total; after that the job is parked. Recurring work runs again at its next time instead.
    pub attempts: u32,
    /// What an operator should do with a parked job of this class.
    pub next: &'static str,
}

/// Shortest wait, milliseconds.
pub const FLOOR_MS: u64 = 100;
/// Leases without a result after which a job is parked.
pub const CLAIMS: i64 = 5;

impl FailureClass {
    /// All classes.
    pub const ALL: &'static [FailureClass] = &[
        FailureClass::Store,
        FailureClass::Failed,
        FailureClass::Timeout,
        FailureClass::Panic,
        FailureClass::CrashLoop,
    ];

    /// The row of this class.
    pub const fn row(self) -> RetryRule {
        use FailureClass::{CrashLoop, Failed, Panic, Store, Timeout};
        let (code, base_ms, cap_ms, attempts, next) = match self {
            //           code          base   cap      tries
            Store => (
                "store",
                1_000,
                300_000,
                8,
                "Make sure that the store accepts writes, then replay the job.",
            ),
            Failed => (
                "failed",
                1_000,
                300_000,
                5,
                "Find the fault in the log line with the job's id, remove its cause, then replay the job.",
            ),
            Timeout => (
                "timeout",
                1_000,
                300_000,
                8,
                "Find out what the job waits for, then replay it.",
            ),
            Panic => (
                "panic",
                1_000,
                300_000,
                5,
                "Report the log line `a panic` to the maintainers, and replay the job after an upgrade.",
            ),
            CrashLoop => (
                "crash_loop",
                0,
                0,
                0,
                "Find out why the processes that ran the job ended (memory, signals), then replay it.",
            ),
        };
        RetryRule {
            code,
            base_ms,
            cap_ms,
            attempts,
            next,
        }
    }

    /// The class with this code.
    pub fn parse(code: &str) -> Option<FailureClass> {
        FailureClass::ALL.iter().copied().find(|class| class.row().code == code)
    }
}

/// The wait before the next attempt, milliseconds, after `failed` attempts have failed (at least 1); `None` when there is no further
/// attempt.
///
/// `unit` is a random number in `0.0..1.0`. The wait that the other side asks for (`retry_after_ms`) is a lower bound, to which up to a
/// tenth is added.
pub fn wait_ms(row: &RetryRule, failed: u32, retry_after_ms: Option<u64>, unit: f64) -> Option<u64> {
    if failed >= row.attempts {
        return None;
    }
    let doubled = row
        .base_ms
        .saturating_mul(1_u64.checked_shl(failed.saturating_sub(1)).unwrap_or(u64::MAX));
    let jittered = part(doubled.min(row.cap_ms), unit).max(FLOOR_MS);
    let asked = retry_after_ms.map_or(0, |asked| asked.saturating_add(part(asked / 10, unit)));
    Some(jittered.max(asked))
}

/// The fraction `unit` of `ms` milliseconds, rounded down.
#[allow(
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss
)] // waits are far below 2^53, and `unit` is not negative
fn part(ms: u64, unit: f64) -> u64 {
    (ms as f64 * unit.clamp(0.0, 1.0)) as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    const ROW: RetryRule = FailureClass::Failed.row();

    #[test]
    fn a_wait_is_anything_up_to_the_doubled_base_and_the_cap() {
        let longest = |failed| wait_ms(&RetryRule { attempts: 99, ..ROW }, failed, None, 1.0).unwrap();
        assert_eq!([1, 2, 3, 4].map(longest), [1_000, 2_000, 4_000, 8_000]);
        assert_eq!(longest(20), 300_000);
        assert_eq!(longest(90), 300_000, "no overflow");
        assert_eq!(wait_ms(&ROW, 1, None, 0.0), Some(FLOOR_MS));
        assert_eq!(wait_ms(&ROW, 2, None, 0.25), Some(500));
    }

    #[test]
    fn retry_after_is_a_lower_bound_with_up_to_a_tenth_on_top() {
        assert_eq!(wait_ms(&ROW, 1, Some(60_000), 0.0), Some(60_000));
        assert_eq!(wait_ms(&ROW, 1, Some(60_000), 1.0), Some(66_000));
        assert_eq!(
            wait_ms(&ROW, 4, Some(1), 1.0),
            Some(8_000),
            "a shorter one changes nothing"
        );
    }

    #[test]
    fn nothing_is_tried_for_ever() {
        for class in FailureClass::ALL {
            let row = class.row();
            assert_eq!(wait_ms(&row, row.attempts, Some(1), 0.5), None, "{class:?}");
            assert_eq!(FailureClass::parse(row.code), Some(*class));
            assert!(!row.next.is_empty());
        }
        assert_eq!(FailureClass::parse("done"), None);
    }
}
