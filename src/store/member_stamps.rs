//! When the newest of each kind of evidence about a member counts from. Reads only; for how long it is kept is decided by `erasure`.

use super::Db;
use super::schema::{consent, decision, exchange, grants, ingest, review};
use crate::error::Failure;
use diesel::dsl::max;
use diesel::prelude::*;

/// The newest of each kind about a member, UTC milliseconds; `None` of a kind of which there is nothing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct MemberStamps {
    /// When the newest decision was made.
    pub decided_ms: Option<i64>,
    /// When the last consent or grant is over.
    pub consented_ms: Option<i64>,
    /// When the newest review was decided.
    pub reviewed_ms: Option<i64>,
    /// When the newest exchange ended.
    pub exchanged_ms: Option<i64>,
    /// Whether an exchange has not ended.
    pub has_running: bool,
    /// When an exchange last worked on what it received.
    pub received_ms: Option<i64>,
}

/// Reads the stamps of a member.
///
/// # Errors
/// Those of the database.
pub fn of(db: &mut Db, patient_id: &str) -> Result<MemberStamps, Failure> {
    let decided_ms: Option<i64> = decision::table
        .filter(decision::patient_id.eq(patient_id))
        .select(max(decision::created_ms))
        .first(db)?;
    let consents: Option<i64> = consent::table
        .filter(consent::patient_id.eq(patient_id))
        .select(max(consent::period_to_ms))
        .first(db)?;
    let granted: Option<i64> = grants::table
        .filter(grants::patient_id.eq(patient_id))
        .select(max(grants::valid_until_ms))
        .first(db)?;
    let reviewed_ms: Option<i64> = review::table
        .filter(review::patient_id.eq(patient_id))
        .select(max(review::decided_ms))
        .first(db)?;
    let exchanged_ms: Option<i64> = exchange::table
        .filter(exchange::member_id.eq(patient_id))
        .select(max(exchange::ended_ms))
        .first(db)?;
    let running: i64 = exchange::table
        .filter(exchange::member_id.eq(patient_id))
        .filter(exchange::ended_ms.is_null())
        .count()
        .get_result(db)?;
    let received_ms: Option<i64> = ingest::table
        .filter(ingest::patient_id.eq(patient_id))
        .select(max(ingest::updated_ms))
        .first(db)?;
    Ok(MemberStamps {
        decided_ms,
        consented_ms: consents.max(granted),
        reviewed_ms,
        exchanged_ms,
        has_running: running > 0,
        received_ms,
    })
}
