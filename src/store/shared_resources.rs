//! Reads of one resource that belongs to no member. Who may read what of members is decided in [`super::disclosure`].

use super::Db;
use super::connection::on;
use super::disclosure::{Released, taken};
use super::release_rule::{RECEIVED_LIKE, shared as shared_row};
use super::resources::NOBODY;
use super::schema::resource;
use super::sql_functions::{length, length_if_any};
use crate::error::Failure;
use diesel::prelude::*;

/// Returns a resource that belongs to no member, if it may be released and its stored form has at most `most_bytes`.
///
/// # Errors
/// Those of the database.
pub fn shared(db: &mut Db, rtype: &str, id: &str, most_bytes: i32) -> Result<Option<Released>, Failure> {
    let query = resource::table
        .filter(resource::rtype.eq(rtype).and(resource::id.eq(id)))
        .filter(resource::compartment.eq(NOBODY))
        .filter(resource::id.not_like(RECEIVED_LIKE))
        .filter(shared_row())
        .filter(length(resource::body).le(most_bytes))
        .select((
            resource::key,
            resource::rtype,
            resource::id,
            resource::version,
            resource::last_updated_ms,
            resource::body,
            resource::released,
        ));
    Ok(on!(db, conn => query.first(conn)).optional()?)
}

/// The bytes that [`shared`] would read.
///
/// # Errors
/// Those of the database.
pub fn shared_bytes(db: &mut Db, rtype: &str, id: &str) -> Result<Option<usize>, Failure> {
    let query = resource::table
        .filter(resource::rtype.eq(rtype).and(resource::id.eq(id)))
        .filter(resource::compartment.eq(NOBODY))
        .filter(resource::id.not_like(RECEIVED_LIKE))
        .filter(shared_row())
        .select((length(resource::body), length_if_any(resource::released)));
    let found: Option<(i32, Option<i32>)> = on!(db, conn => query.first(conn)).optional()?;
    Ok(found.map(taken))
}
