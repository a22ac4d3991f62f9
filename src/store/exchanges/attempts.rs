//! The attempts of an exchange's steps: a row before anything is sent, and its end.

use crate::error::Failure;
use crate::store::Db;
use crate::store::schema::exchange_step;
use diesel::prelude::*;

/// An attempt of a step.
#[derive(Clone, Debug, PartialEq, Eq, Queryable, Selectable, Insertable)]
#[diesel(table_name = exchange_step)]
#[allow(missing_docs)]
pub struct AttemptRow {
    pub exchange_id: String,
    pub number: i64,
    pub step: String,
    pub round: i64,
    pub attempt: i64,
    pub started_ms: i64,
    pub ended_ms: Option<i64>,
    pub class: Option<String>,
    pub fault: Option<String>,
    pub http_status: Option<i64>,
    pub partner_request_id: Option<String>,
    pub idempotency_key: String,
    pub request_digest: Option<Vec<u8>>,
    pub response_digest: Option<Vec<u8>>,
    pub bytes: i64,
}

/// How an attempt ended.
#[derive(Clone, Debug, PartialEq, Eq, AsChangeset)]
#[diesel(table_name = exchange_step)]
#[allow(missing_docs)]
pub struct AttemptEnd {
    pub started_ms: i64,
    pub ended_ms: Option<i64>,
    pub class: Option<String>,
    pub fault: Option<String>,
    pub http_status: Option<i64>,
    pub partner_request_id: Option<String>,
    pub request_digest: Option<Vec<u8>>,
    pub response_digest: Option<Vec<u8>>,
    pub bytes: i64,
}

/// Returns the last attempt of an exchange.
///
/// # Errors
/// Those of the database.
pub fn last_attempt(db: &mut Db, exchange_id: &str) -> Result<Option<AttemptRow>, Failure> {
    Ok(exchange_step::table
        .filter(exchange_step::exchange_id.eq(exchange_id))
        .order(exchange_step::number.desc())
        .select(AttemptRow::as_select())
        .first(db)
        .optional()?)
}

/// Whether an attempt of this step in this round ended with one of these classes.
///
/// # Errors
/// Those of the database.
pub fn was_answered(db: &mut Db, exchange_id: &str, step: &str, round: i64, classes: &[&str]) -> Result<bool, Failure> {
    let found: Option<i64> = exchange_step::table
        .filter(exchange_step::exchange_id.eq(exchange_id))
        .filter(exchange_step::step.eq(step).and(exchange_step::round.eq(round)))
        .filter(exchange_step::class.eq_any(classes.to_vec()))
        .select(exchange_step::number)
        .first(db)
        .optional()?;
    Ok(found.is_some())
}

/// When the first attempt of this step in this round began, UTC milliseconds.
///
/// # Errors
/// Those of the database.
pub fn step_began(db: &mut Db, exchange_id: &str, step: &str, round: i64) -> Result<Option<i64>, Failure> {
    Ok(exchange_step::table
        .filter(exchange_step::exchange_id.eq(exchange_id))
        .filter(exchange_step::step.eq(step).and(exchange_step::round.eq(round)))
        .order(exchange_step::number)
        .select(exchange_step::started_ms)
        .first(db)
        .optional()?)
}

/// Adds attempts that are about to begin.
///
/// # Errors
/// Those of the database.
pub fn begin_attempts(db: &mut Db, rows: &[AttemptRow]) -> Result<(), Failure> {
    match db {
        Db::Pg(pg) => diesel::insert_into(exchange_step::table).values(rows).execute(pg)?,
        Db::Sqlite(sqlite) => diesel::insert_into(exchange_step::table).values(rows).execute(sqlite)?,
    };
    Ok(())
}

/// Writes how an attempt ended.
///
/// # Errors
/// Those of the database.
pub fn end_attempt(db: &mut Db, exchange_id: &str, number: i64, end: &AttemptEnd) -> Result<(), Failure> {
    diesel::update(exchange_step::table.find((exchange_id, number)))
        .set(end)
        .execute(db)?;
    Ok(())
}

/// Returns the attempts of an exchange, oldest first, at most `limit`.
///
/// # Errors
/// Those of the database.
pub fn attempts_of(db: &mut Db, exchange_id: &str, limit: i64) -> Result<Vec<AttemptRow>, Failure> {
    Ok(exchange_step::table
        .filter(exchange_step::exchange_id.eq(exchange_id))
        .order(exchange_step::number)
        .limit(limit)
        .select(AttemptRow::as_select())
        .load(db)?)
}
