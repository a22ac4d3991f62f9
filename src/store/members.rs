//! Members as the store counts them.

use super::Db;
use super::schema::compartment;
use crate::error::Failure;
use diesel::prelude::*;

/// Whether there is any member.
///
/// # Errors
/// Those of the database.
pub fn any(db: &mut Db) -> Result<bool, Failure> {
    Ok(compartment::table
        .select(compartment::no)
        .first::<i64>(db)
        .optional()?
        .is_some())
}
