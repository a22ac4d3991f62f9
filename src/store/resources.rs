//! Resources, compartments, identifiers and members: what an import writes, in few statements.
//!
//! Keys are `compartment << 24 | sequence`, so that a member's rows stand side by side. This file decides nothing: which
//! compartment a resource belongs to and what its columns say is `records`' business.

use super::Db;
use super::disclosure::coalesce;
use super::schema::{
    attachment, compartment, member, resource, resource_identifier, search_date, search_state, search_value,
};
use crate::error::{Failure, Fault};
use diesel::prelude::*;
use std::collections::HashMap;

/// Bits of a key that count within a compartment.
pub const SEQUENCE_BITS: u32 = 24;
/// Not a compartment: under it the identifiers of all Patients are indexed a second time, to be found across members.
pub const PEOPLE: i64 = -1;
/// The compartment of what belongs to nobody.
pub const NOBODY: i64 = 0;
/// Rows of one INSERT; both databases bound the number of parameters.
const ROWS: usize = 500;

/// A row of `resource`.
#[derive(Debug, Insertable)]
#[diesel(table_name = resource, treat_none_as_default_value = false)]
#[allow(missing_docs)] // the columns, as the migrations tell them
pub struct Row<'a> {
    pub key: i64,
    pub compartment: i64,
    pub rtype: &'a str,
    pub id: &'a str,
    pub version: i64,
    pub last_updated_ms: i64,
    pub service_from_ms: Option<i64>,
    pub service_to_ms: Option<i64>,
    pub sensitivity: i64,
    pub pa_state: i64,
    pub pa_changed_ms: Option<i64>,
    pub financial: i64,
    pub source_sha256: &'a [u8],
    pub sha256: &'a [u8],
    pub body: &'a [u8],
    pub released: Option<&'a [u8]>,
    pub source_updated_ms: Option<i64>,
    pub source_version: Option<i64>,
}

/// What is known of a stored resource without its bytes.
#[derive(Clone, Debug, Queryable, PartialEq, Eq)]
#[allow(missing_docs)]
pub struct Existing {
    pub key: i64,
    pub id: String,
    pub version: i64,
    pub source_sha256: Vec<u8>,
    pub pa_state: i64,
    pub source_updated_ms: Option<i64>,
    pub source_version: Option<i64>,
}

/// A row of `attachment`: a resource that names a Binary.
#[derive(Clone, Debug, Insertable, PartialEq, Eq, PartialOrd, Ord)]
#[diesel(table_name = attachment, treat_none_as_default_value = false)]
#[allow(missing_docs)]
pub struct Attachment<'a> {
    pub binary_id: &'a str,
    pub key: i64,
}

/// A row of `resource_identifier`.
#[derive(Clone, Debug, Insertable, PartialEq, Eq, Hash)]
#[diesel(table_name = resource_identifier, treat_none_as_default_value = false)]
#[allow(missing_docs)]
pub struct Identifier<'a> {
    pub value: &'a str,
    pub system: &'a str,
    pub rtype: &'a str,
    pub kind: &'a str,
    pub key: i64,
}

/// A row of `search_value`.
#[derive(Clone, Debug, Insertable)]
#[diesel(table_name = search_value, treat_none_as_default_value = false)]
#[allow(missing_docs)]
pub struct SearchValue<'a> {
    pub compartment: i64,
    pub param: i64,
    pub value: &'a str,
    pub system: &'a str,
    pub key: i64,
}

/// A row of `search_date`.
#[derive(Clone, Debug, Insertable)]
#[diesel(table_name = search_date, treat_none_as_default_value = false)]
#[allow(missing_docs)]
pub struct SearchDate {
    pub compartment: i64,
    pub param: i64,
    pub from_ms: i64,
    pub to_ms: i64,
    pub key: i64,
}

/// A row of `member`.
#[derive(Clone, Debug, Insertable)]
#[diesel(table_name = member, treat_none_as_default_value = false)]
#[allow(missing_docs)]
pub struct Member<'a> {
    pub compartment: i64,
    pub patient_id: &'a str,
    pub family: &'a str,
    pub birth_date: &'a str,
    pub demographics: &'a str,
}

/// A row of `compartment`, as it is opened.
#[derive(Clone, Debug, Insertable)]
#[diesel(table_name = compartment, treat_none_as_default_value = false)]
#[allow(missing_docs)]
pub struct Compartment<'a> {
    pub no: i64,
    pub patient_id: &'a str,
    pub umb: &'a str,
    pub next_seq: i64,
}

// Rows give every column a value (`treat_none_as_default_value = false`): only then is it one statement on SQLite, without a
// transaction of diesel's own, which the writer's could not hold.
macro_rules! insert {
    ($db:expr, $table:expr, $rows:expr) => {
        for rows in $rows.chunks(ROWS) {
            match $db {
                Db::Pg(pg) => diesel::insert_into($table).values(rows).execute(pg)?,
                Db::Sqlite(sqlite) => diesel::insert_into($table).values(rows).execute(sqlite)?,
            };
        }
    };
}

/// Keeps other imports out until this transaction ends; SQLite has one writer anyway. Waits for as long as another holds the lock.
///
/// # Errors
/// Those of the database.
pub fn lock(db: &mut Db) -> Result<(), Failure> {
    super::import_lock::hold(db)
}

/// The stored resources of these ids.
///
/// # Errors
/// Those of the database.
pub fn existing(db: &mut Db, rtype: &str, ids: &[&str]) -> Result<Vec<Existing>, Failure> {
    let mut found = Vec::new();
    for ids in ids.chunks(ROWS) {
        let rows = resource::table
            .filter(resource::rtype.eq(rtype).and(resource::id.eq_any(ids)))
            .select((
                resource::key,
                resource::id,
                resource::version,
                resource::source_sha256,
                resource::pa_state,
                resource::source_updated_ms,
                resource::source_version,
            ))
            .load::<Existing>(db)?;
        found.extend(rows);
    }
    Ok(found)
}

/// The compartments of these Patients.
///
/// # Errors
/// Those of the database.
pub fn compartments(db: &mut Db, patient_ids: &[&str]) -> Result<HashMap<String, i64>, Failure> {
    let mut found = HashMap::new();
    for ids in patient_ids.chunks(ROWS) {
        let rows = compartment::table
            .filter(compartment::patient_id.eq_any(ids))
            .select((compartment::patient_id, compartment::no))
            .load::<(String, i64)>(db)?;
        found.extend(rows);
    }
    Ok(found)
}

/// The first unused compartment number.
///
/// # Errors
/// Those of the database.
pub fn next_compartment(db: &mut Db) -> Result<i64, Failure> {
    let last: Option<i64> = compartment::table.select(diesel::dsl::max(compartment::no)).first(db)?;
    Ok(last.unwrap_or(NOBODY) + 1)
}

/// Opens compartments.
///
/// # Errors
/// Those of the database.
pub fn open_compartments(db: &mut Db, rows: &[Compartment<'_>]) -> Result<(), Failure> {
    insert!(db, compartment::table, rows);
    Ok(())
}

/// Takes `count` sequence numbers in each compartment and returns the first of each.
///
/// # Errors
/// [`Fault::StoreDamaged`] for a compartment that is not there; [`Fault::RecordFull`] for one that is full.
pub fn take_sequences(db: &mut Db, counts: &HashMap<i64, i64>) -> Result<HashMap<i64, i64>, Failure> {
    let numbers: Vec<i64> = counts.keys().copied().filter(|no| *no != NOBODY).collect();
    let mut first = HashMap::new();
    for numbers in numbers.chunks(ROWS) {
        let rows = compartment::table
            .filter(compartment::no.eq_any(numbers))
            .select((compartment::no, compartment::next_seq))
            .load::<(i64, i64)>(db)?;
        if rows.len() != numbers.len() {
            return Err(Failure::new(Fault::StoreDamaged).because("a compartment is missing"));
        }
        let values: Vec<String> = numbers.iter().map(|no| format!("({no},{})", counts[no])).collect();
        diesel::sql_query(format!(
            "WITH taken (no, count) AS (VALUES {}) UPDATE compartment SET next_seq = next_seq + taken.count \
             FROM taken WHERE compartment.no = taken.no",
            values.join(",")
        ))
        .execute(db)?;
        first.extend(rows);
    }
    if counts.contains_key(&NOBODY) {
        let last: Option<i64> = resource::table
            .filter(resource::key.lt(1i64 << SEQUENCE_BITS))
            .select(diesel::dsl::max(resource::key))
            .first(db)?;
        first.insert(NOBODY, last.unwrap_or(0) + 1);
    }
    match counts
        .iter()
        .find(|(no, count)| first.get(no).is_some_and(|seq| seq + **count >= 1 << SEQUENCE_BITS))
    {
        Some(_) => Err(Failure::new(Fault::RecordFull).because("a compartment has no sequence numbers left")),
        None => Ok(first),
    }
}

/// Removes rows with their identifiers and what is indexed of them, to be written anew.
///
/// # Errors
/// Those of the database.
pub fn remove(db: &mut Db, keys: &[i64]) -> Result<(), Failure> {
    unindex(db, keys)?;
    for keys in keys.chunks(ROWS) {
        diesel::delete(resource_identifier::table.filter(resource_identifier::key.eq_any(keys))).execute(db)?;
        diesel::delete(attachment::table.filter(attachment::key.eq_any(keys))).execute(db)?;
        diesel::delete(resource::table.filter(resource::key.eq_any(keys))).execute(db)?;
    }
    Ok(())
}

/// Removes what is indexed of these resources. Reads the index of each compartment once for every batch of keys.
///
/// # Errors
/// Those of the database.
pub fn unindex(db: &mut Db, keys: &[i64]) -> Result<(), Failure> {
    let mut by_compartment: HashMap<i64, Vec<i64>> = HashMap::new();
    for key in keys {
        by_compartment.entry(key >> SEQUENCE_BITS).or_default().push(*key);
    }
    for (no, keys) in by_compartment {
        for keys in keys.chunks(ROWS) {
            let list: Vec<String> = keys.iter().map(i64::to_string).collect();
            diesel::sql_query(format!(
                "DELETE FROM search_value WHERE compartment = {PEOPLE} AND (param, value, system, key) IN \
                 (SELECT param, value, system, key FROM search_value WHERE compartment = {no} AND key IN ({}))",
                list.join(",")
            ))
            .execute(db)?;
            diesel::delete(
                search_value::table.filter(search_value::compartment.eq(no).and(search_value::key.eq_any(keys))),
            )
            .execute(db)?;
            diesel::delete(
                search_date::table.filter(search_date::compartment.eq(no).and(search_date::key.eq_any(keys))),
            )
            .execute(db)?;
        }
    }
    Ok(())
}

/// Writes what is indexed.
///
/// # Errors
/// Those of the database.
pub fn index(db: &mut Db, values: &[SearchValue<'_>], dates: &[SearchDate]) -> Result<(), Failure> {
    insert!(db, search_value::table, values);
    insert!(db, search_date::table, dates);
    Ok(())
}

/// Which version of the search parameters the index follows; `None` when it was never made.
///
/// # Errors
/// Those of the database.
pub fn index_version(db: &mut Db) -> Result<Option<i64>, Failure> {
    Ok(search_state::table.select(search_state::version).first(db).optional()?)
}

/// Notes which version of the search parameters the index follows.
///
/// # Errors
/// Those of the database.
pub fn set_index_version(db: &mut Db, version: i64) -> Result<(), Failure> {
    diesel::delete(search_state::table).execute(db)?;
    diesel::insert_into(search_state::table)
        .values((search_state::one.eq(1i64), search_state::version.eq(version)))
        .execute(db)?;
    Ok(())
}

/// The Patient of the compartment that a key is in; `None` for what belongs to nobody.
///
/// # Errors
/// Those of the database.
pub fn owner_of(db: &mut Db, key: i64) -> Result<Option<String>, Failure> {
    Ok(compartment::table
        .filter(compartment::no.eq(key >> SEQUENCE_BITS))
        .select(compartment::patient_id)
        .first(db)
        .optional()?)
}

/// Key, owner and bytes of a resource.
pub type Body = (i64, Option<String>, Vec<u8>);

/// Key, owner and the bytes that leave of the resources after `after_key`, at most `limit`.
///
/// # Errors
/// Those of the database.
pub fn bodies(db: &mut Db, after_key: i64, limit: i64) -> Result<Vec<Body>, Failure> {
    Ok(resource::table
        .left_join(compartment::table.on(compartment::no.eq(resource::compartment)))
        .filter(resource::key.gt(after_key))
        .order(resource::key.asc())
        .limit(limit)
        .select((
            resource::key,
            compartment::patient_id.nullable(),
            coalesce(resource::released, resource::body),
        ))
        .load(db)?)
}

/// Writes resources that are not there.
///
/// # Errors
/// Those of the database.
pub fn insert(db: &mut Db, rows: &[Row<'_>], identifiers: &[Identifier<'_>]) -> Result<(), Failure> {
    insert!(db, resource::table, rows);
    insert!(db, resource_identifier::table, identifiers);
    Ok(())
}

/// Writes which Binaries resources name.
///
/// # Errors
/// Those of the database.
pub fn attach(db: &mut Db, rows: &[Attachment<'_>]) -> Result<(), Failure> {
    insert!(db, attachment::table, rows);
    Ok(())
}

/// Writes what identity compares, in place of what was there.
///
/// # Errors
/// Those of the database.
pub fn put_members(db: &mut Db, rows: &[Member<'_>]) -> Result<(), Failure> {
    for chunk in rows.chunks(ROWS) {
        let numbers: Vec<i64> = chunk.iter().map(|row| row.compartment).collect();
        diesel::delete(member::table.filter(member::compartment.eq_any(numbers))).execute(db)?;
    }
    insert!(db, member::table, rows);
    Ok(())
}

/// Ids of the resources of a type with this identifier, at most two: one is an answer, two are none.
///
/// `system` `None` means any.
///
/// # Errors
/// Those of the database.
pub fn with_identifier(db: &mut Db, rtype: &str, system: Option<&str>, value: &str) -> Result<Vec<String>, Failure> {
    let mut query = resource_identifier::table
        .inner_join(resource::table.on(resource::key.eq(resource_identifier::key)))
        .filter(
            resource_identifier::value
                .eq(value)
                .and(resource_identifier::rtype.eq(rtype)),
        )
        .select(resource::id)
        .distinct()
        .limit(2)
        .into_boxed();
    if let Some(system) = system {
        query = query.filter(resource_identifier::system.eq(system));
    }
    Ok(query.load::<String>(db)?)
}

/// How many resources are stored.
///
/// # Errors
/// Those of the database.
pub fn count(db: &mut Db) -> Result<i64, Failure> {
    Ok(resource::table.select(diesel::dsl::count_star()).first(db)?)
}
