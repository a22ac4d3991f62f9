//! Group commit for SQLite: one thread owns the writing connection and makes many callers durable with one fsync.
//!
//! Each job runs in its own savepoint, so that one that fails leaves its neighbours alone. Callers hear of success only
//! after the commit returned. A commit that fails breaks the store for good: nothing is acknowledged any more.

use super::db::Db;
use crate::error::{Failure, Fault};
use diesel::connection::{Connection, SimpleConnection, TransactionManager};
use diesel::result::Error;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::time::Duration;
use tokio::sync::oneshot;

/// Jobs that may wait; beyond it callers are told to come back.
const QUEUE: usize = 4096;
/// Jobs in one transaction.
const GROUP: usize = 256;
/// Open transactions while a job runs: the group's, and the job's savepoint.
const JOB_DEPTH: u32 = 2;
/// Idle time after which the write-ahead log is emptied.
const IDLE: Duration = Duration::from_secs(2);

type Transactions = <Db as Connection>::TransactionManager;

trait Job: Send {
    /// Does the work; `false` undoes it.
    fn run(&mut self, db: &mut Db) -> bool;
    /// Tells the caller. `committed` is false when the transaction around the job was lost.
    fn finish(self: Box<Self>, committed: bool);
}

struct Typed<T, F, R> {
    work: F,
    outcome: Option<Result<T, Failure>>,
    reply: R,
}

impl<T, F, R> Job for Typed<T, F, R>
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

    fn finish(self: Box<Self>, committed: bool) {
        let lost = || Err(Failure::new(Fault::StoreUnavailable).because("the commit failed"));
        let outcome = match self.outcome {
            Some(Err(failure)) => Err(failure),
            Some(Ok(value)) if committed => Ok(value),
            _ => lost(),
        };
        (self.reply)(outcome);
    }
}

enum Message {
    Work(Box<dyn Job>),
    Settle(SyncSender<()>),
}

/// The handle to the writing thread. When the last one goes, the thread finishes what is queued and ends.
pub(super) struct Writer {
    queue: SyncSender<Message>,
}

impl Writer {
    pub(super) fn start(connection: Db, broken: Arc<AtomicBool>) -> Result<Writer, Failure> {
        let (queue, jobs) = sync_channel(QUEUE);
        std::thread::Builder::new()
            .name("writer".into())
            .spawn(move || write_loop(connection, &jobs, &broken))
            .map_err(|error| Failure::new(Fault::Internal).because(error))?;
        Ok(Writer { queue })
    }

    /// Queues `work`; the future ends when it is durable.
    pub(super) fn run<T, F>(&self, work: F) -> Result<impl Future<Output = Result<T, Failure>> + use<T, F>, Failure>
    where
        T: Send + 'static,
        F: FnMut(&mut Db) -> Result<T, Failure> + Send + 'static,
    {
        let (sender, receiver) = oneshot::channel();
        let reply = move |outcome| drop(sender.send(outcome));
        self.enqueue(Box::new(Typed {
            work,
            outcome: None,
            reply,
        }))?;
        Ok(async move {
            receiver
                .await
                .unwrap_or_else(|_| Err(Failure::new(Fault::StoreUnavailable)))
        })
    }

    pub(super) fn run_blocking<T, F>(&self, work: F) -> Result<T, Failure>
    where
        T: Send + 'static,
        F: FnMut(&mut Db) -> Result<T, Failure> + Send + 'static,
    {
        let (sender, receiver) = sync_channel(1);
        let reply = move |outcome| drop(sender.send(outcome));
        // A command waits for a place in the queue; only requests are turned away.
        self.queue
            .send(Message::Work(Box::new(Typed {
                work,
                outcome: None,
                reply,
            })))
            .map_err(|_| Failure::new(Fault::StoreUnavailable))?;
        receiver
            .recv()
            .unwrap_or_else(|_| Err(Failure::new(Fault::StoreUnavailable)))
    }

    pub(super) fn run_later<F>(&self, work: F) -> Result<(), Failure>
    where
        F: FnMut(&mut Db) -> Result<(), Failure> + Send + 'static,
    {
        self.run_then(work, |outcome| {
            if let Err(failure) = outcome {
                tracing::warn!(fault = failure.fault().code(), cause = ?failure.cause(), "a deferred write failed");
            }
        })
    }

    /// Queues `work`; `reply` is told on the writing thread how it ended. It is not called when the queue is full.
    pub(super) fn run_then<F, R>(&self, work: F, reply: R) -> Result<(), Failure>
    where
        F: FnMut(&mut Db) -> Result<(), Failure> + Send + 'static,
        R: FnOnce(Result<(), Failure>) + Send + 'static,
    {
        self.enqueue(Box::new(Typed {
            work,
            outcome: None,
            reply,
        }))
    }

    pub(super) fn settle(&self) {
        let (sender, receiver) = sync_channel(1);
        if self.queue.send(Message::Settle(sender)).is_ok() {
            let _ = receiver.recv_timeout(Duration::from_secs(10));
        }
    }

    fn enqueue(&self, job: Box<dyn Job>) -> Result<(), Failure> {
        self.queue
            .try_send(Message::Work(job))
            .map_err(|_| Failure::new(Fault::Overloaded))
    }
}

fn write_loop(mut db: Db, jobs: &Receiver<Message>, broken: &AtomicBool) {
    let mut written = false;
    loop {
        let first = match jobs.recv_timeout(IDLE) {
            Ok(message) => message,
            Err(RecvTimeoutError::Timeout) => {
                if std::mem::take(&mut written) {
                    checkpoint(&mut db);
                }
                continue;
            }
            Err(RecvTimeoutError::Disconnected) => {
                checkpoint(&mut db);
                return;
            }
        };
        let mut group = Vec::new();
        let mut settled = Vec::new();
        let mut next = Some(first);
        while let Some(message) = next {
            match message {
                Message::Work(job) => group.push(job),
                Message::Settle(done) => settled.push(done),
            }
            next = if group.len() < GROUP {
                jobs.try_recv().ok()
            } else {
                None
            };
        }
        if !group.is_empty() {
            written = true;
            commit_group(&mut db, group, broken);
        }
        for done in settled {
            checkpoint(&mut db);
            let _ = done.send(());
        }
    }
}

fn commit_group(db: &mut Db, mut group: Vec<Box<dyn Job>>, broken: &AtomicBool) {
    let committed = !broken.load(Ordering::Acquire) && {
        let done = run_group(db, &mut group);
        if let Err(error) = &done {
            // The state on disk is unknown: stop acknowledging anything, and never try the fsync again.
            tracing::error!(cause = %error, "the commit failed; the store takes no more writes");
            broken.store(true, Ordering::Release);
        }
        done.is_ok()
    };
    for job in group {
        job.finish(committed);
    }
}

fn run_group(db: &mut Db, group: &mut [Box<dyn Job>]) -> Result<(), Error> {
    // BEGIN need not be IMMEDIATE: nobody else writes, and readers never upgrade.
    Transactions::begin_transaction(db)?;
    for job in group.iter_mut() {
        Transactions::begin_transaction(db)?;
        let keep = job.run(db);
        // A job that panicked may have left a savepoint of its own open.
        while depth(db) > JOB_DEPTH {
            Transactions::rollback_transaction(db)?;
        }
        if keep {
            Transactions::commit_transaction(db)?;
        } else {
            Transactions::rollback_transaction(db)?;
        }
    }
    Transactions::commit_transaction(db)
}

fn depth(db: &mut Db) -> u32 {
    let status = Transactions::transaction_manager_status_mut(db);
    status.transaction_depth().ok().flatten().map_or(0, u32::from)
}

fn checkpoint(db: &mut Db) {
    if let Err(error) = db.batch_execute("PRAGMA wal_checkpoint(TRUNCATE)") {
        tracing::warn!(cause = %error, "the write-ahead log could not be emptied");
    }
}
