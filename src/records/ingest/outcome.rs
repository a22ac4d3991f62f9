//! What becomes of a resource that came.

use crate::error::Failure;
use crate::store::Db;
use crate::store::ingest as rows;

/// Stored: new, or newer than what was there.
pub(super) const STORED: &str = "stored";
/// The same content was stored already.
pub(super) const UNCHANGED: &str = "unchanged";
/// A newer version is stored; this one is kept as received.
pub(super) const OLDER: &str = "older";
/// The member's Patient of the partner: kept as received, beside our own.
pub(super) const HELD: &str = "held";
/// Kept apart, for a reason.
pub(super) const QUARANTINED: &str = "quarantined";
/// A message about the answer, and no part of the record.
pub(super) const NOTICE: &str = "notice";
/// What was kept of it cannot be read any more, and it is asked for again.
pub(super) const LOST: &str = "lost";
/// Made by this server for what came.
pub(super) const MADE: &str = "made";

/// Outcomes by which an exchange contributes to what is stored.
pub(super) const BROUGHT: &[&str] = &[STORED, UNCHANGED, OLDER];

/// The types of the resources that an exchange stored, in their order.
///
/// # Errors
/// Those of the database.
pub fn stored_types(db: &mut Db, exchange_id: &str) -> Result<Vec<String>, Failure> {
    let mut types: Vec<String> = rows::outcomes(db, exchange_id)?
        .into_iter()
        .filter(|row| matches!(row.outcome.as_str(), STORED | MADE))
        .map(|row| row.rtype)
        .collect();
    types.sort_unstable();
    types.dedup();
    Ok(types)
}
