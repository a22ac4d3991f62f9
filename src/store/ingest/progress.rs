//! How far a step has come in what an exchange brought. It decides nothing.

use crate::error::Failure;
use crate::store::Db;
use crate::store::schema::ingest_progress;
use diesel::prelude::*;

/// A row of `ingest_progress`.
#[derive(Clone, Debug, PartialEq, Eq, Queryable, Selectable, Insertable)]
#[diesel(table_name = ingest_progress)]
#[allow(missing_docs)] // the columns, as the migrations tell them
pub struct ProgressRow {
    pub exchange_id: String,
    pub step: String,
    pub run: String,
    pub pass: i64,
    pub page: i64,
    pub entry: i64,
    pub found: String,
}

/// Returns how far a step has come.
///
/// # Errors
/// Those of the database.
pub fn progress(db: &mut Db, exchange_id: &str, step: &str) -> Result<Option<ProgressRow>, Failure> {
    Ok(ingest_progress::table
        .find((exchange_id, step))
        .select(ProgressRow::as_select())
        .first(db)
        .optional()?)
}

/// Writes how far a step has come, in place of what is there.
///
/// # Errors
/// Those of the database.
pub fn put_progress(db: &mut Db, row: &ProgressRow) -> Result<(), Failure> {
    let changed = diesel::update(ingest_progress::table.find((&row.exchange_id, &row.step)))
        .set((
            ingest_progress::run.eq(&row.run),
            ingest_progress::pass.eq(row.pass),
            ingest_progress::page.eq(row.page),
            ingest_progress::entry.eq(row.entry),
            ingest_progress::found.eq(&row.found),
        ))
        .execute(db)?;
    if changed == 0 {
        diesel::insert_into(ingest_progress::table).values(row).execute(db)?;
    }
    Ok(())
}

/// Removes what is noted of a step.
///
/// # Errors
/// Those of the database.
pub fn forget_progress(db: &mut Db, exchange_id: &str, step: &str) -> Result<(), Failure> {
    diesel::delete(ingest_progress::table.find((exchange_id, step))).execute(db)?;
    Ok(())
}

/// Returns the first exchange after this one of which something is noted of a step.
///
/// # Errors
/// Those of the database.
pub fn next_with_progress(db: &mut Db, step: &str, after: &str) -> Result<Option<String>, Failure> {
    Ok(ingest_progress::table
        .filter(ingest_progress::step.eq(step))
        .filter(ingest_progress::exchange_id.gt(after))
        .order(ingest_progress::exchange_id.asc())
        .select(ingest_progress::exchange_id)
        .first(db)
        .optional()?)
}
