//! Whether a member may be erased now: the one place that asks for how long records are kept, and for legal holds.

use crate::error::Failure;
use crate::keeping::{DataKind, Periods};
use crate::retention::hold;
use crate::store::{Db, erased_entries};

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

/// Whether this member may be erased at `now_ms` (UTC milliseconds): there is no legal hold on the member or an exchange about the member, and
/// the values of the ledger have been kept as long as `periods` says, from the newest entry about the member on.
///
/// # Errors
/// Those of the database.
pub fn may_be_erased(db: &mut Db, patient_id: &str, periods: &Periods, now_ms: i64) -> Result<ErasureLeave, Failure> {
    if hold::held(db, patient_id)?.is_some() {
        return Ok(ErasureLeave::Held);
    }
    let newest_ms = erased_entries::newest_us(db, patient_id)?.map(|at_us| at_us / 1000);
    let before_ms = periods.before_ms(DataKind::Ledger, now_ms).unwrap_or(now_ms);
    Ok(match newest_ms {
        Some(newest_ms) if newest_ms > before_ms => ErasureLeave::Kept {
            until_ms: newest_ms.saturating_add(now_ms.saturating_sub(before_ms)),
        },
        _ => ErasureLeave::Free,
    })
}
