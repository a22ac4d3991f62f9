//! When versions became visible: the one clock of all imports, and how far rows of before it are brought up.
//!
//! The clock never stands still or goes back, so that whoever asks for what changed since the newest version it saw misses
//! nothing. Callers hold the import lock ([`super::resources::lock`]), so that the order of times is the order of commits.

use super::Db;
use super::schema::{resource, visible_state};
use crate::error::{Failure, Fault};
use diesel::prelude::*;
use diesel::sql_types::BigInt;

#[derive(QueryableByName)]
struct Last {
    #[diesel(sql_type = BigInt)]
    last_ms: i64,
}

/// Takes the time of the versions that this transaction stores: `now_ms` (UTC milliseconds), or just after the last one.
///
/// # Errors
/// [`Fault::StoreDamaged`] when the row of the clock is missing; those of the database.
pub fn take(db: &mut Db, now_ms: i64) -> Result<i64, Failure> {
    let sql = format!(
        "UPDATE visible_state SET last_ms = CASE WHEN last_ms < {now_ms} THEN {now_ms} ELSE last_ms + 1 END \
         WHERE one = 1 RETURNING last_ms"
    );
    let taken: Option<Last> = diesel::sql_query(sql).get_result(db).optional()?;
    taken
        .map(|row| row.last_ms)
        .ok_or_else(|| Failure::new(Fault::StoreDamaged).because("the clock of visible versions is missing"))
}

/// The key after which rows of before are still to be brought up; `None` when all are.
///
/// # Errors
/// Those of the database.
pub fn after_key(db: &mut Db) -> Result<Option<i64>, Failure> {
    let found: Option<Option<i64>> = visible_state::table
        .select(visible_state::after_key)
        .first(db)
        .optional()?;
    Ok(found.flatten())
}

/// Notes how far rows of before are brought up.
///
/// # Errors
/// Those of the database.
pub fn set_after_key(db: &mut Db, after_key: Option<i64>) -> Result<(), Failure> {
    diesel::update(visible_state::table)
        .set(visible_state::after_key.eq(after_key))
        .execute(db)?;
    Ok(())
}

/// A row of before, as far as its times go.
#[derive(Debug, Queryable)]
#[allow(missing_docs)] // the columns, as the migrations tell them
pub struct Before {
    pub key: i64,
    pub rtype: String,
    pub last_updated_ms: i64,
    pub body: Vec<u8>,
    pub released: Option<Vec<u8>>,
}

/// The rows after `after_key`, at most `limit`.
///
/// # Errors
/// Those of the database.
pub fn before(db: &mut Db, after_key: i64, limit: i64) -> Result<Vec<Before>, Failure> {
    Ok(resource::table
        .filter(resource::key.gt(after_key))
        .order(resource::key.asc())
        .limit(limit)
        .select((
            resource::key,
            resource::rtype,
            resource::last_updated_ms,
            resource::body,
            resource::released,
        ))
        .load(db)?)
}

/// What a row of before is given.
#[derive(Debug, AsChangeset)]
#[diesel(table_name = resource, treat_none_as_null = true)]
#[allow(missing_docs)]
pub struct Restamped<'a> {
    pub last_updated_ms: i64,
    pub source_updated_ms: Option<i64>,
    pub sha256: &'a [u8],
    pub body: &'a [u8],
    pub released: Option<&'a [u8]>,
}

/// A row as it is stored: version, bytes and released form.
pub type Bytes = (i64, Vec<u8>, Option<Vec<u8>>);

/// What is stored under `key`.
///
/// # Errors
/// Those of the database.
pub fn bytes(db: &mut Db, key: i64) -> Result<Option<Bytes>, Failure> {
    Ok(resource::table
        .find(key)
        .select((resource::version, resource::body, resource::released))
        .first(db)
        .optional()?)
}

/// A version that became visible without coming anew from its source.
#[derive(Debug, AsChangeset)]
#[diesel(table_name = resource, treat_none_as_null = true)]
#[allow(missing_docs)]
pub struct Appeared<'a> {
    pub version: i64,
    pub last_updated_ms: i64,
    pub sha256: &'a [u8],
    pub body: &'a [u8],
    pub released: Option<&'a [u8]>,
}

/// Writes it.
///
/// # Errors
/// Those of the database.
pub fn appear(db: &mut Db, key: i64, row: &Appeared<'_>) -> Result<(), Failure> {
    diesel::update(resource::table.find(key)).set(row).execute(db)?;
    Ok(())
}

/// Writes it.
///
/// # Errors
/// Those of the database.
pub fn restamp(db: &mut Db, key: i64, row: &Restamped<'_>) -> Result<(), Failure> {
    diesel::update(resource::table.find(key)).set(row).execute(db)?;
    Ok(())
}
