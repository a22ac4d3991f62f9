//! Whether the tables that requests need can be used at this moment.
//!
//! A statement on one table says nothing of a lock on another, so every table that partners' requests touch is asked for its lock,
//! in the mode in which they take it, and not waited for longer than a probe may take.

use super::Db;
use crate::error::Failure;
use diesel::connection::SimpleConnection as _;

/// Tables that requests read, and tables that they write. The ledger has a probe of its own (`audit::ledger::probe`).
const TABLES: &str = "SET LOCAL lock_timeout='500ms'; \
     LOCK TABLE partner, compartment, resource, identity_key, identity_profile IN ACCESS SHARE MODE; \
     LOCK TABLE access_token, assertion_seen, consent, decision, grants, idempotency IN ROW EXCLUSIVE MODE";

/// Fails while a table that requests need is locked. Call it in a transaction that changes nothing. SQLite knows no such locks.
///
/// # Errors
/// [`crate::error::Fault::StoreSlow`] for a lock; those of the database.
pub fn probe(db: &mut Db) -> Result<(), Failure> {
    if let Db::Pg(pg) = db {
        pg.batch_execute(TABLES)?;
    }
    Ok(())
}
