//! Rows of bulk runs: the run, its pieces, and its files.
//!
//! Which state follows which is decided by `bulk`, not here. A run belongs to its partner: whoever acts for a partner reads it with
//! [`find_of`]. This module never decides what may be released.

use super::Db;
use super::many::insert;
use super::schema::{bulk_file, bulk_job, bulk_piece, partner as partners, visible_state};
use crate::error::Failure;
use diesel::prelude::*;

/// The state of a run that has not begun.
pub const WAITING: &str = "waiting";
/// The state of a run that has begun.
pub const RUNNING: &str = "running";
/// The state of a run, and of a piece, that came to its end.
pub const DONE: &str = "done";
/// The state of a run that an error or its deadline ended.
pub const FAILED: &str = "failed";
/// The state of a run that its partner, or an operator, ended.
pub const CANCELLED: &str = "cancelled";

/// Files that the manifest names as results.
pub const OUTPUT: &str = "output";
/// Files that the manifest names as messages about what is missing.
pub const ERROR: &str = "error";
/// Files that nobody is given: the names of shared resources that a piece refers to.
pub const NAMES: &str = "names";

/// Files that the receipt names: how many resources of each type each member has.
pub const MEMBERS: &str = "members";
/// The receipt, one for each export that is done.
pub const RECEIPT: &str = "receipt";

/// A row of `bulk_job`: one run.
#[derive(Clone, Debug, PartialEq, Eq, Queryable, Selectable, Insertable)]
#[diesel(table_name = bulk_job, treat_none_as_default_value = false)]
#[allow(missing_docs)] // the columns, as the migrations tell them
pub struct BulkJobRow {
    pub id: String,
    pub kind: String,
    pub partner_id: String,
    pub state: String,
    pub correlation_id: String,
    pub request_url: String,
    pub request_json: String,
    pub group_id: Option<String>,
    pub spool: Option<String>,
    pub created_ms: i64,
    pub updated_ms: i64,
    pub transaction_ms: Option<i64>,
    pub deadline_ms: i64,
    pub expires_ms: Option<i64>,
    pub pieces: i64,
    pub pieces_done: i64,
    pub fault: Option<String>,
}

/// A row of `bulk_piece`: a part of a run.
#[derive(Clone, Debug, PartialEq, Eq, Queryable, Selectable, Insertable)]
#[diesel(table_name = bulk_piece, treat_none_as_default_value = false)]
#[allow(missing_docs)]
pub struct BulkPieceRow {
    pub job_id: String,
    pub position: i64,
    pub state: String,
    pub first_key: String,
    pub last_key: String,
    pub members: i64,
}

/// A row of `bulk_file`: a file that is whole on the disk.
#[derive(Clone, Debug, PartialEq, Eq, Queryable, Selectable, Insertable)]
#[diesel(table_name = bulk_file, treat_none_as_default_value = false)]
#[allow(missing_docs)]
pub struct BulkFileRow {
    pub name: String,
    pub job_id: String,
    pub piece: i64,
    pub side: String,
    pub resource_type: String,
    pub resources: i64,
    pub bytes: i64,
    pub sha256: Vec<u8>,
    pub created_ms: i64,
}

/// Inserts a run.
///
/// # Errors
/// Those of the database.
pub fn put(db: &mut Db, row: &BulkJobRow) -> Result<(), Failure> {
    diesel::insert_into(bulk_job::table).values(row).execute(db)?;
    Ok(())
}

/// Returns how many runs of a partner have not come to their end. Until the caller's transaction ends, no other one counts them: whoever
/// inserts one on the strength of this number is the only one to do so.
///
/// # Errors
/// Those of the database.
pub fn unfinished(db: &mut Db, partner: &str) -> Result<i64, Failure> {
    if let Db::Pg(pg) = db {
        let row = partners::table.find(partner).select(partners::id).for_no_key_update();
        row.first::<String>(pg).optional()?;
    }
    unfinished_seen(db, partner)
}

/// As [`unfinished`], but others count and insert them meanwhile.
///
/// # Errors
/// Those of the database.
pub fn unfinished_seen(db: &mut Db, partner: &str) -> Result<i64, Failure> {
    Ok(bulk_job::table
        .filter(bulk_job::partner_id.eq(partner))
        .filter(bulk_job::state.eq_any([WAITING, RUNNING]))
        .count()
        .get_result(db)?)
}

/// Returns a run.
///
/// # Errors
/// Those of the database.
pub fn find(db: &mut Db, id: &str) -> Result<Option<BulkJobRow>, Failure> {
    Ok(bulk_job::table
        .find(id)
        .select(BulkJobRow::as_select())
        .first(db)
        .optional()?)
}

/// Returns a run of this partner that was not cancelled.
///
/// # Errors
/// Those of the database.
pub fn find_of(db: &mut Db, id: &str, partner: &str) -> Result<Option<BulkJobRow>, Failure> {
    let found = find(db, id)?;
    Ok(found.filter(|row| row.partner_id == partner && row.state != CANCELLED))
}

/// Returns a run of this partner as [`find_of`] does. On PostgreSQL nobody else changes it until the caller's transaction ends.
///
/// # Errors
/// Those of the database.
pub fn hold_of(db: &mut Db, id: &str, partner: &str) -> Result<Option<BulkJobRow>, Failure> {
    if let Db::Pg(pg) = db {
        let row = bulk_job::table.find(id).select(bulk_job::id).for_no_key_update();
        row.first::<String>(pg).optional()?;
    }
    find_of(db, id, partner)
}

/// Returns the newest runs, at most `limit`.
///
/// # Errors
/// Those of the database.
pub fn list(db: &mut Db, limit: i64) -> Result<Vec<BulkJobRow>, Failure> {
    Ok(bulk_job::table
        .order((bulk_job::created_ms.desc(), bulk_job::id.asc()))
        .limit(limit)
        .select(BulkJobRow::as_select())
        .load(db)?)
}

/// Returns the newest time at which anything became visible: all that is committed has this time or an earlier one, and all that comes later
/// has a later one.
///
/// # Errors
/// Those of the database.
pub fn visible_ms(db: &mut Db) -> Result<i64, Failure> {
    let last: Option<i64> = visible_state::table
        .select(visible_state::last_ms)
        .first(db)
        .optional()?;
    Ok(last.unwrap_or(0))
}

/// Begins a waiting run with these pieces.
///
/// # Errors
/// Those of the database.
pub fn plan(db: &mut Db, id: &str, pieces: &[BulkPieceRow], now_ms: i64) -> Result<(), Failure> {
    let count = i64::try_from(pieces.len()).unwrap_or(i64::MAX);
    let begun = diesel::update(bulk_job::table.find(id).filter(bulk_job::state.eq(WAITING)))
        .set((
            bulk_job::state.eq(RUNNING),
            bulk_job::pieces.eq(count),
            bulk_job::updated_ms.eq(now_ms),
        ))
        .execute(db)?;
    if begun == 1 {
        insert!(db, bulk_piece::table, pieces);
    }
    Ok(())
}

/// Returns how many members a run was planned with.
///
/// # Errors
/// Those of the database.
pub fn planned(db: &mut Db, id: &str) -> Result<i64, Failure> {
    let members: Vec<i64> = bulk_piece::table
        .filter(bulk_piece::job_id.eq(id))
        .select(bulk_piece::members)
        .load(db)?;
    Ok(members.iter().sum())
}

/// Writes the result of a piece. The run is done with its last piece, and its files are kept until `expires_ms`. Returns whether it is done.
///
/// # Errors
/// Those of the database.
pub fn finish_piece(
    db: &mut Db,
    piece: &BulkPieceRow,
    files: &[BulkFileRow],
    now_ms: i64,
    expires_ms: i64,
) -> Result<bool, Failure> {
    let (id, position) = (&piece.job_id, piece.position);
    // The row of the run comes first: whoever ends another piece waits here, so that each count below sees what the others committed.
    let of_it = || bulk_job::table.find(id).filter(bulk_job::state.eq(RUNNING));
    diesel::update(of_it())
        .set(bulk_job::updated_ms.eq(now_ms))
        .execute(db)?;
    diesel::delete(
        bulk_file::table
            .filter(bulk_file::job_id.eq(id))
            .filter(bulk_file::piece.eq(position)),
    )
    .execute(db)?;
    insert!(db, bulk_file::table, files);
    set_piece(db, id, position, DONE)?;
    let done = pieces_done(db, id)?;
    diesel::update(of_it())
        .set(bulk_job::pieces_done.eq(done))
        .execute(db)?;
    // What is written again is kept no longer for that.
    let first = of_it().filter(bulk_job::expires_ms.is_null().and(bulk_job::pieces.le(done)));
    diesel::update(first)
        .set(bulk_job::expires_ms.eq(expires_ms))
        .execute(db)?;
    let ended = diesel::update(of_it().filter(bulk_job::pieces.le(done)))
        .set(bulk_job::state.eq(DONE))
        .execute(db)?;
    Ok(ended == 1)
}

fn pieces_done(db: &mut Db, id: &str) -> Result<i64, Failure> {
    let of_it = bulk_piece::table.filter(bulk_piece::job_id.eq(id));
    Ok(of_it.filter(bulk_piece::state.eq(DONE)).count().get_result(db)?)
}

fn set_piece(db: &mut Db, id: &str, position: i64, state: &str) -> Result<(), Failure> {
    diesel::update(bulk_piece::table.find((id, position)))
        .set(bulk_piece::state.eq(state))
        .execute(db)?;
    Ok(())
}

/// Takes back the results of these pieces of a run that is done or running: it runs again, until `deadline_ms` at most. Returns the files
/// whose rows went; `None` when there is no such run.
///
/// # Errors
/// Those of the database.
pub fn reopen(
    db: &mut Db,
    id: &str,
    pieces: &[i64],
    (now_ms, deadline_ms): (i64, i64),
) -> Result<Option<Vec<BulkFileRow>>, Failure> {
    let of_it = bulk_job::table.find(id).filter(bulk_job::state.eq_any([DONE, RUNNING]));
    let begun = diesel::update(of_it)
        .set((
            bulk_job::state.eq(RUNNING),
            bulk_job::deadline_ms.eq(deadline_ms),
            bulk_job::updated_ms.eq(now_ms),
        ))
        .execute(db)?;
    if begun == 0 {
        return Ok(None);
    }
    let mut dropped = Vec::new();
    for position in pieces {
        let of_piece = || bulk_file::job_id.eq(id).and(bulk_file::piece.eq(position));
        let rows: Vec<BulkFileRow> = bulk_file::table
            .filter(of_piece())
            .select(BulkFileRow::as_select())
            .load(db)?;
        dropped.extend(rows);
        diesel::delete(bulk_file::table.filter(of_piece())).execute(db)?;
        set_piece(db, id, *position, WAITING)?;
    }
    let done = pieces_done(db, id)?;
    diesel::update(bulk_job::table.find(id))
        .set(bulk_job::pieces_done.eq(done))
        .execute(db)?;
    Ok(Some(dropped))
}

/// Inserts files that belong to no piece.
///
/// # Errors
/// Those of the database.
pub fn put_files(db: &mut Db, files: &[BulkFileRow]) -> Result<(), Failure> {
    insert!(db, bulk_file::table, files);
    Ok(())
}

/// Deletes the rows of the files of a run on this side.
///
/// # Errors
/// Those of the database.
pub fn drop_side(db: &mut Db, id: &str, side: &str) -> Result<(), Failure> {
    let of_side = bulk_file::job_id.eq(id).and(bulk_file::side.eq(side));
    diesel::delete(bulk_file::table.filter(of_side)).execute(db)?;
    Ok(())
}

/// Sets the time that the result of a run counts from.
///
/// # Errors
/// Those of the database.
pub fn count_from(db: &mut Db, id: &str, at_ms: i64) -> Result<(), Failure> {
    diesel::update(bulk_job::table.find(id))
        .set(bulk_job::transaction_ms.eq(at_ms))
        .execute(db)?;
    Ok(())
}

/// Returns the files of a run, by type.
///
/// # Errors
/// Those of the database.
pub fn files(db: &mut Db, id: &str) -> Result<Vec<BulkFileRow>, Failure> {
    Ok(bulk_file::table
        .filter(bulk_file::job_id.eq(id))
        .order((
            bulk_file::resource_type.asc(),
            bulk_file::piece.asc(),
            bulk_file::name.asc(),
        ))
        .select(BulkFileRow::as_select())
        .load(db)?)
}

/// Returns a file of a run.
///
/// # Errors
/// Those of the database.
pub fn file(db: &mut Db, id: &str, name: &str) -> Result<Option<BulkFileRow>, Failure> {
    Ok(bulk_file::table
        .find(name)
        .filter(bulk_file::job_id.eq(id))
        .select(BulkFileRow::as_select())
        .first(db)
        .optional()?)
}

/// Ends a run in this state, without results: as failed only before it is done. Returns `false` when it has ended before.
///
/// # Errors
/// Those of the database.
pub fn end(db: &mut Db, id: &str, state: &str, fault: Option<&str>, now_ms: i64) -> Result<bool, Failure> {
    let before: &[&str] = match state {
        FAILED => &[WAITING, RUNNING],
        // What failed can be removed as well; why it failed stays.
        _ => &[WAITING, RUNNING, DONE, FAILED],
    };
    let of_it = bulk_job::table.find(id).filter(bulk_job::state.eq_any(before.to_vec()));
    let ended = diesel::update(of_it)
        .set((
            bulk_job::state.eq(state),
            fault.map(|code| bulk_job::fault.eq(code)),
            bulk_job::updated_ms.eq(now_ms),
        ))
        .execute(db)?;
    if ended == 1 {
        drop_parts(db, id)?;
    }
    Ok(ended == 1)
}

/// Deletes a run with all that belongs to it.
///
/// # Errors
/// Those of the database.
pub fn forget(db: &mut Db, id: &str) -> Result<(), Failure> {
    diesel::delete(bulk_job::table.find(id)).execute(db)?;
    drop_parts(db, id)
}

fn drop_parts(db: &mut Db, id: &str) -> Result<(), Failure> {
    diesel::delete(bulk_file::table.filter(bulk_file::job_id.eq(id))).execute(db)?;
    diesel::delete(bulk_piece::table.filter(bulk_piece::job_id.eq(id))).execute(db)?;
    Ok(())
}
