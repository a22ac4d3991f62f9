//! Rows of `job`: background work that survives the process. Only the holder of a lease may write the result of its job.
//!
//! When work is tried again or given up is decided by `jobs`, not here. Every write of a result names the id, token
//! and epoch of its lease, and returns whether it found the row.

mod hand_in;
mod shown;
mod states;

pub use hand_in::{NewRow, enqueue, hasten, hold, is_parked, point_at, take_back};
pub use shown::{OF_A_SETTING, QueueStanding, Shown, find, list, replay, standing};
pub use states::{PARKED, PRIORITIES, WAITING};

use super::Db;
use super::dynamic::{HeldValue, Sql};
use super::schema::job;
use crate::error::Failure;
use diesel::prelude::*;
use diesel::sql_types::{BigInt, Nullable, Text};
use states::waits;

/// A job that may be claimed.
#[derive(Clone, Debug, Queryable)]
#[allow(missing_docs)] // the columns, as the migrations tell them
pub struct DueJob {
    pub id: String,
    pub kind: String,
    pub partner_id: Option<String>,
    pub live_key: String,
    pub payload: String,
    pub lease_epoch: i64,
    pub claims: i64,
    pub attempts: i64,
}

type DueColumns = (Text, Text, Nullable<Text>, Text, Text, BigInt, BigInt, BigInt);

/// The lease of a job: what its holder must name in every write.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lease {
    /// Id of the job.
    pub id: String,
    /// 128 random bits.
    pub token: Vec<u8>,
    /// How often the job has been leased.
    pub epoch: i64,
}

/// How an attempt ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Settled<'a> {
    /// The work is done; the row is deleted.
    Done,
    /// The work is done for now, and is due again.
    Again {
        /// When, UTC milliseconds.
        due_ms: i64,
        /// Why it is due again.
        class: &'a str,
    },
    /// The attempt failed, and is due again.
    Retry {
        /// When, UTC milliseconds.
        due_ms: i64,
        /// Why it failed.
        class: &'a str,
    },
    /// The worker panicked. As after a crash, the claim stays counted.
    Fell {
        /// When it is due again, UTC milliseconds.
        due_ms: i64,
        /// What happened.
        class: &'a str,
    },
    /// It waits for an operator.
    Parked {
        /// Why.
        class: &'a str,
    },
}

/// Returns the time in UTC milliseconds: `given`, or the database's own clock when it is `None`.
///
/// # Errors
/// Those of the database.
pub fn time(db: &mut Db, given: Option<i64>) -> Result<i64, Failure> {
    #[derive(QueryableByName)]
    struct Now {
        #[diesel(sql_type = BigInt)]
        now_ms: i64,
    }
    match (given, db) {
        (Some(now_ms), _) => Ok(now_ms),
        (None, Db::Pg(pg)) => {
            let sql = "SELECT (EXTRACT(EPOCH FROM clock_timestamp()) * 1000)::bigint AS now_ms";
            Ok(diesel::sql_query(sql).get_result::<Now>(pg)?.now_ms)
        }
        (None, Db::Sqlite(sqlite)) => {
            let sql = "SELECT CAST(unixepoch('subsec') * 1000 AS INTEGER) AS now_ms";
            Ok(diesel::sql_query(sql).get_result::<Now>(sqlite)?.now_ms)
        }
    }
}

/// Which jobs a worker looks for.
#[derive(Clone, Copy, Debug)]
pub struct WantedJobs<'a> {
    /// Only jobs of these kinds.
    pub kinds: &'a [&'a str],
    /// Whose jobs.
    pub partners: Partners<'a>,
    /// The ids of jobs that this worker is running: they are left out even if a change of the clock makes their leases look expired.
    pub not: &'a [String],
    /// At most this many.
    pub limit: usize,
}

/// Returns the jobs that may be claimed now, in their order. On PostgreSQL it locks the rows and skips rows that another worker has locked.
///
/// # Errors
/// Those of the database.
pub fn claimable(db: &mut Db, wanted: &WantedJobs<'_>, now_ms: i64) -> Result<Vec<DueJob>, Failure> {
    let mut found = Vec::new();
    for priority in PRIORITIES {
        let left = wanted.limit.saturating_sub(found.len());
        if left == 0 {
            break;
        }
        let mut sql = Sql::new(
            "SELECT id, kind, partner_id, live_key, payload, lease_epoch, claims, attempts FROM job WHERE state = 'waiting'",
        );
        sql.with(
            " AND priority = ? AND due_ms <= ? AND (lease_until_ms IS NULL OR lease_until_ms <= ?)",
            [HeldValue::Big(priority), HeldValue::Big(now_ms), HeldValue::Big(now_ms)],
        );
        sql.add(" AND kind IN ")
            .list(wanted.kinds.iter().map(|kind| HeldValue::from(*kind)));
        if !wanted.not.is_empty() {
            sql.add(" AND id NOT IN ")
                .list(wanted.not.iter().map(|id| HeldValue::from(id.as_str())));
        }
        match wanted.partners {
            Partners::Except([]) => {}
            Partners::Except(names) => {
                sql.add(" AND (partner_id IS NULL OR partner_id NOT IN ")
                    .list(names.iter().map(|name| HeldValue::from(name.as_str())))
                    .add(")");
            }
            Partners::Only(names) => {
                sql.add(" AND partner_id IN ")
                    .list(names.iter().map(|name| HeldValue::from(name.as_str())));
            }
        }
        let limit = i64::try_from(left).unwrap_or(i64::MAX);
        sql.with(" ORDER BY due_ms, id LIMIT ?", [HeldValue::Big(limit)]);
        let rows: Vec<DueJob> = match db {
            Db::Pg(pg) => {
                sql.add(" FOR UPDATE SKIP LOCKED");
                sql.rows::<DueColumns>().load(pg)?
            }
            Db::Sqlite(sqlite) => sql.rows::<DueColumns>().load(sqlite)?,
        };
        found.extend(rows);
    }
    Ok(found)
}

/// Whose jobs are looked for.
#[derive(Clone, Copy, Debug)]
pub enum Partners<'a> {
    /// All jobs but those of these partners; jobs without a partner are included.
    Except(&'a [String]),
    /// Only the jobs of these partners.
    Only(&'a [String]),
}

/// Leases these jobs, which the caller has just read with [`claimable`] in the same transaction. Adds one to the epoch of each.
///
/// # Errors
/// Those of the database.
pub fn lease(db: &mut Db, ids: &[&str], token: &[u8], until_ms: i64, now_ms: i64) -> Result<(), Failure> {
    diesel::update(job::table.filter(job::id.eq_any(ids)))
        .set((
            job::lease_until_ms.eq(Some(until_ms)),
            job::lease_token.eq(Some(token)),
            job::lease_epoch.eq(job::lease_epoch + 1),
            job::claims.eq(job::claims + 1),
            job::updated_ms.eq(now_ms),
        ))
        .execute(db)?;
    Ok(())
}

/// Parks jobs that no worker holds.
///
/// # Errors
/// Those of the database.
pub fn park(db: &mut Db, ids: &[&str], class: &str, now_ms: i64) -> Result<(), Failure> {
    diesel::update(job::table.filter(job::id.eq_any(ids)))
        .set((
            job::state.eq(PARKED),
            job::last_class.eq(Some(class)),
            job::parked_at_ms.eq(Some(now_ms)),
            job::lease_until_ms.eq(None::<i64>),
            job::lease_token.eq(None::<Vec<u8>>),
            job::updated_ms.eq(now_ms),
        ))
        .execute(db)?;
    Ok(())
}

macro_rules! held {
    ($lease:expr) => {
        job::table.find(&$lease.id).filter(
            job::lease_token
                .eq(Some(&$lease.token))
                .and(job::lease_epoch.eq($lease.epoch)),
        )
    };
}

/// Whether the lease still holds. If it does, the row is locked, so the lease holds until this transaction ends.
///
/// # Errors
/// Those of the database.
pub fn still_holds(db: &mut Db, lease: &Lease, now_ms: i64) -> Result<bool, Failure> {
    let touched = diesel::update(held!(lease))
        .set(job::updated_ms.eq(now_ms))
        .execute(db)?;
    Ok(touched == 1)
}

/// Notes that the work of a lease has got on: the leases before it that ended without a result count no more. The lease itself still does.
///
/// # Errors
/// Those of the database.
pub fn got_on(db: &mut Db, lease: &Lease) -> Result<(), Failure> {
    diesel::update(held!(lease).filter(job::claims.gt(1)))
        .set(job::claims.eq(1))
        .execute(db)?;
    Ok(())
}

/// Writes how an attempt ended and ends its lease. Returns false, and writes nothing, when the lease was lost.
///
/// # Errors
/// Those of the database.
pub fn settle(db: &mut Db, lease: &Lease, settled: Settled<'_>, now_ms: i64) -> Result<bool, Failure> {
    let free = (
        job::lease_until_ms.eq(None::<i64>),
        job::lease_token.eq(None::<Vec<u8>>),
        job::updated_ms.eq(now_ms),
    );
    let changed = match settled {
        Settled::Done => diesel::delete(held!(lease)).execute(db)?,
        Settled::Again { due_ms, class } => diesel::update(held!(lease))
            .set((
                free,
                job::due_ms.eq(due_ms),
                job::claims.eq(0),
                job::attempts.eq(0),
                job::last_class.eq(Some(class)),
            ))
            .execute(db)?,
        Settled::Retry { due_ms, class } => diesel::update(held!(lease))
            .set((
                free,
                job::due_ms.eq(due_ms),
                job::claims.eq(0),
                job::attempts.eq(job::attempts + 1),
                job::last_class.eq(Some(class)),
            ))
            .execute(db)?,
        Settled::Fell { due_ms, class } => diesel::update(held!(lease))
            .set((free, job::due_ms.eq(due_ms), job::last_class.eq(Some(class))))
            .execute(db)?,
        Settled::Parked { class } => diesel::update(held!(lease))
            .set((
                free,
                job::state.eq(PARKED),
                job::parked_at_ms.eq(Some(now_ms)),
                job::attempts.eq(job::attempts + 1),
                job::last_class.eq(Some(class)),
            ))
            .execute(db)?,
    };
    Ok(changed == 1)
}

/// Extends a lease. Returns false when it was lost.
///
/// # Errors
/// Those of the database.
pub fn renew(db: &mut Db, lease: &Lease, until_ms: i64) -> Result<bool, Failure> {
    let renewed = diesel::update(held!(lease))
        .set(job::lease_until_ms.eq(Some(until_ms)))
        .execute(db)?;
    Ok(renewed == 1)
}

/// Gives a lease back at once, as if the job had not been claimed. Returns false when it was lost.
///
/// # Errors
/// Those of the database.
pub fn hand_back(db: &mut Db, lease: &Lease, now_ms: i64) -> Result<bool, Failure> {
    let handed = diesel::update(held!(lease))
        .set((
            job::lease_until_ms.eq(Some(now_ms)),
            job::lease_token.eq(None::<Vec<u8>>),
            job::claims.eq(job::claims - 1),
            job::updated_ms.eq(now_ms),
        ))
        .execute(db)?;
    Ok(handed == 1)
}

/// Ends all leases. For a store that only this process uses: the processes that held the
/// leases are gone. Their claims stay counted. Returns how many.
///
/// # Errors
/// Those of the database.
pub fn recover(db: &mut Db, now_ms: i64) -> Result<usize, Failure> {
    Ok(diesel::update(job::table.filter(job::lease_until_ms.gt(now_ms)))
        .set((
            job::lease_until_ms.eq(Some(now_ms)),
            job::lease_token.eq(None::<Vec<u8>>),
            job::updated_ms.eq(now_ms),
        ))
        .execute(db)?)
}

/// Returns when the next job of any kind can be claimed (UTC milliseconds): a job becomes due, or a lease ends.
///
/// # Errors
/// Those of the database.
pub fn next_ms(db: &mut Db) -> Result<Option<i64>, Failure> {
    let mut next: Option<i64> = job::table
        .filter(job::lease_until_ms.is_not_null())
        .order(job::lease_until_ms.asc())
        .select(job::lease_until_ms)
        .first::<Option<i64>>(db)
        .optional()?
        .flatten();
    for priority in PRIORITIES {
        let first: Option<i64> = job::table
            .filter(waits().and(job::priority.eq(priority)))
            .filter(job::lease_until_ms.is_null())
            .order((job::due_ms.asc(), job::id.asc()))
            .select(job::due_ms)
            .first(db)
            .optional()?;
        next = next.into_iter().chain(first).min();
    }
    Ok(next)
}
