//! Rows of alerts that began and ended, and of what each receiver is told about them, once for the beginning and once for the end.
//!
//! When an alert begins and ends, and who is told, is decided by `alerting`. No row names a member.

use super::Db;
use super::schema::{alert_delivery, alert_episode};
use crate::error::Failure;
use diesel::prelude::*;

/// The event of an alert that began.
pub const BEGIN: &str = "begin";
/// The event of an alert that ended.
pub const CLEAR: &str = "clear";

/// The state of a delivery that is still to be made.
pub const WAITING: &str = "waiting";
/// The state of a delivery that the receiver took.
pub const DELIVERED: &str = "delivered";
/// The state of a delivery that nobody makes any more.
pub const DROPPED: &str = "dropped";

/// Deliveries and episodes that one call takes away.
const AT_ONCE: i64 = 200;

/// An alert from its beginning to its end.
#[derive(Clone, Debug, PartialEq, Eq, Queryable, Selectable, Insertable)]
#[diesel(table_name = alert_episode)]
#[allow(missing_docs)] // the columns, as the migrations tell them
pub struct EpisodeRow {
    pub id: String,
    pub code: String,
    pub open_code: Option<String>,
    pub found: i64,
    pub partners: String,
    pub began_ms: i64,
    pub seen_ms: i64,
    pub ended_ms: Option<i64>,
}

/// What a receiver is told.
#[derive(Clone, Debug, PartialEq, Eq, Queryable, Selectable, Insertable)]
#[diesel(table_name = alert_delivery)]
#[allow(missing_docs)] // the columns, as the migrations tell them
pub struct DeliveryRow {
    pub id: String,
    pub episode_id: String,
    pub receiver: String,
    pub event: String,
    pub state: String,
    pub body: String,
    pub made_ms: i64,
    pub done_ms: Option<i64>,
}

/// Returns the episodes that have not ended, in the order of their codes.
///
/// # Errors
/// Those of the database.
pub fn open(db: &mut Db) -> Result<Vec<EpisodeRow>, Failure> {
    Ok(alert_episode::table
        .filter(alert_episode::open_code.is_not_null())
        .order(alert_episode::code.asc())
        .select(EpisodeRow::as_select())
        .load(db)?)
}

/// Adds an episode. Returns false, and adds nothing, when its alert has one that has not ended.
///
/// # Errors
/// Those of the database.
pub fn begin(db: &mut Db, row: &EpisodeRow) -> Result<bool, Failure> {
    // A conflict must not be an error, because on PostgreSQL an error would abort the caller's transaction.
    let made = match db {
        Db::Pg(pg) => diesel::insert_into(alert_episode::table)
            .values(row)
            .on_conflict(alert_episode::open_code)
            .do_nothing()
            .execute(pg)?,
        Db::Sqlite(sqlite) => diesel::insert_into(alert_episode::table)
            .values(row)
            .on_conflict(alert_episode::open_code)
            .do_nothing()
            .execute(sqlite)?,
    };
    Ok(made == 1)
}

/// Notes that the alert of an episode was found raised at `now_ms` (UTC milliseconds).
///
/// # Errors
/// Those of the database.
pub fn see(db: &mut Db, id: &str, now_ms: i64) -> Result<(), Failure> {
    diesel::update(alert_episode::table.find(id))
        .set(alert_episode::seen_ms.eq(now_ms))
        .execute(db)?;
    Ok(())
}

/// Ends an episode at `now_ms` (UTC milliseconds), if it has not ended and was not seen since `seen_ms`. Returns whether it did.
///
/// # Errors
/// Those of the database.
pub fn end(db: &mut Db, id: &str, seen_ms: i64, now_ms: i64) -> Result<bool, Failure> {
    let quiet = alert_episode::table
        .find(id)
        .filter(alert_episode::open_code.is_not_null())
        .filter(alert_episode::seen_ms.eq(seen_ms));
    let ended = diesel::update(quiet)
        .set((
            alert_episode::open_code.eq(None::<String>),
            alert_episode::ended_ms.eq(Some(now_ms)),
        ))
        .execute(db)?;
    Ok(ended == 1)
}

/// Adds a delivery. Returns false, and adds nothing, when this receiver has one of this event of the episode.
///
/// # Errors
/// Those of the database.
pub fn put(db: &mut Db, row: &DeliveryRow) -> Result<bool, Failure> {
    let once = (
        alert_delivery::episode_id,
        alert_delivery::receiver,
        alert_delivery::event,
    );
    let made = match db {
        Db::Pg(pg) => diesel::insert_into(alert_delivery::table)
            .values(row)
            .on_conflict(once)
            .do_nothing()
            .execute(pg)?,
        Db::Sqlite(sqlite) => diesel::insert_into(alert_delivery::table)
            .values(row)
            .on_conflict(once)
            .do_nothing()
            .execute(sqlite)?,
    };
    Ok(made == 1)
}

/// Returns the deliveries about an episode, in the order of their receivers.
///
/// # Errors
/// Those of the database.
pub fn about(db: &mut Db, episode_id: &str) -> Result<Vec<DeliveryRow>, Failure> {
    Ok(alert_delivery::table
        .filter(alert_delivery::episode_id.eq(episode_id))
        .order((alert_delivery::receiver.asc(), alert_delivery::event.asc()))
        .select(DeliveryRow::as_select())
        .load(db)?)
}

/// Returns the oldest delivery that waits for this receiver.
///
/// # Errors
/// Those of the database.
pub fn next(db: &mut Db, receiver: &str) -> Result<Option<DeliveryRow>, Failure> {
    Ok(alert_delivery::table
        .filter(alert_delivery::state.eq(WAITING))
        .filter(alert_delivery::receiver.eq(receiver))
        .order(alert_delivery::id.asc())
        .select(DeliveryRow::as_select())
        .first(db)
        .optional()?)
}

/// Returns the receivers for whom a delivery waits.
///
/// # Errors
/// Those of the database.
pub fn receivers_waiting(db: &mut Db) -> Result<Vec<String>, Failure> {
    Ok(alert_delivery::table
        .filter(alert_delivery::state.eq(WAITING))
        .select(alert_delivery::receiver)
        .distinct()
        .order(alert_delivery::receiver.asc())
        .load(db)?)
}

/// Returns every receiver of which there is a row.
///
/// # Errors
/// Those of the database.
pub fn receivers(db: &mut Db) -> Result<Vec<String>, Failure> {
    Ok(alert_delivery::table
        .select(alert_delivery::receiver)
        .distinct()
        .order(alert_delivery::receiver.asc())
        .load(db)?)
}

/// Notes that a receiver took a delivery, at `now_ms` (UTC milliseconds).
///
/// # Errors
/// Those of the database.
pub fn delivered(db: &mut Db, id: &str, now_ms: i64) -> Result<(), Failure> {
    let waits = alert_delivery::table.find(id).filter(alert_delivery::state.eq(WAITING));
    diesel::update(waits)
        .set((
            alert_delivery::state.eq(DELIVERED),
            alert_delivery::done_ms.eq(Some(now_ms)),
        ))
        .execute(db)?;
    Ok(())
}

/// Drops what waits for this receiver and was made at `until_ms` or before; UTC milliseconds. Returns how much.
///
/// # Errors
/// Those of the database.
pub fn drop_until(db: &mut Db, receiver: &str, until_ms: i64, now_ms: i64) -> Result<usize, Failure> {
    let waits = alert_delivery::table
        .filter(alert_delivery::state.eq(WAITING))
        .filter(alert_delivery::receiver.eq(receiver))
        .filter(alert_delivery::made_ms.le(until_ms));
    Ok(diesel::update(waits)
        .set((
            alert_delivery::state.eq(DROPPED),
            alert_delivery::done_ms.eq(Some(now_ms)),
        ))
        .execute(db)?)
}

/// Drops what waits for this receiver about all episodes but the newest `most` of whose beginning it was not told. An end is told only with its
/// beginning, so both go; the end of an episode of whose beginning it was told always stays. Returns how many deliveries were dropped.
///
/// # Errors
/// Those of the database.
pub fn shed(db: &mut Db, receiver: &str, most: i64, now_ms: i64) -> Result<usize, Failure> {
    let untold: Vec<String> = alert_delivery::table
        .filter(alert_delivery::state.eq(WAITING))
        .filter(alert_delivery::receiver.eq(receiver))
        .filter(alert_delivery::event.eq(BEGIN))
        .order(alert_delivery::id.desc())
        .select(alert_delivery::episode_id)
        .limit(AT_ONCE)
        .offset(most)
        .load(db)?;
    if untold.is_empty() {
        return Ok(0);
    }
    let waits = alert_delivery::table
        .filter(alert_delivery::state.eq(WAITING))
        .filter(alert_delivery::receiver.eq(receiver))
        .filter(alert_delivery::episode_id.eq_any(&untold));
    Ok(diesel::update(waits)
        .set((
            alert_delivery::state.eq(DROPPED),
            alert_delivery::done_ms.eq(Some(now_ms)),
        ))
        .execute(db)?)
}

/// Deletes episodes that ended before `before_ms` (UTC milliseconds), with their deliveries; some of them at once.
///
/// # Errors
/// Those of the database.
pub fn prune(db: &mut Db, before_ms: i64) -> Result<(), Failure> {
    let old: Vec<String> = alert_episode::table
        .filter(alert_episode::ended_ms.lt(before_ms))
        .order(alert_episode::ended_ms.asc())
        .select(alert_episode::id)
        .limit(AT_ONCE)
        .load(db)?;
    if old.is_empty() {
        return Ok(());
    }
    diesel::delete(alert_delivery::table.filter(alert_delivery::episode_id.eq_any(&old))).execute(db)?;
    diesel::delete(alert_episode::table.filter(alert_episode::id.eq_any(&old))).execute(db)?;
    Ok(())
}

/// What a receiver was told, and what still waits for it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReceiverTally {
    /// Deliveries that wait.
    pub waiting: i64,
    /// When the oldest of them was made, UTC milliseconds.
    pub waiting_since_ms: Option<i64>,
    /// When it took one last, UTC milliseconds.
    pub delivered_ms: Option<i64>,
}

/// Returns what this receiver was told, as far as it is kept.
///
/// # Errors
/// Those of the database.
pub fn tally(db: &mut Db, receiver: &str) -> Result<ReceiverTally, Failure> {
    let waiting: i64 = alert_delivery::table
        .filter(alert_delivery::state.eq(WAITING))
        .filter(alert_delivery::receiver.eq(receiver))
        .count()
        .get_result(db)?;
    let delivered_ms: Option<Option<i64>> = alert_delivery::table
        .filter(alert_delivery::state.eq(DELIVERED))
        .filter(alert_delivery::receiver.eq(receiver))
        .order(alert_delivery::id.desc())
        .select(alert_delivery::done_ms)
        .first(db)
        .optional()?;
    Ok(ReceiverTally {
        waiting,
        waiting_since_ms: next(db, receiver)?.map(|oldest| oldest.made_ms),
        delivered_ms: delivered_ms.flatten(),
    })
}
