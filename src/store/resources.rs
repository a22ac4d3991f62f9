//! Resources, compartments, identifiers and members: what an import writes, in few statements.
//!
//! Keys are `compartment << 24 | sequence`, so that a member's rows stand side by side. This file decides nothing: which
//! compartment a resource belongs to and what its columns say is `records`' business.

use super::Db;
use super::schema::{compartment, member, resource, resource_identifier};
use crate::error::{Failure, Fault};
use diesel::prelude::*;
use std::collections::HashMap;

/// Bits of a key that count within a compartment.
pub const SEQUENCE_BITS: u32 = 24;
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
}

/// What is known of a stored resource without its bytes.
#[derive(Clone, Debug, Queryable, PartialEq, Eq)]
#[allow(missing_docs)]
pub struct Existing {
    pub key: i64,
    pub id: String,
    pub version: i64,
    pub source_sha256: Vec<u8>,
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

/// Keeps other imports out until this transaction ends; SQLite has one writer anyway.
///
/// # Errors
/// Those of the database.
pub fn lock(db: &mut Db) -> Result<(), Failure> {
    if let Db::Pg(pg) = db {
        diesel::sql_query("SELECT pg_advisory_xact_lock(4919773)").execute(pg)?;
    }
    Ok(())
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
            .select((resource::key, resource::id, resource::version, resource::source_sha256))
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
/// [`Fault::StoreDamaged`] for a compartment that is not there; [`Fault::TooLarge`] for one that is full.
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
        Some(_) => Err(Failure::new(Fault::TooLarge).because("a compartment has no sequence numbers left")),
        None => Ok(first),
    }
}

/// Removes rows and their identifiers, to be written anew.
///
/// # Errors
/// Those of the database.
pub fn remove(db: &mut Db, keys: &[i64]) -> Result<(), Failure> {
    for keys in keys.chunks(ROWS) {
        diesel::delete(resource_identifier::table.filter(resource_identifier::key.eq_any(keys))).execute(db)?;
        diesel::delete(resource::table.filter(resource::key.eq_any(keys))).execute(db)?;
    }
    Ok(())
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
