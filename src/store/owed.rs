//! Writes that nobody waits for and that must not be lost while this process lives: kept until they are durable, and tried again.
//!
//! Each of them writes rows under keys of its own, so that one whose commit was unknown is found done when it is tried again.
//! What is kept is bounded; a crash loses it, and `release::lost_ends` writes what then is missing.

use super::{Db, Store, blames_content, failed_on_duplicate};
use crate::error::{Failure, Fault};
use std::collections::VecDeque;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};

/// Writes that are kept; about a kilobyte each.
const KEPT: usize = 20_000;

/// A write that may run more than once.
pub type Owed = std::sync::Arc<dyn Fn(&mut Db) -> Result<(), Failure> + Send + Sync>;

/// What is owed to the store.
#[derive(Default)]
pub(super) struct Debts {
    kept: Mutex<VecDeque<Owed>>,
    /// Those that are being written for the first time.
    under_way: AtomicUsize,
}

impl Debts {
    /// Notes that a write begins for the first time.
    pub(super) fn begin(&self) {
        self.under_way.fetch_add(1, Ordering::AcqRel);
    }

    /// Notes how it ended: what failed is kept.
    pub(super) fn end(&self, write: Owed, outcome: Result<(), Failure>) {
        if let Err(failure) = outcome {
            self.keep(write, &failure);
        }
        self.under_way.fetch_sub(1, Ordering::AcqRel);
    }

    fn keep(&self, write: Owed, failure: &Failure) {
        if failed_on_duplicate(failure) {
            return;
        }
        if blames_content(failure) {
            tracing::error!(fault = failure.fault().code(), cause = ?failure.cause(), "a write that is owed cannot be made");
            return;
        }
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        if kept.len() >= KEPT {
            tracing::error!(
                kept = KEPT,
                "a write that is owed is dropped: too many wait for the store"
            );
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

    fn take(&self) -> VecDeque<Owed> {
        std::mem::take(&mut *self.kept.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Puts those back, before what came meanwhile, that were not tried.
    fn put_back(&self, mut rest: VecDeque<Owed>) {
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        rest.append(&mut kept);
        *kept = rest;
    }
}

impl Store {
    /// How many writes are owed: kept, or being written for the first time.
    pub fn owes(&self) -> usize {
        let debts = self.debts();
        let kept = debts.kept.lock().unwrap_or_else(PoisonError::into_inner).len();
        kept + debts.under_way.load(Ordering::Acquire)
    }

    /// Tries again what is owed, in its order; the first that finds the store out of reach ends it.
    pub async fn pay(&self) {
        let mut rest = self.debts().take();
        let mut paid = 0_usize;
        while let Some(write) = rest.pop_front() {
            let again = write.clone();
            match self.reserved().write(move |db| again(db)).await {
                Ok(()) => paid += 1,
                Err(failure) => {
                    let is_out_of_reach = matches!(
                        failure.fault(),
                        Fault::StoreUnavailable
                            | Fault::StoreSlow
                            | Fault::StoreUnsafe
                            | Fault::Overloaded
                            | Fault::NoRoom
                    );
                    self.debts().keep(write, &failure);
                    if is_out_of_reach {
                        break;
                    }
                }
            }
        }
        self.debts().put_back(rest);
        if paid > 0 {
            tracing::info!(writes = paid, "what was owed to the store is written");
        }
    }
}
