//! Rows of bulk runs of ours: what this payer asks a partner for many members at once, its members, and the files that come.
//!
//! Which step follows which is decided by `bulk::asking`, not here.

use super::Db;
use super::many::insert;
use super::schema::{bulk_run, bulk_run_file, bulk_run_member, exchange};
use crate::error::Failure;
use diesel::prelude::*;

/// The number of the advisory lock of [`lock`].
const KEY: i64 = 4_919_775;

/// The state of a run that members are still added to.
pub const GATHERING: &str = "gathering";
/// The state of a run that has begun.
pub const RUNNING: &str = "running";
/// The state of a run that came to its end.
pub const DONE: &str = "done";
/// The state of a run that was given up. Its members go on alone.
pub const FAILED: &str = "failed";
/// The state of a run that an operator ended. Its members go on alone.
pub const CANCELLED: &str = "cancelled";

/// A row of `bulk_run`.
#[derive(Clone, Debug, PartialEq, Eq, Queryable, Selectable, Insertable, AsChangeset)]
#[diesel(table_name = bulk_run)]
#[diesel(treat_none_as_null = true)]
#[allow(missing_docs)] // the columns, as the migrations tell them
pub struct BulkRunRow {
    pub id: String,
    pub partner_id: String,
    pub file_digest: String,
    pub state: String,
    pub step: String,
    pub failed: i64,
    pub status_url: Option<String>,
    pub group_id: Option<String>,
    pub progress: Option<String>,
    pub transaction_ms: Option<i64>,
    pub left_out: i64,
    pub fault: Option<String>,
    pub created_ms: i64,
    pub updated_ms: i64,
    pub deadline_ms: i64,
    pub ended_ms: Option<i64>,
    pub question: Option<String>,
    pub question_bytes: Option<i64>,
    pub since_ms: Option<i64>,
}

/// A row of `bulk_run_member`.
#[derive(Clone, Debug, PartialEq, Eq, Queryable, Selectable, Insertable)]
#[diesel(table_name = bulk_run_member, treat_none_as_default_value = false)]
#[allow(missing_docs)]
pub struct RunMemberRow {
    pub run_id: String,
    pub position: i64,
    pub exchange_id: String,
    pub carried: i64,
    pub attempt: i64,
    pub state: String,
    pub came: Option<String>,
    pub receipt: Option<String>,
}

/// A row of `bulk_run_file`.
#[derive(Clone, Debug, PartialEq, Eq, Queryable, Selectable, Insertable)]
#[diesel(table_name = bulk_run_file, treat_none_as_default_value = false)]
#[allow(missing_docs)]
pub struct RunFileRow {
    pub run_id: String,
    pub position: i64,
    pub resource_type: String,
    pub url: String,
    pub told_resources: Option<i64>,
    pub told_bytes: Option<i64>,
    pub told_sha256: Option<Vec<u8>>,
    pub name: Option<String>,
    pub resources: i64,
    pub bytes: i64,
    pub sha256: Option<Vec<u8>>,
    pub part: Option<String>,
    pub etag: Option<String>,
}

/// Adds a run.
///
/// # Errors
/// Those of the database.
pub fn put(db: &mut Db, row: &BulkRunRow) -> Result<(), Failure> {
    diesel::insert_into(bulk_run::table).values(row).execute(db)?;
    Ok(())
}

/// Replaces the row of a run.
///
/// # Errors
/// Those of the database.
pub fn replace(db: &mut Db, row: &BulkRunRow) -> Result<(), Failure> {
    diesel::update(bulk_run::table.find(&row.id)).set(row).execute(db)?;
    Ok(())
}

/// Returns a run.
///
/// # Errors
/// Those of the database.
pub fn find(db: &mut Db, id: &str) -> Result<Option<BulkRunRow>, Failure> {
    Ok(bulk_run::table
        .find(id)
        .select(BulkRunRow::as_select())
        .first(db)
        .optional()?)
}

/// Keeps others from adding members to runs, and runs from beginning, until this transaction ends. SQLite has only one writer anyway.
///
/// # Errors
/// Those of the database.
pub fn lock(db: &mut Db) -> Result<(), Failure> {
    if let Db::Pg(_) = db {
        diesel::sql_query(format!("SELECT pg_advisory_xact_lock({KEY})")).execute(db)?;
    }
    Ok(())
}

/// Returns the runs to which the members of a file are still added.
///
/// # Errors
/// Those of the database.
pub fn gathering(db: &mut Db, file_digest: &str) -> Result<Vec<BulkRunRow>, Failure> {
    Ok(bulk_run::table
        .filter(bulk_run::state.eq(GATHERING).and(bulk_run::file_digest.eq(file_digest)))
        .order(bulk_run::created_ms)
        .select(BulkRunRow::as_select())
        .load(db)?)
}

/// Returns the newest runs, at most `limit`.
///
/// # Errors
/// Those of the database.
pub fn list(db: &mut Db, limit: i64) -> Result<Vec<BulkRunRow>, Failure> {
    Ok(bulk_run::table
        .order((bulk_run::created_ms.desc(), bulk_run::id))
        .limit(limit)
        .select(BulkRunRow::as_select())
        .load(db)?)
}

/// Returns the newest runs with this partner that came to their end and have a group there, at most `limit`: the id of each, and its group.
///
/// # Errors
/// Those of the database.
pub fn with_group(db: &mut Db, partner_id: &str, limit: i64) -> Result<Vec<(String, String)>, Failure> {
    Ok(bulk_run::table
        .filter(bulk_run::partner_id.eq(partner_id))
        .filter(bulk_run::state.eq(DONE))
        .filter(bulk_run::group_id.is_not_null())
        .order((bulk_run::created_ms.desc(), bulk_run::id))
        .limit(limit)
        .select((bulk_run::id, bulk_run::group_id.assume_not_null()))
        .load(db)?)
}

/// Returns the exchanges of a run, each after its member.
///
/// # Errors
/// Those of the database.
pub fn exchanges_by_member(db: &mut Db, run_id: &str) -> Result<Vec<(String, String)>, Failure> {
    Ok(bulk_run_member::table
        .inner_join(exchange::table.on(exchange::id.eq(bulk_run_member::exchange_id)))
        .filter(bulk_run_member::run_id.eq(run_id))
        .filter(exchange::member_id.is_not_null())
        .select((exchange::member_id.assume_not_null(), exchange::id))
        .load(db)?)
}

/// Adds members.
///
/// # Errors
/// Those of the database.
pub fn put_members(db: &mut Db, rows: &[RunMemberRow]) -> Result<(), Failure> {
    insert!(db, bulk_run_member::table, rows);
    Ok(())
}

/// Returns how many members a run has.
///
/// # Errors
/// Those of the database.
pub fn count(db: &mut Db, run_id: &str) -> Result<i64, Failure> {
    Ok(bulk_run_member::table
        .filter(bulk_run_member::run_id.eq(run_id))
        .count()
        .get_result(db)?)
}

/// Returns the members of a run in their order.
///
/// # Errors
/// Those of the database.
pub fn members(db: &mut Db, run_id: &str) -> Result<Vec<RunMemberRow>, Failure> {
    Ok(bulk_run_member::table
        .filter(bulk_run_member::run_id.eq(run_id))
        .order(bulk_run_member::position)
        .select(RunMemberRow::as_select())
        .load(db)?)
}

/// Returns a run that this exchange is or was a member of.
///
/// # Errors
/// Those of the database.
pub fn run_of(db: &mut Db, exchange_id: &str) -> Result<Option<String>, Failure> {
    Ok(bulk_run_member::table
        .filter(bulk_run_member::exchange_id.eq(exchange_id))
        .select(bulk_run_member::run_id)
        .first(db)
        .optional()?)
}

/// Returns the runs that work for this exchange.
///
/// # Errors
/// Those of the database.
pub fn carrying(db: &mut Db, exchange_id: &str) -> Result<Vec<String>, Failure> {
    Ok(bulk_run_member::table
        .filter(bulk_run_member::exchange_id.eq(exchange_id))
        .filter(bulk_run_member::carried.eq(1))
        .select(bulk_run_member::run_id)
        .load(db)?)
}

/// Writes how far a member is.
///
/// # Errors
/// Those of the database.
pub fn put_member(db: &mut Db, row: &RunMemberRow) -> Result<(), Failure> {
    let of_run = bulk_run_member::table.find((&row.run_id, row.position));
    diesel::update(of_run)
        .set((
            bulk_run_member::carried.eq(row.carried),
            bulk_run_member::attempt.eq(row.attempt),
            bulk_run_member::state.eq(&row.state),
        ))
        .execute(db)?;
    Ok(())
}

/// Replaces the files of a run.
///
/// # Errors
/// Those of the database.
pub fn put_files(db: &mut Db, run_id: &str, rows: &[RunFileRow]) -> Result<(), Failure> {
    diesel::delete(bulk_run_file::table.filter(bulk_run_file::run_id.eq(run_id))).execute(db)?;
    insert!(db, bulk_run_file::table, rows);
    Ok(())
}

/// Returns the files of a run in their order.
///
/// # Errors
/// Those of the database.
pub fn files(db: &mut Db, run_id: &str) -> Result<Vec<RunFileRow>, Failure> {
    Ok(bulk_run_file::table
        .filter(bulk_run_file::run_id.eq(run_id))
        .order(bulk_run_file::position)
        .select(RunFileRow::as_select())
        .load(db)?)
}

/// Notes that a file is kept here as a whole.
///
/// # Errors
/// Those of the database.
pub fn kept(db: &mut Db, row: &RunFileRow) -> Result<(), Failure> {
    diesel::update(bulk_run_file::table.find((&row.run_id, row.position)))
        .set((
            bulk_run_file::name.eq(&row.name),
            bulk_run_file::resources.eq(row.resources),
            bulk_run_file::bytes.eq(row.bytes),
            bulk_run_file::sha256.eq(&row.sha256),
            bulk_run_file::part.eq(None::<String>),
            bulk_run_file::etag.eq(None::<String>),
        ))
        .execute(db)?;
    Ok(())
}

/// Notes where the beginning of a file is kept, and of which version of the file it is.
///
/// # Errors
/// Those of the database.
pub fn begun_file(db: &mut Db, row: &RunFileRow) -> Result<(), Failure> {
    diesel::update(bulk_run_file::table.find((&row.run_id, row.position)))
        .set((bulk_run_file::part.eq(&row.part), bulk_run_file::etag.eq(&row.etag)))
        .execute(db)?;
    Ok(())
}

/// Asks for the end of a run. Returns `false` when it has ended, or was asked to.
///
/// # Errors
/// Those of the database.
pub fn ask_cancel(db: &mut Db, id: &str, now_ms: i64) -> Result<bool, Failure> {
    let live = bulk_run::table.filter(
        bulk_run::id
            .eq(id)
            .and(bulk_run::state.eq_any([GATHERING, RUNNING]))
            .and(bulk_run::cancel_asked_ms.is_null()),
    );
    let asked = diesel::update(live)
        .set(bulk_run::cancel_asked_ms.eq(now_ms))
        .execute(db)?;
    Ok(asked == 1)
}

/// Returns whether an operator asked for the end of a run.
///
/// # Errors
/// Those of the database.
pub fn is_cancel_asked(db: &mut Db, id: &str) -> Result<bool, Failure> {
    let asked: Option<Option<i64>> = bulk_run::table
        .find(id)
        .select(bulk_run::cancel_asked_ms)
        .first(db)
        .optional()?;
    Ok(asked.flatten().is_some())
}
