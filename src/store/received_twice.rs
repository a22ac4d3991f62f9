//! Rows of what came from another payer more than once: pages that were set aside, what they brought, and what came again. Nothing is decided
//! here.

use super::Db;
use super::ingest::ReceivedRow;
use super::schema::{ingest_page, ingest_resource};
use crate::error::Failure;
use diesel::dsl::sql;
use diesel::prelude::*;
use diesel::sql_types::BigInt;

/// Most rows of one answer of [`received_on`].
const TOGETHER: i64 = 1_000;

/// Page and entry of a row in one number that grows with both.
const PLACE: &str = "MAX(page * 4294967296 + entry)";

/// Page and entry of what [`PLACE`] gives.
const fn placed(place: i64) -> (i64, i64) {
    (place >> 32, place & 0xffff_ffff)
}

/// Returns the numbers of the pages of an exchange that were set aside, in their order.
///
/// # Errors
/// Those of the database.
pub fn pages_aside(db: &mut Db, exchange_id: &str) -> Result<Vec<i64>, Failure> {
    let aside = ingest_page::exchange_id
        .eq(exchange_id)
        .and(ingest_page::link_sha256.eq(Vec::<u8>::new()));
    Ok(ingest_page::table
        .filter(aside)
        .order(ingest_page::page.asc())
        .select(ingest_page::page)
        .load(db)?)
}

/// Returns rows of resources of a page after this entry, in their order; not all at once when there are many.
///
/// # Errors
/// Those of the database.
pub fn received_on(db: &mut Db, exchange_id: &str, page: i64, after: i64) -> Result<Vec<ReceivedRow>, Failure> {
    let later = ingest_resource::exchange_id
        .eq(exchange_id)
        .and(ingest_resource::page.eq(page))
        .and(ingest_resource::entry.gt(after));
    Ok(ingest_resource::table
        .filter(later)
        .order(ingest_resource::entry.asc())
        .limit(TOGETHER)
        .select(ReceivedRow::as_select())
        .load(db)?)
}

/// Returns where resources of a type with these ids came last in an exchange, as (page, entry), one for each. Rows with an outcome of
/// `without` count for nothing.
///
/// # Errors
/// Those of the database.
pub fn last_of_ids(
    db: &mut Db,
    exchange_id: &str,
    (rtype, ids): (&str, &[&str]),
    without: &[&str],
) -> Result<Vec<(i64, i64)>, Failure> {
    let found: Vec<i64> = ingest_resource::table
        .filter(ingest_resource::exchange_id.eq(exchange_id))
        .filter(ingest_resource::rtype.eq(rtype))
        .filter(ingest_resource::id.eq_any(ids.iter().copied()))
        .filter(ingest_resource::outcome.ne_all(without.iter().copied()))
        .group_by(ingest_resource::id)
        .select(sql::<BigInt>(PLACE))
        .load(db)?;
    Ok(found.into_iter().map(placed).collect())
}

/// Returns where resources of a type without an id and with this content came last in an exchange, as (page, entry), one for each.
///
/// # Errors
/// Those of the database.
pub fn last_of_contents(
    db: &mut Db,
    exchange_id: &str,
    (rtype, contents): (&str, &[&[u8]]),
    without: &[&str],
) -> Result<Vec<(i64, i64)>, Failure> {
    let found: Vec<i64> = ingest_resource::table
        .filter(ingest_resource::exchange_id.eq(exchange_id))
        .filter(ingest_resource::rtype.eq(rtype))
        .filter(ingest_resource::id.eq(""))
        .filter(ingest_resource::source_sha256.eq_any(contents.iter().copied()))
        .filter(ingest_resource::outcome.ne_all(without.iter().copied()))
        .group_by(ingest_resource::source_sha256)
        .select(sql::<BigInt>(PLACE))
        .load(db)?;
    Ok(found.into_iter().map(placed).collect())
}
