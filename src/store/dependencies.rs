//! What depends on prior authorizations: rows of `authorization_dependency`, and the columns of a resource that follow from them.
//!
//! This file decides nothing: which resource depends on which, and what becomes of it, is `records`' business.

use super::Db;
use super::schema::{authorization_dependency, resource};
use crate::error::Failure;
use diesel::prelude::*;
use std::collections::{BTreeMap, HashMap};

/// Rows of one statement; both databases bound the number of parameters.
const ROWS: usize = 400;

/// Type and id of a resource.
pub type Name = (String, String);

/// A row: `from` may leave only when `to` may.
#[derive(Clone, Debug, Insertable, Queryable, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[diesel(table_name = authorization_dependency, treat_none_as_default_value = false)]
#[allow(missing_docs)] // the columns, as the migrations tell them
pub struct Dependency {
    pub key: i64,
    pub from_type: String,
    pub from_id: String,
    pub to_type: String,
    pub to_id: String,
}

impl Dependency {
    /// The resource that depends on another.
    pub fn dependent(&self) -> Name {
        (self.from_type.clone(), self.from_id.clone())
    }

    /// What it depends on.
    pub fn target(&self) -> Name {
        (self.to_type.clone(), self.to_id.clone())
    }
}

/// What a release asks of a stored resource when it comes to authorizations.
#[derive(Clone, Debug, Queryable, PartialEq, Eq)]
#[allow(missing_docs)]
pub struct Standing {
    pub key: i64,
    pub compartment: i64,
    pub rtype: String,
    pub id: String,
    pub pa_state: i64,
    pub pa_changed_ms: Option<i64>,
}

/// Whether there is any row; most stores of clinical data have none.
///
/// # Errors
/// Those of the database.
pub fn any(db: &mut Db) -> Result<bool, Failure> {
    Ok(authorization_dependency::table
        .select(authorization_dependency::key)
        .first::<i64>(db)
        .optional()?
        .is_some())
}

/// Writes rows; each is written once.
///
/// # Errors
/// Those of the database.
pub fn insert(db: &mut Db, rows: &[Dependency]) -> Result<(), Failure> {
    for rows in rows.chunks(ROWS) {
        match db {
            Db::Pg(pg) => diesel::insert_into(authorization_dependency::table)
                .values(rows)
                .execute(pg)?,
            Db::Sqlite(sqlite) => diesel::insert_into(authorization_dependency::table)
                .values(rows)
                .execute(sqlite)?,
        };
    }
    Ok(())
}

/// The rows that the resources under these keys wrote.
///
/// # Errors
/// Those of the database.
pub fn written_by(db: &mut Db, keys: &[i64]) -> Result<Vec<Dependency>, Failure> {
    let mut found = Vec::new();
    for keys in keys.chunks(ROWS) {
        found.extend(
            authorization_dependency::table
                .filter(authorization_dependency::key.eq_any(keys))
                .load::<Dependency>(db)?,
        );
    }
    Ok(found)
}

/// Removes the rows that the resources under these keys wrote.
///
/// # Errors
/// Those of the database.
pub fn remove(db: &mut Db, keys: &[i64]) -> Result<(), Failure> {
    for keys in keys.chunks(ROWS) {
        diesel::delete(authorization_dependency::table.filter(authorization_dependency::key.eq_any(keys)))
            .execute(db)?;
    }
    Ok(())
}

fn by_type<'n>(names: impl IntoIterator<Item = &'n Name>) -> BTreeMap<&'n str, Vec<&'n str>> {
    let mut sorted: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for (rtype, id) in names {
        sorted.entry(rtype).or_default().push(id);
    }
    sorted
}

/// The rows that say what depends on these.
///
/// # Errors
/// Those of the database.
pub fn on<'n>(db: &mut Db, names: impl IntoIterator<Item = &'n Name>) -> Result<Vec<Dependency>, Failure> {
    let mut found = Vec::new();
    for (rtype, ids) in by_type(names) {
        for ids in ids.chunks(ROWS) {
            let rows = authorization_dependency::to_type
                .eq(rtype)
                .and(authorization_dependency::to_id.eq_any(ids));
            found.extend(authorization_dependency::table.filter(rows).load::<Dependency>(db)?);
        }
    }
    Ok(found)
}

/// The rows that say what these depend on.
///
/// # Errors
/// Those of the database.
pub fn of<'n>(db: &mut Db, names: impl IntoIterator<Item = &'n Name>) -> Result<Vec<Dependency>, Failure> {
    let mut found = Vec::new();
    for (rtype, ids) in by_type(names) {
        for ids in ids.chunks(ROWS) {
            let rows = authorization_dependency::from_type
                .eq(rtype)
                .and(authorization_dependency::from_id.eq_any(ids));
            found.extend(authorization_dependency::table.filter(rows).load::<Dependency>(db)?);
        }
    }
    Ok(found)
}

/// How these stand, as far as they are stored.
///
/// # Errors
/// Those of the database.
pub fn standings<'n>(
    db: &mut Db,
    names: impl IntoIterator<Item = &'n Name>,
) -> Result<HashMap<Name, Standing>, Failure> {
    let mut found = HashMap::new();
    for (rtype, ids) in by_type(names) {
        for ids in ids.chunks(ROWS) {
            let rows = resource::table
                .filter(resource::rtype.eq(rtype).and(resource::id.eq_any(ids)))
                .select((
                    resource::key,
                    resource::compartment,
                    resource::rtype,
                    resource::id,
                    resource::pa_state,
                    resource::pa_changed_ms,
                ))
                .load::<Standing>(db)?;
            found.extend(rows.into_iter().map(|row| ((row.rtype.clone(), row.id.clone()), row)));
        }
    }
    Ok(found)
}

/// Writes how the resource under `key` stands.
///
/// # Errors
/// Those of the database.
pub fn set_standing(db: &mut Db, key: i64, state: i64, changed_ms: Option<i64>) -> Result<(), Failure> {
    diesel::update(resource::table.filter(resource::key.eq(key)))
        .set((resource::pa_state.eq(state), resource::pa_changed_ms.eq(changed_ms)))
        .execute(db)?;
    Ok(())
}

/// A stored resource as it is cut anew: its bytes, version, time of change (UTC ms), and its released form.
pub type Body = (Vec<u8>, i64, i64, Option<Vec<u8>>);

/// What is stored under `key`.
///
/// # Errors
/// Those of the database.
pub fn body(db: &mut Db, key: i64) -> Result<Option<Body>, Failure> {
    Ok(resource::table
        .filter(resource::key.eq(key))
        .select((
            resource::body,
            resource::version,
            resource::last_updated_ms,
            resource::released,
        ))
        .first(db)
        .optional()?)
}

/// Writes the released form of the resource under `key`.
///
/// # Errors
/// Those of the database.
pub fn set_released(db: &mut Db, key: i64, released: Option<&[u8]>) -> Result<(), Failure> {
    diesel::update(resource::table.filter(resource::key.eq(key)))
        .set(resource::released.eq(released))
        .execute(db)?;
    Ok(())
}

/// Key and bytes of the resources of a member after `after_key`, at most `limit`.
///
/// # Errors
/// Those of the database.
pub fn of_member(db: &mut Db, compartment: i64, after_key: i64, limit: i64) -> Result<Vec<(i64, Vec<u8>)>, Failure> {
    let first = compartment << super::resources::SEQUENCE_BITS;
    let last = (compartment + 1) << super::resources::SEQUENCE_BITS;
    Ok(resource::table
        .filter(resource::key.gt(after_key.max(first - 1)).and(resource::key.lt(last)))
        .order(resource::key.asc())
        .limit(limit)
        .select((resource::key, resource::body))
        .load(db)?)
}

/// Removes the rows whose `to` turned out to be no authorization. What then depends on nothing has no row.
///
/// # Errors
/// Those of the database.
pub fn remove_ordinary(db: &mut Db) -> Result<(), Failure> {
    diesel::sql_query(
        "DELETE FROM authorization_dependency WHERE EXISTS (SELECT 1 FROM resource WHERE resource.type = authorization_dependency.to_type \
         AND resource.id = authorization_dependency.to_id AND resource.pa_state = 0)",
    )
    .execute(db)?;
    Ok(())
}

/// All resources that depend on others, after this name, at most `limit`.
///
/// # Errors
/// Those of the database.
pub fn all_dependents(db: &mut Db, after: &Name, limit: i64) -> Result<Vec<Name>, Failure> {
    let later = authorization_dependency::from_type
        .gt(&after.0)
        .or(authorization_dependency::from_type
            .eq(&after.0)
            .and(authorization_dependency::from_id.gt(&after.1)));
    Ok(authorization_dependency::table
        .filter(later)
        .select((authorization_dependency::from_type, authorization_dependency::from_id))
        .distinct()
        .order((
            authorization_dependency::from_type.asc(),
            authorization_dependency::from_id.asc(),
        ))
        .limit(limit)
        .load(db)?)
}
