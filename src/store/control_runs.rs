//! The last run of each control: what it found, and the report that tells more. A later run takes the place of an earlier one; the ledger has all.

use super::Db;
use super::schema::control_run;
use crate::error::Failure;
use diesel::prelude::*;

/// The last run of a control.
#[derive(Clone, Debug, PartialEq, Eq, Queryable, Selectable, Insertable)]
#[diesel(table_name = control_run)]
#[allow(missing_docs)] // the columns, as the migrations tell them
pub struct ControlRunRow {
    pub control: String,
    pub last_run_ms: i64,
    pub result: String,
    pub seed: i64,
    pub checked: i64,
    pub defects: i64,
    pub report_sha256: Vec<u8>,
    pub entry_id: String,
}

/// Writes the last run of a control, in place of the one that is there.
///
/// # Errors
/// Those of the database.
pub fn put(db: &mut Db, row: &ControlRunRow) -> Result<(), Failure> {
    diesel::delete(control_run::table.find(&row.control)).execute(db)?;
    diesel::insert_into(control_run::table).values(row).execute(db)?;
    Ok(())
}

/// Returns the last runs of all controls that ever ran, in the order of their names.
///
/// # Errors
/// Those of the database.
pub fn all(db: &mut Db) -> Result<Vec<ControlRunRow>, Failure> {
    Ok(control_run::table
        .order(control_run::control)
        .select(ControlRunRow::as_select())
        .load(db)?)
}
