//! Group commit for SQLite: one thread owns the writing connection and makes many callers durable with one fsync.
//!
//! Each job runs in its own savepoint, so that one that fails leaves its neighbours alone. Callers hear of success only
//! after the commit returned. A commit that fails breaks the store for good: nothing is acknowledged any more. The one exception is a
//! disk without room (`SQLITE_FULL`): the group is proved rolled back, its callers are told, and the store goes on.

use super::db::Db;
use super::room::{self, Disk, Due};
use crate::error::{Failure, Fault};
use diesel::connection::{Connection, SimpleConnection, TransactionManager, TransactionManagerStatus};
use diesel::result::Error;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::time::{Duration, Instant};
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
    /// Whether it may use the room that is kept for ledger entries.
    fn is_reserved(&self) -> bool;
    /// Tells the caller what became of the transaction around the job.
    fn finish(self: Box<Self>, ended: Ended);
}

/// What became of a group.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Ended {
    Committed,
    /// Rolled back for want of room.
    NoRoom,
    /// The state on disk is unknown.
    Lost,
}

struct Typed<T, F, R> {
    work: F,
    reserved: bool,
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

    fn is_reserved(&self) -> bool {
        self.reserved
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

enum Message {
    Work(Box<dyn Job>),
    Settle(SyncSender<()>),
}

/// The handle to the writing thread. When the last one goes, the thread finishes what is queued and ends.
pub(super) struct Writer {
    queue: SyncSender<Message>,
}

impl Writer {
    pub(super) fn start(connection: Db, broken: Arc<AtomicBool>, disk: Arc<Disk>) -> Result<Writer, Failure> {
        let (queue, jobs) = sync_channel(QUEUE);
        let mut thread = Thread::new(connection, broken, disk);
        std::thread::Builder::new()
            .name("writer".into())
            .spawn(move || thread.write_loop(&jobs))
            .map_err(|error| Failure::new(Fault::Internal).because(error))?;
        Ok(Writer { queue })
    }

    /// Queues `work`; the future ends when it is durable. `reserved`: it may use the room that is kept for ledger entries.
    pub(super) fn run<T, F>(
        &self,
        reserved: bool,
        work: F,
    ) -> Result<impl Future<Output = Result<T, Failure>> + use<T, F>, Failure>
    where
        T: Send + 'static,
        F: FnMut(&mut Db) -> Result<T, Failure> + Send + 'static,
    {
        let (sender, receiver) = oneshot::channel();
        let reply = move |outcome| drop(sender.send(outcome));
        self.enqueue(Box::new(Typed {
            work,
            reserved,
            outcome: None,
            reply,
        }))?;
        Ok(async move {
            receiver
                .await
                .unwrap_or_else(|_| Err(Failure::new(Fault::StoreUnavailable)))
        })
    }

    pub(super) fn run_blocking<T, F>(&self, reserved: bool, work: F) -> Result<T, Failure>
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
                reserved,
                outcome: None,
                reply,
            })))
            .map_err(|_| Failure::new(Fault::StoreUnavailable))?;
        receiver
            .recv()
            .unwrap_or_else(|_| Err(Failure::new(Fault::StoreUnavailable)))
    }

    pub(super) fn run_later<F>(&self, reserved: bool, work: F) -> Result<(), Failure>
    where
        F: FnMut(&mut Db) -> Result<(), Failure> + Send + 'static,
    {
        let reply = |outcome: Result<(), Failure>| {
            if let Err(failure) = outcome {
                tracing::warn!(fault = failure.fault().code(), cause = ?failure.cause(), "a deferred write failed");
            }
        };
        self.enqueue(Box::new(Typed {
            work,
            reserved,
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

/// The writing thread and what it owns.
struct Thread {
    db: Db,
    broken: Arc<AtomicBool>,
    disk: Arc<Disk>,
    due: Due,
    /// Set by the connection when SQLite has no room, whatever became of that error.
    saw_full: Arc<AtomicBool>,
}

impl Thread {
    fn new(mut db: Db, broken: Arc<AtomicBool>, disk: Arc<Disk>) -> Thread {
        let saw_full = Arc::new(AtomicBool::new(false));
        room::watch(&mut db, Arc::clone(&saw_full));
        let mut due = Due::now();
        due.look(&disk);
        Thread {
            db,
            broken,
            disk,
            due,
            saw_full,
        }
    }

    fn write_loop(&mut self, jobs: &Receiver<Message>) {
        let mut written: Option<Instant> = None;
        loop {
            let first = match jobs.recv_timeout(room::LOOK) {
                Ok(message) => message,
                Err(RecvTimeoutError::Timeout) => {
                    self.due.look(&self.disk);
                    if written.is_some_and(|last| last.elapsed() >= IDLE) {
                        written = None;
                        self.checkpoint();
                    }
                    continue;
                }
                Err(RecvTimeoutError::Disconnected) => {
                    self.checkpoint();
                    return;
                }
            };
            self.due.look(&self.disk);
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
                written = Some(Instant::now());
                self.commit_group(group);
            }
            for done in settled {
                self.checkpoint();
                let _ = done.send(());
            }
        }
    }

    /// Empties the write-ahead log. What finds no room here is tried again later.
    fn checkpoint(&mut self) {
        self.saw_full.store(false, Ordering::Release);
        if let Err(error) = self.db.batch_execute("PRAGMA wal_checkpoint(TRUNCATE)") {
            tracing::warn!(cause = %error, "the write-ahead log could not be emptied");
        }
    }

    fn commit_group(&mut self, group: Vec<Box<dyn Job>>) {
        let (mut reserved, mut others): (Vec<_>, Vec<_>) = group.into_iter().partition(|job| job.is_reserved());
        // Ledger entries of disclosures come first, so that they need not be sorted out when there is no room for all.
        let count = reserved.len();
        reserved.append(&mut others);
        let mut group = reserved;
        let mut ended = self.run(&mut group);
        if ended == Ended::NoRoom && count > 0 {
            // They have the reserve; the others are told at once.
            for job in group.drain(count..) {
                job.finish(Ended::NoRoom);
            }
            ended = self.run(&mut group);
            if ended == Ended::NoRoom && self.disk.release() > 0 {
                ended = self.run(&mut group);
            }
        }
        if count > 0 && ended == Ended::NoRoom {
            self.disk.set_full();
        }
        for job in group {
            job.finish(ended);
        }
    }

    /// Runs the jobs in one transaction. Jobs may run again after [`Ended::NoRoom`].
    fn run(&mut self, group: &mut [Box<dyn Job>]) -> Ended {
        if self.broken.load(Ordering::Acquire) {
            return Ended::Lost;
        }
        self.saw_full.store(false, Ordering::Release);
        let done = run_group(&mut self.db, group, &self.saw_full);
        let cause = match done {
            Ok(true) => return Ended::Committed,
            _ if self.saw_full.swap(false, Ordering::AcqRel) && is_rolled_back(&mut self.db) => return Ended::NoRoom,
            Ok(false) => "a group was broken off".to_owned(),
            Err(error) => error.to_string(),
        };
        // The state on disk is unknown: stop acknowledging anything, and never try the fsync again.
        tracing::error!(cause = %cause, "the commit failed; the store takes no more writes");
        self.broken.store(true, Ordering::Release);
        Ended::Lost
    }
}

/// Whether the group was committed; `false` when it was broken off because SQLite has no room.
fn run_group(db: &mut Db, group: &mut [Box<dyn Job>], saw_full: &AtomicBool) -> Result<bool, Error> {
    // BEGIN need not be IMMEDIATE: nobody else writes, and readers never upgrade.
    Transactions::begin_transaction(db)?;
    for job in group.iter_mut() {
        Transactions::begin_transaction(db)?;
        let keep = job.run(db);
        if saw_full.load(Ordering::Acquire) {
            return Ok(false);
        }
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
    Transactions::commit_transaction(db)?;
    Ok(true)
}

/// Rolls back what SQLite has not rolled back by itself, and proves it: a transaction can begin only where none is open.
///
/// SQLite promises after `SQLITE_FULL` that statement or transaction were undone (sqlite.org, "Response To Errors Within A
/// Transaction"). At a COMMIT in WAL mode, which one it was does not matter: the frame that marks the commit is the last one written,
/// and it was not.
fn is_rolled_back(db: &mut Db) -> bool {
    // Fails where SQLite did it.
    let _ = db.batch_execute("ROLLBACK");
    *Transactions::transaction_manager_status_mut(db) = TransactionManagerStatus::default();
    db.batch_execute("BEGIN").is_ok() && db.batch_execute("ROLLBACK").is_ok()
}

fn depth(db: &mut Db) -> u32 {
    let status = Transactions::transaction_manager_status_mut(db);
    status.transaction_depth().ok().flatten().map_or(0, u32::from)
}
