//! Erasures of members, as rows: which are under way, and which are done. A row names its member only until its work is done.

use super::Db;
use super::retention;
use super::schema::erasure;
use crate::error::Failure;
use diesel::prelude::*;

/// The state of an erasure whose work goes on.
pub const RUNNING: &str = "running";
/// The state of one whose rows are gone; bytes of them may be left in the files of the database.
pub const ERASED: &str = "erased";
/// The state of one that came to its end.
pub const DONE: &str = "done";

/// A row of `erasure`.
#[derive(Clone, Debug, PartialEq, Eq, Queryable, Selectable, Insertable)]
#[diesel(table_name = erasure, treat_none_as_default_value = false)]
#[allow(missing_docs)] // the columns, as the migrations tell them
pub struct ErasureRow {
    pub id: String,
    pub patient_id: Option<String>,
    pub with_record: i64,
    pub reason: String,
    pub legal_basis: Option<String>,
    pub operator: String,
    pub state: String,
    pub entry_id: String,
    pub counts: String,
    pub begun_ms: i64,
    pub ended_ms: Option<i64>,
}

/// Adds an erasure.
///
/// # Errors
/// Those of the database: a member has one at a time.
pub fn put(db: &mut Db, row: &ErasureRow) -> Result<(), Failure> {
    diesel::insert_into(erasure::table).values(row).execute(db)?;
    Ok(())
}

/// Returns the erasure with this id.
///
/// # Errors
/// Those of the database.
pub fn find(db: &mut Db, id: &str) -> Result<Option<ErasureRow>, Failure> {
    Ok(erasure::table
        .find(id)
        .select(ErasureRow::as_select())
        .first(db)
        .optional()?)
}

/// Returns the erasure of this member that is under way.
///
/// # Errors
/// Those of the database.
pub fn of_member(db: &mut Db, patient_id: &str) -> Result<Option<ErasureRow>, Failure> {
    Ok(erasure::table
        .filter(erasure::patient_id.eq(patient_id))
        .select(ErasureRow::as_select())
        .first(db)
        .optional()?)
}

/// Returns the ids of the erasures whose rows are gone, but not yet every byte in the files of the database.
///
/// # Errors
/// Those of the database.
pub fn unclean(db: &mut Db) -> Result<Vec<String>, Failure> {
    Ok(erasure::table
        .filter(erasure::state.eq(ERASED))
        .order(erasure::id)
        .select(erasure::id)
        .load(db)?)
}

/// What was taken out of the store until now, so that what was read before can be told from what may still be kept. Counts alone: no clock is
/// asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TakenOut {
    /// Erasures that came to their end.
    erasures: i64,
    /// Rows that retention deleted.
    deleted: i64,
}

/// Returns what was taken out until now. Read it before anything that is to be kept, in the same look or an earlier one.
///
/// # Errors
/// Those of the database.
pub fn taken_out(db: &mut Db) -> Result<TakenOut, Failure> {
    let erasures = erasure::table
        .filter(erasure::ended_ms.is_not_null())
        .count()
        .get_result(db)?;
    let deleted = retention::totals(db)?.iter().map(|kind| kind.total).sum();
    Ok(TakenOut { erasures, deleted })
}

/// Whether an erasure is under way, or something was taken out since `before`: what was read since then may tell of what is gone by now. Call it
/// after [`super::retention::lock`], so that nothing begins until the caller's transaction ends.
///
/// # Errors
/// Those of the database.
pub fn touched_since(db: &mut Db, before: TakenOut) -> Result<bool, Failure> {
    // In this order: an erasure that ends between the two looks was under way at the first.
    let running: Option<String> = erasure::table
        .filter(erasure::ended_ms.is_null())
        .select(erasure::id)
        .first(db)
        .optional()?;
    Ok(running.is_some() || taken_out(db)? != before)
}

/// Notes that the rows of the member are gone, and forgets who it was. Returns false when somebody else noted it first.
///
/// # Errors
/// Those of the database.
pub fn set_erased(db: &mut Db, id: &str) -> Result<bool, Failure> {
    let running = erasure::table.find(id).filter(erasure::state.eq(RUNNING));
    let changed = diesel::update(running)
        .set((erasure::state.eq(ERASED), erasure::patient_id.eq(None::<String>)))
        .execute(db)?;
    Ok(changed == 1)
}

/// Notes that all is done, at `now_ms` (UTC milliseconds).
///
/// # Errors
/// Those of the database.
pub fn set_done(db: &mut Db, id: &str, now_ms: i64) -> Result<(), Failure> {
    let erased = erasure::table.find(id).filter(erasure::state.eq(ERASED));
    diesel::update(erased)
        .set((erasure::state.eq(DONE), erasure::ended_ms.eq(now_ms)))
        .execute(db)?;
    Ok(())
}
