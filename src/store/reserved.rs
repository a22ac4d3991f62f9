//! What of a store is written when its disk has too little room: [`Store::reserved`] for what must be written all the same.

use super::db::{Db, Store};
use super::room::{Disk, Room};
use crate::error::{Failure, Fault};

impl Store {
    /// What there is room for on the disk of a SQLite store, as of the last second. Whoever begins an export asks here.
    pub fn room(&self) -> Room {
        self.disk().map_or(Room::Ample, Disk::room)
    }

    /// Free bytes of that disk; none for PostgreSQL, whose disk is not ours.
    pub fn free_bytes(&self) -> Option<u64> {
        self.disk().and_then(Disk::free)
    }

    /// Whether not even ledger entries could be written when that was last tried.
    pub fn is_full(&self) -> bool {
        self.disk().is_some_and(Disk::is_full)
    }

    /// The store for ledger entries of disclosures, refusals and views, and for the end of rights: they are written while anything
    /// else is refused for want of room, and have a reserve on the disk.
    pub fn reserved(&self) -> Reserved<'_> {
        Reserved(self)
    }

    /// Refuses a write that is none of those.
    pub(super) fn demand_room(&self) -> Result<(), Failure> {
        match self.room() {
            Room::NoWrites => Err(Fault::NoRoom.into()),
            Room::Ample | Room::NoExports => Ok(()),
        }
    }
}

/// A store whose writes may use the room that is kept for ledger entries.
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
