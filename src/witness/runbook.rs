//! What people do when the job that asks witnesses is parked.

use super::send::LEDGER_WITNESS;
use crate::error::{ActWithin, RunbookRow};
use crate::jobs::runbook::parked;

/// Its row of the runbook.
pub fn work() -> RunbookRow {
    parked(
        &LEDGER_WITNESS,
        ActWithin::Day,
        "Witnesses are not asked to confirm new checkpoints. The ledger itself goes on.",
    )
}
