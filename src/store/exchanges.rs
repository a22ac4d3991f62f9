//! Exchanges: their states, what they ask, what came, and the attempts of their steps.
//!
//! What a state means and which move is allowed is decided by `exchange`, not here. Every change of an exchange names the version that it
//! was decided on, and returns whether it found it.

mod attempts;
mod found;
mod question;
mod result;

pub use attempts::{
    AttemptEnd, AttemptRow, attempts_of, begin_attempts, end_attempt, last_attempt, step_began, was_answered,
};
pub use found::{
    ExchangeFilter, has_lost_job, live_under, newest, of_member, page, parked, waiting_under_ended, with_lost_jobs,
    without_job,
};
pub use question::{QuestionRow, forget_question, put_question, question_of};
pub use result::{ExchangeResultRow, MissingRow, missing_of, put_result, result_of, set_missing};

use super::Db;
use super::schema::{exchange, exchange_ask};
use crate::error::Failure;
use diesel::prelude::*;

/// An exchange, as stored. The states are the names of `exchange::phase`.
#[derive(Clone, Debug, PartialEq, Eq, Queryable, Selectable, Insertable, AsChangeset)]
#[diesel(table_name = exchange)]
#[diesel(treat_none_as_null = true)]
#[allow(missing_docs)] // the columns, as the migrations tell them
pub struct ExchangeRow {
    pub id: String,
    pub direction: String,
    pub kind: String,
    pub partner_id: String,
    pub member_id: Option<String>,
    pub live_key: Option<String>,
    pub correlation_id: String,
    pub workflow: i64,
    pub policy_version: String,
    pub phase: String,
    pub identity_state: String,
    pub consent_state: String,
    pub transport_state: String,
    pub delivery_state: String,
    pub audit_state: String,
    pub owner: String,
    pub reason: Option<String>,
    pub step: String,
    pub round: i64,
    pub attempts: i64,
    pub wake_ms: Option<i64>,
    pub parked_at_ms: Option<i64>,
    pub deadline_ms: i64,
    pub due_ms: i64,
    pub answer_due_ms: Option<i64>,
    pub run_of: Option<String>,
    pub superseded_by: Option<String>,
    pub version: i64,
    pub created_ms: i64,
    pub updated_ms: i64,
    pub ended_ms: Option<i64>,
    pub asked_at: Option<String>,
}

/// What an exchange asks for; never changed.
#[derive(Clone, Debug, PartialEq, Eq, Queryable, Selectable, Insertable)]
#[diesel(table_name = exchange_ask)]
#[allow(missing_docs)]
pub struct AskRow {
    pub exchange_id: String,
    pub asked_for: String,
    pub cover: String,
    pub opt_in_id: String,
    pub own_coverage_id: Option<String>,
    pub member_number: String,
    pub subscriber_number: Option<String>,
    pub group_number: Option<String>,
    pub plan: Option<String>,
    pub number_system: Option<String>,
    pub begins: Option<String>,
    pub ends: Option<String>,
    pub coverage_digest: String,
    pub since_ms: Option<i64>,
    pub request_key: Option<String>,
    pub request_digest: Option<String>,
    pub started_by: String,
}

/// Adds an exchange with what it asks. Returns false, and adds nothing, when a live exchange has its key.
///
/// # Errors
/// Those of the database; a unique violation when its request key is taken.
pub fn insert(db: &mut Db, row: &ExchangeRow, ask: &AskRow) -> Result<bool, Failure> {
    // A conflict must not be an error, because on PostgreSQL an error would abort the caller's transaction.
    let made = match db {
        Db::Pg(pg) => diesel::insert_into(exchange::table)
            .values(row)
            .on_conflict(exchange::live_key)
            .do_nothing()
            .execute(pg)?,
        Db::Sqlite(sqlite) => diesel::insert_into(exchange::table)
            .values(row)
            .on_conflict(exchange::live_key)
            .do_nothing()
            .execute(sqlite)?,
    };
    if made == 1 {
        diesel::insert_into(exchange_ask::table).values(ask).execute(db)?;
    }
    Ok(made == 1)
}

/// Returns the exchange with this id.
///
/// # Errors
/// Those of the database.
pub fn find(db: &mut Db, id: &str) -> Result<Option<ExchangeRow>, Failure> {
    Ok(exchange::table
        .find(id)
        .select(ExchangeRow::as_select())
        .first(db)
        .optional()?)
}

/// Waits until nobody changes this exchange, and keeps its row until the caller's transaction ends. Does nothing on SQLite, where one
/// transaction writes at a time.
///
/// # Errors
/// Those of the database.
pub fn hold(db: &mut Db, id: &str) -> Result<(), Failure> {
    if let Db::Pg(pg) = db {
        let _: Option<String> = exchange::table
            .find(id)
            .select(exchange::id)
            .for_update()
            .first(pg)
            .optional()?;
    }
    Ok(())
}

/// Returns what the exchange asks.
///
/// # Errors
/// Those of the database.
pub fn ask_of(db: &mut Db, id: &str) -> Result<Option<AskRow>, Failure> {
    Ok(exchange_ask::table
        .find(id)
        .select(AskRow::as_select())
        .first(db)
        .optional()?)
}

/// Returns the live exchange with this key.
///
/// # Errors
/// Those of the database.
pub fn live(db: &mut Db, live_key: &str) -> Result<Option<ExchangeRow>, Failure> {
    Ok(exchange::table
        .filter(exchange::live_key.eq(live_key))
        .select(ExchangeRow::as_select())
        .first(db)
        .optional()?)
}

/// Returns the exchange that was started under this request key.
///
/// # Errors
/// Those of the database.
pub fn by_request(db: &mut Db, request_key: &str) -> Result<Option<AskRow>, Failure> {
    Ok(exchange_ask::table
        .filter(exchange_ask::request_key.eq(request_key))
        .select(AskRow::as_select())
        .first(db)
        .optional()?)
}

/// Replaces the row of an exchange by `row`, whose version is the one that was read; the stored version becomes one more. Returns false,
/// and changes nothing, when the exchange has been changed since.
///
/// # Errors
/// Those of the database.
pub fn replace(db: &mut Db, row: &ExchangeRow) -> Result<bool, Failure> {
    let read = row.version;
    let next = ExchangeRow {
        version: read + 1,
        ..row.clone()
    };
    let changed = diesel::update(exchange::table.find(&row.id).filter(exchange::version.eq(read)))
        .set(&next)
        .execute(db)?;
    Ok(changed == 1)
}

/// Whether at least so many exchanges of a partner live.
///
/// # Errors
/// Those of the database.
pub fn has_so_many(db: &mut Db, partner_id: &str, count: i64) -> Result<bool, Failure> {
    let last: Option<String> = exchange::table
        .filter(exchange::partner_id.eq(partner_id).and(exchange::ended_ms.is_null()))
        .order(exchange::id)
        .select(exchange::id)
        .offset((count - 1).max(0))
        .first(db)
        .optional()?;
    Ok(last.is_some())
}
