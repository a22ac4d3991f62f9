//! Adds jobs to the queue, changes what they are for, and removes them.

use super::states::{PARKED, WAITING};
use crate::error::Failure;
use crate::store::Db;
use crate::store::schema::job;
use diesel::prelude::*;

/// A new job.
#[derive(Clone, Copy, Debug)]
pub struct NewRow<'a> {
    /// Its kind, which selects the code that runs it.
    pub kind: &'a str,
    /// The partner that it is for. A partner's share of the workers is limited while others wait.
    pub partner: Option<&'a str>,
    /// Names the work: at most one job of a kind and key exists at a time.
    pub key: &'a str,
    /// The input of the work; small, and without member data.
    pub payload: &'a str,
    /// One of [`super::PRIORITIES`].
    pub priority: i64,
    /// When it may begin, UTC milliseconds.
    pub due_ms: i64,
}

/// Adds a job, in the caller's transaction. Returns false when a job of this kind and key exists, which is not changed.
///
/// # Errors
/// Those of the database.
pub fn enqueue(db: &mut Db, id: &str, new: &NewRow<'_>, now_ms: i64) -> Result<bool, Failure> {
    let row = (
        job::id.eq(id),
        job::kind.eq(new.kind),
        job::partner_id.eq(new.partner),
        job::live_key.eq(new.key),
        job::payload.eq(new.payload),
        job::state.eq(WAITING),
        job::priority.eq(new.priority),
        job::due_ms.eq(new.due_ms),
        job::lease_epoch.eq(0),
        job::claims.eq(0),
        job::attempts.eq(0),
        job::created_ms.eq(now_ms),
        job::updated_ms.eq(now_ms),
    );
    // A conflict must not be an error, because on PostgreSQL an error would abort the caller's transaction.
    let made = match db {
        Db::Pg(pg) => diesel::insert_into(job::table)
            .values(row)
            .on_conflict((job::kind, job::live_key))
            .do_nothing()
            .execute(pg)?,
        Db::Sqlite(sqlite) => diesel::insert_into(job::table)
            .values(row)
            .on_conflict((job::kind, job::live_key))
            .do_nothing()
            .execute(sqlite)?,
    };
    Ok(made == 1)
}

/// Removes a job that is no longer wanted. Returns false when there is none. A worker that is running
/// it finds its lease lost, and nothing of its result is written.
///
/// # Errors
/// Those of the database.
pub fn take_back(db: &mut Db, kind: &str, key: &str) -> Result<bool, Failure> {
    let gone = diesel::delete(job::table.filter(job::kind.eq(kind).and(job::live_key.eq(key)))).execute(db)?;
    Ok(gone == 1)
}

/// Waits until nobody writes the result of this job, and keeps its row until the caller's transaction ends. Does nothing when there is no
/// such job, and on SQLite, where one transaction writes at a time.
///
/// # Errors
/// Those of the database.
pub fn hold(db: &mut Db, kind: &str, key: &str) -> Result<(), Failure> {
    if let Db::Pg(pg) = db {
        let _: Option<String> = job::table
            .filter(job::kind.eq(kind).and(job::live_key.eq(key)))
            .select(job::id)
            .for_update()
            .first(pg)
            .optional()?;
    }
    Ok(())
}

/// Gives a job that waits another payload, and makes it due at `due_ms` (UTC milliseconds) if it is due later. Leaves a job alone that a
/// worker holds.
///
/// # Errors
/// Those of the database.
pub fn point_at(db: &mut Db, kind: &str, key: &str, payload: &str, due_ms: i64) -> Result<(), Failure> {
    let free = job::kind
        .eq(kind)
        .and(job::live_key.eq(key))
        .and(job::lease_token.is_null());
    diesel::update(job::table.filter(free))
        .set(job::payload.eq(payload))
        .execute(db)?;
    hasten(db, kind, key, due_ms)
}

/// Makes a job that is not leased due at this time, unless it is due sooner.
///
/// # Errors
/// Those of the database.
pub fn hasten(db: &mut Db, kind: &str, key: &str, due_ms: i64) -> Result<(), Failure> {
    let later = job::kind
        .eq(kind)
        .and(job::live_key.eq(key))
        .and(job::lease_token.is_null())
        .and(job::due_ms.gt(due_ms));
    diesel::update(job::table.filter(later))
        .set(job::due_ms.eq(due_ms))
        .execute(db)?;
    Ok(())
}

/// Returns whether this job is parked.
///
/// # Errors
/// Those of the database.
pub fn is_parked(db: &mut Db, kind: &str, key: &str) -> Result<bool, Failure> {
    let parked = job::table
        .filter(job::kind.eq(kind).and(job::live_key.eq(key)))
        .filter(job::state.eq(PARKED))
        .count()
        .get_result::<i64>(db)?;
    Ok(parked > 0)
}
