//! Decides from the result of an attempt how its job continues. Pure functions, without store or clock.

use super::retry::{FailureClass, RetryRule, wait_ms};
use super::{AttemptEnding, What};
use crate::error::{Failure, Fault};
use crate::store::jobs::Settled;

/// The result of an attempt.
pub enum AttemptOutcome {
    /// The step returned a result.
    Ended(AttemptEnding),
    /// The step returned an error.
    Failed(Failure),
    /// It exceeded its time limit and was dropped.
    TimedOut,
    /// It panicked.
    Panicked,
    /// Its lease was lost, and it was dropped.
    Lost,
}

/// Whether a result was written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Recorded {
    /// It was written.
    Kept,
    /// Nothing was written, because the lease was lost.
    Dropped,
}

/// How a job continues, before any time is computed.
#[derive(Clone, Copy)]
pub(super) enum NextAttempt {
    Done,
    At { due_ms: i64 },
    After { wait_ms: i64, class: &'static str },
    Retry { wait_ms: i64, class: &'static str },
    Fell { wait_ms: i64, class: &'static str },
    Park { class: &'static str },
}

impl NextAttempt {
    /// The write for this decision at `now_ms` (UTC milliseconds).
    pub(super) fn settled(self, now_ms: i64) -> Settled<'static> {
        match self {
            NextAttempt::Done => Settled::Done,
            NextAttempt::At { due_ms } => Settled::Again { due_ms, class: DONE },
            NextAttempt::After { wait_ms, class } => Settled::Again {
                due_ms: now_ms + wait_ms,
                class,
            },
            NextAttempt::Retry { wait_ms, class } => Settled::Retry {
                due_ms: now_ms + wait_ms,
                class,
            },
            NextAttempt::Fell { wait_ms, class } => Settled::Fell {
                due_ms: now_ms + wait_ms,
                class,
            },
            NextAttempt::Park { class } => Settled::Parked { class },
        }
    }

    /// The label of the metric.
    pub(super) fn metric(self) -> &'static str {
        match self {
            NextAttempt::Done | NextAttempt::At { .. } => DONE,
            NextAttempt::After { class, .. } if class == DONE => DONE,
            NextAttempt::After { .. } => "failed",
            NextAttempt::Retry { .. } => "retried",
            NextAttempt::Fell { .. } => "panicked",
            NextAttempt::Park { .. } => "parked",
        }
    }
}

/// The class of a successful attempt.
const DONE: &str = "done";

/// The input of the decision.
#[derive(Clone, Copy, Debug)]
pub(super) struct Tried {
    /// Time between two runs of recurring work, milliseconds.
    pub every_ms: Option<i64>,
    /// Attempts that failed before this one.
    pub attempts: u32,
    /// Leases that ended without a result before this one.
    pub claims: u32,
    /// A random number in `0.0..1.0`, for jitter.
    pub unit: f64,
}

impl Tried {
    /// The decision for a result that the step returned.
    pub(super) fn after(&self, what: What) -> NextAttempt {
        match (what, self.every_ms) {
            (What::Done, None) => NextAttempt::Done,
            (What::Done, Some(wait_ms)) => NextAttempt::After { wait_ms, class: DONE },
            (What::Again { due_ms }, _) => NextAttempt::At { due_ms },
            (What::Retry { row, retry_after_ms }, _) => self.again(row, retry_after_ms),
            (What::Park { row }, _) => NextAttempt::Park { class: row.code },
        }
    }

    /// The decision for an error of the step.
    pub(super) fn failed(&self, failure: &Failure) -> NextAttempt {
        self.again(class_of(failure).row(), None)
    }

    /// Retries the job; after its last attempt parks it, or waits for the next run of recurring work.
    pub(super) fn again(&self, row: RetryRule, retry_after_ms: Option<u64>) -> NextAttempt {
        let class = row.code;
        let wait = wait_ms(&row, self.attempts.saturating_add(1), retry_after_ms, self.unit);
        match (wait, self.every_ms) {
            (Some(wait_ms), _) => NextAttempt::Retry {
                wait_ms: i64::try_from(wait_ms).unwrap_or(i64::MAX),
                class,
            },
            (None, Some(wait_ms)) => NextAttempt::After { wait_ms, class },
            (None, None) => NextAttempt::Park { class },
        }
    }

    /// The decision after a panic, which counts like a crash of the process.
    pub(super) fn fell(&self) -> NextAttempt {
        let row = FailureClass::Panic.row();
        let wait = wait_ms(&row, self.claims.saturating_add(1), None, self.unit);
        match wait.map(i64::try_from) {
            Some(Ok(wait_ms)) => NextAttempt::Fell {
                wait_ms,
                class: row.code,
            },
            _ => NextAttempt::Park { class: row.code },
        }
    }
}

/// Whether a step failed because of the store or because of itself.
pub(super) fn class_of(failure: &Failure) -> FailureClass {
    match failure.fault() {
        Fault::StoreUnavailable
        | Fault::StoreSlow
        | Fault::StoreBusy
        | Fault::StoreUnsafe
        | Fault::AuditUnavailable
        | Fault::Overloaded
        | Fault::NoRoom
        | Fault::BulkFolder => FailureClass::Store,
        _ => FailureClass::Failed,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ONCE: Tried = Tried {
        every_ms: None,
        attempts: 0,
        claims: 0,
        unit: 1.0,
    };

    #[test]
    fn work_that_recurs_goes_on_and_other_work_is_parked_when_its_tries_are_over() {
        let failure = Failure::new(Fault::Internal);
        let last = Tried { attempts: 4, ..ONCE };
        assert!(matches!(
            ONCE.failed(&failure),
            NextAttempt::Retry {
                wait_ms: 1_000,
                class: "failed"
            }
        ));
        assert!(matches!(last.failed(&failure), NextAttempt::Park { class: "failed" }));
        let recurs = Tried {
            every_ms: Some(60_000),
            ..last
        };
        assert!(matches!(
            recurs.failed(&failure),
            NextAttempt::After {
                wait_ms: 60_000,
                class: "failed"
            }
        ));
        assert!(matches!(
            recurs.after(What::Done),
            NextAttempt::After {
                wait_ms: 60_000,
                class: DONE
            }
        ));
        assert!(matches!(ONCE.after(What::Done), NextAttempt::Done));
    }

    #[test]
    fn panics_count_as_crashes() {
        assert!(matches!(ONCE.fell(), NextAttempt::Fell { class: "panic", .. }));
        assert!(matches!(
            Tried { claims: 4, ..ONCE }.fell(),
            NextAttempt::Park { class: "panic" }
        ));
    }
}
