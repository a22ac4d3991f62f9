//! What an exchange has brought: as whom the partner knows the member, counts, and what is still missing.

use crate::error::Failure;
use crate::store::Db;
use crate::store::schema::{exchange_missing, exchange_result};
use diesel::prelude::*;

/// What an exchange has brought.
#[derive(Clone, Debug, Default, PartialEq, Eq, Queryable, Selectable, Insertable, AsChangeset)]
#[diesel(table_name = exchange_result)]
#[diesel(treat_none_as_null = true)]
#[allow(missing_docs)]
pub struct ExchangeResultRow {
    pub exchange_id: String,
    pub patient_id: Option<String>,
    pub identifier_system: Option<String>,
    pub identifier: Option<String>,
    pub method: Option<String>,
    pub as_of_ms: Option<i64>,
    pub received: i64,
    pub bytes: i64,
    pub stored: i64,
    pub unchanged: i64,
    pub quarantined: i64,
    pub resume: Option<String>,
}

impl ExchangeResultRow {
    /// All that is stored, was stored before, or is in quarantine has been received: also what a part brought before it began anew, and did
    /// not bring again.
    pub fn count_as_received(&mut self) {
        self.received = self.received.max(self.stored + self.unchanged + self.quarantined);
    }
}

/// Something that the partner has not given.
#[derive(Clone, Debug, PartialEq, Eq, Queryable, Selectable, Insertable)]
#[diesel(table_name = exchange_missing)]
#[allow(missing_docs)]
pub struct MissingRow {
    pub exchange_id: String,
    pub number: i64,
    pub resource_type: String,
    pub missing: Option<i64>,
    pub page: Option<i64>,
    pub resume: Option<String>,
    pub reason: Option<String>,
}

/// Returns what an exchange has brought; `None` before the partner matched the member.
///
/// # Errors
/// Those of the database.
pub fn result_of(db: &mut Db, exchange_id: &str) -> Result<Option<ExchangeResultRow>, Failure> {
    Ok(exchange_result::table
        .find(exchange_id)
        .select(ExchangeResultRow::as_select())
        .first(db)
        .optional()?)
}

/// Writes what an exchange has brought.
///
/// # Errors
/// Those of the database.
pub fn put_result(db: &mut Db, row: &ExchangeResultRow) -> Result<(), Failure> {
    let changed = diesel::update(exchange_result::table.find(&row.exchange_id))
        .set(row)
        .execute(db)?;
    if changed == 0 {
        diesel::insert_into(exchange_result::table).values(row).execute(db)?;
    }
    Ok(())
}

/// Returns what is missing.
///
/// # Errors
/// Those of the database.
pub fn missing_of(db: &mut Db, exchange_id: &str) -> Result<Vec<MissingRow>, Failure> {
    Ok(exchange_missing::table
        .filter(exchange_missing::exchange_id.eq(exchange_id))
        .order(exchange_missing::number)
        .select(MissingRow::as_select())
        .load(db)?)
}

/// Replaces what is missing by these rows.
///
/// # Errors
/// Those of the database.
pub fn set_missing(db: &mut Db, exchange_id: &str, rows: &[MissingRow]) -> Result<(), Failure> {
    diesel::delete(exchange_missing::table.filter(exchange_missing::exchange_id.eq(exchange_id))).execute(db)?;
    crate::store::many::insert!(db, exchange_missing::table, rows);
    Ok(())
}
