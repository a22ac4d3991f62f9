//! Rows of bodies that came to their end, a few at a time, and what is asked of all of them by an index. It decides nothing.

use super::PageRow;
use crate::error::Failure;
use crate::store::Db;
use crate::store::schema::{ingest_page, ingest_piece};
use diesel::dsl::{max, sql};
use diesel::prelude::*;
use diesel::sql_types::BigInt;

/// Returns at most `limit` pages of an exchange from this number on, in their order.
///
/// # Errors
/// Those of the database.
pub fn pages_from(db: &mut Db, exchange_id: &str, from: i64, limit: i64) -> Result<Vec<PageRow>, Failure> {
    Ok(ingest_page::table
        .filter(ingest_page::exchange_id.eq(exchange_id))
        .filter(ingest_page::page.ge(from))
        .order(ingest_page::page.asc())
        .limit(limit)
        .select(PageRow::as_select())
        .load(db)?)
}

/// Returns the number of the last page of an exchange; 0 when there is none.
///
/// # Errors
/// Those of the database.
pub fn last_page(db: &mut Db, exchange_id: &str) -> Result<i64, Failure> {
    let last: Option<i64> = ingest_page::table
        .filter(ingest_page::exchange_id.eq(exchange_id))
        .select(max(ingest_page::page))
        .first(db)?;
    Ok(last.unwrap_or(0))
}

/// Whether an exchange has a page from the link with this digest.
///
/// # Errors
/// Those of the database.
pub fn has_link(db: &mut Db, exchange_id: &str, link_sha256: &[u8]) -> Result<bool, Failure> {
    let same: Option<i64> = ingest_page::table
        .filter(ingest_page::exchange_id.eq(exchange_id))
        .filter(ingest_page::link_sha256.eq(link_sha256))
        .select(ingest_page::page)
        .first(db)
        .optional()?;
    Ok(same.is_some())
}

/// Whether a part of an exchange has a page with the digest of this body, other than pages that were set aside.
///
/// # Errors
/// Those of the database.
pub fn has_body(db: &mut Db, exchange_id: &str, part: &str, sha256: &[u8]) -> Result<bool, Failure> {
    let same: Option<i64> = ingest_page::table
        .filter(ingest_page::exchange_id.eq(exchange_id))
        .filter(ingest_page::sha256.eq(sha256))
        .filter(ingest_page::part.eq(part))
        .filter(ingest_page::link_sha256.ne(Vec::<u8>::new()))
        .select(ingest_page::page)
        .first(db)
        .optional()?;
    Ok(same.is_some())
}

/// Returns how many pages an exchange has, and the sums of their bytes and of their entries.
///
/// # Errors
/// Those of the database.
pub fn sums(db: &mut Db, exchange_id: &str) -> Result<(i64, i64, i64), Failure> {
    Ok(ingest_page::table
        .filter(ingest_page::exchange_id.eq(exchange_id))
        .select((
            sql::<BigInt>("COUNT(*)"),
            sql::<BigInt>("CAST(COALESCE(SUM(bytes), 0) AS BIGINT)"),
            sql::<BigInt>("CAST(COALESCE(SUM(entries), 0) AS BIGINT)"),
        ))
        .first(db)?)
}

/// Returns the number of the first page from this one on of which pieces are kept.
///
/// # Errors
/// Those of the database.
pub fn next_with_pieces(db: &mut Db, exchange_id: &str, from: i64) -> Result<Option<i64>, Failure> {
    Ok(ingest_piece::table
        .filter(ingest_piece::exchange_id.eq(exchange_id))
        .filter(ingest_piece::page.ge(from))
        .order((ingest_piece::page.asc(), ingest_piece::piece.asc()))
        .select(ingest_piece::page)
        .first(db)
        .optional()?)
}

/// Removes at most `most` pieces of a page; returns whether any is left.
///
/// # Errors
/// Those of the database.
pub fn forget_pieces(db: &mut Db, exchange_id: &str, page: i64, most: i64) -> Result<bool, Failure> {
    let of_page = || {
        ingest_piece::exchange_id
            .eq(exchange_id)
            .and(ingest_piece::page.eq(page))
    };
    let first: Option<i64> = ingest_piece::table
        .filter(of_page())
        .order(ingest_piece::piece.asc())
        .select(ingest_piece::piece)
        .first(db)
        .optional()?;
    let Some(first) = first else { return Ok(false) };
    let these = of_page().and(ingest_piece::piece.lt(first + most));
    diesel::delete(ingest_piece::table.filter(these)).execute(db)?;
    let left: Option<i64> = ingest_piece::table
        .filter(of_page())
        .select(ingest_piece::piece)
        .first(db)
        .optional()?;
    Ok(left.is_some())
}
