//! Ledger entries for evidence packets: those of a correlation id, of a time and of a subject with nothing left out, and their places.
//!
//! What is only shown to people leaves out the ends of disclosures and the looks of operators; evidence does not, but where the caller says so.

use super::Db;
use super::entries::{ENTRY, EntryRow, upto};
use super::schema::{ledger_entry, ledger_leaf, ledger_subject};
use crate::error::Failure;
use crate::ids::before_all_of;
use diesel::prelude::*;
use std::collections::HashMap;

/// How many entries one query names.
const IDS: usize = 500;

/// Returns the entries with a correlation id after the entry `after`, at most `limit`. `forms` are those in which the id may stand
/// (`store::correlations`).
///
/// # Errors
/// Those of the database.
pub fn correlated(db: &mut Db, forms: &[String], after: &str, limit: i64) -> Result<Vec<EntryRow>, Failure> {
    Ok(ledger_entry::table
        .filter(ledger_entry::correlation_id.eq_any(forms))
        .filter(ledger_entry::id.gt(after))
        .order(ledger_entry::id)
        .limit(limit)
        .select(ENTRY)
        .load(db)?)
}

/// Returns the entries from `from_ms` on (UTC milliseconds) and before `to_ms`, after the entry `after`, at most `limit`.
///
/// # Errors
/// Those of the database.
pub fn between(db: &mut Db, (from_ms, to_ms): (i64, i64), after: &str, limit: i64) -> Result<Vec<EntryRow>, Failure> {
    let (from, before) = (before_all_of(from_ms), before_all_of(to_ms));
    let from = if from.as_str() > after { from.as_str() } else { after };
    Ok(ledger_entry::table
        .filter(ledger_entry::id.gt(from))
        .filter(ledger_entry::id.lt(&before))
        .order(ledger_entry::id)
        .limit(limit)
        .select(ENTRY)
        .load(db)?)
}

/// Returns all entries about this subject but the ends of disclosures, after the entry `after`, at most `limit`.
///
/// # Errors
/// Those of the database.
pub fn about(db: &mut Db, subject: &str, after: &str, limit: i64) -> Result<Vec<EntryRow>, Failure> {
    // Where the index ends is read first: entries are indexed meanwhile.
    let upto = upto(db)?;
    let mut rows: Vec<EntryRow> = ledger_subject::table
        .inner_join(ledger_entry::table.on(ledger_entry::id.eq(ledger_subject::entry_id)))
        .filter(ledger_subject::subject.eq(subject))
        .filter(ledger_subject::entry_id.gt(after))
        .filter(ledger_subject::entry_id.le(&upto))
        .order(ledger_subject::entry_id)
        .limit(limit)
        .select(ENTRY)
        .load(db)?;
    let left = limit - i64::try_from(rows.len()).unwrap_or(limit);
    let from = if upto.as_str() > after { upto.as_str() } else { after };
    let young: Vec<EntryRow> = ledger_entry::table
        .filter(ledger_entry::id.gt(from))
        .filter(ledger_entry::subject.eq(subject))
        .filter(ledger_entry::action.ne(super::entries::COMPLETED))
        .order(ledger_entry::id)
        .limit(left)
        .select(ENTRY)
        .load(db)?;
    rows.extend(young);
    Ok(rows)
}

/// Returns these entries, in the order of their ids.
///
/// # Errors
/// Those of the database.
pub fn with_ids(db: &mut Db, ids: &[String]) -> Result<Vec<EntryRow>, Failure> {
    let mut found = Vec::new();
    for some in ids.chunks(IDS) {
        let rows: Vec<EntryRow> = ledger_entry::table
            .filter(ledger_entry::id.eq_any(some))
            .select(ENTRY)
            .load(db)?;
        found.extend(rows);
    }
    found.sort_unstable_by(|one, other| one.id.cmp(&other.id));
    Ok(found)
}

/// Returns the indexes of these entries in a log, by their ids; of those that have none yet, nothing.
///
/// # Errors
/// Those of the database.
pub fn places(db: &mut Db, log: i64, ids: &[&str]) -> Result<HashMap<String, i64>, Failure> {
    let mut found = HashMap::new();
    for some in ids.chunks(IDS) {
        let rows: Vec<(String, i64)> = ledger_leaf::table
            .filter(ledger_leaf::log.eq(log))
            .filter(ledger_leaf::entry_id.eq_any(some))
            .select((ledger_leaf::entry_id, ledger_leaf::idx))
            .load(db)?;
        found.extend(rows);
    }
    Ok(found)
}

/// Returns when the entry with this index was written, UTC microseconds.
///
/// # Errors
/// Those of the database.
pub fn written_at(db: &mut Db, log: i64, index: i64) -> Result<Option<i64>, Failure> {
    Ok(ledger_leaf::table
        .inner_join(ledger_entry::table.on(ledger_entry::id.eq(ledger_leaf::entry_id)))
        .filter(ledger_leaf::log.eq(log).and(ledger_leaf::idx.eq(index)))
        .select(ledger_entry::at_us)
        .first(db)
        .optional()?)
}
