//! Rows of what partners answered to the receipts of their exports. They go with the run; the ledger keeps what they say.

use super::Db;
use super::bulk::{BulkFileRow, RECEIPT};
use super::schema::{bulk_acknowledgement, bulk_file};
use crate::error::Failure;
use diesel::prelude::*;

/// A row of `bulk_acknowledgement`.
#[derive(Clone, Debug, PartialEq, Eq, Queryable, Selectable, Insertable)]
#[diesel(table_name = bulk_acknowledgement, treat_none_as_default_value = false)]
#[allow(missing_docs)] // the columns, as the migrations tell them
pub struct AcknowledgementRow {
    pub job_id: String,
    pub position: i64,
    pub receipt_sha256: Vec<u8>,
    pub result: String,
    pub missing: Option<String>,
    pub signed_by: Option<String>,
    pub entry_id: String,
    pub at_ms: i64,
}

impl AcknowledgementRow {
    /// Whether `other` says the same of the same receipt.
    pub fn says_the_same(&self, other: &AcknowledgementRow) -> bool {
        self.receipt_sha256 == other.receipt_sha256 && self.result == other.result && self.missing == other.missing
    }
}

/// Returns the receipt of a run.
///
/// # Errors
/// Those of the database.
pub fn receipt(db: &mut Db, id: &str) -> Result<Option<BulkFileRow>, Failure> {
    Ok(bulk_file::table
        .filter(bulk_file::job_id.eq(id).and(bulk_file::side.eq(RECEIPT)))
        .select(BulkFileRow::as_select())
        .first(db)
        .optional()?)
}

/// Inserts one.
///
/// # Errors
/// Those of the database.
pub fn put(db: &mut Db, row: &AcknowledgementRow) -> Result<(), Failure> {
    diesel::insert_into(bulk_acknowledgement::table)
        .values(row)
        .execute(db)?;
    Ok(())
}

/// Returns those of a run, in their order.
///
/// # Errors
/// Those of the database.
pub fn of_job(db: &mut Db, job_id: &str) -> Result<Vec<AcknowledgementRow>, Failure> {
    of_jobs(db, &[job_id])
}

/// Returns those of these runs, for each in their order.
///
/// # Errors
/// Those of the database.
pub fn of_jobs(db: &mut Db, job_ids: &[&str]) -> Result<Vec<AcknowledgementRow>, Failure> {
    Ok(bulk_acknowledgement::table
        .filter(bulk_acknowledgement::job_id.eq_any(job_ids))
        .order((bulk_acknowledgement::job_id.asc(), bulk_acknowledgement::position.asc()))
        .select(AcknowledgementRow::as_select())
        .load(db)?)
}

/// Deletes those of a run.
///
/// # Errors
/// Those of the database.
pub fn forget(db: &mut Db, job_id: &str) -> Result<(), Failure> {
    let of_it = bulk_acknowledgement::table.filter(bulk_acknowledgement::job_id.eq(job_id));
    diesel::delete(of_it).execute(db)?;
    Ok(())
}
