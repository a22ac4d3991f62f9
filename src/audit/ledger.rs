//! Appending to the ledger inside the caller's transaction. There is no update and no delete.

use super::entry::Entry;
use crate::error::Failure;
use crate::secret;
use crate::store::Db;
use crate::store::schema::{ledger_entry, operator_note};
use diesel::prelude::*;

/// Appends `entry`, unsequenced, and returns nothing: it exists when the caller's transaction commits.
///
/// `id` is a fresh time-ordered id, `at_us` UTC microseconds.
///
/// # Errors
/// Those of the database; the caller's transaction must then fail too.
pub fn append(db: &mut Db, entry: &Entry, id: &str, at_us: i64) -> Result<(), Failure> {
    let salt: [u8; 32] = secret::random();
    let bytes = entry.bytes(at_us, &salt);
    let subject = entry.object.as_ref().map(|object| object.id.as_str());
    diesel::insert_into(ledger_entry::table)
        .values((
            ledger_entry::id.eq(id),
            ledger_entry::at_us.eq(at_us),
            ledger_entry::action.eq(entry.action.code()),
            ledger_entry::partner_id.eq(entry.partner.as_deref()),
            ledger_entry::exchange_id.eq(entry.exchange.as_deref()),
            ledger_entry::correlation_id.eq(&entry.correlation.correlation_id),
            ledger_entry::request_id.eq(entry.correlation.own_request_id()),
            ledger_entry::entry.eq(bytes),
            ledger_entry::subject.eq(subject),
            ledger_entry::subject_salt.eq(salt.to_vec()),
        ))
        .execute(db)?;
    if let Some(note) = &entry.note {
        diesel::insert_into(operator_note::table)
            .values((
                operator_note::entry_id.eq(id),
                operator_note::operator.eq(&note.operator),
                operator_note::reason.eq(&note.reason),
            ))
            .execute(db)?;
    }
    Ok(())
}

/// Appends nothing, but fails when an entry could not be appended: it takes the right to append and a database that takes writes.
///
/// # Errors
/// Those of the database.
pub fn probe(db: &mut Db) -> Result<(), Failure> {
    // No entry has an empty id, so that this inserts no row.
    diesel::sql_query(
        "INSERT INTO ledger_entry (id, at_us, action, correlation_id, entry) \
         SELECT id, at_us, action, correlation_id, entry FROM ledger_entry WHERE id = ''",
    )
    .execute(db)?;
    Ok(())
}
