//! A write of one statement: on PostgreSQL it is a transaction by itself, without round trips for BEGIN and COMMIT.

use super::{Db, Store};
use crate::error::{Failure, Fault};
use crate::store::pool;

impl Store {
    /// Whether a write may be a single statement instead of a transaction. On SQLite it is
    /// not: there the transactions of many callers are grouped.
    pub fn takes_single_statements(&self) -> bool {
        self.0.remote.is_some()
    }

    /// Runs `work`, which must send exactly one statement; that statement is the whole transaction and is durable when this
    /// returns. After a failure that leaves open whether it was committed it does not run again, as with [`Store::write`]. A call
    /// that was given up before its statement was sent writes nothing.
    ///
    /// # Errors
    /// Those of `work` (then nothing is stored) and of [`Store::write`]; [`Fault::Internal`] on SQLite.
    pub async fn write_single<T, F>(&self, work: F) -> Result<T, Failure>
    where
        T: Send + 'static,
        F: FnOnce(&mut Db) -> Result<T, Failure> + Send + 'static,
    {
        self.apart(move |store, waiting| {
            let remote = store
                .0
                .remote
                .as_ref()
                .ok_or_else(|| Failure::new(Fault::Internal).because("the store has no pool"))?;
            let mut leased = remote.get(waiting)?;
            // After the connection is taken: a new connection checks the database's settings first.
            remote.may_write()?;
            if leased.line().is_late() {
                return Err(pool::given_up());
            }
            let done = work(leased.db()?);
            if let Err(failure) = &done {
                leased.mind(failure);
            }
            done
        })
        .await
    }
}
