//! Rows of the receipts of bulk runs of ours, and what of them concerns each member. They stay as long as the run.

use super::Db;
use super::schema::{bulk_run_member, bulk_run_receipt, exchange};
use crate::error::Failure;
use diesel::prelude::*;

/// A row of `bulk_run_receipt`.
#[derive(Clone, Debug, PartialEq, Eq, Queryable, Selectable, Insertable)]
#[diesel(table_name = bulk_run_receipt, treat_none_as_default_value = false)]
#[allow(missing_docs)] // the columns, as the migrations tell them
pub struct RunReceiptRow {
    pub run_id: String,
    pub state: String,
    pub url: Option<String>,
    pub sha256: Option<Vec<u8>>,
    pub missing: Option<String>,
    pub fault: Option<String>,
    pub entry_id: Option<String>,
    pub checked_ms: i64,
    pub at_ms: Option<i64>,
}

/// What of the receipt of a run concerns one of its exchanges.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MemberReceipt {
    /// The run.
    pub run_id: String,
    /// Whether the run brought something for it.
    pub is_brought: bool,
    /// Whether what came for the member is what the receipt says: `whole` or `lacking`; `None` when nothing says.
    pub member: Option<String>,
    /// The receipt, once the run has looked for it.
    pub receipt: Option<RunReceiptRow>,
}

/// Writes the receipt of a run, in place of the one that is there.
///
/// # Errors
/// Those of the database.
pub fn put(db: &mut Db, row: &RunReceiptRow) -> Result<(), Failure> {
    diesel::delete(bulk_run_receipt::table.find(&row.run_id)).execute(db)?;
    diesel::insert_into(bulk_run_receipt::table).values(row).execute(db)?;
    Ok(())
}

/// Returns the receipt of a run.
///
/// # Errors
/// Those of the database.
pub fn of_run(db: &mut Db, run_id: &str) -> Result<Option<RunReceiptRow>, Failure> {
    Ok(bulk_run_receipt::table
        .find(run_id)
        .select(RunReceiptRow::as_select())
        .first(db)
        .optional()?)
}

/// Writes what came for a member (JSON: resources by type).
///
/// # Errors
/// Those of the database.
pub fn put_came(db: &mut Db, (run_id, position): (&str, i64), came: &str) -> Result<(), Failure> {
    diesel::update(bulk_run_member::table.find((run_id, position)))
        .set(bulk_run_member::came.eq(came))
        .execute(db)?;
    Ok(())
}

/// Writes for each of these members whether what came is what the receipt says.
///
/// # Errors
/// Those of the database.
pub fn put_verdict(db: &mut Db, run_id: &str, positions: &[i64], verdict: &str) -> Result<(), Failure> {
    let some = bulk_run_member::table.filter(
        bulk_run_member::run_id
            .eq(run_id)
            .and(bulk_run_member::position.eq_any(positions)),
    );
    diesel::update(some)
        .set(bulk_run_member::receipt.eq(verdict))
        .execute(db)?;
    Ok(())
}

/// Returns what of the receipt of its newest run concerns an exchange; `None` when it is of no run.
///
/// # Errors
/// Those of the database.
pub fn of_exchange(db: &mut Db, exchange_id: &str) -> Result<Option<MemberReceipt>, Failure> {
    let found: Option<(String, Option<String>, Option<String>)> = bulk_run_member::table
        .filter(bulk_run_member::exchange_id.eq(exchange_id))
        .order(bulk_run_member::run_id)
        .select((bulk_run_member::run_id, bulk_run_member::came, bulk_run_member::receipt))
        .first(db)
        .optional()?;
    let Some((run_id, came, member)) = found else {
        return Ok(None);
    };
    Ok(Some(MemberReceipt {
        receipt: of_run(db, &run_id)?,
        run_id,
        is_brought: came.is_some(),
        member,
    }))
}

/// How far the exchange of a member of a run is.
#[derive(Clone, Debug, PartialEq, Eq, Queryable)]
#[allow(missing_docs)]
pub struct MemberStanding {
    pub state: String,
    pub verdict: Option<String>,
    pub delivery_state: String,
    pub owner: String,
    pub parked_at_ms: Option<i64>,
    pub ended_ms: Option<i64>,
}

/// Returns how far the exchanges of the members of a run are.
///
/// # Errors
/// Those of the database.
pub fn standings(db: &mut Db, run_id: &str) -> Result<Vec<MemberStanding>, Failure> {
    Ok(bulk_run_member::table
        .inner_join(exchange::table.on(exchange::id.eq(bulk_run_member::exchange_id)))
        .filter(bulk_run_member::run_id.eq(run_id))
        .order(bulk_run_member::position)
        .select((
            bulk_run_member::state,
            bulk_run_member::receipt,
            exchange::delivery_state,
            exchange::owner,
            exchange::parked_at_ms,
            exchange::ended_ms,
        ))
        .load(db)?)
}
