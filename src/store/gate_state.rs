//! Which version of the ingest gate judged what is stored, and the columns that judging anew writes.

use super::Db;
use super::schema::{gate_state, resource};
use crate::error::Failure;
use diesel::prelude::*;

/// How far judging everything anew has come.
#[derive(Clone, Copy, Debug, Queryable, PartialEq, Eq)]
pub struct GateState {
    /// The version of the gate.
    pub version: i64,
    /// The last key that was judged.
    pub after_key: i64,
    /// 1 when nothing is left to do.
    pub done: i64,
}

/// The state; `None` when the store was filled before there was one.
///
/// # Errors
/// Those of the database.
pub fn get(db: &mut Db) -> Result<Option<GateState>, Failure> {
    Ok(gate_state::table
        .select((gate_state::version, gate_state::after_key, gate_state::done))
        .first(db)
        .optional()?)
}

/// Writes the state.
///
/// # Errors
/// Those of the database.
pub fn set(db: &mut Db, state: GateState) -> Result<(), Failure> {
    diesel::delete(gate_state::table).execute(db)?;
    diesel::insert_into(gate_state::table)
        .values((
            gate_state::one.eq(1i64),
            gate_state::version.eq(state.version),
            gate_state::after_key.eq(state.after_key),
            gate_state::done.eq(state.done),
        ))
        .execute(db)?;
    Ok(())
}

/// A stored resource, to be judged anew.
#[derive(Clone, Debug, Queryable)]
#[allow(missing_docs)] // the columns, as the migrations tell them
pub struct Stored {
    pub key: i64,
    pub rtype: String,
    pub id: String,
    pub version: i64,
    pub last_updated_ms: i64,
    pub sensitivity: i64,
    pub pa_state: i64,
    pub pa_changed_ms: Option<i64>,
    pub financial: i64,
    pub source_sha256: Vec<u8>,
    pub body: Vec<u8>,
    pub released: Option<Vec<u8>>,
}

/// The resources after `after_key`, at most `limit`.
///
/// # Errors
/// Those of the database.
pub fn stored(db: &mut Db, after_key: i64, limit: i64) -> Result<Vec<Stored>, Failure> {
    Ok(resource::table
        .filter(resource::key.gt(after_key))
        .order(resource::key.asc())
        .limit(limit)
        .select((
            resource::key,
            resource::rtype,
            resource::id,
            resource::version,
            resource::last_updated_ms,
            resource::sensitivity,
            resource::pa_state,
            resource::pa_changed_ms,
            resource::financial,
            resource::source_sha256,
            resource::body,
            resource::released,
        ))
        .load(db)?)
}

/// What a release filters by, judged anew.
#[derive(Clone, Copy, Debug)]
#[allow(missing_docs)] // the columns, as the migrations tell them
pub struct Columns<'a> {
    pub service_from_ms: Option<i64>,
    pub service_to_ms: Option<i64>,
    pub sensitivity: i64,
    pub pa_state: i64,
    pub pa_changed_ms: Option<i64>,
    pub financial: i64,
    pub released: Option<&'a [u8]>,
}

/// Writes them to the resource under `key`, if it is still this version; whether it was.
///
/// # Errors
/// Those of the database.
pub fn put(db: &mut Db, key: i64, version: i64, columns: &Columns<'_>) -> Result<bool, Failure> {
    let row = resource::table.filter(resource::key.eq(key).and(resource::version.eq(version)));
    let changed = diesel::update(row)
        .set((
            resource::service_from_ms.eq(columns.service_from_ms),
            resource::service_to_ms.eq(columns.service_to_ms),
            resource::sensitivity.eq(columns.sensitivity),
            resource::pa_state.eq(columns.pa_state),
            resource::pa_changed_ms.eq(columns.pa_changed_ms),
            resource::financial.eq(columns.financial),
            resource::released.eq(columns.released),
        ))
        .execute(db)?;
    Ok(changed == 1)
}

/// Withholds the resource under `key` for the reason of this bit of `sensitivity`.
///
/// # Errors
/// Those of the database.
pub fn withhold(db: &mut Db, key: i64, sensitivity: i64) -> Result<(), Failure> {
    diesel::update(resource::table.filter(resource::key.eq(key)))
        .set(resource::sensitivity.eq(sensitivity))
        .execute(db)?;
    Ok(())
}
