//! Cleaning the files of a store of what was deleted.

use super::Store;
use crate::error::Failure;

impl Store {
    /// Cleans the files of a SQLite store of everything that was deleted, and empties its write-ahead log. Writes wait until it is done. Blocks
    /// this thread. PostgreSQL cleans its files itself (VACUUM).
    ///
    /// # Errors
    /// [`Fault::NoRoom`] when the disk has no room for another copy; [`Fault::StoreBusy`] when somebody reads for too long; those of the
    /// database.
    ///
    /// [`Fault::NoRoom`]: crate::error::Fault::NoRoom
    /// [`Fault::StoreBusy`]: crate::error::Fault::StoreBusy
    pub fn clean(&self) -> Result<(), Failure> {
        match &self.0.writer {
            Some(writer) => writer.clean(),
            None => Ok(()),
        }
    }
}
