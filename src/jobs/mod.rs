//! The runner of durable background work. A job is a row of the store that any process may lease, and it survives a crash of any of them.
//!
//! Work is enqueued in the transaction that makes it necessary ([`enqueue`]). Its result is committed together with its business rows, and
//! only while the lease is held ([`HeldJob::write`], [`AttemptEnding`]). A [`JobStep`] implements one kind of work. This module knows none of the kinds
//! except the sweeps and the sequencer of the ledger, makes no network calls and never reads member data. `docs/jobs.md` explains the rules.

pub mod acts;
mod attempt;
mod chance;
mod claim;
mod held;
mod poll;
mod record;
mod result;
pub mod retry;
pub mod runbook;
mod runner;
pub mod sequencer;
pub mod sweeps;

pub use chance::Chance;
pub use claim::Claimed;
pub use held::{HeldJob, JobRow, Write};
pub use poll::RunningWorker;
pub use result::{AttemptOutcome, Recorded};
pub use runner::Runner;

use crate::error::{Failure, Fault};
use crate::store::Db;
use crate::store::jobs as rows;
use retry::RetryRule;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

/// Which job is claimed first when several are due.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Priority {
    /// Short work on which the health of the store depends.
    First,
    /// Work for which somebody is waiting.
    Ordinary,
    /// Work that is not urgent.
    Last,
}

impl Priority {
    const fn number(self) -> i64 {
        match self {
            Priority::First => rows::PRIORITIES[0],
            Priority::Ordinary => rows::PRIORITIES[1],
            Priority::Last => rows::PRIORITIES[2],
        }
    }
}

/// A kind of work.
#[derive(Debug, PartialEq, Eq)]
pub struct WorkKind {
    /// Its name in rows, logs and metrics, which must never change.
    pub name: &'static str,
    /// Its priority among jobs that are due.
    pub priority: Priority,
    /// For recurring work: the time between two runs. It has one row for all processes, which is never done.
    pub every: Option<Duration>,
    /// Time limit of one attempt.
    pub timeout: Duration,
    /// Whether the runner renews the lease during the attempt. If not, the attempt must fit into one lease.
    pub renews: bool,
    /// Why running it twice does no harm; a test runs it twice.
    pub safe_because: &'static str,
}

impl WorkKind {
    /// Whether it is work that recurs and is over in one short lease. Its lease ends early, and it is never parked because processes that had
    /// it ended: its next turn is the same work, and nobody else does it.
    fn is_brief(&self) -> bool {
        self.every.is_some() && !self.renews
    }
}

/// A running attempt of a step.
pub type Doing<'s> = Pin<Box<dyn Future<Output = Result<AttemptEnding, Failure>> + Send + 's>>;

/// The implementation of one kind of work.
pub trait JobStep: Send + Sync + 'static {
    /// The kind that this step implements.
    fn kind(&self) -> &'static WorkKind;

    /// Makes one attempt. The future is dropped at its next await point when the time limit is over or the lease is lost; its result would
    /// be refused then.
    fn run(&self, held: HeldJob) -> Doing<'_>;
}

/// The result of an attempt, with the business rows that are committed together with it.
#[derive(Clone)]
pub struct AttemptEnding {
    what: What,
    write: Option<Write>,
}

#[derive(Clone, Copy, Debug)]
enum What {
    Done,
    Again {
        due_ms: i64,
    },
    Retry {
        row: RetryRule,
        retry_after_ms: Option<u64>,
    },
    Park {
        row: RetryRule,
    },
}

impl AttemptEnding {
    /// The work is done; recurring work runs again at its next time.
    pub fn done() -> AttemptEnding {
        AttemptEnding::of(What::Done)
    }

    /// There is more to do, from `due_ms` (UTC milliseconds) on.
    pub fn again(due_ms: i64) -> AttemptEnding {
        AttemptEnding::of(What::Again { due_ms })
    }

    /// The attempt failed and is to be repeated as this row of a retry table says ([`retry::FailureClass::row`], or the step's own table).
    /// `retry_after_ms` is the wait that the other side asked for.
    pub fn retry(row: RetryRule, retry_after_ms: Option<u64>) -> AttemptEnding {
        AttemptEnding::of(What::Retry { row, retry_after_ms })
    }

    /// The job is parked until an operator decides about it.
    pub fn park(row: RetryRule) -> AttemptEnding {
        AttemptEnding::of(What::Park { row })
    }

    /// Adds the business rows that belong to this result.
    #[must_use]
    pub fn with(self, write: Write) -> AttemptEnding {
        AttemptEnding {
            write: Some(write),
            ..self
        }
    }

    fn of(what: What) -> AttemptEnding {
        AttemptEnding { what, write: None }
    }
}

/// Work to be enqueued.
#[derive(Clone, Copy, Debug)]
pub struct NewJob<'a> {
    /// Its kind.
    pub kind: &'static WorkKind,
    /// The partner for which it is done, if any.
    pub partner: Option<&'a str>,
    /// Identifies the work: while a job of this kind and key exists, no second one is made.
    pub key: &'a str,
    /// The input of the step. It is small and holds ids, never member data.
    pub payload: &'a str,
    /// When it may start, UTC milliseconds.
    pub due_ms: i64,
}

/// Longest payload in bytes.
pub const PAYLOAD_BYTES: usize = 4_096;

/// Enqueues work in the caller's transaction. Returns `false` when a job of the same kind and key exists.
///
/// `id` is a new time-ordered id, `now_ms` is in UTC milliseconds. Calling [`RunningWorker::wake`] after the commit shortens the wait.
///
/// # Errors
/// [`Fault::Internal`] for a payload that is too long; those of the database.
pub fn enqueue(db: &mut Db, id: &str, new: &NewJob<'_>, now_ms: i64) -> Result<bool, Failure> {
    if new.payload.len() > PAYLOAD_BYTES {
        return Err(Failure::new(Fault::Internal).because("the payload of a job is too long"));
    }
    let row = rows::NewRow {
        kind: new.kind.name,
        partner: new.partner,
        key: new.key,
        payload: new.payload,
        priority: new.kind.priority.number(),
        due_ms: new.due_ms,
    };
    rows::enqueue(db, id, &row, now_ms)
}

/// Deletes a job that is no longer wanted, in the caller's transaction. Returns `false` when there is no such job. A process that is
/// running the job loses its lease, and its result is not written.
///
/// # Errors
/// Those of the database.
pub fn take_back(db: &mut Db, kind: &WorkKind, key: &str) -> Result<bool, Failure> {
    rows::take_back(db, kind.name, key)
}

/// Returns whether this job is parked until an operator decides about it.
///
/// # Errors
/// Those of the database.
pub fn is_parked(db: &mut Db, kind: &WorkKind, key: &str) -> Result<bool, Failure> {
    rows::is_parked(db, kind.name, key)
}

/// Waits until no process writes the result of this job, and keeps its row until the caller's transaction ends. Whoever changes the business
/// rows of a job without running it begins with this, and reads them afterwards.
///
/// # Errors
/// Those of the database.
pub fn hold(db: &mut Db, kind: &WorkKind, key: &str) -> Result<(), Failure> {
    rows::hold(db, kind.name, key)
}

/// Enqueues work as [`enqueue`] does. When a job of the same kind and key waits already, that one gets this payload, and is due at the
/// earlier of the two times.
///
/// # Errors
/// As [`enqueue`].
pub fn enqueue_or_point(db: &mut Db, id: &str, new: &NewJob<'_>, now_ms: i64) -> Result<(), Failure> {
    match enqueue(db, id, new, now_ms)? {
        true => Ok(()),
        false => rows::point_at(db, new.kind.name, new.key, new.payload, new.due_ms),
    }
}

/// Lets a job that waits start at `due_ms` (UTC milliseconds), unless it would sooner.
///
/// # Errors
/// Those of the database.
pub fn hasten(db: &mut Db, kind: &str, key: &str, due_ms: i64) -> Result<(), Failure> {
    rows::hasten(db, kind, key, due_ms)
}

/// How a runner works.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RunnerSettings {
    /// Most jobs at once in this process.
    pub permits: usize,
    /// Longest time between two queries for work.
    pub poll: Duration,
    /// Length of a lease. It is renewed three times in this period.
    pub lease: Duration,
}

impl RunnerSettings {
    /// Time between two renewals of a lease.
    pub fn renew_every(&self) -> Duration {
        self.lease / 3
    }

    /// How long before its end a lease that could not be renewed counts as lost. This allows for clock differences and for the time of a
    /// write.
    pub fn skew(&self) -> Duration {
        (self.lease / 6).min(Duration::from_secs(10))
    }

    /// Most jobs of one partner while others wait.
    pub fn share(&self) -> usize {
        (self.permits / 8).max(1)
    }

    /// Refuses settings that cannot work: an attempt that may take longer than its lease, or two steps with the same name.
    fn demand(&self, steps: &[Arc<dyn JobStep>]) -> Result<(), Failure> {
        let whole = self.lease.saturating_sub(self.skew());
        let mut names = std::collections::BTreeSet::new();
        for kind in steps.iter().map(|step| step.kind()) {
            if !kind.renews && kind.timeout > whole {
                let remedy = format!(
                    "Set jobs.lease_seconds so that the {} s of a {} job fit, less {} s for clocks that differ.",
                    kind.timeout.as_secs(),
                    kind.name,
                    self.skew().as_secs()
                );
                return Err(Failure::new(Fault::ConfigInvalid)
                    .at("jobs.lease_seconds")
                    .remedy(remedy));
            }
            if !names.insert(kind.name) {
                return Err(Failure::new(Fault::Internal).because("two steps have one name"));
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Slow;
    static SLOW: WorkKind = WorkKind {
        name: "slow",
        priority: Priority::Ordinary,
        every: None,
        timeout: Duration::from_secs(55),
        renews: false,
        safe_because: "it does nothing",
    };

    impl JobStep for Slow {
        fn kind(&self) -> &'static WorkKind {
            &SLOW
        }

        fn run(&self, _: HeldJob) -> Doing<'_> {
            Box::pin(async { Ok(AttemptEnding::done()) })
        }
    }

    #[test]
    fn a_step_that_outlasts_its_lease_is_refused_at_start() {
        let settings = |seconds| RunnerSettings {
            permits: 8,
            poll: Duration::from_secs(5),
            lease: Duration::from_secs(seconds),
        };
        let refused = settings(60).demand(&[Arc::new(Slow)]).unwrap_err();
        assert_eq!(refused.fault(), Fault::ConfigInvalid);
        assert!(settings(65).demand(&[Arc::new(Slow)]).is_ok());
        assert!(settings(65).demand(&[Arc::new(Slow), Arc::new(Slow)]).is_err());
        assert_eq!(settings(60).renew_every(), Duration::from_secs(20));
        assert_eq!(settings(60).skew(), Duration::from_secs(10));
    }
}
