//! The checkpoints of partners' ledgers that came with their answers, one for each exchange or bulk run of ours.

use super::Db;
use super::schema::partner_checkpoint;
use crate::error::Failure;
use diesel::prelude::*;

/// A checkpoint of a partner's ledger, as it came.
#[derive(Clone, Debug, PartialEq, Eq, Queryable, Selectable, Insertable)]
#[diesel(table_name = partner_checkpoint)]
#[allow(missing_docs)] // the columns, as the migrations tell them
pub struct PartnerCheckpointRow {
    pub work_id: String,
    pub partner_id: String,
    pub note: String,
    pub came_ms: i64,
}

/// Writes the checkpoint of an exchange or bulk run, in place of the one that is there.
///
/// # Errors
/// Those of the database.
pub fn put(db: &mut Db, row: &PartnerCheckpointRow) -> Result<(), Failure> {
    diesel::delete(partner_checkpoint::table.find(&row.work_id)).execute(db)?;
    diesel::insert_into(partner_checkpoint::table).values(row).execute(db)?;
    Ok(())
}

/// Returns the checkpoint that came with answers to an exchange or bulk run.
///
/// # Errors
/// Those of the database.
pub fn of(db: &mut Db, work_id: &str) -> Result<Option<PartnerCheckpointRow>, Failure> {
    Ok(partner_checkpoint::table
        .find(work_id)
        .select(PartnerCheckpointRow::as_select())
        .first(db)
        .optional()?)
}

/// Returns the checkpoints after the one of the work `after`, at most `limit`, in the order of the work.
///
/// # Errors
/// Those of the database.
pub fn page(db: &mut Db, after: &str, limit: i64) -> Result<Vec<PartnerCheckpointRow>, Failure> {
    Ok(partner_checkpoint::table
        .filter(partner_checkpoint::work_id.gt(after))
        .order(partner_checkpoint::work_id)
        .limit(limit)
        .select(PartnerCheckpointRow::as_select())
        .load(db)?)
}
