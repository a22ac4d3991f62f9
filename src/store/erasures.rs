//! Erasures of members, as rows: which are under way, and which are done. A row names its member only until its work is done.

use super::Db;
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

/// Whether an erasure is under way, or came to its end at or after `begun_ms` (UTC milliseconds): what was read since then may tell of a member
/// who is erased by now. Read it after [`super::retention::lock`], so that none begins until the caller's transaction ends.
///
/// # Errors
/// Those of the database.
pub fn touched_since(db: &mut Db, begun_ms: i64) -> Result<bool, Failure> {
    let touched: Option<String> = erasure::table
        .filter(erasure::ended_ms.is_null().or(erasure::ended_ms.ge(begun_ms)))
        .select(erasure::id)
        .first(db)
        .optional()?;
    Ok(touched.is_some())
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
