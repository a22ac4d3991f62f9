//! Whether the tables that requests need can be used at this moment.
//!
//! A statement on one table says nothing about a lock on another. So this probe takes a lock on every table that partners' requests use, in
//! the mode in which they use it, and waits no longer than a probe may take. It changes nothing.

use super::{Db, sqlstate};
use crate::error::Failure;
use diesel::connection::{Connection as _, SimpleConnection as _};

/// The tables that requests read, and those that they write. The ledger has a probe of its own (`audit::ledger::probe`).
const TABLES: &str = "SET LOCAL lock_timeout='500ms'; \
     LOCK TABLE partner, compartment, resource, identity_key, identity_profile, identity_roster, identity_revocation, policy_active, \
     policy_activation, search_value, search_date, attachment, disclosed_file, disclosed_share IN ACCESS SHARE MODE; \
     LOCK TABLE access_token, assertion_seen, consent, decision, decision_candidate, grants, idempotency, guess, guess_lock, guess_tally, \
     identity_link, identity_change, identity_step, review, review_candidate, ledger_subject, disclosed_file, disclosed_share \
     IN ROW EXCLUSIVE MODE";

/// Fails while a table that requests need is locked. Does nothing on SQLite, which has no such locks.
///
/// # Errors
/// [`crate::error::Fault::StoreSlow`] when a table is locked; those of the database.
pub fn probe(db: &mut Db) -> Result<(), Failure> {
    let Db::Pg(pg) = db else { return Ok(()) };
    let done: Result<(), diesel::result::Error> = pg.transaction(|pg| pg.batch_execute(TABLES));
    match done {
        // A role may lack the right to lock a table to which it may write (before PostgreSQL 16, INSERT is not enough).
        Err(error) if sqlstate::of(&error).is_some_and(|row| row.code == "42501") => Ok(()),
        done => Ok(done?),
    }
}
