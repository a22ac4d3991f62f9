//! The rows that business figures are counted from, a page at a time: those that began in a time by their ids, and clocks by when they end.
//!
//! Reads only, and judges nothing: what a row means for a figure is decided by `figures`. No column of a member is read.

use super::Db;
use super::schema::{decision, exchange, ledger_entry, review, review_act};
use super::statement::{Bind, Statement};
use crate::error::Failure;
use diesel::prelude::*;
use diesel::sql_types::{BigInt, Text};

/// Rows of a page. The texts repeat it.
pub const PAGE: i64 = 1_000;

/// Rows with ids after `after` and before `before`.
#[derive(Clone, Copy, Debug)]
pub struct IdSpan<'a> {
    /// The id that comes before the page.
    pub after: &'a str,
    /// The first id after the time.
    pub before: &'a str,
}

/// An exchange that this payer began.
#[derive(Clone, Debug, Queryable)]
#[allow(missing_docs)] // the columns, as the migrations tell them
pub struct BegunExchange {
    pub id: String,
    pub partner_id: String,
    pub kind: String,
    pub phase: String,
    pub delivery_state: String,
    pub owner: String,
    pub reason: Option<String>,
    pub created_ms: i64,
    pub ended_ms: Option<i64>,
}

/// Returns exchanges that this payer began.
///
/// # Errors
/// Those of the database.
pub fn begun(db: &mut Db, of: IdSpan<'_>) -> Result<Vec<BegunExchange>, Failure> {
    Ok(exchange::table
        .filter(exchange::id.gt(of.after).and(exchange::id.lt(of.before)))
        .filter(exchange::direction.eq("outbound"))
        .order(exchange::id)
        .limit(PAGE)
        .select((
            exchange::id,
            exchange::partner_id,
            exchange::kind,
            exchange::phase,
            exchange::delivery_state,
            exchange::owner,
            exchange::reason,
            exchange::created_ms,
            exchange::ended_ms,
        ))
        .load(db)?)
}

/// A decision on a match that a partner asked for.
#[derive(Clone, Debug, Queryable)]
#[allow(missing_docs)]
pub struct DecidedMatch {
    pub id: String,
    pub partner_id: String,
    pub kind: String,
    pub outcome: String,
    pub reason: Option<String>,
}

/// Returns decisions on matches of partners.
///
/// # Errors
/// Those of the database.
pub fn decided(db: &mut Db, of: IdSpan<'_>) -> Result<Vec<DecidedMatch>, Failure> {
    Ok(decision::table
        .filter(decision::id.gt(of.after).and(decision::id.lt(of.before)))
        .order(decision::id)
        .limit(PAGE)
        .select((
            decision::id,
            decision::partner_id,
            decision::kind,
            decision::outcome,
            decision::reason,
        ))
        .load(db)?)
}

/// The clock of an exchange that ended, or not.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EndedClock {
    /// The exchange.
    pub exchange: String,
    /// The partner.
    pub partner: String,
    /// Why it was begun.
    pub asked_for: String,
    /// The phase of the exchange.
    pub phase: String,
    /// Its delivery state.
    pub delivery_state: String,
    /// Who has to do something.
    pub owner: String,
    /// The code of its fault; empty without one.
    pub reason: String,
    /// When the exchange began, UTC milliseconds.
    pub began_ms: i64,
    /// When this clock ends, UTC milliseconds.
    pub due_ms: i64,
    /// When the answer is due, UTC milliseconds; none until the partner was asked.
    pub answer_due_ms: Option<i64>,
    /// When the exchange ended, UTC milliseconds.
    pub ended_ms: Option<i64>,
}

/// The columns of a clock, with 0 for a time that is missing.
type ClockColumns = (Text, Text, Text, Text, Text, Text, Text, BigInt, BigInt, BigInt, BigInt);
type ClockValues = (
    String,
    String,
    String,
    String,
    String,
    String,
    String,
    i64,
    i64,
    i64,
    i64,
);

fn clock(values: ClockValues) -> EndedClock {
    let (exchange, partner, asked_for, phase, delivery_state, owner, reason, began_ms, due_ms, answer_due_ms, ended_ms) =
        values;
    EndedClock {
        exchange,
        partner,
        asked_for,
        phase,
        delivery_state,
        owner,
        reason,
        began_ms,
        due_ms,
        answer_due_ms: Some(answer_due_ms).filter(|at_ms| *at_ms != 0),
        ended_ms: Some(ended_ms).filter(|at_ms| *at_ms != 0),
    }
}

/// Returns a page of clocks.
macro_rules! clocks {
    ($db:expr, $tag:ty, $sql:expr, $binds:expr) => {{
        let statement = Statement::<$tag, ClockColumns>::new($sql, $binds);
        let rows: Vec<ClockValues> = match $db {
            Db::Pg(pg) => statement.load(pg)?,
            Db::Sqlite(sqlite) => statement.load(sqlite)?,
        };
        Ok(rows.into_iter().map(clock).collect())
    }};
}

/// Clocks that end at `from_ms` or later, but after the one of `after` at `from_ms`, and before `until_ms`; UTC milliseconds.
#[derive(Clone, Copy, Debug)]
pub struct ClockSpan<'a> {
    /// The time from which on.
    pub from_ms: i64,
    /// The exchange that comes before the page; empty for none.
    pub after: &'a str,
    /// The time before which.
    pub until_ms: i64,
}

struct AnswersTag;

/// Returns exchanges of ours whose answer is due in a time, in that order.
///
/// # Errors
/// Those of the database.
pub fn answers_due(db: &mut Db, of: ClockSpan<'_>) -> Result<Vec<EndedClock>, Failure> {
    clocks!(
        db,
        AnswersTag,
        "SELECT e.id, e.partner_id, COALESCE((SELECT a.asked_for FROM exchange_ask a WHERE a.exchange_id = e.id), ''), e.phase, \
         e.delivery_state, e.owner, COALESCE(e.reason, ''), e.created_ms, e.answer_due_ms, e.answer_due_ms, COALESCE(e.ended_ms, 0) \
         FROM exchange e WHERE e.answer_due_ms >= ? AND e.answer_due_ms < ? AND (e.answer_due_ms > ? OR e.id > ?) \
         AND e.direction = 'outbound' ORDER BY e.answer_due_ms, e.id LIMIT 1000",
        vec![
            Bind::Big(of.from_ms),
            Bind::Big(of.until_ms),
            Bind::Big(of.from_ms),
            Bind::Text(of.after),
        ]
    )
}

struct AsksTag;

/// Returns exchanges of ours whose request is due in a time, in that order.
///
/// # Errors
/// Those of the database.
pub fn asks_due(db: &mut Db, of: ClockSpan<'_>) -> Result<Vec<EndedClock>, Failure> {
    clocks!(
        db,
        AsksTag,
        "SELECT e.id, e.partner_id, COALESCE((SELECT a.asked_for FROM exchange_ask a WHERE a.exchange_id = e.id), ''), e.phase, \
         e.delivery_state, e.owner, COALESCE(e.reason, ''), e.created_ms, e.due_ms, COALESCE(e.answer_due_ms, 0), COALESCE(e.ended_ms, 0) \
         FROM exchange e WHERE e.due_ms >= ? AND e.due_ms < ? AND (e.due_ms > ? OR e.id > ?) \
         AND e.direction = 'outbound' ORDER BY e.due_ms, e.id LIMIT 1000",
        vec![
            Bind::Big(of.from_ms),
            Bind::Big(of.until_ms),
            Bind::Big(of.from_ms),
            Bind::Text(of.after),
        ]
    )
}

struct MissedTag;

/// Returns the newest exchanges of ours that missed the time of their answer, of the newest 5,000 whose answer was due from `from_ms` until before
/// `until_ms` (UTC milliseconds); at most 20.
///
/// # Errors
/// Those of the database.
pub fn newest_missed(db: &mut Db, from_ms: i64, until_ms: i64) -> Result<Vec<EndedClock>, Failure> {
    clocks!(
        db,
        MissedTag,
        "SELECT w.id, w.partner_id, '', w.phase, w.delivery_state, w.owner, w.reason, w.created_ms, w.answer_due_ms, w.answer_due_ms, w.ended_ms \
         FROM (SELECT e.id, e.partner_id, e.phase, e.delivery_state, e.owner, COALESCE(e.reason, '') AS reason, e.created_ms, e.answer_due_ms, \
         COALESCE(e.ended_ms, 0) AS ended_ms FROM exchange e WHERE e.answer_due_ms >= ? AND e.answer_due_ms < ? \
         AND e.direction = 'outbound' ORDER BY e.answer_due_ms DESC LIMIT 5000) AS w \
         WHERE w.ended_ms = 0 OR w.ended_ms > w.answer_due_ms ORDER BY w.answer_due_ms DESC, w.id LIMIT 20",
        vec![Bind::Big(from_ms), Bind::Big(until_ms)]
    )
}

struct RunningTag;

/// Returns the clocks of the oldest 5,000 exchanges that have not ended: when the answer is due, or until the partner was asked, the request.
///
/// # Errors
/// Those of the database.
pub fn running(db: &mut Db) -> Result<Vec<EndedClock>, Failure> {
    clocks!(
        db,
        RunningTag,
        "SELECT e.id, e.partner_id, COALESCE((SELECT a.asked_for FROM exchange_ask a WHERE a.exchange_id = e.id), ''), e.phase, \
         e.delivery_state, e.owner, COALESCE(e.reason, ''), e.created_ms, COALESCE(e.answer_due_ms, e.due_ms), COALESCE(e.answer_due_ms, 0), \
         CAST(0 AS BIGINT) FROM \
         (SELECT id FROM exchange WHERE ended_ms IS NULL AND parked_at_ms IS NULL ORDER BY id LIMIT 5000) AS w \
         JOIN exchange e ON e.id = w.id WHERE e.direction = 'outbound' \
         UNION ALL SELECT p.id, p.partner_id, COALESCE((SELECT a.asked_for FROM exchange_ask a WHERE a.exchange_id = p.id), ''), p.phase, \
         p.delivery_state, p.owner, COALESCE(p.reason, ''), p.created_ms, COALESCE(p.answer_due_ms, p.due_ms), COALESCE(p.answer_due_ms, 0), \
         CAST(0 AS BIGINT) FROM \
         (SELECT id FROM exchange WHERE parked_at_ms IS NOT NULL AND ended_ms IS NULL ORDER BY parked_at_ms LIMIT 5000) AS v \
         JOIN exchange p ON p.id = v.id WHERE p.direction = 'outbound'",
        vec![]
    )
}

/// Returns which exchanges entries of the ledger are about: the id of each entry, and the exchange of those that have one.
///
/// # Errors
/// Those of the database.
pub fn entered(db: &mut Db, of: IdSpan<'_>) -> Result<Vec<(String, Option<String>)>, Failure> {
    Ok(ledger_entry::table
        .filter(ledger_entry::id.gt(of.after).and(ledger_entry::id.lt(of.before)))
        .order(ledger_entry::id)
        .limit(PAGE)
        .select((ledger_entry::id, ledger_entry::exchange_id))
        .load(db)?)
}

/// Returns which reviews acts are about: the id of each act, and the review.
///
/// # Errors
/// Those of the database.
pub fn reviewed(db: &mut Db, of: IdSpan<'_>) -> Result<Vec<(String, String)>, Failure> {
    Ok(review_act::table
        .filter(review_act::id.gt(of.after).and(review_act::id.lt(of.before)))
        .order(review_act::id)
        .limit(PAGE)
        .select((review_act::id, review_act::review_id))
        .load(db)?)
}

/// Returns the first ids after `after` of an exchange, a decision, a review, and an entry of the ledger, where there are any.
///
/// # Errors
/// Those of the database.
pub fn first_after(db: &mut Db, after: &str) -> Result<[Option<String>; 4], Failure> {
    let exchange = exchange::table
        .filter(exchange::id.gt(after))
        .order(exchange::id)
        .select(exchange::id)
        .first::<String>(db)
        .optional()?;
    let decision = decision::table
        .filter(decision::id.gt(after))
        .order(decision::id)
        .select(decision::id)
        .first::<String>(db)
        .optional()?;
    let review = review::table
        .filter(review::id.gt(after))
        .order(review::id)
        .select(review::id)
        .first::<String>(db)
        .optional()?;
    let entry = ledger_entry::table
        .filter(ledger_entry::id.gt(after))
        .order(ledger_entry::id)
        .select(ledger_entry::id)
        .first::<String>(db)
        .optional()?;
    Ok([exchange, decision, review, entry])
}

struct NextDueTag;

/// Returns when the first clock of an exchange of ours ends, from `from_ms` on; UTC milliseconds.
///
/// # Errors
/// Those of the database.
pub fn first_due(db: &mut Db, from_ms: i64) -> Result<Option<i64>, Failure> {
    let statement = Statement::<NextDueTag, (BigInt, BigInt)>::new(
        "SELECT COALESCE((SELECT MIN(due_ms) FROM exchange WHERE due_ms >= ?), 0), \
         COALESCE((SELECT MIN(answer_due_ms) FROM exchange WHERE answer_due_ms >= ?), 0)",
        vec![Bind::Big(from_ms), Bind::Big(from_ms)],
    );
    let (ask, answer): (i64, i64) = match db {
        Db::Pg(pg) => statement.get_result(pg)?,
        Db::Sqlite(sqlite) => statement.get_result(sqlite)?,
    };
    Ok([ask, answer].into_iter().filter(|at_ms| *at_ms > 0).min())
}
