//! Disclosures whose end nobody wrote: what began in the ledger, followed in its order, with what is known of how it ended.
//!
//! The end names the entry that began, inside its bytes; it is found by their correlation id. How far this was followed is a row of
//! `disclosure_end_state`, so that no entry is looked at twice.

use super::Db;
use super::entries::{BEGUN, COMPLETED, ENTRY, EntryRow};
use super::schema::{disclosure_end_state, ledger_entry};
use crate::error::{Failure, Fault};
use crate::ids::before_all_of;
use diesel::prelude::*;
use std::collections::HashSet;

/// Ends that are read at once.
const ENDS: i64 = 5_000;

/// The next disclosures that began, and how far the ledger is followed with them.
pub struct Next {
    /// Those without an end.
    pub open: Vec<EntryRow>,
    upto: String,
    from: String,
    /// Whether there are more.
    pub is_full: bool,
}

/// The next disclosures that began before `before_ms` (UTC milliseconds), at most `limit`.
///
/// # Errors
/// [`Fault::StoreDamaged`] for an entry that is no JSON; those of the database.
pub fn next(db: &mut Db, before_ms: i64, limit: i64) -> Result<Next, Failure> {
    let from: String = disclosure_end_state::table
        .find(1)
        .select(disclosure_end_state::upto)
        .first(db)?;
    let before = before_all_of(before_ms);
    // Ids are in the order of time: nothing that is newer is even read.
    let mut begun: Vec<EntryRow> = ledger_entry::table
        .filter(ledger_entry::id.gt(&from).and(ledger_entry::id.lt(&before)))
        .filter(ledger_entry::action.eq(BEGUN))
        .order(ledger_entry::id)
        .limit(limit)
        .select(ENTRY)
        .load(db)?;
    let is_full = i64::try_from(begun.len()) == Ok(limit);
    let upto = match begun.last() {
        Some(last) if is_full => last.id.clone(),
        _ => before.max(from.clone()),
    };
    let ended = ended(db, &begun)?;
    begun.retain(|row| !ended.contains(&row.id));
    Ok(Next {
        open: begun,
        upto,
        from,
        is_full,
    })
}

/// The ids of what has an end, among others.
fn ended(db: &mut Db, begun: &[EntryRow]) -> Result<HashSet<String>, Failure> {
    let mut correlations: Vec<&str> = begun.iter().map(|row| row.correlation_id.as_str()).collect();
    correlations.sort_unstable();
    correlations.dedup();
    let mut ended = HashSet::new();
    let Some(first) = begun.first() else { return Ok(ended) };
    // One correlation id may have any number of ends; one comes after what it ends.
    let mut after = first.id.clone();
    loop {
        let rows: Vec<(String, Vec<u8>)> = ledger_entry::table
            .filter(ledger_entry::correlation_id.eq_any(&correlations))
            .filter(ledger_entry::action.eq(COMPLETED).and(ledger_entry::id.gt(&after)))
            .order(ledger_entry::id)
            .limit(ENDS)
            .select((ledger_entry::id, ledger_entry::entry))
            .load(db)?;
        for (_, bytes) in &rows {
            let entry: serde_json::Value =
                serde_json::from_slice(bytes).map_err(|error| Failure::new(Fault::StoreDamaged).because(error))?;
            if let Some(begun) = entry["begun"].as_str() {
                ended.insert(begun.to_owned());
            }
        }
        match rows.last() {
            Some((last, _)) if i64::try_from(rows.len()) == Ok(ENDS) => after.clone_from(last),
            _ => return Ok(ended),
        }
    }
}

/// Notes how far the ledger was followed. `false` when there was nothing to follow, or another process was first: then nothing may
/// be written of what was found.
///
/// # Errors
/// Those of the database.
pub fn follow(db: &mut Db, next: &Next) -> Result<bool, Failure> {
    if next.upto == next.from {
        return Ok(false);
    }
    let as_it_was = disclosure_end_state::table
        .find(1)
        .filter(disclosure_end_state::upto.eq(&next.from));
    let moved = diesel::update(as_it_was)
        .set(disclosure_end_state::upto.eq(&next.upto))
        .execute(db)?;
    Ok(moved == 1)
}
