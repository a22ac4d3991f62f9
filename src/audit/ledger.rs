//! Appends to the ledger in the caller's transaction. There is no update and no delete.

use super::canonical::commitment_prefix;
use super::entry::LedgerEvent;
use crate::error::Failure;
use crate::secret;
use crate::store::Db;
use crate::store::begun::Unfilled;
use crate::store::ledger::{self, NewEntry};
use diesel::prelude::*;

/// Makes the row of `entry`, with its bytes and a new secret. Make it before a transaction begins, so that no other write waits for it.
///
/// `id` is a new id that sorts by time, `at_us` is UTC microseconds.
pub fn row(entry: &LedgerEvent, id: &str, at_us: i64) -> NewEntry {
    row_with(entry, id, at_us, secret::random_of_many())
}

/// [`row`] with this secret. Only synthetic entries may have one that can be foreseen: the commitments of others could be opened by trying.
pub fn row_with(entry: &LedgerEvent, id: &str, at_us: i64, salt: [u8; 32]) -> NewEntry {
    NewEntry {
        id: id.to_owned(),
        at_us,
        action: entry.action.code(),
        partner_id: entry.partner.clone(),
        exchange_id: entry.exchange.clone(),
        correlation_id: entry.correlation.correlation_id.clone(),
        request_id: entry.correlation.own_request_id().map(str::to_owned),
        entry: entry.bytes(at_us, &salt),
        subject: entry.object.as_ref().map(|object| object.id.clone()),
        salt,
        note: entry
            .note
            .as_ref()
            .map(|note| (note.operator.clone(), note.reason.clone())),
    }
}

/// Makes the row of an entry about a grant that is found by the statement that appends the entry: its
/// object is the grant's member, and its consent that of the grant.
pub fn unfilled(entry: &LedgerEvent, id: &str, at_us: i64) -> Unfilled {
    let salt: [u8; 32] = secret::random_of_many();
    Unfilled {
        id: id.to_owned(),
        at_us,
        action: entry.action.code(),
        partner_id: entry.partner.clone(),
        correlation_id: entry.correlation.correlation_id.clone(),
        request_id: entry.correlation.own_request_id().map(str::to_owned),
        pieces: entry.pieces(at_us, &salt),
        consent_prefix: commitment_prefix("consent", &salt),
        object_prefix: commitment_prefix("object", &salt),
        salt,
    }
}

/// Appends `entry` without a place in the sequence. It takes effect when the caller's transaction commits.
///
/// `id` is a new id that sorts by time, `at_us` is UTC microseconds.
///
/// # Errors
/// Those of the database; the caller's transaction must then fail too.
pub fn append(db: &mut Db, entry: &LedgerEvent, id: &str, at_us: i64) -> Result<(), Failure> {
    ledger::append(db, &row(entry, id, at_us))
}

/// Appends nothing, but fails when an entry could not be appended: it needs the right to append, and a database that takes writes.
///
/// # Errors
/// Those of the database.
pub fn probe(db: &mut Db) -> Result<(), Failure> {
    // No entry has an empty id, so this inserts no row.
    diesel::sql_query(
        "INSERT INTO ledger_entry (id, at_us, action, correlation_id, entry) \
         SELECT id, at_us, action, correlation_id, entry FROM ledger_entry WHERE id = ''",
    )
    .execute(db)?;
    Ok(())
}
