//! Rows of what came from another payer more than once: pages that were set aside, and what a page brought. They are read by the exchange and the
//! page, so that what other exchanges brought under the same names costs nothing. Nothing is decided here.

use super::Db;
use super::ingest::ReceivedRow;
use super::schema::{ingest_page, ingest_resource};
use crate::error::Failure;
use diesel::prelude::*;

/// Most rows of one answer of [`received_on`].
const TOGETHER: i64 = 1_000;

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
