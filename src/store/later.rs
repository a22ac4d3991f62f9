//! Ledger entries of many requests in one write: entries that a request waits for, each durable when the request is told so, and entries
//! written after an answer, for which nobody waits.
//!
//! An entry written after an answer waits for at most [`LONGEST`] for others, or is taken along by the next group of SQLite's writer.
//! Entries that the store then refuses are kept in memory and tried again ([`super::owed`]). A crash loses the entries that wait;
//! `release::lost_ends` later writes the entries that are missing.

use super::Db;
use super::ledger::{self, NewEntry};
use super::owed::{Debts, Owed};
use crate::error::Failure;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// How long an entry waits for others at most.
pub(super) const LONGEST: Duration = Duration::from_millis(10);
/// How many entries one write takes at most.
const TOGETHER: usize = 512;
/// How many entries may wait; each takes about a kilobyte.
const WAITING: usize = 20_000;

/// The entries that wait to be written.
#[derive(Default)]
pub(super) struct Later(Mutex<Waiting>);

#[derive(Default)]
struct Waiting {
    rows: Vec<NewEntry>,
    /// How many entries were taken whose write has not ended.
    taken: usize,
    /// Whether a task or the writer is already going to take the entries.
    is_awaited: bool,
}

impl Later {
    fn lock(&self) -> MutexGuard<'_, Waiting> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Adds an entry. Returns whether the caller must start a task (or wake the writer) to take it.
    pub(super) fn add(&self, row: NewEntry) -> bool {
        let mut waiting = self.lock();
        if waiting.rows.len() >= WAITING {
            tracing::error!(kept = WAITING, "a ledger entry is dropped: too many wait for the store");
            return false;
        }
        waiting.rows.push(row);
        !std::mem::replace(&mut waiting.is_awaited, true)
    }

    /// Takes the waiting entries, at most as many as one write takes. The caller must call [`written`] for them afterwards.
    pub(super) fn take(&self) -> Arc<[NewEntry]> {
        let mut waiting = self.lock();
        let count = waiting.rows.len().min(TOGETHER);
        let rest = waiting.rows.split_off(count);
        let taken = std::mem::replace(&mut waiting.rows, rest);
        waiting.taken += taken.len();
        taken.into()
    }

    /// Whether no entry waits any more. If so, the task that takes entries may end, and the next entry starts a new one.
    pub(super) fn is_over(&self) -> bool {
        let mut waiting = self.lock();
        waiting.is_awaited = !waiting.rows.is_empty();
        !waiting.is_awaited
    }

    fn done(&self, count: usize) {
        self.lock().taken -= count;
    }

    /// How many entries wait or are being written.
    pub(super) fn len(&self) -> usize {
        let waiting = self.lock();
        waiting.rows.len() + waiting.taken
    }
}

/// Records the outcome of a write of taken entries. After a failure each entry is kept and tried again by itself, so
/// that one that cannot be stored does not hold back the others.
pub(super) fn written(later: &Later, debts: &Debts, rows: &[NewEntry], outcome: Result<(), Failure>) {
    if let Err(failure) = outcome {
        debts.keep_all(rows.iter().cloned().map(owed), &failure);
    }
    later.done(rows.len());
}

fn owed(row: NewEntry) -> Owed {
    Arc::new(move |db: &mut Db| ledger::append(db, &row))
}
