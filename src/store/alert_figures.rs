//! What the rows say for alerts: counts, times and clocks in windows of time.
//!
//! Reads only, and judges nothing: what is too much is decided by `ops::alerts`. Every statement reads a range of an index, or ends after
//! [`ROWS`] rows, so that a look costs the same however large the store is. Limits stand in the texts: with a bound one, PostgreSQL plans for a
//! share of the whole table.

use super::statement::{Bind, Statement};
use super::{Db, ledger_tree};
use crate::error::Failure;
use crate::ids::before_all_of;
use diesel::prelude::*;
use diesel::sql_types::{BigInt, Text};

/// Rows that one statement looks at, at most; of more, those that the window ends with, and of clocks the oldest. The texts repeat it.
pub const ROWS: i64 = 5_000;

/// The circuit breaker of one partner whose circuit is open.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OpenCircuit {
    /// The partner.
    pub partner: String,
    /// How often it was opened in a row, without an answer in between.
    pub opened: i64,
    /// Until when nobody calls the partner, UTC milliseconds; in the past when nothing was tried since.
    pub until_ms: i64,
}

struct CircuitsTag;

/// Returns the partners whose circuit is open, at most [`ROWS`]. Partners that are well have no row.
///
/// # Errors
/// Those of the database.
pub fn open_circuits(db: &mut Db) -> Result<Vec<OpenCircuit>, Failure> {
    let statement = Statement::<CircuitsTag, (Text, BigInt, BigInt)>::new(
        "SELECT partner_id, opened, open_until_ms FROM partner_health WHERE open_until_ms IS NOT NULL \
         ORDER BY partner_id LIMIT 5000",
        vec![],
    );
    let rows: Vec<(String, i64, i64)> = match db {
        Db::Pg(pg) => statement.load(pg)?,
        Db::Sqlite(sqlite) => statement.load(sqlite)?,
    };
    let open = rows.into_iter().map(|(partner, opened, until_ms)| OpenCircuit {
        partner,
        opened,
        until_ms,
    });
    Ok(open.collect())
}

/// How long a partner took to answer one call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AnswerTime {
    /// The partner.
    pub partner: String,
    /// How long it took, milliseconds.
    pub took_ms: i64,
    /// When it ended, UTC milliseconds.
    pub ended_ms: i64,
}

struct AnswerTimesTag;

/// Returns the times of the newest [`ROWS`] attempts of exchanges that began at `since_ms` (UTC milliseconds) or later. Attempts that no HTTP
/// answer ended are left out: they say that a partner fails, not that it is slow.
///
/// # Errors
/// Those of the database.
pub fn answer_times(db: &mut Db, since_ms: i64) -> Result<Vec<AnswerTime>, Failure> {
    let since = before_all_of(since_ms);
    // A probe for each row, and no join: PostgreSQL would read all exchanges for it.
    let statement = Statement::<AnswerTimesTag, (Text, BigInt, BigInt)>::new(
        "SELECT t.partner_id, t.took_ms, t.ended_ms FROM \
         (SELECT (SELECT x.partner_id FROM exchange x WHERE x.id = s.exchange_id) AS partner_id, \
         s.ended_ms - s.started_ms AS took_ms, s.ended_ms AS ended_ms FROM \
         (SELECT exchange_id, started_ms, ended_ms, http_status FROM exchange_step WHERE exchange_id > ? \
         ORDER BY exchange_id DESC, number DESC LIMIT 5000) AS s \
         WHERE s.ended_ms IS NOT NULL AND s.http_status IS NOT NULL) AS t WHERE t.partner_id IS NOT NULL",
        vec![Bind::Text(&since)],
    );
    let rows: Vec<(String, i64, i64)> = match db {
        Db::Pg(pg) => statement.load(pg)?,
        Db::Sqlite(sqlite) => statement.load(sqlite)?,
    };
    let times = rows.into_iter().map(|(partner, took_ms, ended_ms)| AnswerTime {
        partner,
        took_ms,
        ended_ms,
    });
    Ok(times.collect())
}

/// The matches of one partner in a window.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MatchTally {
    /// The partner.
    pub partner: String,
    /// Requests that matched a member.
    pub matched: i64,
    /// Requests for which a member was looked up; those that the consent alone decided are not among them.
    pub tried: i64,
}

struct MatchesTag;

/// Returns what came of the newest 200 decisions of each partner from `from_ms` until before `to_ms` (UTC milliseconds), for the first [`ROWS`]
/// partners. Each partner's are a range of an index of their own, so that no partner hides another.
///
/// # Errors
/// Those of the database.
pub fn matches(db: &mut Db, from_ms: i64, to_ms: i64) -> Result<Vec<MatchTally>, Failure> {
    let (from, to) = (before_all_of(from_ms), before_all_of(to_ms));
    let statement = Statement::<MatchesTag, (Text, BigInt, BigInt)>::new(
        "SELECT p.id, \
         (SELECT COUNT(*) FROM (SELECT d.outcome FROM decision d WHERE d.partner_id = p.id AND d.id > ? AND d.id < ? \
         ORDER BY d.id DESC LIMIT 200) AS w WHERE w.outcome = 'matched'), \
         (SELECT COUNT(*) FROM (SELECT d.outcome FROM decision d WHERE d.partner_id = p.id AND d.id > ? AND d.id < ? \
         ORDER BY d.id DESC LIMIT 200) AS w WHERE w.outcome IN ('matched', 'none', 'review', 'guarded')) \
         FROM partner p ORDER BY p.id LIMIT 5000",
        vec![Bind::Text(&from), Bind::Text(&to), Bind::Text(&from), Bind::Text(&to)],
    );
    let rows: Vec<(String, i64, i64)> = match db {
        Db::Pg(pg) => statement.load(pg)?,
        Db::Sqlite(sqlite) => statement.load(sqlite)?,
    };
    let tallies = rows.into_iter().map(|(partner, matched, tried)| MatchTally {
        partner,
        matched,
        tried,
    });
    Ok(tallies.collect())
}

struct EndedTag;

/// Returns how many grants were ended before their time from `from_ms` until before `to_ms` (UTC milliseconds). Each partner's are a range of
/// an index.
///
/// # Errors
/// Those of the database.
pub fn grants_ended(db: &mut Db, from_ms: i64, to_ms: i64) -> Result<i64, Failure> {
    let statement = Statement::<EndedTag, (BigInt,)>::new(
        "SELECT COUNT(*) FROM grants WHERE revoked_ms IS NOT NULL AND revoked_ms >= ? AND revoked_ms < ? \
         AND partner_id IN (SELECT id FROM partner)",
        vec![Bind::Big(from_ms), Bind::Big(to_ms)],
    );
    let (count,): (i64,) = match db {
        Db::Pg(pg) => statement.get_result(pg)?,
        Db::Sqlite(sqlite) => statement.get_result(sqlite)?,
    };
    Ok(count)
}

struct DueTag;

/// Returns how many background jobs are due at `now_ms` (UTC milliseconds), at most [`ROWS`]. Those that are running are among them.
///
/// # Errors
/// Those of the database.
pub fn due_jobs(db: &mut Db, now_ms: i64) -> Result<i64, Failure> {
    // The priorities are those of `jobs::PRIORITIES`: with them the database reads a range of the index for each.
    let statement = Statement::<DueTag, (BigInt,)>::new(
        "SELECT COUNT(*) FROM (SELECT id FROM job WHERE state = 'waiting' AND priority IN (0, 1, 2) AND due_ms <= ? LIMIT 5000) AS j",
        vec![Bind::Big(now_ms)],
    );
    let (count,): (i64,) = match db {
        Db::Pg(pg) => statement.get_result(pg)?,
        Db::Sqlite(sqlite) => statement.get_result(sqlite)?,
    };
    Ok(count)
}

struct ParkedTag;

/// Returns how many jobs and exchanges were parked at `since_ms` (UTC milliseconds) or later and still are.
///
/// # Errors
/// Those of the database.
pub fn parked_since(db: &mut Db, since_ms: i64) -> Result<i64, Failure> {
    let statement = Statement::<ParkedTag, (BigInt,)>::new(
        "SELECT (SELECT COUNT(*) FROM job WHERE parked_at_ms IS NOT NULL AND parked_at_ms >= ?) + \
         (SELECT COUNT(*) FROM exchange WHERE parked_at_ms IS NOT NULL AND parked_at_ms >= ?)",
        vec![Bind::Big(since_ms), Bind::Big(since_ms)],
    );
    let (count,): (i64,) = match db {
        Db::Pg(pg) => statement.get_result(pg)?,
        Db::Sqlite(sqlite) => statement.get_result(sqlite)?,
    };
    Ok(count)
}

/// The clock of an exchange that has not ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RunningClock {
    /// The exchange.
    pub exchange: String,
    /// The partner.
    pub partner: String,
    /// When it began, UTC milliseconds.
    pub began_ms: i64,
    /// When its answer is due, or until it asked, its request; UTC milliseconds.
    pub due_ms: i64,
}

struct ClocksTag;

/// Returns the clocks of the oldest [`ROWS`] exchanges that go on, and of as many that are parked.
///
/// # Errors
/// Those of the database.
pub fn clocks(db: &mut Db) -> Result<Vec<RunningClock>, Failure> {
    let statement = Statement::<ClocksTag, (Text, Text, BigInt, BigInt)>::new(
        "SELECT a.id, a.partner_id, a.created_ms, COALESCE(a.answer_due_ms, a.due_ms) FROM \
         (SELECT id, partner_id, created_ms, answer_due_ms, due_ms FROM exchange \
         WHERE ended_ms IS NULL AND parked_at_ms IS NULL ORDER BY id LIMIT 5000) AS a \
         UNION ALL SELECT p.id, p.partner_id, p.created_ms, COALESCE(p.answer_due_ms, p.due_ms) FROM \
         (SELECT id, partner_id, created_ms, answer_due_ms, due_ms FROM exchange \
         WHERE parked_at_ms IS NOT NULL AND ended_ms IS NULL ORDER BY parked_at_ms LIMIT 5000) AS p",
        vec![],
    );
    let rows: Vec<(String, String, i64, i64)> = match db {
        Db::Pg(pg) => statement.load(pg)?,
        Db::Sqlite(sqlite) => statement.load(sqlite)?,
    };
    let clocks = rows
        .into_iter()
        .map(|(exchange, partner, began_ms, due_ms)| RunningClock {
            exchange,
            partner,
            began_ms,
            due_ms,
        });
    Ok(clocks.collect())
}

struct UnsequencedTag;

/// Returns the time (UTC milliseconds) of the oldest entry from before `before_ms` that is not in the tree of the ledger. `None` when there is
/// none, or when no log has begun. What the tree had all of already is not looked at.
///
/// # Errors
/// Those of the database; [`crate::error::Fault::StoreDamaged`] when the log has no tree.
pub fn unsequenced_since(db: &mut Db, before_ms: i64) -> Result<Option<i64>, Failure> {
    let Some(log) = ledger_tree::log(db)? else {
        return Ok(None);
    };
    let (settled, before) = (ledger_tree::tree(db, log.no)?.settled, before_all_of(before_ms));
    let statement = Statement::<UnsequencedTag, (BigInt,)>::new(
        "SELECT e.at_us FROM ledger_entry e WHERE e.id > ? AND e.id < ? AND NOT EXISTS \
         (SELECT 1 FROM ledger_leaf l WHERE l.log = ? AND l.entry_id = e.id) ORDER BY e.id LIMIT 1",
        vec![Bind::Text(&settled), Bind::Text(&before), Bind::Big(log.no)],
    );
    let oldest: Option<(i64,)> = match db {
        Db::Pg(pg) => statement.get_result(pg).optional()?,
        Db::Sqlite(sqlite) => statement.get_result(sqlite).optional()?,
    };
    Ok(oldest.map(|(at_us,)| at_us / 1_000))
}
