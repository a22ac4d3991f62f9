//! Appends ledger entries of many requests in one write ([`crate::store::later`]), and runs writes that are a single statement.

use super::{Db, Store};
use crate::error::Failure;
use crate::store::later::{LONGEST, written};
use crate::store::ledger::{self, NewEntry};
use std::sync::Arc;

impl Store {
    /// Appends ledger entries, all or none, and returns when they are durable.
    ///
    /// # Errors
    /// As [`crate::store::Reserved::write`].
    pub async fn append(&self, rows: Vec<NewEntry>) -> Result<(), Failure> {
        // SQLite rolls back a single statement that fails, so one row needs no savepoint.
        let is_whole = rows.len() == 1;
        self.write_rows(is_whole, move |db| ledger::append_all(db, &rows)).await
    }

    /// Appends a ledger entry for which no request waits, together with those of other
    /// requests. It is kept in memory until the store takes it.
    pub fn append_later(&self, row: NewEntry) {
        if !self.later().add(row) {
            return;
        }
        if self.nudge_writer() {
            return;
        }
        let store = self.clone();
        tokio::spawn(async move {
            loop {
                tokio::time::sleep(LONGEST).await;
                store.append_waiting().await;
                if store.later().is_over() {
                    return;
                }
            }
        });
    }

    /// Writes the waiting entries now. Those that the store does not take are kept and tried again ([`Store::pay`]).
    pub async fn flush(&self) {
        let store = self.clone();
        // Runs in its own task: when the caller is canceled, the entries that were taken must still be written.
        let _ = tokio::spawn(async move { store.append_waiting().await }).await;
    }

    async fn append_waiting(&self) {
        let rows = self.later().take();
        if rows.is_empty() {
            return;
        }
        let again = Arc::clone(&rows);
        let outcome = self.write_rows(false, move |db| ledger::append_all(db, &again)).await;
        written(self.later(), self.debts(), &rows, outcome);
    }

    /// Writes ledger entries. `work` is one statement on PostgreSQL; `is_whole` says whether it is one statement on SQLite, too.
    async fn write_rows<F>(&self, is_whole: bool, work: F) -> Result<(), Failure>
    where
        F: FnMut(&mut Db) -> Result<(), Failure> + Send + 'static,
    {
        match &self.0.writer {
            Some(writer) => writer.run_rows(is_whole, work)?.await,
            None => self.write_once(work).await,
        }
    }

    /// Runs one statement that PostgreSQL commits by itself, and returns after it is durable. It runs again where [`Store::write`] would,
    /// and also when the pooled connection turns out to be closed, so running it twice must do no harm.
    ///
    /// # Errors
    /// As [`Store::write`].
    pub async fn write_once<T, F>(&self, work: F) -> Result<T, Failure>
    where
        T: Send + 'static,
        F: FnMut(&mut Db) -> Result<T, Failure> + Send + 'static,
    {
        self.apart(move |store, waiting| store.once(waiting, work)).await
    }
}
