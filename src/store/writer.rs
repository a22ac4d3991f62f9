//! Group commit for SQLite: one thread owns the writing connection and makes the writes of many callers durable with one fsync.
//!
//! Each job runs in its own savepoint, so that a failing job does not affect the others; a job of a single statement needs none, since
//! SQLite undoes a failing statement, and a large job has a transaction of its own ([`UndoneBy`]). Where many callers write, groups keep some
//! time apart ([`pace`]). Entries written after an answer
//! ([`super::later`]) are added to each group. Callers get success only after the commit has returned. A failed commit breaks the store for
//! good: nothing is acknowledged any more. The one exception is a full disk (`SQLITE_FULL`): then the group is verifiably rolled back, its
//! callers get an error, and the store goes on.

use super::connection::Db;
use super::later::{self, LONGEST, Later};
use super::ledger;
use super::owed::Debts;
use super::room::{self, Disk, NextLook};
use super::work::StoreCounts;
use crate::error::{Failure, Fault};
use diesel::connection::SimpleConnection as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::time::{Duration, Instant};
use tokio::sync::oneshot;

mod clean;
mod group;
mod pace;

pub(super) use group::UndoneBy;
use group::{Ended, Typed, WriteJob, is_rolled_back, run_group};
use pace::GroupPace;

/// How many jobs may wait; further callers get an error.
const QUEUE: usize = 4096;
/// How many jobs one transaction takes at most.
const GROUP: usize = 256;
/// How many batches of waiting ledger entries one group takes along at most.
const ALONG: usize = 8;
/// After this idle time the write-ahead log is checkpointed.
const IDLE: Duration = Duration::from_secs(2);

enum Message {
    Work(Box<dyn WriteJob>),
    /// Ledger entries wait to be taken along.
    Nudge,
    Settle(SyncSender<()>),
    /// The file is to be cleaned of what was deleted.
    Clean(SyncSender<Result<(), Failure>>),
}

/// What the writing thread takes along, and where it records outcomes.
pub(super) struct Outbox {
    pub(super) later: Arc<Later>,
    pub(super) debts: Arc<Debts>,
    pub(super) work: Arc<StoreCounts>,
}

/// The handle to the writing thread. When the last one is dropped, the thread finishes the queued jobs and ends.
pub(super) struct Writer {
    queue: SyncSender<Message>,
}

impl Writer {
    pub(super) fn start(
        connection: Db,
        broken: Arc<AtomicBool>,
        disk: Arc<Disk>,
        outbox: Outbox,
    ) -> Result<Writer, Failure> {
        let (queue, jobs) = sync_channel(QUEUE);
        let mut thread = Thread::new(connection, broken, disk, outbox);
        std::thread::Builder::new()
            .name("writer".into())
            .spawn(move || thread.write_loop(&jobs))
            .map_err(|error| Failure::new(Fault::Internal).because(error))?;
        Ok(Writer { queue })
    }

    /// Queues `work`; the future completes when it is durable. With `reserved` it may use the space that is reserved for ledger entries.
    pub(super) fn run<T, F>(
        &self,
        reserved: bool,
        work: F,
    ) -> Result<impl Future<Output = Result<T, Failure>> + use<T, F>, Failure>
    where
        T: Send + 'static,
        F: FnMut(&mut Db) -> Result<T, Failure> + Send + 'static,
    {
        self.run_as(reserved, UndoneBy::Savepoint, work)
    }

    /// The same for ledger entries. `is_whole`: `work` is a single statement, which needs no savepoint.
    pub(super) fn run_rows<F>(
        &self,
        is_whole: bool,
        work: F,
    ) -> Result<impl Future<Output = Result<(), Failure>> + use<F>, Failure>
    where
        F: FnMut(&mut Db) -> Result<(), Failure> + Send + 'static,
    {
        let undone_by = if is_whole {
            UndoneBy::Statement
        } else {
            UndoneBy::Savepoint
        };
        self.run_as(true, undone_by, work)
    }

    fn run_as<T, F>(
        &self,
        reserved: bool,
        undone_by: UndoneBy,
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
            undone_by,
            outcome: None,
            reply,
        }))?;
        Ok(async move {
            receiver
                .await
                .unwrap_or_else(|_| Err(Failure::new(Fault::StoreUnavailable)))
        })
    }

    pub(super) fn run_blocking<T, F>(&self, reserved: bool, undone_by: UndoneBy, work: F) -> Result<T, Failure>
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
                undone_by,
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
        self.run_then(reserved, work, |outcome| {
            if let Err(failure) = outcome {
                tracing::warn!(fault = failure.fault().code(), cause = ?failure.cause(), "a deferred write failed");
            }
        })
    }

    /// Queues `work`; `reply` is called on the writing thread with the outcome. It is not called when the queue is full.
    pub(super) fn run_then<F, R>(&self, reserved: bool, work: F, reply: R) -> Result<(), Failure>
    where
        F: FnMut(&mut Db) -> Result<(), Failure> + Send + 'static,
        R: FnOnce(Result<(), Failure>) + Send + 'static,
    {
        self.enqueue(Box::new(Typed {
            work,
            reserved,
            undone_by: UndoneBy::Savepoint,
            outcome: None,
            reply,
        }))
    }

    /// Wakes the thread because entries wait. When the queue is full this is not needed: the next group takes them along.
    pub(super) fn nudge(&self) {
        let _ = self.queue.try_send(Message::Nudge);
    }

    pub(super) fn settle(&self) {
        let (sender, receiver) = sync_channel(1);
        if self.queue.send(Message::Settle(sender)).is_ok() {
            let _ = receiver.recv_timeout(Duration::from_secs(10));
        }
    }

    fn enqueue(&self, job: Box<dyn WriteJob>) -> Result<(), Failure> {
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
    outbox: Outbox,
    due: NextLook,
    pace: GroupPace,
    /// Set by the connection when SQLite reports a full disk, even if the error itself does not reach the job.
    saw_full: Arc<AtomicBool>,
}

impl Thread {
    fn new(mut db: Db, broken: Arc<AtomicBool>, disk: Arc<Disk>, outbox: Outbox) -> Thread {
        let saw_full = Arc::new(AtomicBool::new(false));
        room::watch(&mut db, Arc::clone(&saw_full), Arc::clone(&outbox.work));
        let mut due = NextLook::now();
        due.look(&disk);
        Thread {
            db,
            broken,
            disk,
            outbox,
            due,
            pace: GroupPace::default(),
            saw_full,
        }
    }

    fn write_loop(&mut self, jobs: &Receiver<Message>) {
        let mut written: Option<Instant> = None;
        // When the waiting entries are written, if no group takes them along before.
        let mut along: Option<Instant> = None;
        loop {
            let wait = along.map_or(room::LOOK, |due| due.saturating_duration_since(Instant::now()));
            let first = match jobs.recv_timeout(wait.min(room::LOOK)) {
                Ok(Message::Nudge) => {
                    along.get_or_insert_with(|| Instant::now() + LONGEST);
                    continue;
                }
                Ok(message) => Some(message),
                Err(RecvTimeoutError::Timeout) if along.is_some_and(|due| due <= Instant::now()) => None,
                Err(RecvTimeoutError::Timeout) => {
                    self.due.look(&self.disk);
                    if written.is_some_and(|last| last.elapsed() >= IDLE) {
                        written = None;
                        self.checkpoint();
                    }
                    continue;
                }
                Err(RecvTimeoutError::Disconnected) => {
                    let mut group = Vec::new();
                    self.take_along(&mut group);
                    self.commit_group(group);
                    self.checkpoint();
                    return;
                }
            };
            self.due.look(&self.disk);
            std::thread::sleep(self.pace.wait(Instant::now()));
            let mut group = Vec::new();
            let (mut settled, mut cleaned) = (Vec::new(), Vec::new());
            let mut next = first;
            while let Some(message) = next {
                match message {
                    Message::Work(job) => group.push(job),
                    Message::Nudge => {}
                    Message::Settle(done) => settled.push(done),
                    Message::Clean(done) => cleaned.push(done),
                }
                next = if group.len() < GROUP {
                    jobs.try_recv().ok()
                } else {
                    None
                };
            }
            self.pace.begins(group.len(), Instant::now());
            // All entries announced so far are taken now; later entries announce themselves again.
            along = self.take_along(&mut group).then(Instant::now);
            if !group.is_empty() {
                written = Some(Instant::now());
            }
            self.commit_group(group);
            for done in settled {
                self.checkpoint();
                let _ = done.send(());
            }
            for done in cleaned {
                let _ = done.send(self.clean());
            }
        }
    }

    /// Adds waiting ledger entries to a group. Returns whether more entries wait.
    fn take_along(&self, group: &mut Vec<Box<dyn WriteJob>>) -> bool {
        for _ in 0..ALONG {
            let rows = self.outbox.later.take();
            if rows.is_empty() {
                break;
            }
            let (again, later, debts) = (
                Arc::clone(&rows),
                Arc::clone(&self.outbox.later),
                Arc::clone(&self.outbox.debts),
            );
            group.push(Box::new(Typed {
                work: move |db: &mut Db| ledger::append_all(db, &again),
                reserved: true,
                // Rows before one that fails stay. All are tried again then, and those that are there count as written.
                undone_by: UndoneBy::Statement,
                outcome: None,
                reply: move |outcome| later::written(&later, &debts, &rows, outcome),
            }));
        }
        !self.outbox.later.is_over()
    }

    /// Checkpoints the write-ahead log. After a failure it is tried again later.
    fn checkpoint(&mut self) {
        self.saw_full.store(false, Ordering::Release);
        if let Err(error) = self.db.batch_execute("PRAGMA wal_checkpoint(TRUNCATE)") {
            tracing::warn!(cause = %error, "the write-ahead log could not be emptied");
        }
    }

    /// Commits these jobs: those that share a transaction first, then each that has one of its own.
    fn commit_group(&mut self, group: Vec<Box<dyn WriteJob>>) {
        let (alone, shared): (Vec<_>, Vec<_>) = group
            .into_iter()
            .partition(|job| job.undone_by() == UndoneBy::Transaction);
        self.commit(shared);
        for job in alone {
            self.commit(vec![job]);
        }
    }

    /// Commits these jobs in one transaction.
    fn commit(&mut self, group: Vec<Box<dyn WriteJob>>) {
        if group.is_empty() {
            return;
        }
        let (mut reserved, mut others): (Vec<_>, Vec<_>) = group.into_iter().partition(|job| job.is_reserved());
        // Reserved jobs come first, so that they can be run alone when there is no space for all.
        let count = reserved.len();
        reserved.append(&mut others);
        let mut group = reserved;
        let mut ended = self.run(&mut group);
        if ended == Ended::NoRoom && count > 0 {
            // Reserved jobs may use the reserve; the others get their error at once.
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

    /// Runs the jobs in one transaction. After [`Ended::NoRoom`] the jobs may run again.
    fn run(&mut self, group: &mut [Box<dyn WriteJob>]) -> Ended {
        if self.broken.load(Ordering::Acquire) {
            return Ended::Lost;
        }
        self.saw_full.store(false, Ordering::Release);
        let done = run_group(&mut self.db, group, &self.saw_full);
        let cause = match done {
            Ok(true) => {
                self.outbox.work.committed();
                return Ended::Committed;
            }
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
