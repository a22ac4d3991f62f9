//! The backups that `causeway backup` made of a store: what was erased since is still in them.

use super::Db;
use super::schema::backup_made;
use crate::error::Failure;
use diesel::prelude::*;

/// A row of `backup_made`.
#[derive(Clone, Debug, PartialEq, Eq, Queryable, Selectable, Insertable)]
#[diesel(table_name = backup_made, treat_none_as_default_value = false)]
#[allow(missing_docs)] // the columns, as the migrations tell them
pub struct BackupRow {
    pub entry_id: String,
    pub made_ms: i64,
    pub folder: String,
    pub bytes: i64,
    pub sha256: Vec<u8>,
    pub expires_ms: Option<i64>,
}

/// Adds a backup, in the transaction of its ledger entry.
///
/// # Errors
/// Those of the database.
pub fn put(db: &mut Db, row: &BackupRow) -> Result<(), Failure> {
    diesel::insert_into(backup_made::table).values(row).execute(db)?;
    Ok(())
}

/// Returns the backups that are not over at `now_ms` (UTC milliseconds), oldest first.
///
/// # Errors
/// Those of the database.
pub fn standing(db: &mut Db, now_ms: i64) -> Result<Vec<BackupRow>, Failure> {
    Ok(backup_made::table
        .filter(backup_made::expires_ms.is_null().or(backup_made::expires_ms.gt(now_ms)))
        .order((backup_made::made_ms, backup_made::entry_id))
        .select(BackupRow::as_select())
        .load(db)?)
}
