//! How a partner's server does: the numbers of the retry budget and of the circuit breaker. What they mean is decided by `exchange::health`.

use super::Db;
use super::schema::partner_health;
use crate::error::Failure;
use diesel::prelude::*;

/// The numbers of one partner.
#[derive(Clone, Debug, PartialEq, Eq, Queryable, Selectable, Insertable, AsChangeset)]
#[diesel(table_name = partner_health)]
#[diesel(treat_none_as_null = true)]
#[allow(missing_docs)]
pub struct HealthRow {
    pub partner_id: String,
    pub budget_milli: i64,
    pub budget_at_ms: i64,
    pub failures: i64,
    pub window_from_ms: i64,
    pub window_calls: i64,
    pub window_failed: i64,
    pub opened: i64,
    pub open_until_ms: Option<i64>,
    pub probe_until_ms: Option<i64>,
}

/// Returns the numbers of a partner; `None` when all is well.
///
/// # Errors
/// Those of the database.
pub fn find(db: &mut Db, partner_id: &str) -> Result<Option<HealthRow>, Failure> {
    Ok(partner_health::table
        .find(partner_id)
        .select(HealthRow::as_select())
        .first(db)
        .optional()?)
}

/// Returns the numbers of a partner as they are once nobody else changes them, and keeps their row until the caller's transaction ends. SQLite has
/// only one writer anyway.
///
/// # Errors
/// Those of the database.
pub fn hold(db: &mut Db, partner_id: &str) -> Result<Option<HealthRow>, Failure> {
    if let Db::Pg(pg) = db {
        return Ok(partner_health::table
            .find(partner_id)
            .select(HealthRow::as_select())
            .for_update()
            .first(pg)
            .optional()?);
    }
    find(db, partner_id)
}

/// Writes the numbers of a partner. On PostgreSQL two first writes at once are one.
///
/// # Errors
/// Those of the database.
pub fn put(db: &mut Db, row: &HealthRow) -> Result<(), Failure> {
    match db {
        Db::Pg(pg) => diesel::insert_into(partner_health::table)
            .values(row)
            .on_conflict(partner_health::partner_id)
            .do_update()
            .set(row)
            .execute(pg)?,
        Db::Sqlite(sqlite) => diesel::insert_into(partner_health::table)
            .values(row)
            .on_conflict(partner_health::partner_id)
            .do_update()
            .set(row)
            .execute(sqlite)?,
    };
    Ok(())
}

/// Forgets a partner's numbers: all is well.
///
/// # Errors
/// Those of the database.
pub fn forget(db: &mut Db, partner_id: &str) -> Result<(), Failure> {
    diesel::delete(partner_health::table.find(partner_id)).execute(db)?;
    Ok(())
}

/// Takes the place of the one call that tries a partner whose circuit is open, until `until_ms`. Returns false when another has it. One that
/// would hold it for longer than that took it before the clock was set back, and holds it no more.
///
/// # Errors
/// Those of the database.
pub fn take_probe(db: &mut Db, partner_id: &str, until_ms: i64, now_ms: i64) -> Result<bool, Failure> {
    let free = partner_health::probe_until_ms
        .is_null()
        .or(partner_health::probe_until_ms.le(now_ms))
        .or(partner_health::probe_until_ms.gt(until_ms));
    let taken = diesel::update(partner_health::table.find(partner_id).filter(free))
        .set(partner_health::probe_until_ms.eq(Some(until_ms)))
        .execute(db)?;
    Ok(taken == 1)
}

/// Gives back the place of the one call that tries a partner, which was not used.
///
/// # Errors
/// Those of the database.
pub fn free_probe(db: &mut Db, partner_id: &str) -> Result<(), Failure> {
    let taken = partner_health::table
        .find(partner_id)
        .filter(partner_health::probe_until_ms.is_not_null());
    diesel::update(taken)
        .set(partner_health::probe_until_ms.eq(None::<i64>))
        .execute(db)?;
    Ok(())
}
