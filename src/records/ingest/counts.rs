//! The counts of what an exchange brought, by what became of it. It reads rows and changes none.

use super::outcome::{HELD, LOST, MADE, NOTICE, OLDER, QUARANTINED, STORED, UNCHANGED};
use super::twice;
use crate::context::Context;
use crate::error::Failure;
use crate::store::Db;
use crate::store::ingest as rows;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// What became of everything that an exchange brought.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct IngestCounts {
    /// Resources that were new, or newer than what was there.
    pub stored: u64,
    /// Resources that were there in the same or a newer version.
    pub unchanged: u64,
    /// Resources by type, except messages.
    pub by_type: BTreeMap<String, u64>,
    /// Resources that are kept apart, by the code of the reason.
    pub quarantined: BTreeMap<String, u64>,
    /// Provenances that this server made.
    pub made: u64,
}

/// Counts what became of everything that an exchange brought. What came twice, because a part began anew, counts once.
///
/// # Errors
/// Those of the store.
pub fn counted(ctx: &Context, exchange_id: &str) -> Result<IngestCounts, Failure> {
    ctx.store.read_blocking(|db| counted_in(db, exchange_id))
}

/// The same in the caller's transaction.
///
/// # Errors
/// Those of the database.
pub(super) fn counted_in(db: &mut Db, exchange_id: &str) -> Result<IngestCounts, Failure> {
    let mut counted = IngestCounts::default();
    let (mut totals, twice) = (rows::outcomes(db, exchange_id)?, twice::fetched(db, exchange_id)?);
    twice.take_from(&mut totals);
    for row in totals {
        let count = u64::try_from(row.count).unwrap_or(0);
        match row.outcome.as_str() {
            STORED => counted.stored += count,
            UNCHANGED | OLDER | HELD => counted.unchanged += count,
            QUARANTINED => *counted.quarantined.entry(row.reason.unwrap_or_default()).or_default() += count,
            MADE => counted.made += count,
            _ => {}
        }
        if !matches!(row.outcome.as_str(), MADE | NOTICE | LOST) {
            *counted.by_type.entry(row.rtype).or_default() += count;
        }
    }
    Ok(counted)
}
