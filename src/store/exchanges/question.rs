//! The question that a partner is asked in one round, sealed, as long as it may be sent again. It is not readable here.

use crate::error::Failure;
use crate::store::Db;
use crate::store::schema::exchange_question;
use diesel::prelude::*;

/// A row of `exchange_question`.
#[derive(Clone, Debug, PartialEq, Eq, Queryable, Selectable, Insertable)]
#[diesel(table_name = exchange_question)]
#[allow(missing_docs)] // the columns, as the migrations tell them
pub struct QuestionRow {
    pub exchange_id: String,
    pub round: i64,
    pub key_id: String,
    pub sealed: Vec<u8>,
}

/// Returns the question of an exchange.
///
/// # Errors
/// Those of the database.
pub fn question_of(db: &mut Db, exchange_id: &str) -> Result<Option<QuestionRow>, Failure> {
    Ok(exchange_question::table
        .find(exchange_id)
        .select(QuestionRow::as_select())
        .first(db)
        .optional()?)
}

/// Writes the question of an exchange, in place of the one that is there.
///
/// # Errors
/// Those of the database.
pub fn put_question(db: &mut Db, row: &QuestionRow) -> Result<(), Failure> {
    forget_question(db, &row.exchange_id)?;
    diesel::insert_into(exchange_question::table).values(row).execute(db)?;
    Ok(())
}

/// Removes the question of an exchange, if there is one.
///
/// # Errors
/// Those of the database.
pub fn forget_question(db: &mut Db, exchange_id: &str) -> Result<(), Failure> {
    diesel::delete(exchange_question::table.find(exchange_id)).execute(db)?;
    Ok(())
}
