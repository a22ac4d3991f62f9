//! Keeps writes for which nobody waits until they are durable, and tries them again after a failure.
//!
//! Each such write inserts rows under keys of its own, so a write whose commit was in doubt fails on a duplicate key
//! when it is tried again, and is done. The number of kept writes is limited. A crash loses them;
//! `release::lost_ends` later writes the entries that are missing.

use super::{Db, blames_content, failed_on_duplicate};
use crate::error::Failure;
use std::collections::VecDeque;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};

/// How many writes are kept at most; each takes about a kilobyte.
const KEPT: usize = 20_000;

/// A write that may run more than once.
pub type Owed = std::sync::Arc<dyn Fn(&mut Db) -> Result<(), Failure> + Send + Sync>;

/// The writes that are not durable yet.
#[derive(Default)]
pub(super) struct Debts {
    kept: Mutex<VecDeque<Owed>>,
    /// How many are being written for the first time.
    under_way: AtomicUsize,
}

impl Debts {
    /// Returns how many are kept or being written for the first time.
    pub(super) fn len(&self) -> usize {
        let kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner).len();
        kept + self.under_way.load(Ordering::Acquire)
    }

    /// Counts a write that begins for the first time.
    pub(super) fn begin(&self) {
        self.under_way.fetch_add(1, Ordering::AcqRel);
    }

    /// Ends the first attempt of a write: after a failure the write is kept.
    pub(super) fn end(&self, write: Owed, outcome: Result<(), Failure>) {
        if let Err(failure) = outcome {
            self.keep(write, &failure);
        }
        self.under_way.fetch_sub(1, Ordering::AcqRel);
    }

    /// Keeps writes that failed together. Only one of them may be at fault, so none is dropped before it was tried alone.
    pub(super) fn keep_all(&self, writes: impl Iterator<Item = Owed>, failure: &Failure) {
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        tracing::warn!(
            fault = failure.fault().code(), cause = ?failure.cause(),
            "the store did not take ledger entries; they are kept and tried again"
        );
        let room = KEPT.saturating_sub(kept.len());
        let mut writes = writes;
        kept.extend(writes.by_ref().take(room));
        let dropped = writes.count();
        if dropped > 0 {
            tracing::error!(
                kept = KEPT,
                dropped,
                "waiting writes are dropped: too many wait for the store"
            );
        }
    }

    pub(super) fn keep(&self, write: Owed, failure: &Failure) {
        if failed_on_duplicate(failure) {
            return;
        }
        if blames_content(failure) {
            tracing::error!(fault = failure.fault().code(), cause = ?failure.cause(), "a waiting write cannot be made");
            return;
        }
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        if kept.len() >= KEPT {
            tracing::error!(kept = KEPT, "a waiting write is dropped: too many wait for the store");
            return;
        }
        if kept.is_empty() {
            tracing::warn!(
                fault = failure.fault().code(), cause = ?failure.cause(),
                "the store did not take a write; it is kept and tried again"
            );
        }
        kept.push_back(write);
    }

    pub(super) fn take(&self) -> VecDeque<Owed> {
        std::mem::take(&mut *self.kept.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Puts back the writes that were not tried, before those that were added in the meantime.
    pub(super) fn put_back(&self, mut rest: VecDeque<Owed>) {
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        rest.append(&mut kept);
        *kept = rest;
    }
}
