//! Which resources depend on prior authorizations: the rows of `authorization_dependency`, and the columns of `resource` derived from them.
//!
//! This file decides nothing: `records` decides which resource depends on which, and what follows from that.

use super::Db;
use super::release_rule::PA_NONE;
use super::schema::{authorization_dependency, resource};
use super::statement::Bind;
use super::update_many::Update;
use crate::error::Failure;
use diesel::prelude::*;
use std::collections::{BTreeMap, HashMap};

/// Most rows in one statement; both databases limit the number of parameters.
const ROWS: usize = 400;

/// Type and id of a resource.
pub type Name = (String, String);

/// A row: `from` may be released only when `to` may be.
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

    /// The resource that it depends on.
    pub fn target(&self) -> Name {
        (self.to_type.clone(), self.to_id.clone())
    }
}

/// The columns about prior authorizations by which the release rule filters a stored resource.
#[derive(Clone, Debug, Queryable, PartialEq, Eq)]
#[allow(missing_docs)]
pub struct AuthorizationStanding {
    pub key: i64,
    pub compartment: i64,
    pub rtype: String,
    pub id: String,
    pub pa_state: i64,
    pub pa_changed_ms: Option<i64>,
}

/// Whether the table has any row; most stores of clinical data have none.
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

/// Inserts rows, none of which may be there already.
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

/// Returns the rows that the resources with these keys wrote.
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

/// Removes the rows that the resources with these keys wrote.
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

/// Returns the rows of the resources that depend on the named ones.
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

/// Returns the rows of what the named resources depend on.
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

/// Returns the state of those of the named resources that are stored.
///
/// # Errors
/// Those of the database.
pub fn standings<'n>(
    db: &mut Db,
    names: impl IntoIterator<Item = &'n Name>,
) -> Result<HashMap<Name, AuthorizationStanding>, Failure> {
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
                .load::<AuthorizationStanding>(db)?;
            found.extend(rows.into_iter().map(|row| ((row.rtype.clone(), row.id.clone()), row)));
        }
    }
    Ok(found)
}

/// Writes the state of resources: key, `pa_state`, and time of change (UTC ms).
///
/// # Errors
/// Those of the database.
pub fn set_standings(db: &mut Db, rows: &[(i64, i64, Option<i64>)]) -> Result<(), Failure> {
    const UPDATE: Update = Update {
        columns: &["pa_state", "pa_changed_ms"],
    };
    let rows: Vec<Vec<Bind<'_>>> = rows
        .iter()
        .map(|&(key, state, changed_ms)| vec![Bind::Big(key), Bind::Big(state), Bind::OptBig(changed_ms)])
        .collect();
    Ok(UPDATE.run(db, &rows)?)
}

/// What is needed to compute a released form anew: stored bytes, version, time of last change (UTC ms), and the present released form.
pub type StoredBody = (Vec<u8>, i64, i64, Option<Vec<u8>>);

/// Returns the stored resource with this key.
///
/// # Errors
/// Those of the database.
pub fn body(db: &mut Db, key: i64) -> Result<Option<StoredBody>, Failure> {
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

/// Writes the released form of the resource with this key.
///
/// # Errors
/// Those of the database.
pub fn set_released(db: &mut Db, key: i64, released: Option<&[u8]>) -> Result<(), Failure> {
    diesel::update(resource::table.filter(resource::key.eq(key)))
        .set(resource::released.eq(released))
        .execute(db)?;
    Ok(())
}

/// Returns key and bytes of a member's resources after `after_key`, at most `limit`.
///
/// # Errors
/// Those of the database.
pub fn of_member(db: &mut Db, compartment: i64, after_key: i64, limit: i64) -> Result<Vec<(i64, Vec<u8>)>, Failure> {
    let keys = super::resources::keys_of(compartment);
    Ok(resource::table
        .filter(
            resource::key
                .gt(after_key.max(keys.start - 1))
                .and(resource::key.lt(keys.end)),
        )
        .order(resource::key.asc())
        .limit(limit)
        .select((resource::key, resource::body))
        .load(db)?)
}

/// Removes those rows of the named resources whose `to` is stored and is no prior
/// authorization. A resource left without dependencies has no row.
///
/// # Errors
/// Those of the database.
pub fn remove_ordinary<'n>(db: &mut Db, names: impl IntoIterator<Item = &'n Name>) -> Result<(), Failure> {
    let ordinary = resource::table.filter(
        resource::rtype
            .eq(authorization_dependency::to_type)
            .and(resource::id.eq(authorization_dependency::to_id))
            .and(resource::pa_state.eq(PA_NONE)),
    );
    for (rtype, ids) in by_type(names) {
        for ids in ids.chunks(ROWS) {
            let of_these = authorization_dependency::from_type
                .eq(rtype)
                .and(authorization_dependency::from_id.eq_any(ids));
            diesel::delete(
                authorization_dependency::table
                    .filter(of_these)
                    .filter(diesel::dsl::exists(ordinary)),
            )
            .execute(db)?;
        }
    }
    Ok(())
}

/// Returns the names of all resources that depend on others, in order after `after`, at most `limit`.
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
