//! Which version of the gate checked the stored resources, and the columns that are written when they are checked again.

use super::Db;
use super::schema::{gate_state, resource};
use super::statement::Bind;
use super::update_many::Update;
use crate::error::Failure;
use diesel::prelude::*;
use std::collections::HashMap;

/// How far checking all stored resources again has come.
#[derive(Clone, Copy, Debug, Queryable, PartialEq, Eq)]
pub struct GateState {
    /// The version of the gate that checks.
    pub version: i64,
    /// The key of the last resource that was checked.
    pub after_key: i64,
    /// 1 when all resources are checked.
    pub done: i64,
}

/// Returns the state; `None` in a store that was filled before this table existed.
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

/// A stored resource that is to be checked again.
#[derive(Clone, Debug, Queryable)]
#[allow(missing_docs)] // the columns, as the migrations tell them
pub struct Stored {
    pub key: i64,
    pub rtype: String,
    pub id: String,
    pub version: i64,
    pub last_updated_ms: i64,
    pub service_from_ms: Option<i64>,
    pub service_to_ms: Option<i64>,
    pub sensitivity: i64,
    pub pa_state: i64,
    pub pa_changed_ms: Option<i64>,
    pub financial: i64,
    pub source_sha256: Vec<u8>,
    pub body: Vec<u8>,
    pub released: Option<Vec<u8>>,
}

/// Returns the resources after `after_key`, in the order of keys, at most `limit`.
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
            resource::service_from_ms,
            resource::service_to_ms,
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

impl Stored {
    /// Returns its present release columns.
    pub fn columns(&self) -> Columns<'_> {
        Columns {
            service_from_ms: self.service_from_ms,
            service_to_ms: self.service_to_ms,
            sensitivity: self.sensitivity,
            pa_state: self.pa_state,
            pa_changed_ms: self.pa_changed_ms,
            financial: self.financial,
            released: self.released.as_deref(),
        }
    }
}

/// The release columns of a resource.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
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

/// Returns the versions of the resources with keys from `first` to `last` inclusive, by key.
///
/// # Errors
/// Those of the database.
pub fn versions(db: &mut Db, first: i64, last: i64) -> Result<HashMap<i64, i64>, Failure> {
    let rows = resource::table
        .filter(resource::key.ge(first).and(resource::key.le(last)))
        .select((resource::key, resource::version))
        .load::<(i64, i64)>(db)?;
    Ok(rows.into_iter().collect())
}

/// Writes the release columns of the resources with these keys.
///
/// # Errors
/// Those of the database.
pub fn put(db: &mut Db, rows: &[(i64, Columns<'_>)]) -> Result<(), Failure> {
    const UPDATE: Update = Update {
        columns: &[
            "service_from_ms",
            "service_to_ms",
            "sensitivity",
            "pa_state",
            "pa_changed_ms",
            "financial",
            "released",
        ],
    };
    let rows: Vec<Vec<Bind<'_>>> = rows
        .iter()
        .map(|(key, columns)| {
            vec![
                Bind::Big(*key),
                Bind::OptBig(columns.service_from_ms),
                Bind::OptBig(columns.service_to_ms),
                Bind::Big(columns.sensitivity),
                Bind::Big(columns.pa_state),
                Bind::OptBig(columns.pa_changed_ms),
                Bind::Big(columns.financial),
                Bind::OptBlob(columns.released),
            ]
        })
        .collect();
    Ok(UPDATE.run(db, &rows)?)
}
