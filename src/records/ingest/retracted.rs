//! How far a retraction has come, and what it did: noted with each of its transactions, so that the next attempt goes on from there and all of it
//! is told, also after a crash. It takes nothing out.

use crate::context::Context;
use crate::error::{Failure, Fault};
use crate::store::Db;
use crate::store::ingest::{self as rows, ProgressRow};
use serde::{Deserialize, Serialize};

/// The name of how far a retraction has come, beside those of the steps.
const RETRACT: &str = "retract";

/// What a retraction did.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Retracted {
    /// Resources that were removed.
    pub removed: u64,
    /// Resources that have again the content that another exchange brought.
    pub restored: u64,
    /// Resources that another exchange brought as well, so that they stay.
    pub kept: u64,
    /// Resources of other exchanges that should have come back, and cannot be read any more. Their places are empty.
    pub lost: u64,
}

/// Forgets what a retraction did, in the transaction that tells it.
///
/// # Errors
/// Those of the database.
pub fn forget_retraction(db: &mut Db, exchange_id: &str) -> Result<(), Failure> {
    rows::forget_progress(db, exchange_id, RETRACT)
}

/// How far the retraction of this exchange has come. Blocks this thread.
///
/// # Errors
/// Those of the store.
pub(super) fn so_far(ctx: &Context, exchange_id: &str) -> Result<ProgressRow, Failure> {
    let noted = ctx.store.read_blocking(|db| rows::progress(db, exchange_id, RETRACT))?;
    Ok(noted.unwrap_or_else(|| ProgressRow {
        exchange_id: exchange_id.to_owned(),
        step: RETRACT.to_owned(),
        run: String::new(),
        pass: 0,
        page: -1,
        entry: -1,
        found: String::new(),
    }))
}

/// What a retraction has done up to there.
///
/// # Errors
/// [`Fault::StoreDamaged`] when it cannot be read.
pub(super) fn counts_of(at: &ProgressRow) -> Result<Retracted, Failure> {
    if at.found.is_empty() {
        return Ok(Retracted::default());
    }
    serde_json::from_str(&at.found).map_err(|error| Failure::new(Fault::StoreDamaged).because(error))
}

/// The row that says that a retraction has come so far, and has done this.
///
/// # Errors
/// [`Fault::Internal`].
pub(super) fn note_of(at: &ProgressRow, done: &Retracted) -> Result<ProgressRow, Failure> {
    let found = serde_json::to_string(done).map_err(|error| Failure::new(Fault::Internal).because(error))?;
    Ok(ProgressRow { found, ..at.clone() })
}
