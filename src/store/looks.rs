//! Entries of the ledger with these actions and the operator who acted, newest first.
//!
//! It goes by the notes of operators, of which there are as many as acts and looks of people, and not by the ledger, which has an entry of each
//! disclosure too. What it reads of one page is bounded.

use super::Db;
use super::ops_queries::{LIMIT_MAX, LedgerEntry};
use super::schema::{ledger_entry, ledger_leaf, operator_note};
use crate::error::Failure;
use crate::ids::before_all_of;
use diesel::prelude::*;

/// Notes that are read at once.
const CHUNK: i64 = 500;
/// How often that is done for one page at most.
const CHUNKS_MOST: usize = 20;

/// Which looks to list.
#[derive(Clone, Debug, Default)]
#[allow(missing_docs)]
pub struct LookFilter {
    /// The name of one operator.
    pub operator: Option<String>,
    /// At or after this, UTC milliseconds.
    pub from_ms: Option<i64>,
    /// Before this, UTC milliseconds.
    pub to_ms: Option<i64>,
    /// The page of what came before the entry with this id.
    pub cursor: Option<String>,
    pub limit: i64,
}

/// A page, and where the next one goes on.
#[derive(Clone, Debug)]
#[allow(missing_docs)]
pub struct LooksFound {
    pub rows: Vec<LedgerEntry>,
    pub next: Option<String>,
}

/// Returns a page of entries with one of these actions.
///
/// # Errors
/// Those of the database.
pub fn page(db: &mut Db, filter: &LookFilter, actions: &[&str]) -> Result<LooksFound, Failure> {
    let limit = usize::try_from(filter.limit.clamp(1, LIMIT_MAX)).unwrap_or(1);
    let (mut rows, mut before) = (Vec::new(), filter.cursor.clone());
    for _ in 0..CHUNKS_MOST {
        let notes = noted(db, filter, before.as_deref())?;
        let is_last = i64::try_from(notes.len()).is_ok_and(|read| read < CHUNK);
        before = notes.last().map(|(id, _)| id.clone()).or(before);
        let is_asked = |operator: &str| filter.operator.as_deref().is_none_or(|wanted| wanted == operator);
        let ids: Vec<String> = notes
            .into_iter()
            .filter(|(_, operator)| is_asked(operator))
            .map(|(id, _)| id)
            .collect();
        rows.extend(entries(db, &ids, actions)?);
        if rows.len() > limit {
            rows.truncate(limit);
            let next = rows.last().map(|row: &LedgerEntry| row.id.clone());
            return Ok(LooksFound { rows, next });
        }
        if is_last {
            return Ok(LooksFound { rows, next: None });
        }
    }
    Ok(LooksFound { rows, next: before })
}

/// Ids of the entries of operators before this one, each with the operator, the newest first. They sort by time. All operators are read: no index
/// leads to one of them, and a query for somebody who looked once would go through all notes there are.
fn noted(db: &mut Db, filter: &LookFilter, before: Option<&str>) -> Result<Vec<(String, String)>, Failure> {
    let mut query = operator_note::table
        .select((operator_note::entry_id, operator_note::operator))
        .order(operator_note::entry_id.desc())
        .limit(CHUNK)
        .into_boxed();
    if let Some(from_ms) = filter.from_ms {
        query = query.filter(operator_note::entry_id.ge(before_all_of(from_ms)));
    }
    if let Some(to_ms) = filter.to_ms {
        query = query.filter(operator_note::entry_id.lt(before_all_of(to_ms)));
    }
    if let Some(before) = before {
        query = query.filter(operator_note::entry_id.lt(before.to_owned()));
    }
    Ok(query.load(db)?)
}

fn entries(db: &mut Db, ids: &[String], actions: &[&str]) -> Result<Vec<LedgerEntry>, Failure> {
    if ids.is_empty() {
        return Ok(Vec::new());
    }
    let log = super::ledger_tree::log(db)?.map_or(0, |log| log.no);
    let rows = ledger_entry::table
        .left_join(operator_note::table.on(operator_note::entry_id.eq(ledger_entry::id)))
        .left_join(ledger_leaf::table.on(ledger_leaf::entry_id.eq(ledger_entry::id).and(ledger_leaf::log.eq(log))))
        .filter(ledger_entry::id.eq_any(ids))
        .filter(ledger_entry::action.eq_any(actions.to_vec()))
        .select((
            ledger_entry::id,
            ledger_leaf::idx.nullable(),
            ledger_entry::at_us,
            ledger_entry::correlation_id,
            ledger_entry::request_id,
            ledger_entry::entry,
            operator_note::operator.nullable(),
            operator_note::reason.nullable(),
            operator_note::sealed.nullable(),
        ))
        .order(ledger_entry::id.desc())
        .load(db)?;
    Ok(rows)
}
