//! Cases of evidence, and what each has.
//!
//! A case is opened, gets items, and is closed for good. Nothing is deleted.

use super::Db;
use super::schema::{evidence_case, evidence_case_item};
use crate::error::Failure;
use diesel::prelude::*;

/// A row of `evidence_case`.
#[derive(Clone, Debug, PartialEq, Eq, Queryable, Selectable, Insertable)]
#[diesel(table_name = evidence_case, treat_none_as_default_value = false)]
#[allow(missing_docs)] // the columns, as the migrations tell them
pub struct CaseRow {
    pub id: String,
    pub name: String,
    pub opened_by: String,
    pub opened_ms: i64,
    pub closed_by: Option<String>,
    pub closed_ms: Option<i64>,
}

/// A row of `evidence_case_item`.
#[derive(Clone, Debug, PartialEq, Eq, Queryable, Selectable, Insertable)]
#[diesel(table_name = evidence_case_item)]
#[allow(missing_docs)]
pub struct CaseItemRow {
    pub case_id: String,
    pub item: String,
    pub kind: String,
    pub entry_id: String,
    pub added_by: String,
    pub added_ms: i64,
}

/// Inserts a case. Fails on a duplicate key when there is one of this name.
///
/// # Errors
/// Those of the database.
pub fn open(db: &mut Db, row: &CaseRow) -> Result<(), Failure> {
    diesel::insert_into(evidence_case::table).values(row).execute(db)?;
    Ok(())
}

/// Returns the case of this id or name.
///
/// # Errors
/// Those of the database.
pub fn find(db: &mut Db, given: &str) -> Result<Option<CaseRow>, Failure> {
    Ok(evidence_case::table
        .filter(evidence_case::id.eq(given).or(evidence_case::name.eq(given)))
        .order(evidence_case::id)
        .select(CaseRow::as_select())
        .first(db)
        .optional()?)
}

/// Returns the cases after `after`, oldest first: a page, and one more row when there is a next page.
///
/// # Errors
/// Those of the database.
pub fn page(db: &mut Db, after: &str, limit: i64) -> Result<Vec<CaseRow>, Failure> {
    Ok(evidence_case::table
        .filter(evidence_case::id.gt(after))
        .order(evidence_case::id)
        .limit(super::ops_queries::fetched(limit))
        .select(CaseRow::as_select())
        .load(db)?)
}

/// Keeps an open case as it is until the caller's transaction ends. Returns false when it is closed.
///
/// # Errors
/// Those of the database.
pub fn hold_open(db: &mut Db, id: &str) -> Result<bool, Failure> {
    let open = evidence_case::table.find(id).filter(evidence_case::closed_ms.is_null());
    let held = diesel::update(open).set(evidence_case::id.eq(id)).execute(db)?;
    Ok(held == 1)
}

/// Closes an open case. Returns false when it is closed already.
///
/// # Errors
/// Those of the database.
pub fn close(db: &mut Db, id: &str, by: &str, now_ms: i64) -> Result<bool, Failure> {
    let open = evidence_case::table.find(id).filter(evidence_case::closed_ms.is_null());
    let closed = diesel::update(open)
        .set((evidence_case::closed_by.eq(by), evidence_case::closed_ms.eq(now_ms)))
        .execute(db)?;
    Ok(closed == 1)
}

/// Adds an item to a case, unless the case has it. Returns whether it is new.
///
/// # Errors
/// Those of the database.
pub fn add(db: &mut Db, row: &CaseItemRow) -> Result<bool, Failure> {
    let known: Option<String> = evidence_case_item::table
        .find((&row.case_id, &row.item))
        .select(evidence_case_item::item)
        .first(db)
        .optional()?;
    if known.is_some() {
        return Ok(false);
    }
    diesel::insert_into(evidence_case_item::table).values(row).execute(db)?;
    Ok(true)
}

/// Returns the items of a case, in the order in which they were added.
///
/// # Errors
/// Those of the database.
pub fn items(db: &mut Db, case_id: &str) -> Result<Vec<CaseItemRow>, Failure> {
    Ok(evidence_case_item::table
        .filter(evidence_case_item::case_id.eq(case_id))
        .order(evidence_case_item::entry_id)
        .select(CaseItemRow::as_select())
        .load(db)?)
}
