//! What is written when the disk of a store is almost full, and [`Store::reserved`] for what must be written even then.

use super::room::{Disk, DiskRoom};
use super::{Db, Store};
use crate::error::{Failure, Fault};

impl Store {
    /// Returns what the disk of a SQLite store has room for, as of the last second. Call it before an export is begun.
    pub fn room(&self) -> DiskRoom {
        self.disk().map_or(DiskRoom::Ample, Disk::room)
    }

    /// Returns the free bytes of that disk; `None` for PostgreSQL, whose disk is not visible here.
    pub fn free_bytes(&self) -> Option<u64> {
        self.disk().and_then(Disk::free)
    }

    /// Whether the last attempt to write a ledger entry found no room at all.
    pub fn is_full(&self) -> bool {
        self.disk().is_some_and(Disk::is_full)
    }

    /// The store for ledger entries of disclosures, refusals and views, for tokens, and for revocations: they are written while everything else is
    /// refused for lack of room, and they have a reserve on the disk.
    pub fn reserved(&self) -> Reserved<'_> {
        Reserved(self)
    }

    /// Refuses an ordinary write while the disk is almost full.
    pub(super) fn demand_room(&self) -> Result<(), Failure> {
        match self.room() {
            DiskRoom::NoWrites => Err(Fault::NoRoom.into()),
            DiskRoom::Ample | DiskRoom::NoExports => Ok(()),
        }
    }
}

/// A store whose writes may use the room that is reserved for ledger entries.
#[derive(Clone, Copy)]
pub struct Reserved<'s>(&'s Store);

impl Reserved<'_> {
    /// As [`Store::write`].
    ///
    /// # Errors
    /// As [`Store::write`]; [`Fault::NoRoom`] only when the disk is full.
    pub async fn write<T, F>(self, work: F) -> Result<T, Failure>
    where
        T: Send + 'static,
        F: FnMut(&mut Db) -> Result<T, Failure> + Send + 'static,
    {
        self.0.write_as(true, work).await
    }

    /// As [`Store::write_blocking`].
    ///
    /// # Errors
    /// As [`Reserved::write`].
    pub fn write_blocking<T, F>(self, work: F) -> Result<T, Failure>
    where
        T: Send + 'static,
        F: FnMut(&mut Db) -> Result<T, Failure> + Send + 'static,
    {
        self.0.write_blocking_as(true, work)
    }

    /// As [`Store::write_later`].
    pub fn write_later<F>(self, work: F)
    where
        F: FnMut(&mut Db) -> Result<(), Failure> + Send + 'static,
    {
        self.0.write_later_as(true, work);
    }
}
