//! The checkpoint of a partner's ledger that came with its answers, as operators and auditors see it.

use crate::audit::note::Checkpoint;
use crate::clock::rfc3339_ms;
use crate::error::Failure;
use crate::store::Db;
use crate::store::partner_checkpoints;
use serde::Serialize;

/// A checkpoint of the partner's ledger, as it came. Nobody has verified it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct PartnerCheckpointItem {
    /// The name of the log.
    pub origin: String,
    /// How many entries it covers.
    pub size: u64,
    /// When it came.
    pub came_at: String,
    /// The signed text.
    pub note: String,
}

/// The newest checkpoint that came with answers to an exchange or to its bulk run.
///
/// # Errors
/// Those of the database.
pub(super) fn of(db: &mut Db, id: &str, run_id: Option<&str>) -> Result<Option<PartnerCheckpointItem>, Failure> {
    let mut newest = partner_checkpoints::of(db, id)?;
    if let Some(run_id) = run_id {
        let of_run = partner_checkpoints::of(db, run_id)?;
        newest = newest.into_iter().chain(of_run).max_by_key(|row| row.came_ms);
    }
    Ok(newest.and_then(|row| {
        let read = Checkpoint::unverified(&row.note)?;
        Some(PartnerCheckpointItem {
            origin: read.origin,
            size: read.size,
            came_at: rfc3339_ms(row.came_ms),
            note: row.note,
        })
    }))
}
