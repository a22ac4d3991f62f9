//! Finds disclosures without a *completed* entry: reads the *begun* entries in the order of the ledger, and looks for the end of each.
//!
//! The *completed* entry names the *begun* entry inside its bytes, and is found by the request that wrote both. The row of
//! `disclosure_end_state` holds the id up to which the ledger was read, so no *begun* entry is looked at twice.

use super::Db;
use super::entries::{BEGUN, COMPLETED, ENTRY, EntryRow};
use super::schema::{disclosure_end_state, ledger_entry};
use crate::error::{Failure, Fault};
use crate::ids::before_all_of;
use diesel::prelude::*;
use std::collections::HashSet;

/// How many requests one query looks for. A request ends at most as many disclosures as its answer has members.
const REQUESTS: usize = 50;

/// The *completed* entries about one of these subjects, or about none. There is no order, so that no database walks along the primary key
/// instead of the index of requests.
macro_rules! completed {
    ($subjects:expr) => {
        ledger_entry::table
            .select(ENTRY)
            .filter(ledger_entry::action.eq(COMPLETED))
            .filter(
                ledger_entry::subject
                    .is_null()
                    .or(ledger_entry::subject.eq_any($subjects)),
            )
    };
}

/// The next disclosures, and up to which entry the ledger was read for them.
pub struct NextDisclosures {
    /// The *begun* entries without an end.
    pub open: Vec<EntryRow>,
    upto: String,
    from: String,
    /// Whether the limit was reached, so that more may follow.
    pub is_full: bool,
}

impl NextDisclosures {
    /// Whether the ledger was read any further.
    pub fn is_further(&self) -> bool {
        self.upto != self.from
    }
}

/// Reads the next disclosures that began before `before_ms` (UTC milliseconds), at most `limit`.
///
/// # Errors
/// [`Fault::StoreDamaged`] for an entry that is not JSON; those of the database.
pub fn next(db: &mut Db, before_ms: i64, limit: i64) -> Result<NextDisclosures, Failure> {
    let from: String = disclosure_end_state::table
        .find(1)
        .select(disclosure_end_state::upto)
        .first(db)?;
    let before = before_all_of(before_ms);
    // Ids sort by time, so newer entries are not even read.
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
    Ok(NextDisclosures {
        open: begun,
        upto,
        from,
        is_full,
    })
}

/// Returns the *begun* entry with this id, if it exists and has no end.
///
/// # Errors
/// As [`next`].
pub fn open(db: &mut Db, id: &str) -> Result<Option<EntryRow>, Failure> {
    let begun: Option<EntryRow> = ledger_entry::table
        .filter(ledger_entry::id.eq(id).and(ledger_entry::action.eq(BEGUN)))
        .select(ENTRY)
        .first(db)
        .optional()?;
    let Some(begun) = begun else { return Ok(None) };
    let ended = ended(db, std::slice::from_ref(&begun))?;
    Ok((!ended.contains(&begun.id)).then_some(begun))
}

/// Returns the *completed* entries of the requests that wrote these *begun* entries, about the same subjects, in the order of the ledger.
/// Those of other disclosures of these requests may be among them.
///
/// They are looked for by this server's request id. The correlation id is the caller's choice, and may stand in any number of entries.
///
/// # Errors
/// Those of the database.
pub fn of(db: &mut Db, begun: &[EntryRow]) -> Result<Vec<EntryRow>, Failure> {
    let mut own: Vec<&str> = begun.iter().filter_map(|row| row.request_id.as_deref()).collect();
    // The correlation id of these is the request id of this server.
    let bare = begun.iter().filter(|row| row.request_id.is_none());
    let mut bare: Vec<&str> = bare.map(|row| row.correlation_id.as_str()).collect();
    let mut subjects: Vec<&str> = begun.iter().filter_map(|row| row.subject.as_deref()).collect();
    for names in [&mut own, &mut bare, &mut subjects] {
        names.sort_unstable();
        names.dedup();
    }
    let mut found = Vec::new();
    for requests in own.chunks(REQUESTS) {
        let rows: Vec<EntryRow> = completed!(&subjects)
            .filter(ledger_entry::request_id.eq_any(requests))
            .load(db)?;
        found.extend(rows);
    }
    for requests in bare.chunks(REQUESTS) {
        let rows: Vec<EntryRow> = completed!(&subjects)
            .filter(ledger_entry::correlation_id.eq_any(requests))
            .filter(ledger_entry::request_id.is_null())
            .load(db)?;
        found.extend(rows);
    }
    found.sort_unstable_by(|a, b| a.id.cmp(&b.id));
    Ok(found)
}

/// Returns the ids of *begun* entries that have an end. Ids of other disclosures of the same requests may be among them.
///
/// # Errors
/// As [`next`].
pub fn ended(db: &mut Db, begun: &[EntryRow]) -> Result<HashSet<String>, Failure> {
    let mut ended = HashSet::new();
    for row in of(db, begun)? {
        let entry: serde_json::Value =
            serde_json::from_slice(&row.entry).map_err(|error| Failure::new(Fault::StoreDamaged).because(error))?;
        if let Some(begun) = entry["begun"].as_str() {
            ended.insert(begun.to_owned());
        }
    }
    Ok(ended)
}

/// Stores up to which entry the ledger was read. Returns false when nothing was read, or when another process stored its progress first;
/// the caller must then write nothing about the disclosures it found.
///
/// # Errors
/// Those of the database.
pub fn follow(db: &mut Db, next: &NextDisclosures) -> Result<bool, Failure> {
    if !next.is_further() {
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
