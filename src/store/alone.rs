//! Only one process at a time prepares a PostgreSQL store for serving. It holds the lock that schema migrations use; the other processes
//! wait until it is done, and report that they wait. A SQLite store has only one process anyway.

use super::migrate::{self, Tell};
use super::pooler;
use super::set_up::UNLIMITED;
use super::{Db, Store, StoreUrl};
use crate::error::Failure;
use diesel::connection::SimpleConnection as _;

/// While this value lives, no other process can prepare the store. It holds the database session of the lock, which ends with it.
pub struct Alone {
    _session: Option<Db>,
}

impl Store {
    /// Waits until no other process prepares this store, then holds the lock. `tell` receives the lines about waiting.
    ///
    /// # Errors
    /// Those of the database.
    pub fn alone(&self, tell: Tell<'_>) -> Result<Alone, Failure> {
        let StoreUrl::Postgres(address) = self.url() else {
            return Ok(Alone { _session: None });
        };
        let mut session = pooler::own_session(address)?;
        session.batch_execute(UNLIMITED)?;
        migrate::hold(&mut session, tell)?;
        Ok(Alone {
            _session: Some(session),
        })
    }
}
