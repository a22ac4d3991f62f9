//! Writes of hundreds of statements, such as a piece of a bulk job: no other write shares their transaction.

use super::{Db, Store};
use crate::error::Failure;
use crate::store::pool::Waiting;
use crate::store::writer::UndoneBy;

impl Store {
    /// As [`Store::write_blocking`], in a transaction of its own.
    ///
    /// # Errors
    /// As [`Store::write`].
    pub fn write_alone_blocking<T, F>(&self, work: F) -> Result<T, Failure>
    where
        T: Send + 'static,
        F: FnMut(&mut Db) -> Result<T, Failure> + Send + 'static,
    {
        self.demand_room()?;
        match &self.0.writer {
            Some(writer) => writer.run_blocking(false, UndoneBy::Transaction, work),
            None => self.transaction(Waiting::default(), work),
        }
    }
}
