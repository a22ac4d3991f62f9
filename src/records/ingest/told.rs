//! What is owed to the ledger while an exchange is judged again: the counts from before stay in a row until the change is told, so that a crash
//! neither loses nor repeats it. It writes no entry itself.

use super::counts::{IngestCounts, counted_in};
use crate::context::Context;
use crate::error::{Failure, Fault};
use crate::store::Db;
use crate::store::ingest::{self as rows, ProgressRow};

/// The name of what is owed, beside the steps.
const OWED: &str = "judged-again";

/// Notes the counts of an exchange from before it is judged again, unless an earlier time is noted already.
///
/// # Errors
/// Those of the database.
pub fn owe_counts(db: &mut Db, exchange_id: &str) -> Result<(), Failure> {
    if rows::progress(db, exchange_id, OWED)?.is_some() {
        return Ok(());
    }
    let counts = counted_in(db, exchange_id)?;
    let row = ProgressRow {
        exchange_id: exchange_id.to_owned(),
        step: OWED.to_owned(),
        run: String::new(),
        pass: 0,
        page: 0,
        entry: 0,
        found: serde_json::to_string(&counts).map_err(|error| Failure::new(Fault::Internal).because(error))?,
    };
    rows::put_progress(db, &row)
}

/// Takes what is owed of an exchange, in the transaction that tells it: the counts from before, and those of now. `None` when nothing is owed.
///
/// # Errors
/// Those of the database.
pub fn take_owed(db: &mut Db, exchange_id: &str) -> Result<Option<(IngestCounts, IngestCounts)>, Failure> {
    let Some(row) = rows::progress(db, exchange_id, OWED)? else {
        return Ok(None);
    };
    rows::forget_progress(db, exchange_id, OWED)?;
    let before = serde_json::from_str(&row.found).map_err(|error| Failure::new(Fault::StoreDamaged).because(error))?;
    Ok(Some((before, counted_in(db, exchange_id)?)))
}

/// Returns the next exchange after `exchange_id` of which something is owed. Blocks this thread.
///
/// # Errors
/// Those of the store.
pub fn next_owed(ctx: &Context, exchange_id: &str) -> Result<Option<String>, Failure> {
    ctx.store
        .read_blocking(|db| rows::next_with_progress(db, OWED, exchange_id))
}
