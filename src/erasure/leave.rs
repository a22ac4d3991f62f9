//! Whether a member may be erased now: the one place that asks for how long records are kept, and for legal holds.

use crate::error::Failure;
use crate::store::{Db, erased_entries};

/// How long what opens the ledger is kept after the last entry about a member, milliseconds: ten years.
///
/// Source: 42 CFR 422.504(d) (records of Medicare Advantage); HIPAA demands six years (45 CFR 164.316(b)(2), 164.528).
pub const KEPT_MS: i64 = 3_653 * 24 * 3_600_000;

/// Whether a member may be erased.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ErasureLeave {
    /// Nothing has to be kept any more.
    Free,
    /// Only under a law that demands it, until then (UTC milliseconds).
    Kept {
        /// When the records need not be kept any more.
        until_ms: i64,
    },
    /// Not at all: there is a legal hold.
    Held,
}

/// Whether this member may be erased at `now_ms` (UTC milliseconds). There are no legal holds in this version: who adds them asks for them here.
///
/// # Errors
/// Those of the database.
pub fn may_be_erased(db: &mut Db, patient_id: &str, now_ms: i64) -> Result<ErasureLeave, Failure> {
    let until_ms = erased_entries::newest_us(db, patient_id)?.map(|at_us| at_us / 1000 + KEPT_MS);
    Ok(match until_ms {
        Some(until_ms) if now_ms < until_ms => ErasureLeave::Kept { until_ms },
        _ => ErasureLeave::Free,
    })
}
