//! Resources, compartments, identifiers and members: what an import writes, in few statements.
//!
//! Keys are `compartment << SEQUENCE_BITS | sequence`, so a member's rows are next to each other. This file decides nothing: `records`
//! decides the compartment of a resource and the values of its columns.

use super::Db;
pub use super::keys::{NOBODY, SEQUENCE_BITS, compartment_of, keys_of};
use super::many::{ROWS, insert};
use super::schema::{attachment, compartment, member, resource, resource_identifier};
use super::search_rows;
use super::sql_functions::coalesce;
use crate::error::{Failure, Fault};
use diesel::prelude::*;
use std::collections::HashMap;

/// A row of `resource`.
#[derive(Debug, Insertable)]
#[diesel(table_name = resource, treat_none_as_default_value = false)]
#[allow(missing_docs)] // the columns, as the migrations tell them
pub struct ResourceRow<'a> {
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

/// A stored resource without its bytes.
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

/// A row of `attachment`: a resource that references a Binary.
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
pub struct IdentifierRow<'a> {
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
pub struct MemberRow<'a> {
    pub compartment: i64,
    pub patient_id: &'a str,
    pub family: &'a str,
    pub birth_date: &'a str,
    pub demographics: &'a str,
}

/// A row of `compartment`, when it is created.
#[derive(Clone, Debug, Insertable)]
#[diesel(table_name = compartment, treat_none_as_default_value = false)]
#[allow(missing_docs)]
pub struct Compartment<'a> {
    pub no: i64,
    pub patient_id: &'a str,
    pub umb: &'a str,
    pub next_seq: i64,
}

// Rows give every column a value (`treat_none_as_default_value = false`). Only then does diesel send one statement on SQLite; otherwise it
// opens a transaction of its own, which cannot be nested in the writer's.

/// Keeps other imports out until this transaction ends; SQLite has only one writer anyway. Waits as long as another import holds the lock.
///
/// # Errors
/// Those of the database.
pub fn lock(db: &mut Db) -> Result<(), Failure> {
    super::import_lock::hold(db)
}

/// Returns those of these resources that are stored.
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

/// Returns the compartments of these Patients.
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

/// Returns the first unused compartment number.
///
/// # Errors
/// Those of the database.
pub fn next_compartment(db: &mut Db) -> Result<i64, Failure> {
    let last: Option<i64> = compartment::table.select(diesel::dsl::max(compartment::no)).first(db)?;
    Ok(last.unwrap_or(NOBODY) + 1)
}

/// Creates compartments.
///
/// # Errors
/// Those of the database.
pub fn open_compartments(db: &mut Db, rows: &[Compartment<'_>]) -> Result<(), Failure> {
    insert!(db, compartment::table, rows);
    Ok(())
}

/// Reserves sequence numbers: for each compartment the count given. Returns the first number of each.
///
/// # Errors
/// [`Fault::StoreDamaged`] for a missing compartment; [`Fault::RecordFull`] when a compartment has no numbers left.
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

/// Removes rows with their identifiers, attachments and search values, so that they can be written anew.
///
/// # Errors
/// Those of the database.
pub fn remove(db: &mut Db, keys: &[i64]) -> Result<(), Failure> {
    search_rows::unindex(db, keys)?;
    for keys in keys.chunks(ROWS) {
        diesel::delete(resource_identifier::table.filter(resource_identifier::key.eq_any(keys))).execute(db)?;
        diesel::delete(attachment::table.filter(attachment::key.eq_any(keys))).execute(db)?;
        diesel::delete(resource::table.filter(resource::key.eq_any(keys))).execute(db)?;
    }
    Ok(())
}

/// Returns how many resources have keys after this one.
///
/// # Errors
/// Those of the database.
pub fn count_after(db: &mut Db, after_key: i64) -> Result<i64, Failure> {
    Ok(resource::table
        .filter(resource::key.gt(after_key))
        .select(diesel::dsl::count_star())
        .first(db)?)
}

/// Returns the Patient id of the compartment to which a key belongs; `None` for a resource that belongs to no member.
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
pub type OwnedBody = (i64, Option<String>, Vec<u8>);

/// Returns key, owner and releasable bytes (the released form when there is one) of the resources after `after_key`, at most `limit`.
///
/// # Errors
/// Those of the database.
pub fn bodies(db: &mut Db, after_key: i64, limit: i64) -> Result<Vec<OwnedBody>, Failure> {
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

/// Inserts resources and identifiers, none of which may be stored already.
///
/// # Errors
/// Those of the database.
pub fn insert(db: &mut Db, rows: &[ResourceRow<'_>], identifiers: &[IdentifierRow<'_>]) -> Result<(), Failure> {
    insert!(db, resource::table, rows);
    insert!(db, resource_identifier::table, identifiers);
    Ok(())
}

/// Inserts rows that say which Binaries resources reference.
///
/// # Errors
/// Those of the database.
pub fn attach(db: &mut Db, rows: &[Attachment<'_>]) -> Result<(), Failure> {
    insert!(db, attachment::table, rows);
    Ok(())
}

/// Replaces the rows that the matcher compares.
///
/// # Errors
/// Those of the database.
pub fn put_members(db: &mut Db, rows: &[MemberRow<'_>]) -> Result<(), Failure> {
    for chunk in rows.chunks(ROWS) {
        let numbers: Vec<i64> = chunk.iter().map(|row| row.compartment).collect();
        diesel::delete(member::table.filter(member::compartment.eq_any(numbers))).execute(db)?;
    }
    insert!(db, member::table, rows);
    Ok(())
}

/// Returns the ids of resources of a type with this identifier, at most two: two mean that the identifier is ambiguous.
///
/// When `system` is `None`, any system matches.
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
