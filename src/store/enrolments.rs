//! Rows of enrolment files that were accepted, by their content.

use super::Db;
use super::schema::enrolment;
use crate::error::Failure;
use diesel::prelude::*;

/// A row that was accepted.
#[derive(Clone, Debug, PartialEq, Eq, Queryable, Selectable, Insertable)]
#[diesel(table_name = enrolment)]
#[allow(missing_docs)]
pub struct EnrolmentRow {
    pub row_digest: String,
    pub file_digest: String,
    pub line: i64,
    pub exchange_id: String,
    pub accepted_ms: i64,
}

/// Returns the row with this content, if it was accepted before.
///
/// # Errors
/// Those of the database.
pub fn find(db: &mut Db, row_digest: &str) -> Result<Option<EnrolmentRow>, Failure> {
    Ok(enrolment::table
        .find(row_digest)
        .select(EnrolmentRow::as_select())
        .first(db)
        .optional()?)
}

/// Adds a row.
///
/// # Errors
/// Those of the database.
pub fn insert(db: &mut Db, row: &EnrolmentRow) -> Result<(), Failure> {
    diesel::insert_into(enrolment::table).values(row).execute(db)?;
    Ok(())
}
