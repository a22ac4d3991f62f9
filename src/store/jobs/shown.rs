//! Jobs as metrics and operators see them, and the one action of an operator: replaying a parked job.

use super::states::{PARKED, PRIORITIES, WAITING, waits};
use crate::error::Failure;
use crate::store::Db;
use crate::store::schema::job;
use diesel::dsl::count_star;
use diesel::prelude::*;

/// The repeated work that may stand in the queue with nobody to do it: its setting was taken away, and its row stays. It is never late.
pub const OF_A_SETTING: &str = "ledger-witness";

/// The state of the queue.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct QueueStanding {
    /// How many jobs are parked.
    pub parked: i64,
    /// Age of the oldest parked job, in milliseconds.
    pub oldest_parked_ms: i64,
    /// How long the job that was due first has been waiting, in milliseconds; that of [`OF_A_SETTING`] does not count.
    pub late_ms: i64,
}

/// Returns the state of the queue at `now_ms` (UTC milliseconds).
///
/// # Errors
/// Those of the database.
pub fn standing(db: &mut Db, now_ms: i64) -> Result<QueueStanding, Failure> {
    let parked = job::table.filter(job::parked_at_ms.is_not_null());
    let count: i64 = parked.select(count_star()).first(db)?;
    let oldest: Option<Option<i64>> = parked
        .order(job::parked_at_ms.asc())
        .select(job::parked_at_ms)
        .first(db)
        .optional()?;
    let mut first_due = now_ms;
    for priority in PRIORITIES {
        let due: Option<i64> = job::table
            .filter(waits().and(job::priority.eq(priority)))
            .filter(job::due_ms.le(now_ms).and(job::kind.ne(OF_A_SETTING)))
            .filter(job::lease_until_ms.is_null().or(job::lease_until_ms.le(now_ms)))
            .order((job::due_ms.asc(), job::id.asc()))
            .select(job::due_ms)
            .first(db)
            .optional()?;
        first_due = first_due.min(due.unwrap_or(now_ms));
    }
    Ok(QueueStanding {
        parked: count,
        oldest_parked_ms: oldest.flatten().map_or(0, |since| (now_ms - since).max(0)),
        late_ms: now_ms - first_due,
    })
}

/// A job as an operator sees it.
#[derive(Clone, Debug, Queryable, Selectable)]
#[diesel(table_name = job)]
#[allow(missing_docs)]
pub struct Shown {
    pub id: String,
    pub kind: String,
    pub partner_id: Option<String>,
    pub state: String,
    pub due_ms: i64,
    pub lease_until_ms: Option<i64>,
    pub claims: i64,
    pub attempts: i64,
    pub last_class: Option<String>,
    pub parked_at_ms: Option<i64>,
}

/// Returns jobs ordered by id, after this id, at most `limit`; only parked ones when `parked` is true.
///
/// # Errors
/// Those of the database.
pub fn list(db: &mut Db, parked: bool, after: &str, limit: i64) -> Result<Vec<Shown>, Failure> {
    let mut query = job::table
        .filter(job::id.gt(after))
        .order(job::id.asc())
        .limit(limit)
        .select(Shown::as_select())
        .into_boxed::<_>();
    if parked {
        query = query.filter(job::parked_at_ms.is_not_null());
    }
    Ok(query.load(db)?)
}

/// Returns the job with this id.
///
/// # Errors
/// Those of the database.
pub fn find(db: &mut Db, id: &str) -> Result<Option<Shown>, Failure> {
    Ok(job::table.find(id).select(Shown::as_select()).first(db).optional()?)
}

/// Makes a parked job due now and resets its counts. Returns false when it is not parked.
///
/// # Errors
/// Those of the database.
pub fn replay(db: &mut Db, id: &str, now_ms: i64) -> Result<bool, Failure> {
    let replayed = diesel::update(job::table.find(id).filter(job::state.eq(PARKED)))
        .set((
            job::state.eq(WAITING),
            job::due_ms.eq(now_ms),
            job::claims.eq(0),
            job::attempts.eq(0),
            job::parked_at_ms.eq(None::<i64>),
            job::updated_ms.eq(now_ms),
        ))
        .execute(db)?;
    Ok(replayed == 1)
}
