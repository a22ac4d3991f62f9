//! Shows resources as they were received.

use super::outcome::{BROUGHT, LOST, QUARANTINED};
use super::retract::is_withdrawn;
use super::scope::IngestScope;
use super::spool::span;
use super::state::RETRACTED;
use crate::context::Context;
use crate::error::{Failure, Fault};
use crate::security::vault::Vault;
use crate::store::Db;
use crate::store::ingest::{self as rows, ReceivedRow};

/// Bytes of a resource that are shown at most: more than one may have.
const MOST_BYTES: i64 = 64 << 20;

/// Bytes of resources that are shown together, unless one alone has more.
const TOGETHER_BYTES: i64 = 8 << 20;

/// A resource as it came.
#[derive(Clone, PartialEq, Eq)]
pub struct ReceivedOriginal {
    /// The exchange that brought it.
    pub exchange_id: String,
    /// Where it stands in what came.
    pub place: ReceivedPlace,
    /// Its type; `*` when that is not known.
    pub rtype: String,
    /// What became of it.
    pub outcome: String,
    /// Why it is kept apart: the code of a fault.
    pub reason: Option<String>,
    /// Its bytes, unchanged.
    pub bytes: Vec<u8>,
}

/// Returns what exchanges brought of the stored resource `rtype/id`, what was fetched last first. Blocks this thread.
///
/// # Errors
/// [`Fault::SealKeys`]; [`Fault::SealBroken`] when it is gone or was
/// changed; those of the store.
pub fn originals(ctx: &Context, vault: &Vault, rtype: &str, id: &str) -> Result<Vec<ReceivedOriginal>, Failure> {
    let found = ctx
        .store
        .read_blocking(|db| rows::brought_by_others(db, "", (rtype, id), BROUGHT, RETRACTED))?;
    found
        .iter()
        .map(|row| original(&IngestScope::reopen(ctx, vault, &row.exchange_id)?, row))
        .collect()
}

/// Where a resource stands in what came: page and entry.
pub type ReceivedPlace = (i64, i64);

/// Returns everything that an exchange brought, as it came, after the place (page, entry), of at most `limit` rows. The place of the last
/// one comes with it. Blocks this thread.
///
/// # Errors
/// As [`originals`].
pub fn received(
    scope: &IngestScope,
    after: ReceivedPlace,
    limit: i64,
) -> Result<(Vec<ReceivedOriginal>, Option<ReceivedPlace>), Failure> {
    let read = |db: &mut Db| {
        demand_kept(db, scope)?;
        rows::all_received(db, scope.exchange_id(), after, limit)
    };
    some_of(scope, &scope.ctx.store.read_blocking(read)?)
}

/// Returns what an exchange brought that is kept apart, after the place (page, entry), at most `limit`. The place of the last one comes
/// with it. Blocks this thread.
///
/// # Errors
/// As [`originals`].
pub fn quarantined(
    scope: &IngestScope,
    after: ReceivedPlace,
    limit: i64,
) -> Result<(Vec<ReceivedOriginal>, Option<ReceivedPlace>), Failure> {
    let read = |db: &mut Db| {
        demand_kept(db, scope)?;
        rows::received(db, scope.exchange_id(), QUARANTINED, after, limit)
    };
    some_of(scope, &scope.ctx.store.read_blocking(read)?)
}

/// The first of these, as many as memory should hold at once, and the place of the last one.
fn some_of(
    scope: &IngestScope,
    rows: &[ReceivedRow],
) -> Result<(Vec<ReceivedOriginal>, Option<ReceivedPlace>), Failure> {
    let (mut shown, mut last, mut bytes) = (Vec::new(), None, 0);
    for row in rows {
        bytes += row.length.min(MOST_BYTES);
        if last.is_some() && bytes > TOGETHER_BYTES {
            break;
        }
        last = Some((row.page, row.entry));
        if row.outcome != LOST {
            shown.push(original(scope, row)?);
        }
    }
    Ok((shown, last))
}

/// Bodies go with a retraction; only the rows that tell of them stay.
fn demand_kept(db: &mut Db, scope: &IngestScope) -> Result<(), Failure> {
    match is_withdrawn(db, scope.exchange_id())? {
        true => Err(Fault::NothingReceived.into()),
        false => Ok(()),
    }
}

fn original(scope: &IngestScope, row: &ReceivedRow) -> Result<ReceivedOriginal, Failure> {
    Ok(ReceivedOriginal {
        exchange_id: row.exchange_id.clone(),
        place: (row.page, row.entry),
        rtype: row.rtype.clone(),
        outcome: row.outcome.clone(),
        reason: row.reason.clone(),
        // Of what is too long to be a resource, the beginning is enough.
        bytes: span(scope, row.page, row.start, row.length.min(MOST_BYTES))?,
    })
}
