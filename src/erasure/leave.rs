//! Whether a member may be erased now: the one place that asks for how long records are kept, and for legal holds.

use crate::error::Failure;
use crate::keeping::{DataKind, Periods};
use crate::retention::{hold, time};
use crate::store::{Db, erased_entries, member_stamps};

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
/// the values of the ledger have been kept as long as `periods` says, from the newest entry about the member on. If the record is erased too
/// (`with_record`), the same holds for what was decided, consented to, exchanged and received, each kind with its own period. No clock that is
/// set forward makes anything old enough (threats F10).
///
/// # Errors
/// Those of the database.
pub fn may_be_erased(
    db: &mut Db,
    patient_id: &str,
    periods: &Periods,
    with_record: bool,
    now_ms: i64,
) -> Result<ErasureLeave, Failure> {
    if hold::held(db, patient_id)?.is_some() {
        return Ok(ErasureLeave::Held);
    }
    let now_ms = time::asked(db, now_ms)?;
    let newest_ms = erased_entries::newest_us(db, patient_id)?.map(|at_us| at_us / 1000);
    let mut newest = vec![(DataKind::Ledger, newest_ms)];
    if with_record {
        let stamps = member_stamps::of(db, patient_id)?;
        newest.extend([
            (DataKind::Decisions, stamps.decided_ms),
            (DataKind::Consents, stamps.consented_ms),
            (DataKind::Reviews, stamps.reviewed_ms),
            (DataKind::Exchanges, stamps.exchanged_ms),
            (DataKind::Exchanges, stamps.has_running.then_some(now_ms)),
            (DataKind::Received, stamps.received_ms),
        ]);
    }
    let until = |(kind, at_ms): (DataKind, Option<i64>)| {
        let at_ms = at_ms?;
        let before_ms = periods.before_ms(kind, now_ms).unwrap_or(now_ms);
        (at_ms > before_ms).then(|| at_ms.saturating_add(now_ms.saturating_sub(before_ms)))
    };
    Ok(match newest.into_iter().filter_map(until).max() {
        Some(until_ms) => ErasureLeave::Kept { until_ms },
        None => ErasureLeave::Free,
    })
}
