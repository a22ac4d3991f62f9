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

/// The compartment of the member whose Patient this is.
///
/// # Errors
/// Those of the database.
pub fn compartment_of(db: &mut Db, patient_id: &str) -> Result<Option<i64>, Failure> {
    Ok(compartment::table
        .filter(compartment::patient_id.eq(patient_id))
        .select(compartment::no)
        .first(db)
        .optional()?)
}
