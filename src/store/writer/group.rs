//! The jobs of one group, and the transaction in which they run.

use crate::error::{Failure, Fault};
use crate::failpoint::{self, COMMIT};
use crate::store::connection::Db;
use crate::store::statement::{Statement, run};
use diesel::connection::{Connection, SimpleConnection, TransactionManager, TransactionManagerStatus};
use diesel::result::Error;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, Ordering};

/// How many diesel transactions are open while a job runs: only the group's. The savepoint of a job is made without diesel.
const JOB_DEPTH: u32 = 1;

type Transactions = <Db as Connection>::TransactionManager;

pub(super) trait WriteJob: Send {
    /// Does the work. Returns false when it must be undone.
    fn run(&mut self, db: &mut Db) -> bool;
    /// Whether it may use the space that is reserved for ledger entries.
    fn is_reserved(&self) -> bool;
    /// What undoes it when it fails.
    fn undone_by(&self) -> UndoneBy;
    /// Gives the caller the outcome of the job, by how the group's transaction ended.
    fn finish(self: Box<Self>, ended: Ended);
}

/// What undoes a job that fails.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::store) enum UndoneBy {
    /// A savepoint, because other jobs share the transaction.
    Savepoint,
    /// SQLite itself: the job is a single statement, or several of which each may stay without the others.
    Statement,
    /// The transaction, which the job has for itself. SQLite keeps each page that a savepoint would restore in a list, which it walks from
    /// the beginning after each statement that could fail in the middle: a job of hundreds of statements would spend a third of its time so.
    Transaction,
}

/// How the transaction of a group ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Ended {
    Committed,
    /// Rolled back because the disk is full.
    NoRoom,
    /// The state on disk is unknown.
    Lost,
}

pub(super) struct Typed<T, F, R> {
    pub(super) work: F,
    pub(super) reserved: bool,
    pub(super) undone_by: UndoneBy,
    pub(super) outcome: Option<Result<T, Failure>>,
    pub(super) reply: R,
}

impl<T, F, R> WriteJob for Typed<T, F, R>
where
    T: Send,
    F: FnMut(&mut Db) -> Result<T, Failure> + Send,
    R: FnOnce(Result<T, Failure>) + Send,
{
    fn run(&mut self, db: &mut Db) -> bool {
        let outcome = catch_unwind(AssertUnwindSafe(|| (self.work)(db)))
            .unwrap_or_else(|_| Err(Failure::new(Fault::Internal).because("a write panicked")));
        let keep = outcome.is_ok();
        self.outcome = Some(outcome);
        keep
    }

    fn is_reserved(&self) -> bool {
        self.reserved
    }

    fn undone_by(&self) -> UndoneBy {
        self.undone_by
    }

    fn finish(self: Box<Self>, ended: Ended) {
        let outcome = match (ended, self.outcome) {
            (Ended::NoRoom, _) => Err(Fault::NoRoom.into()),
            (_, Some(Err(failure))) => Err(failure),
            (Ended::Committed, Some(Ok(value))) => Ok(value),
            _ => Err(Failure::new(Fault::StoreUnavailable).because("the commit failed")),
        };
        (self.reply)(outcome);
    }
}

/// Tags of the statements around each job, which the connection keeps prepared.
struct Open;
struct Undo;
struct Close;

/// Runs the jobs in one transaction; a job that [`UndoneBy::Transaction`] undoes is the only one. Returns false, without commit or rollback,
/// when SQLite reports a full disk.
pub(super) fn run_group(db: &mut Db, group: &mut [Box<dyn WriteJob>], saw_full: &AtomicBool) -> Result<bool, Error> {
    // BEGIN need not be IMMEDIATE: no other connection writes.
    Transactions::begin_transaction(db)?;
    for job in group.iter_mut() {
        let undone_by = job.undone_by();
        if undone_by == UndoneBy::Savepoint {
            run(db, Statement::<Open>::new("SAVEPOINT job", Vec::new()))?;
        }
        let keep = job.run(db);
        if saw_full.load(Ordering::Acquire) {
            return Ok(false);
        }
        // A job that panicked may have left a transaction of its own open.
        while depth(db) > JOB_DEPTH {
            Transactions::rollback_transaction(db)?;
        }
        match (undone_by, keep) {
            (UndoneBy::Statement, _) | (UndoneBy::Transaction, true) => continue,
            (UndoneBy::Transaction, false) => {
                Transactions::rollback_transaction(db)?;
                return Ok(true);
            }
            (UndoneBy::Savepoint, true) => {}
            (UndoneBy::Savepoint, false) => {
                run(db, Statement::<Undo>::new("ROLLBACK TO job", Vec::new()))?;
            }
        }
        run(db, Statement::<Close>::new("RELEASE job", Vec::new()))?;
    }
    failpoint::around(COMMIT, || Transactions::commit_transaction(db))?;
    Ok(true)
}

/// Rolls back what SQLite has not rolled back by itself, and verifies it: BEGIN succeeds only when no transaction is open.
///
/// SQLite promises that after `SQLITE_FULL` the statement or the transaction was undone (sqlite.org,
/// "Response To Errors Within A Transaction"). For a COMMIT in WAL mode it does not matter which: the frame
/// that marks the commit is written last, and it was not written.
pub(super) fn is_rolled_back(db: &mut Db) -> bool {
    // Fails when SQLite has rolled back already.
    let _ = db.batch_execute("ROLLBACK");
    *Transactions::transaction_manager_status_mut(db) = TransactionManagerStatus::default();
    db.batch_execute("BEGIN").is_ok() && db.batch_execute("ROLLBACK").is_ok()
}

fn depth(db: &mut Db) -> u32 {
    let status = Transactions::transaction_manager_status_mut(db);
    status.transaction_depth().ok().flatten().map_or(0, u32::from)
}
