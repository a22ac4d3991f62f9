//! What becomes of a resource that came, and the counts of it.

use crate::context::Context;
use crate::error::Failure;
use crate::store::Db;
use crate::store::ingest as rows;
use std::collections::BTreeMap;

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

/// What became of everything that an exchange brought.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
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

/// Counts what became of everything that an exchange brought.
///
/// # Errors
/// Those of the store.
pub fn counted(ctx: &Context, exchange_id: &str) -> Result<IngestCounts, Failure> {
    let mut counted = IngestCounts::default();
    for row in ctx.store.read_blocking(|db| rows::outcomes(db, exchange_id))? {
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
