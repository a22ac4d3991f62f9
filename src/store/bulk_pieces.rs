//! Which pieces of a bulk run wait, and how large the records of members are from which pieces are made. Rows are written by
//! [`super::bulk`]; this module only reads.

use super::Db;
use super::bulk::{BulkPieceRow, WAITING};
use super::schema::{bulk_piece, compartment};
use crate::error::Failure;
use diesel::prelude::*;
use diesel::sql_types::{BigInt, Bool};
use std::collections::HashMap;

/// Pieces of one hand of a run: those whose position leaves `number` when it is divided by `hands`.
#[derive(Clone, Copy, Debug)]
pub struct PiecesOf {
    /// The number of the hand, from 0.
    pub number: i64,
    /// How many hands there are.
    pub hands: i64,
    /// Only pieces after this position.
    pub after: i64,
}

/// Returns waiting pieces with members, in their order, at most `limit`.
///
/// # Errors
/// Those of the database.
pub fn waiting(db: &mut Db, id: &str, of: PiecesOf, limit: i64) -> Result<Vec<BulkPieceRow>, Failure> {
    let own = diesel::dsl::sql::<Bool>("position % ")
        .bind::<BigInt, _>(of.hands.max(1))
        .sql(" = ")
        .bind::<BigInt, _>(of.number);
    Ok(bulk_piece::table
        .filter(bulk_piece::job_id.eq(id))
        .filter(bulk_piece::state.eq(WAITING))
        .filter(bulk_piece::members.gt(0))
        .filter(bulk_piece::position.gt(of.after))
        .filter(own)
        .order(bulk_piece::position.asc())
        .limit(limit)
        .select(BulkPieceRow::as_select())
        .load(db)?)
}

/// Returns the first piece that is not done, of whichever hand.
///
/// # Errors
/// Those of the database.
pub fn first_waiting(db: &mut Db, id: &str) -> Result<Option<BulkPieceRow>, Failure> {
    Ok(bulk_piece::table
        .filter(bulk_piece::job_id.eq(id))
        .filter(bulk_piece::state.eq(WAITING))
        .order(bulk_piece::position.asc())
        .select(BulkPieceRow::as_select())
        .first(db)
        .optional()?)
}

/// Returns about how many resources the records of these members have, by Patient id.
///
/// # Errors
/// Those of the database.
pub fn sizes(db: &mut Db, patients: &[String]) -> Result<HashMap<String, i64>, Failure> {
    let rows: Vec<(String, i64)> = compartment::table
        .filter(compartment::patient_id.eq_any(patients))
        .select((compartment::patient_id, compartment::next_seq))
        .load(db)?;
    Ok(rows.into_iter().collect())
}
