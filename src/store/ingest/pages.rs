//! Rows of bodies that came to their end, a few at a time, and what is asked of all of them by an index. It decides nothing.

use crate::error::Failure;
use crate::store::Db;
use crate::store::many::insert;
use crate::store::schema::{ingest_page, ingest_piece};
use diesel::dsl::{max, sql};
use diesel::prelude::*;
use diesel::sql_types::BigInt;

/// A row of `ingest_page`: one body that came to its end.
#[derive(Clone, Debug, PartialEq, Eq, Queryable, Selectable, Insertable)]
#[diesel(table_name = ingest_page, treat_none_as_default_value = false)]
#[allow(missing_docs)]
pub struct PageRow {
    pub exchange_id: String,
    pub page: i64,
    pub part: String,
    pub bytes: i64,
    pub sha256: Vec<u8>,
    pub link_sha256: Vec<u8>,
    pub entries: i64,
    pub types: String,
    pub date_ms: Option<i64>,
    pub received_ms: i64,
}

/// A row of `ingest_piece`: a sealed piece of a body.
#[derive(Clone, Debug, Insertable)]
#[diesel(table_name = ingest_piece, treat_none_as_default_value = false)]
#[allow(missing_docs)]
pub struct PieceRow {
    pub exchange_id: String,
    pub page: i64,
    pub piece: i64,
    pub sealed: Vec<u8>,
}

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

/// Returns how many pages an exchange has, and the sums of their bytes and of their entries; with `part` only of that part, other than pages that
/// were set aside.
///
/// # Errors
/// Those of the database.
pub fn sums(db: &mut Db, exchange_id: &str, part: Option<&str>) -> Result<(i64, i64, i64), Failure> {
    let mut found = ingest_page::table
        .filter(ingest_page::exchange_id.eq(exchange_id))
        .select((
            sql::<BigInt>("COUNT(*)"),
            sql::<BigInt>("CAST(COALESCE(SUM(bytes), 0) AS BIGINT)"),
            sql::<BigInt>("CAST(COALESCE(SUM(entries), 0) AS BIGINT)"),
        ))
        .into_boxed::<_>();
    if let Some(part) = part {
        found = found
            .filter(ingest_page::part.eq(part))
            .filter(ingest_page::link_sha256.ne(Vec::<u8>::new()));
    }
    Ok(found.first(db)?)
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

/// Removes the pieces of a body that did not come to its end, and returns the number of the page that comes next.
///
/// # Errors
/// Those of the database.
pub fn begin_page(db: &mut Db, exchange_id: &str) -> Result<i64, Failure> {
    let next = last_page(db, exchange_id)? + 1;
    let unfinished = ingest_piece::exchange_id
        .eq(exchange_id)
        .and(ingest_piece::page.ge(next));
    diesel::delete(ingest_piece::table.filter(unfinished)).execute(db)?;
    Ok(next)
}

/// Inserts pieces of a body.
///
/// # Errors
/// Those of the database.
pub fn put_pieces(db: &mut Db, rows: &[PieceRow]) -> Result<(), Failure> {
    insert!(db, ingest_piece::table, rows);
    Ok(())
}

/// Inserts the row of a body that came to its end.
///
/// # Errors
/// Those of the database.
pub fn put_page(db: &mut Db, row: &PageRow) -> Result<(), Failure> {
    diesel::insert_into(ingest_page::table).values(row).execute(db)?;
    Ok(())
}

/// Sets the pages of a part aside, so that the part may come anew: they are still what came, and count no more as fetched.
///
/// # Errors
/// Those of the database.
pub fn set_aside(db: &mut Db, exchange_id: &str, part: &str) -> Result<(), Failure> {
    let pages = ingest_page::table.filter(ingest_page::exchange_id.eq(exchange_id).and(ingest_page::part.eq(part)));
    diesel::update(pages)
        .set((ingest_page::link_sha256.eq(Vec::<u8>::new()), ingest_page::types.eq("")))
        .execute(db)?;
    Ok(())
}

/// Returns a sealed piece of a body.
///
/// # Errors
/// Those of the database.
pub fn piece(db: &mut Db, exchange_id: &str, page: i64, piece: i64) -> Result<Option<Vec<u8>>, Failure> {
    Ok(ingest_piece::table
        .find((exchange_id, page, piece))
        .select(ingest_piece::sealed)
        .first(db)
        .optional()?)
}
