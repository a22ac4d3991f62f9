//! What came under one name, by the time at which it was fetched; and the keys under which exchanges are sealed. It decides nothing.

use super::ReceivedRow;
use crate::error::Failure;
use crate::store::Db;
use crate::store::schema::{ingest, ingest_page, ingest_resource};
use diesel::prelude::*;

/// What came under a name (type and id), each with its exchange and its page; not of exchanges in the state `gone`.
macro_rules! came_as {
    ($name:expr, $gone:expr) => {{
        let (rtype, id) = $name;
        let of_page = ingest_page::exchange_id
            .eq(ingest_resource::exchange_id)
            .and(ingest_page::page.eq(ingest_resource::page));
        ingest_resource::table
            .inner_join(ingest::table.on(ingest::exchange_id.eq(ingest_resource::exchange_id)))
            .inner_join(ingest_page::table.on(of_page))
            .filter(ingest_resource::rtype.eq(rtype).and(ingest_resource::id.eq(id)))
            .filter(ingest::state.ne($gone))
    }};
}

/// Where and when a content was fetched.
#[derive(Clone, Debug, PartialEq, Eq, Queryable)]
#[allow(missing_docs)] // the columns, as the migrations tell them
pub struct Fetched {
    pub exchange_id: String,
    pub page: i64,
    pub entry: i64,
    /// When its body came to its end, UTC milliseconds.
    pub received_ms: i64,
}

/// Returns where this content of a resource was fetched last, as far as its exchange is not in the state `gone`.
///
/// # Errors
/// Those of the database.
pub fn last_fetched(db: &mut Db, name: (&str, &str), content: &[u8], gone: &str) -> Result<Option<Fetched>, Failure> {
    Ok(came_as!(name, gone)
        .filter(ingest_resource::source_sha256.eq(content))
        .order((
            ingest_page::received_ms.desc(),
            ingest_resource::exchange_id.desc(),
            ingest_resource::page.desc(),
            ingest_resource::entry.desc(),
        ))
        .select((
            ingest_resource::exchange_id,
            ingest_resource::page,
            ingest_resource::entry,
            ingest_page::received_ms,
        ))
        .first(db)
        .optional()?)
}

/// Returns when a body came to its end, UTC milliseconds.
///
/// # Errors
/// Those of the database.
pub fn fetched_ms(db: &mut Db, exchange_id: &str, page: i64) -> Result<Option<i64>, Failure> {
    Ok(ingest_page::table
        .find((exchange_id, page))
        .select(ingest_page::received_ms)
        .first(db)
        .optional()?)
}

/// Returns the ids of the keys under which something is sealed, in their order; exchanges in the state `gone` have nothing left.
///
/// # Errors
/// Those of the database.
pub fn key_ids(db: &mut Db, gone: &str) -> Result<Vec<String>, Failure> {
    let mut found: Vec<String> = Vec::new();
    // From key to key by the index; DISTINCT would read the rows of all exchanges.
    loop {
        let last = found.last().map_or("", String::as_str);
        let next: Option<String> = ingest::table
            .filter(ingest::key_id.gt(last))
            .filter(ingest::state.ne(gone))
            .order(ingest::key_id.asc())
            .select(ingest::key_id)
            .first(db)
            .optional()?;
        let Some(next) = next else { return Ok(found) };
        found.push(next);
    }
}

/// Most rows of one answer of [`brought_by_others`]: a clinic may have come with the records of all members.
const FETCHED_MOST: i64 = 200;

/// Returns what exchanges other than `exchange_id` brought under this name and what still counts (`outcomes`), what was fetched last first; not
/// what was fetched long ago when there is much.
///
/// # Errors
/// Those of the database.
pub fn brought_by_others(
    db: &mut Db,
    exchange_id: &str,
    name: (&str, &str),
    outcomes: &[&str],
    gone: &str,
) -> Result<Vec<ReceivedRow>, Failure> {
    Ok(came_as!(name, gone)
        .filter(ingest_resource::exchange_id.ne(exchange_id))
        .filter(ingest_resource::outcome.eq_any(outcomes))
        .order((
            ingest_page::received_ms.desc(),
            ingest::created_ms.desc(),
            ingest::exchange_id.desc(),
            ingest_resource::page.desc(),
            ingest_resource::entry.desc(),
        ))
        .limit(FETCHED_MOST)
        .select(ReceivedRow::as_select())
        .load(db)?)
}

/// Returns one row by which an exchange other than `exchange_id` brought this content under this name, whenever that was.
///
/// # Errors
/// Those of the database.
pub fn content_by_others(
    db: &mut Db,
    exchange_id: &str,
    (name, content): ((&str, &str), &[u8]),
    outcomes: &[&str],
    gone: &str,
) -> Result<Option<ReceivedRow>, Failure> {
    Ok(came_as!(name, gone)
        .filter(ingest_resource::exchange_id.ne(exchange_id))
        .filter(ingest_resource::outcome.eq_any(outcomes))
        .filter(ingest_resource::source_sha256.eq(content))
        .order((ingest_resource::exchange_id.asc(), ingest_resource::page.asc()))
        .select(ReceivedRow::as_select())
        .first(db)
        .optional()?)
}
