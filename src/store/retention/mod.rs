//! The rows of retention: the time that it goes by, marks of the ledger's size at that time, and what was deleted of each kind of data. What
//! is due is found by [`due`] and deleted by [`gone`]; [`holds`] has the legal holds.
//!
//! Knows no periods: the instant before which something is due comes in.

pub mod due;
pub mod gone;
pub mod holds;

use super::Db;
use super::schema::{ledger_entry, ledger_log, ledger_tree, retention_clock, retention_kind, retention_mark};
use crate::error::Failure;
use crate::ids::before_all_of;
use diesel::dsl::{max, min};
use diesel::prelude::*;
use diesel::sql_types::Bool;

/// The time that retention goes by, and where it looks for entries.
#[derive(Clone, Debug, PartialEq, Eq, Queryable)]
pub struct ClockRow {
    /// UTC milliseconds; 0 before the first run.
    pub seen_ms: i64,
    /// The entry after which the next run looks.
    pub from_id: String,
}

/// Returns the time that retention goes by.
///
/// # Errors
/// Those of the database.
pub fn clock(db: &mut Db) -> Result<ClockRow, Failure> {
    Ok(retention_clock::table
        .find(1)
        .select((retention_clock::seen_ms, retention_clock::from_id))
        .first(db)?)
}

/// Lets no other transaction delete, or place a hold, until this one ends. Call it before anything is read that decides what is deleted.
///
/// # Errors
/// Those of the database.
pub fn lock(db: &mut Db) -> Result<(), Failure> {
    // SQLite has one writer; on PostgreSQL the row is locked by its update.
    let one = retention_clock::table.find(1);
    diesel::update(one)
        .set(retention_clock::seen_ms.eq(retention_clock::seen_ms))
        .execute(db)?;
    Ok(())
}

/// Moves the time that retention goes by; it never goes back.
///
/// # Errors
/// Those of the database.
pub fn set_clock(db: &mut Db, seen_ms: i64) -> Result<(), Failure> {
    let earlier = retention_clock::table
        .find(1)
        .filter(retention_clock::seen_ms.lt(seen_ms));
    diesel::update(earlier)
        .set(retention_clock::seen_ms.eq(seen_ms))
        .execute(db)?;
    Ok(())
}

/// Lets the next run look for entries after this one.
///
/// # Errors
/// Those of the database.
pub fn look_after(db: &mut Db, from_id: &str) -> Result<(), Failure> {
    diesel::update(retention_clock::table.find(1))
        .set(retention_clock::from_id.eq(from_id))
        .execute(db)?;
    Ok(())
}

/// Returns when the newest entry of the ledger from before `before_ms` was written, both in UTC milliseconds.
///
/// # Errors
/// Those of the database.
pub fn newest_entry_ms(db: &mut Db, before_ms: i64) -> Result<Option<i64>, Failure> {
    let newest: Option<i64> = ledger_entry::table
        .filter(ledger_entry::id.lt(before_all_of(before_ms)))
        .order(ledger_entry::id.desc())
        .select(ledger_entry::at_us)
        .first(db)
        .optional()?;
    Ok(newest.map(|at_us| at_us / 1000))
}

#[derive(QueryableByName)]
struct Answer {
    #[diesel(sql_type = Bool)]
    yes: bool,
}

/// Whether this role of the database may delete what is beside the entries of the ledger. On PostgreSQL the role of a server has the rights for
/// it on these columns alone, and lacks them until it was granted its rights by this version.
///
/// # Errors
/// Those of the database.
pub fn may_delete_beside_entries(db: &mut Db) -> Result<bool, Failure> {
    let Db::Pg(pg) = db else { return Ok(true) };
    let query = "SELECT has_column_privilege('ledger_entry', 'subject', 'UPDATE') \
                 AND has_column_privilege('ledger_entry', 'subject_salt', 'UPDATE') \
                 AND has_column_privilege('ledger_entry', 'correlation_id', 'UPDATE') \
                 AND has_column_privilege('ledger_entry', 'request_id', 'UPDATE') \
                 AND has_table_privilege('ledger_subject', 'DELETE') AND has_table_privilege('disclosed_share', 'DELETE') AS yes";
    Ok(diesel::sql_query(query).get_result::<Answer>(pg)?.yes)
}

/// How far entries may be looked at: those of a log with an index below a bound.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CoveredLog {
    /// The log.
    pub log: i64,
    /// The first index that was not in the tree at the time in question.
    pub below: i64,
}

/// Notes how many entries the tree of the log in use has at `now_ms`, the time that retention goes by. Notes nothing when there is no log, or
/// a mark of that time.
///
/// # Errors
/// Those of the database.
pub fn mark(db: &mut Db, now_ms: i64) -> Result<(), Failure> {
    let Some((log, size)) = grown(db)? else {
        return Ok(());
    };
    let newest: Option<i64> = retention_mark::table
        .filter(retention_mark::log.eq(log))
        .select(max(retention_mark::marked_ms))
        .first(db)?;
    if newest.is_some_and(|newest| newest >= now_ms) {
        return Ok(());
    }
    diesel::insert_into(retention_mark::table)
        .values((
            retention_mark::log.eq(log),
            retention_mark::marked_ms.eq(now_ms),
            retention_mark::size.eq(size),
        ))
        .execute(db)?;
    Ok(())
}

fn grown(db: &mut Db) -> Result<Option<(i64, i64)>, Failure> {
    let log: Option<i64> = ledger_log::table
        .order(ledger_log::no.desc())
        .select(ledger_log::no)
        .first(db)
        .optional()?;
    let Some(log) = log else { return Ok(None) };
    let size: Option<i64> = ledger_tree::table
        .find(log)
        .select(ledger_tree::size)
        .first(db)
        .optional()?;
    Ok(Some((log, size.unwrap_or(0))))
}

/// Returns which entries the tree surely had before `before_ms`: those of the last mark before it. What was there at the first mark of a log is
/// as old as its stamp says, since nothing else is known of it.
///
/// # Errors
/// Those of the database.
pub fn covered(db: &mut Db, before_ms: i64) -> Result<Option<CoveredLog>, Failure> {
    let Some((log, _)) = grown(db)? else { return Ok(None) };
    let of_log = || retention_mark::table.filter(retention_mark::log.eq(log));
    let first: Option<i64> = of_log().select(min(retention_mark::size)).first(db)?;
    let before: Option<i64> = of_log()
        .filter(retention_mark::marked_ms.lt(before_ms))
        .select(max(retention_mark::size))
        .first(db)?;
    Ok(first.max(before).map(|below| CoveredLog { log, below }))
}

/// What was deleted of a kind of data.
#[derive(Clone, Debug, PartialEq, Eq, Queryable)]
pub struct KindTotals {
    /// The kind.
    pub kind: String,
    /// Rows in all.
    pub total: i64,
    /// Rows of the last deletion.
    pub last: i64,
    /// When that was, UTC milliseconds.
    pub last_ms: i64,
    /// The ledger entry of it.
    pub entry_id: String,
}

/// Returns what was deleted of each kind.
///
/// # Errors
/// Those of the database.
pub fn totals(db: &mut Db) -> Result<Vec<KindTotals>, Failure> {
    Ok(retention_kind::table
        .order(retention_kind::kind)
        .select((
            retention_kind::kind,
            retention_kind::total,
            retention_kind::last,
            retention_kind::last_ms,
            retention_kind::entry_id,
        ))
        .load(db)?)
}

/// Adds a deletion of `rows` rows, proved by the entry `entry_id`, to the totals of a kind.
///
/// # Errors
/// Those of the database.
pub fn count(db: &mut Db, kind: &str, rows: i64, at_ms: i64, entry_id: &str) -> Result<(), Failure> {
    let counted = diesel::update(retention_kind::table.find(kind))
        .set((
            retention_kind::total.eq(retention_kind::total + rows),
            retention_kind::last.eq(rows),
            retention_kind::last_ms.eq(at_ms),
            retention_kind::entry_id.eq(entry_id),
        ))
        .execute(db)?;
    if counted == 0 {
        diesel::insert_into(retention_kind::table)
            .values((
                retention_kind::kind.eq(kind),
                retention_kind::total.eq(rows),
                retention_kind::last.eq(rows),
                retention_kind::last_ms.eq(at_ms),
                retention_kind::entry_id.eq(entry_id),
            ))
            .execute(db)?;
    }
    Ok(())
}
