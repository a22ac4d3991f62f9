//! The time at which versions became visible: one clock for all imports, and the progress
//! of restamping rows that are older than this clock.
//!
//! The clock only moves forward, so a reader that asks for changes since the newest version it saw misses nothing. Callers hold the import
//! lock ([`super::resources::lock`]), so that times are in the order of commits.

use super::Db;
use super::schema::{resource, visible_state};
use super::statement::Bind;
use super::update_many::Update;
use crate::error::{Failure, Fault};
use diesel::prelude::*;
use diesel::sql_types::BigInt;

#[derive(QueryableByName)]
struct Last {
    #[diesel(sql_type = BigInt)]
    last_ms: i64,
}

/// Advances the clock and returns the time for the versions that this transaction stores:
/// `now_ms` (UTC milliseconds), or one after the last time.
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

/// Returns the key after which rows must still be restamped; `None` when all are.
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

/// Stores the key up to which rows are restamped.
///
/// # Errors
/// Those of the database.
pub fn set_after_key(db: &mut Db, after_key: Option<i64>) -> Result<(), Failure> {
    diesel::update(visible_state::table)
        .set(visible_state::after_key.eq(after_key))
        .execute(db)?;
    Ok(())
}

/// The times and bytes of a row that was stored before the clock existed.
#[derive(Debug, Queryable)]
#[allow(missing_docs)] // the columns, as the migrations tell them
pub struct Before {
    pub key: i64,
    pub rtype: String,
    pub last_updated_ms: i64,
    pub body: Vec<u8>,
    pub released: Option<Vec<u8>>,
}

/// Returns the rows after `after_key`, at most `limit`.
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

/// The new times and bytes of such a row.
#[derive(Clone, Debug)]
#[allow(missing_docs)]
pub struct Restamped {
    pub key: i64,
    pub last_updated_ms: i64,
    pub source_updated_ms: Option<i64>,
    pub sha256: [u8; 32],
    pub body: Vec<u8>,
    pub released: Option<Vec<u8>>,
}

/// Version, stored bytes and released form of a row.
pub type Bytes = (i64, Vec<u8>, Option<Vec<u8>>);

/// Returns version and bytes of the row with this key.
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

/// A new version of a row that was not imported again, but became visible by another change.
#[derive(Clone, Debug)]
#[allow(missing_docs)]
pub struct Appeared {
    pub key: i64,
    pub version: i64,
    pub last_updated_ms: i64,
    pub sha256: [u8; 32],
    pub body: Vec<u8>,
    pub released: Option<Vec<u8>>,
}

/// Writes these versions.
///
/// # Errors
/// Those of the database.
pub fn appear(db: &mut Db, rows: &[Appeared]) -> Result<(), Failure> {
    const UPDATE: Update = Update {
        columns: &["version", "last_updated_ms", "sha256", "body", "released"],
    };
    let rows: Vec<Vec<Bind<'_>>> = rows
        .iter()
        .map(|row| {
            vec![
                Bind::Big(row.key),
                Bind::Big(row.version),
                Bind::Big(row.last_updated_ms),
                Bind::Blob(&row.sha256),
                Bind::Blob(&row.body),
                Bind::OptBlob(row.released.as_deref()),
            ]
        })
        .collect();
    Ok(UPDATE.run(db, &rows)?)
}

/// Writes the new times and bytes.
///
/// # Errors
/// Those of the database.
pub fn restamp(db: &mut Db, rows: &[Restamped]) -> Result<(), Failure> {
    const UPDATE: Update = Update {
        columns: &["last_updated_ms", "source_updated_ms", "sha256", "body", "released"],
    };
    let rows: Vec<Vec<Bind<'_>>> = rows
        .iter()
        .map(|row| {
            vec![
                Bind::Big(row.key),
                Bind::Big(row.last_updated_ms),
                Bind::OptBig(row.source_updated_ms),
                Bind::Blob(&row.sha256),
                Bind::Blob(&row.body),
                Bind::OptBlob(row.released.as_deref()),
            ]
        })
        .collect();
    Ok(UPDATE.run(db, &rows)?)
}
