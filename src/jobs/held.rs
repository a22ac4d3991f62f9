//! A job under a lease, as its step sees it: the job's data, and the only way to write for the job.

use crate::context::Context;
use crate::error::{Failure, Fault};
use crate::store::Db;
use crate::store::jobs::{self as rows, DueJob, Lease};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};
use tokio::sync::Notify;

/// A write that is committed with a job's result. It may run more than once.
pub type Write = Arc<dyn Fn(&mut Db) -> Result<(), Failure> + Send + Sync>;

/// The contents of a job's row.
#[derive(Clone, Debug)]
pub struct JobRow {
    /// Its id.
    pub id: String,
    /// Its kind.
    pub kind: String,
    /// The partner that it is for.
    pub partner: Option<String>,
    /// The key that identifies it among jobs of its kind.
    pub key: String,
    /// The data that was enqueued with it.
    pub payload: String,
    /// Attempts that failed before this one.
    pub attempts: u32,
    /// Leases that ended without a result before this one.
    pub claims: u32,
}

/// A job and its lease. Clones share both.
#[derive(Clone)]
pub struct HeldJob(Arc<Inner>);

struct Inner {
    ctx: Context,
    job: JobRow,
    lease: Lease,
    lost: AtomicBool,
    on_lost: Notify,
    /// Whether the job has got on under this lease, so that those before it count no more.
    has_got_on: AtomicBool,
    /// Until when no other process can have the job, by this process's own clock.
    good_until: Mutex<Instant>,
}

impl HeldJob {
    pub(super) fn new(ctx: Context, due: DueJob, token: Vec<u8>, good_until: Instant) -> HeldJob {
        let number = |count: i64| u32::try_from(count).unwrap_or(u32::MAX);
        HeldJob(Arc::new(Inner {
            ctx,
            lease: Lease {
                id: due.id.clone(),
                token,
                epoch: due.lease_epoch + 1,
            },
            job: JobRow {
                id: due.id,
                kind: due.kind,
                partner: due.partner_id,
                key: due.live_key,
                payload: due.payload,
                attempts: number(due.attempts),
                claims: number(due.claims),
            },
            lost: AtomicBool::new(false),
            on_lost: Notify::new(),
            has_got_on: AtomicBool::new(false),
            good_until: Mutex::new(good_until),
        }))
    }

    /// The context: store, clock, ids.
    pub fn ctx(&self) -> &Context {
        &self.0.ctx
    }

    /// The job.
    pub fn job(&self) -> &JobRow {
        &self.0.job
    }

    /// The lease, for writes of the runner.
    pub fn lease(&self) -> &Lease {
        &self.0.lease
    }

    /// Whether the lease was lost. Work without await points must check this between its pieces.
    pub fn is_lost(&self) -> bool {
        self.0.lost.load(Ordering::Acquire)
    }

    /// Writes in a transaction that commits only while the lease is held: notes before an outside effect, and the pieces of long work.
    ///
    /// # Errors
    /// [`Fault::LeaseLost`] when nothing was written because the lease was lost; those of `work` and of the store.
    pub async fn write<T, F>(&self, mut work: F) -> Result<T, Failure>
    where
        T: Send + 'static,
        F: FnMut(&mut Db) -> Result<T, Failure> + Send + 'static,
    {
        let held = self.clone();
        self.0.ctx.store.write(move |db| held.fenced(db, &mut work)).await
    }

    /// Like [`HeldJob::write`], but blocks the thread.
    ///
    /// # Errors
    /// As [`HeldJob::write`].
    pub fn write_blocking<T, F>(&self, mut work: F) -> Result<T, Failure>
    where
        T: Send + 'static,
        F: FnMut(&mut Db) -> Result<T, Failure> + Send + 'static,
    {
        let held = self.clone();
        self.0.ctx.store.write_blocking(move |db| held.fenced(db, &mut work))
    }

    /// Like [`HeldJob::write_blocking`], for work of hundreds of statements ([`Store::write_alone_blocking`]).
    ///
    /// # Errors
    /// As [`HeldJob::write`].
    ///
    /// [`Store::write_alone_blocking`]: crate::store::Store::write_alone_blocking
    pub fn write_alone_blocking<T, F>(&self, mut work: F) -> Result<T, Failure>
    where
        T: Send + 'static,
        F: FnMut(&mut Db) -> Result<T, Failure> + Send + 'static,
    {
        let held = self.clone();
        self.0
            .ctx
            .store
            .write_alone_blocking(move |db| held.fenced(db, &mut work))
    }

    /// [`HeldJob::write`] for a lasting piece of the work, with which the job has got on ([`HeldJob::got_on`]).
    ///
    /// # Errors
    /// As [`HeldJob::write`].
    pub async fn advance<T, F>(&self, work: F) -> Result<T, Failure>
    where
        T: Send + 'static,
        F: FnMut(&mut Db) -> Result<T, Failure> + Send + 'static,
    {
        self.write(self.advancing(work)).await
    }

    /// Like [`HeldJob::advance`], but blocks the thread.
    ///
    /// # Errors
    /// As [`HeldJob::write`].
    pub fn advance_blocking<T, F>(&self, work: F) -> Result<T, Failure>
    where
        T: Send + 'static,
        F: FnMut(&mut Db) -> Result<T, Failure> + Send + 'static,
    {
        self.write_blocking(self.advancing(work))
    }

    /// `work`, and the note that the job has got on.
    pub fn advancing<T>(
        &self,
        mut work: impl FnMut(&mut Db) -> Result<T, Failure> + Send + 'static,
    ) -> impl FnMut(&mut Db) -> Result<T, Failure> + Send + 'static {
        let held = self.clone();
        move |db: &mut Db| {
            let done = work(db)?;
            held.got_on(db)?;
            Ok(done)
        }
    }

    /// Checks the lease last: on PostgreSQL the check locks the job's row until the commit, and a locked row can be neither renewed nor
    /// handed back.
    fn fenced<T>(&self, db: &mut Db, work: &mut dyn FnMut(&mut Db) -> Result<T, Failure>) -> Result<T, Failure> {
        if self.is_lost() {
            return Err(Fault::LeaseLost.into());
        }
        let done = work(db)?;
        match rows::still_holds(db, &self.0.lease, self.0.ctx.clock.now_ms())? {
            true => Ok(done),
            false => Err(Fault::LeaseLost.into()),
        }
    }

    /// Notes, in the transaction that commits a lasting piece of the work, that the job has got on. Leases that ended before without a result are
    /// then no sign of a job that kills its process: those count that end after this piece. Call it last, as it locks the row of the job.
    ///
    /// # Errors
    /// Those of the database.
    pub fn got_on(&self, db: &mut Db) -> Result<(), Failure> {
        if self.0.job.claims > 0 {
            rows::got_on(db, &self.0.lease)?;
        }
        self.0.has_got_on.store(true, Ordering::Release);
        Ok(())
    }

    /// Leases that ended without a result since the job got on last, before this one.
    pub(super) fn claims(&self) -> u32 {
        match self.0.has_got_on.load(Ordering::Acquire) {
            true => 0,
            false => self.0.job.claims,
        }
    }

    /// Ends the attempt, because another process has the lease or nobody knows who has it.
    pub(super) fn lose(&self) {
        self.0.lost.store(true, Ordering::Release);
        self.0.on_lost.notify_waiters();
    }

    /// Notes that the lease was renewed until then.
    pub(super) fn renewed(&self, good_until: Instant) {
        *self.0.good_until.lock().unwrap_or_else(PoisonError::into_inner) = good_until;
    }

    /// Waits until the lease is lost: either [`HeldJob::lose`] was called, or the lease was not renewed in time.
    pub(super) async fn lost(&self) {
        loop {
            let notified = self.0.on_lost.notified();
            tokio::pin!(notified);
            // Enabled before the check below, so that no notification is missed.
            notified.as_mut().enable();
            let left = {
                let until = *self.0.good_until.lock().unwrap_or_else(PoisonError::into_inner);
                until.saturating_duration_since(Instant::now())
            };
            if self.is_lost() || left == Duration::ZERO {
                self.lose();
                return;
            }
            let _ = tokio::time::timeout(left, notified).await;
        }
    }
}
