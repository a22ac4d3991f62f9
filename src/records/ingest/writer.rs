//! How the work on one exchange's records writes: in pieces, each in a transaction of its own that is refused when the work is no longer
//! ours, was given up, or is no longer permitted. It decides none of these.

use crate::context::Context;
use crate::error::{Failure, Fault};
use crate::jobs::HeldJob;
use crate::store::Db;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// Whether what comes may still be asked for and stored; it is asked within each transaction.
pub type IngestPermit = Arc<dyn Fn(&mut Db) -> Result<(), Failure> + Send + Sync>;

/// Where the pieces of long work are written: each in a transaction of its own.
#[derive(Clone)]
pub enum IngestWriter {
    /// While a lease is held, and while it is permitted.
    Leased(LeasedWriter),
    /// Without a lease: for commands of an operator.
    Open(Context),
}

/// Writes for a job. Clones share what gives it up.
#[derive(Clone)]
pub struct LeasedWriter {
    held: HeldJob,
    may: Option<IngestPermit>,
    given_up: Arc<AtomicBool>,
}

/// Gives the work of a writer up when it is dropped: nobody waits for it any more.
pub struct GiveUp(Arc<AtomicBool>);

impl Drop for GiveUp {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Release);
    }
}

impl IngestWriter {
    /// Writes for this job, each time only if `may` says so. The work is given up when the second value is dropped.
    pub fn leased(held: &HeldJob, may: Option<IngestPermit>) -> (IngestWriter, GiveUp) {
        let given_up = Arc::new(AtomicBool::new(false));
        let writer = LeasedWriter {
            held: held.clone(),
            may,
            given_up: Arc::clone(&given_up),
        };
        (IngestWriter::Leased(writer), GiveUp(given_up))
    }

    /// Writes in one transaction.
    ///
    /// # Errors
    /// [`Fault::LeaseLost`] when the work is no longer ours or was given up; those of the permit, of `work` and of the store.
    pub async fn write<T, F>(&self, mut work: F) -> Result<T, Failure>
    where
        T: Send + 'static,
        F: FnMut(&mut Db) -> Result<T, Failure> + Send + 'static,
    {
        match self {
            IngestWriter::Leased(own) => {
                let inner = own.clone();
                own.held.write(move |db| inner.guarded(db, &mut work)).await
            }
            IngestWriter::Open(ctx) => ctx.store.write(work).await,
        }
    }

    /// Like [`IngestWriter::write`], but blocks the thread.
    ///
    /// # Errors
    /// As [`IngestWriter::write`].
    pub fn write_blocking<T, F>(&self, mut work: F) -> Result<T, Failure>
    where
        T: Send + 'static,
        F: FnMut(&mut Db) -> Result<T, Failure> + Send + 'static,
    {
        match self {
            IngestWriter::Leased(own) => {
                let inner = own.clone();
                own.held.write_blocking(move |db| inner.guarded(db, &mut work))
            }
            IngestWriter::Open(ctx) => ctx.store.write_blocking(work),
        }
    }

    /// Notes, as [`HeldJob::got_on`] does, that the job of this work has got on: what this transaction writes is not done again.
    ///
    /// # Errors
    /// Those of the database.
    pub(super) fn got_on(&self, db: &mut Db) -> Result<(), Failure> {
        match self {
            IngestWriter::Leased(own) => own.held.got_on(db),
            IngestWriter::Open(_) => Ok(()),
        }
    }

    /// Fails when the work is no longer ours or was given up. Work that only reads asks between its pieces.
    ///
    /// # Errors
    /// [`Fault::LeaseLost`].
    pub fn go_on(&self) -> Result<(), Failure> {
        match self {
            IngestWriter::Leased(own) if own.held.is_lost() || own.is_given_up() => Err(Fault::LeaseLost.into()),
            _ => Ok(()),
        }
    }
}

impl LeasedWriter {
    fn is_given_up(&self) -> bool {
        self.given_up.load(Ordering::Acquire)
    }

    fn guarded<T>(&self, db: &mut Db, work: &mut dyn FnMut(&mut Db) -> Result<T, Failure>) -> Result<T, Failure> {
        if self.is_given_up() {
            return Err(Fault::LeaseLost.into());
        }
        if let Some(may) = &self.may {
            may(db)?;
        }
        let done = work(db)?;
        // On PostgreSQL it may have waited long for its turn, and something may have been taken away meanwhile.
        if let Some(may) = &self.may {
            may(db)?;
        }
        // It may have been given up while the transaction waited for others.
        match self.is_given_up() {
            true => Err(Fault::LeaseLost.into()),
            false => Ok(done),
        }
    }
}
