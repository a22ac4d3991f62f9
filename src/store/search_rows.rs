//! The rows of the search index, which are written and removed together with a resource. `super::search` reads them.

use super::Db;
use super::keys::SEQUENCE_BITS;
use super::many::{ROWS, insert};
use super::schema::{search_date, search_state, search_value};
use crate::error::Failure;
use crate::fhir::search::params::PATIENT_IDENTIFIER;
use diesel::prelude::*;
use std::collections::BTreeSet;

/// A pseudo-compartment: the identifiers of all Patients are indexed a second time under it, to be found across members.
pub const PEOPLE: i64 = -1;

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

/// Removes the index rows of these resources. For every batch of keys, it reads the index of each of their compartments once.
///
/// # Errors
/// Those of the database.
pub fn unindex(db: &mut Db, keys: &[i64]) -> Result<(), Failure> {
    for keys in keys.chunks(ROWS) {
        let compartments: BTreeSet<i64> = keys.iter().map(|key| key >> SEQUENCE_BITS).collect();
        let compartments: Vec<i64> = compartments.into_iter().collect();
        let own = || {
            // The index is searched by compartment only: with the keys as well, PostgreSQL would look up each pair of compartment and key.
            let of_keys = (search_value::key + 0).eq_any(keys);
            search_value::compartment.eq_any(&compartments).and(of_keys)
        };
        // By value, so that the identifiers of all Patients are not read.
        let numbers = search_value::table
            .filter(own().and(search_value::param.eq(PATIENT_IDENTIFIER)))
            .select(search_value::value)
            .load::<String>(db)?;
        if !numbers.is_empty() {
            let of_people = search_value::compartment
                .eq(PEOPLE)
                .and(search_value::param.eq(PATIENT_IDENTIFIER))
                .and(search_value::value.eq_any(&numbers));
            diesel::delete(search_value::table.filter(of_people.and((search_value::key + 0).eq_any(keys))))
                .execute(db)?;
        }
        diesel::delete(search_value::table.filter(own())).execute(db)?;
        let own = search_date::compartment
            .eq_any(&compartments)
            .and((search_date::key + 0).eq_any(keys));
        diesel::delete(search_date::table.filter(own)).execute(db)?;
    }
    Ok(())
}

/// Inserts index rows.
///
/// # Errors
/// Those of the database.
pub fn index(db: &mut Db, values: &[SearchValue<'_>], dates: &[SearchDate]) -> Result<(), Failure> {
    insert!(db, search_value::table, values);
    insert!(db, search_date::table, dates);
    Ok(())
}

/// How complete the search index is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum IndexState {
    /// It was never built.
    Never,
    /// It is complete for this version of the search parameters.
    Whole(i64),
    /// It is being built for a version; resources up to a key are indexed.
    Partly {
        /// The version of the search parameters.
        version: i64,
        /// The key of the last resource that is indexed.
        after_key: i64,
    },
}

/// How many bits of the stored number hold the version of the search parameters.
const VERSION_BITS: u32 = 8;

/// Returns how complete the search index is.
///
/// # Errors
/// Those of the database.
pub fn index_state(db: &mut Db) -> Result<IndexState, Failure> {
    let noted: Option<i64> = search_state::table.select(search_state::version).first(db).optional()?;
    Ok(match noted {
        None => IndexState::Never,
        Some(version) if version >= 0 => IndexState::Whole(version),
        Some(noted) => IndexState::Partly {
            version: -noted & ((1 << VERSION_BITS) - 1),
            after_key: -noted >> VERSION_BITS,
        },
    })
}

/// Stores how complete the search index is. An incomplete index is stored as a negative number made of key and version: earlier versions of
/// the program take it for an unknown version and build the index anew.
///
/// # Errors
/// Those of the database.
pub fn set_index_state(db: &mut Db, state: IndexState) -> Result<(), Failure> {
    let noted = match state {
        IndexState::Never => None,
        IndexState::Whole(version) => Some(version),
        IndexState::Partly { version, after_key } => Some(-((after_key << VERSION_BITS) | version)),
    };
    diesel::delete(search_state::table).execute(db)?;
    if let Some(noted) = noted {
        diesel::insert_into(search_state::table)
            .values((search_state::one.eq(1i64), search_state::version.eq(noted)))
            .execute(db)?;
    }
    Ok(())
}
