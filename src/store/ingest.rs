//! Rows of what another payer sent: exchanges, parts, pages, pieces of bodies, and one row for each resource that came.
//!
//! Nothing is decided here, and nothing is readable: bodies and links are sealed before they get here.

mod fetched;
mod pages;
mod progress;

pub use fetched::{Fetched, brought_by_others, content_by_others, fetched_ms, key_ids, last_fetched};
pub use pages::{
    PageRow, PieceRow, begin_page, forget_pieces, has_body, has_link, last_page, next_with_pieces, pages_from, piece,
    put_page, put_pieces, set_aside, sums,
};
pub use progress::{ProgressRow, forget_progress, next_with_progress, progress, put_progress};

use super::Db;
use super::many::{ROWS, insert};
use super::schema::{ingest, ingest_page, ingest_part, ingest_resource};
use crate::error::Failure;
use diesel::dsl::count_star;
use diesel::prelude::*;

/// A row of `ingest`: one exchange that brought something.
#[derive(Clone, Debug, PartialEq, Eq, Queryable, Selectable, Insertable)]
#[diesel(table_name = ingest, treat_none_as_default_value = false)]
#[allow(missing_docs)] // the columns, as the migrations tell them
pub struct IngestRow {
    pub exchange_id: String,
    pub partner_id: String,
    pub patient_id: String,
    pub key_id: String,
    pub sealed_about: Vec<u8>,
    pub method: String,
    pub state: String,
    pub created_ms: i64,
    pub updated_ms: i64,
}

/// A row of `ingest_part`: one thing that was asked for.
#[derive(Clone, Debug, PartialEq, Eq, Queryable, Selectable, Insertable, AsChangeset)]
#[diesel(table_name = ingest_part, treat_none_as_default_value = false, treat_none_as_null = true)]
#[allow(missing_docs)]
pub struct PartRow {
    pub exchange_id: String,
    pub part: String,
    pub state: String,
    pub reason: Option<String>,
    pub pages: i64,
    pub entries: i64,
    pub expected: Option<i64>,
    pub sealed_next: Option<Vec<u8>>,
    pub updated_ms: i64,
}

/// A row of `ingest_resource`: one resource that came.
#[derive(Clone, Debug, PartialEq, Eq, Queryable, Selectable, Insertable)]
#[diesel(table_name = ingest_resource, treat_none_as_default_value = false)]
#[allow(missing_docs)]
pub struct ReceivedRow {
    pub exchange_id: String,
    pub page: i64,
    pub entry: i64,
    pub start: i64,
    pub length: i64,
    pub rtype: String,
    pub id: String,
    pub outcome: String,
    pub reason: Option<String>,
    pub source_sha256: Vec<u8>,
    pub gate_version: i64,
}

/// Returns the row of an exchange.
///
/// # Errors
/// Those of the database.
pub fn find(db: &mut Db, exchange_id: &str) -> Result<Option<IngestRow>, Failure> {
    Ok(ingest::table
        .find(exchange_id)
        .select(IngestRow::as_select())
        .first(db)
        .optional()?)
}

/// Inserts the row of an exchange, unless there is one; returns the one that is there now.
///
/// # Errors
/// Those of the database.
pub fn open(db: &mut Db, row: &IngestRow) -> Result<IngestRow, Failure> {
    if let Some(there) = find(db, &row.exchange_id)? {
        return Ok(there);
    }
    diesel::insert_into(ingest::table).values(row).execute(db)?;
    Ok(row.clone())
}

/// Writes the state of an exchange.
///
/// # Errors
/// Those of the database.
pub fn set_state(db: &mut Db, exchange_id: &str, state: &str, now_ms: i64) -> Result<(), Failure> {
    diesel::update(ingest::table.find(exchange_id))
        .set((ingest::state.eq(state), ingest::updated_ms.eq(now_ms)))
        .execute(db)?;
    Ok(())
}

/// Writes what is sealed about an exchange.
///
/// # Errors
/// Those of the database.
pub fn set_about(db: &mut Db, exchange_id: &str, sealed: &[u8]) -> Result<(), Failure> {
    diesel::update(ingest::table.find(exchange_id))
        .set(ingest::sealed_about.eq(sealed))
        .execute(db)?;
    Ok(())
}

/// Returns the parts of an exchange, by name.
///
/// # Errors
/// Those of the database.
pub fn parts(db: &mut Db, exchange_id: &str) -> Result<Vec<PartRow>, Failure> {
    Ok(ingest_part::table
        .filter(ingest_part::exchange_id.eq(exchange_id))
        .order(ingest_part::part.asc())
        .select(PartRow::as_select())
        .load(db)?)
}

/// Returns the part of an exchange with this name.
///
/// # Errors
/// Those of the database.
pub fn part(db: &mut Db, exchange_id: &str, name: &str) -> Result<Option<PartRow>, Failure> {
    Ok(ingest_part::table
        .find((exchange_id, name))
        .select(PartRow::as_select())
        .first(db)
        .optional()?)
}

/// Writes a part, in place of what there is of it.
///
/// # Errors
/// Those of the database.
pub fn put_part(db: &mut Db, row: &PartRow) -> Result<(), Failure> {
    let changed = diesel::update(ingest_part::table.find((&row.exchange_id, &row.part)))
        .set((
            ingest_part::state.eq(&row.state),
            ingest_part::reason.eq(row.reason.as_deref()),
            ingest_part::pages.eq(row.pages),
            ingest_part::entries.eq(row.entries),
            ingest_part::expected.eq(row.expected),
            ingest_part::sealed_next.eq(row.sealed_next.as_deref()),
            ingest_part::updated_ms.eq(row.updated_ms),
        ))
        .execute(db)?;
    if changed == 0 {
        diesel::insert_into(ingest_part::table).values(row).execute(db)?;
    }
    Ok(())
}

/// Whether an exchange brought any resource.
///
/// # Errors
/// Those of the database.
pub fn has_received(db: &mut Db, exchange_id: &str) -> Result<bool, Failure> {
    let first: Option<i64> = ingest_resource::table
        .filter(ingest_resource::exchange_id.eq(exchange_id))
        .select(ingest_resource::page)
        .first(db)
        .optional()?;
    Ok(first.is_some())
}

/// Makes a page one without content, and gives its resources this outcome: what was kept of it cannot be read any more.
///
/// # Errors
/// Those of the database.
pub fn lose_page(db: &mut Db, exchange_id: &str, page: i64, sha256: &[u8], outcome: &str) -> Result<(), Failure> {
    diesel::update(ingest_page::table.find((exchange_id, page)))
        .set((
            ingest_page::bytes.eq(0),
            ingest_page::entries.eq(0),
            ingest_page::sha256.eq(sha256),
            ingest_page::link_sha256.eq(Vec::<u8>::new()),
            ingest_page::types.eq(""),
        ))
        .execute(db)?;
    let of_page = ingest_resource::exchange_id
        .eq(exchange_id)
        .and(ingest_resource::page.eq(page));
    diesel::update(ingest_resource::table.filter(of_page))
        .set(ingest_resource::outcome.eq(outcome))
        .execute(db)?;
    Ok(())
}

/// Whether a resource of this page is on record.
///
/// # Errors
/// Those of the database.
pub fn has_received_on(db: &mut Db, exchange_id: &str, page: i64) -> Result<bool, Failure> {
    let first: Option<i64> = ingest_resource::table
        .filter(ingest_resource::exchange_id.eq(exchange_id))
        .filter(ingest_resource::page.eq(page))
        .select(ingest_resource::entry)
        .first(db)
        .optional()?;
    Ok(first.is_some())
}

/// Removes the links by which the parts of an exchange go on.
///
/// # Errors
/// Those of the database.
pub fn forget_links(db: &mut Db, exchange_id: &str) -> Result<(), Failure> {
    let links = ingest_part::table.filter(ingest_part::exchange_id.eq(exchange_id));
    diesel::update(links)
        .set(ingest_part::sealed_next.eq(None::<Vec<u8>>))
        .execute(db)?;
    Ok(())
}

/// Writes rows of resources of one exchange and one page, in place of what there is of them.
///
/// # Errors
/// Those of the database.
pub fn put_received(db: &mut Db, rows: &[ReceivedRow]) -> Result<(), Failure> {
    for rows in rows.chunks(ROWS) {
        let Some(first) = rows.first() else { continue };
        let entries: Vec<i64> = rows.iter().map(|row| row.entry).collect();
        let there = ingest_resource::exchange_id
            .eq(&first.exchange_id)
            .and(ingest_resource::page.eq(first.page))
            .and(ingest_resource::entry.eq_any(entries));
        diesel::delete(ingest_resource::table.filter(there)).execute(db)?;
        insert!(db, ingest_resource::table, rows);
    }
    Ok(())
}

/// Returns the rows of these entries of a page.
///
/// # Errors
/// Those of the database.
pub fn received_at(db: &mut Db, exchange_id: &str, page: i64, entries: &[i64]) -> Result<Vec<ReceivedRow>, Failure> {
    let mut found = Vec::new();
    for entries in entries.chunks(ROWS) {
        let these = ingest_resource::exchange_id
            .eq(exchange_id)
            .and(ingest_resource::page.eq(page))
            .and(ingest_resource::entry.eq_any(entries));
        found.extend(
            ingest_resource::table
                .filter(these)
                .select(ReceivedRow::as_select())
                .load(db)?,
        );
    }
    Ok(found)
}

/// Returns rows of resources of an exchange with this outcome, in order after (`page`, `entry`), at most `limit`.
///
/// # Errors
/// Those of the database.
pub fn received(
    db: &mut Db,
    exchange_id: &str,
    outcome: &str,
    after: (i64, i64),
    limit: i64,
) -> Result<Vec<ReceivedRow>, Failure> {
    let later = ingest_resource::page.gt(after.0).or(ingest_resource::page
        .eq(after.0)
        .and(ingest_resource::entry.gt(after.1)));
    Ok(ingest_resource::table
        .filter(ingest_resource::exchange_id.eq(exchange_id))
        .filter(ingest_resource::outcome.eq(outcome))
        .filter(later)
        .order((ingest_resource::page.asc(), ingest_resource::entry.asc()))
        .limit(limit)
        .select(ReceivedRow::as_select())
        .load(db)?)
}

/// Returns rows of all resources that came with an exchange, in order after (`page`, `entry`), at most `limit`; without what this server
/// made itself.
///
/// # Errors
/// Those of the database.
pub fn all_received(
    db: &mut Db,
    exchange_id: &str,
    after: (i64, i64),
    limit: i64,
) -> Result<Vec<ReceivedRow>, Failure> {
    let later = ingest_resource::page.gt(after.0).or(ingest_resource::page
        .eq(after.0)
        .and(ingest_resource::entry.gt(after.1)));
    Ok(ingest_resource::table
        .filter(ingest_resource::exchange_id.eq(exchange_id))
        .filter(ingest_resource::page.gt(0))
        .filter(later)
        .order((ingest_resource::page.asc(), ingest_resource::entry.asc()))
        .limit(limit)
        .select(ReceivedRow::as_select())
        .load(db)?)
}

/// How many resources of an exchange have each outcome, with its reason, by type.
///
/// # Errors
/// Those of the database.
pub fn outcomes(db: &mut Db, exchange_id: &str) -> Result<Vec<OutcomeCount>, Failure> {
    Ok(ingest_resource::table
        .filter(ingest_resource::exchange_id.eq(exchange_id))
        .group_by((
            ingest_resource::outcome,
            ingest_resource::reason,
            ingest_resource::rtype,
        ))
        .select((
            ingest_resource::outcome,
            ingest_resource::reason,
            ingest_resource::rtype,
            count_star(),
        ))
        .load(db)?)
}

/// A count of [`outcomes`].
#[derive(Clone, Debug, PartialEq, Eq, Queryable)]
pub struct OutcomeCount {
    /// The outcome.
    pub outcome: String,
    /// Its reason, if it has one.
    pub reason: Option<String>,
    /// The type of the resources.
    pub rtype: String,
    /// How many.
    pub count: i64,
}

/// Returns the first exchange after `after` that has resources in quarantine, judged by a version of the gate before `version`, and whose
/// state is not `gone`.
///
/// # Errors
/// Those of the database.
pub fn quarantined_before(db: &mut Db, version: i64, gone: &str, after: &str) -> Result<Option<String>, Failure> {
    // In its text, because the index of what is in quarantine is not used for a bound value.
    let in_quarantine = diesel::dsl::sql::<diesel::sql_types::Bool>("ingest_resource.outcome = 'quarantined'");
    Ok(ingest_resource::table
        .inner_join(ingest::table.on(ingest::exchange_id.eq(ingest_resource::exchange_id)))
        .filter(in_quarantine)
        .filter(ingest_resource::gate_version.lt(version))
        .filter(ingest_resource::exchange_id.gt(after))
        .filter(ingest::state.ne(gone))
        .order(ingest_resource::exchange_id.asc())
        .select(ingest_resource::exchange_id)
        .first(db)
        .optional()?)
}
