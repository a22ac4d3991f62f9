//! The cosignatures by which witnesses confirm checkpoints of this ledger: the newest of each witness, with the checkpoint that it signs.

use super::Db;
use super::schema::{ledger_checkpoint, ledger_cosignature};
use crate::error::Failure;
use diesel::prelude::*;

/// The newest cosignature of a witness.
#[derive(Clone, Debug, PartialEq, Eq, Queryable, Selectable, Insertable)]
#[diesel(table_name = ledger_cosignature)]
#[allow(missing_docs)] // the columns, as the migrations tell them
pub struct CosignatureRow {
    pub log: i64,
    pub witness: String,
    pub size: i64,
    pub note: String,
    pub line: String,
    pub signed_ms: i64,
}

/// Writes the cosignature of a witness, in place of the one that is there.
///
/// # Errors
/// Those of the database.
pub fn put(db: &mut Db, row: &CosignatureRow) -> Result<(), Failure> {
    let own = ledger_cosignature::table.find((row.log, &row.witness));
    diesel::delete(own).execute(db)?;
    diesel::insert_into(ledger_cosignature::table).values(row).execute(db)?;
    Ok(())
}

/// Returns the newest cosignature of each witness of a log, in the order of the witnesses' keys.
///
/// # Errors
/// Those of the database.
pub fn all(db: &mut Db, log: i64) -> Result<Vec<CosignatureRow>, Failure> {
    Ok(ledger_cosignature::table
        .filter(ledger_cosignature::log.eq(log))
        .order(ledger_cosignature::witness)
        .select(CosignatureRow::as_select())
        .load(db)?)
}

/// Returns the newest signed checkpoint of the newest log that has one: number of the log, number of entries, and the signed text.
///
/// # Errors
/// Those of the database.
pub fn newest_checkpoint(db: &mut Db) -> Result<Option<(i64, i64, String)>, Failure> {
    Ok(ledger_checkpoint::table
        .order((ledger_checkpoint::log.desc(), ledger_checkpoint::size.desc()))
        .select((ledger_checkpoint::log, ledger_checkpoint::size, ledger_checkpoint::note))
        .first(db)
        .optional()?)
}
