//! The rows of a time that a monthly report is made of, in the order of their ids and a page at a time.
//!
//! Reads only, and judges nothing: what a row means for the report is decided by `ops::month`.

use super::Db;
use super::schema::{decision, exchange, ledger_entry, review};
use crate::error::Failure;
use diesel::prelude::*;
use std::collections::HashSet;

/// Rows of a page.
pub const PAGE: i64 = 1_000;

/// Which rows: of one partner or of all, with ids (of this form: `ids::before_all_of`) before this one.
#[derive(Clone, Copy, Debug)]
pub struct MonthRows<'a> {
    /// Of this partner.
    pub partner: Option<&'a str>,
    /// The first id after the time.
    pub before: &'a str,
}

/// An exchange that this payer began.
#[derive(Clone, Debug, Queryable)]
#[allow(missing_docs)] // the columns, as the migrations tell them
pub struct AskedInMonth {
    pub id: String,
    pub partner_id: String,
    pub phase: String,
    pub delivery_state: String,
    pub reason: Option<String>,
    pub created_ms: i64,
    pub answer_due_ms: Option<i64>,
    pub ended_ms: Option<i64>,
}

/// A decision on a match that a partner asked for.
#[derive(Clone, Debug, Queryable)]
#[allow(missing_docs)]
pub struct AnsweredInMonth {
    pub id: String,
    pub partner_id: String,
    pub outcome: String,
}

/// A review that was opened.
#[derive(Clone, Debug, Queryable)]
#[allow(missing_docs)]
pub struct ReviewedInMonth {
    pub id: String,
    pub partner_id: String,
    pub state: String,
    pub opened_ms: i64,
    pub decided_ms: Option<i64>,
}

/// An entry of the ledger of one action.
#[derive(Clone, Debug, Queryable)]
#[allow(missing_docs)]
pub struct EnteredInMonth {
    pub id: String,
    pub partner_id: Option<String>,
    pub entry: Vec<u8>,
}

/// Returns exchanges that this payer began, after this id.
///
/// # Errors
/// Those of the database.
pub fn asked(db: &mut Db, of: MonthRows<'_>, after: &str) -> Result<Vec<AskedInMonth>, Failure> {
    let mut query = exchange::table
        .order(exchange::id)
        .limit(PAGE)
        .select((
            exchange::id,
            exchange::partner_id,
            exchange::phase,
            exchange::delivery_state,
            exchange::reason,
            exchange::created_ms,
            exchange::answer_due_ms,
            exchange::ended_ms,
        ))
        .into_boxed();
    query = query
        .filter(exchange::id.gt(after).and(exchange::id.lt(of.before)))
        .filter(exchange::direction.eq("outbound"));
    if let Some(partner) = of.partner {
        query = query.filter(exchange::partner_id.eq(partner));
    }
    Ok(query.load(db)?)
}

/// Returns those of these exchanges about which the ledger has an entry with one of these actions.
///
/// # Errors
/// Those of the database.
pub fn with_actions(db: &mut Db, exchanges: &[&str], actions: &[&str]) -> Result<HashSet<String>, Failure> {
    let found: Vec<Option<String>> = ledger_entry::table
        .filter(ledger_entry::exchange_id.eq_any(exchanges.to_vec()))
        .filter(ledger_entry::action.eq_any(actions.to_vec()))
        .select(ledger_entry::exchange_id)
        .load(db)?;
    Ok(found.into_iter().flatten().collect())
}

/// Returns decisions on matches of partners, after this id.
///
/// # Errors
/// Those of the database.
pub fn answered(db: &mut Db, of: MonthRows<'_>, after: &str) -> Result<Vec<AnsweredInMonth>, Failure> {
    let mut query = decision::table
        .order(decision::id)
        .limit(PAGE)
        .select((decision::id, decision::partner_id, decision::outcome))
        .into_boxed();
    query = query.filter(decision::id.gt(after).and(decision::id.lt(of.before)));
    if let Some(partner) = of.partner {
        query = query.filter(decision::partner_id.eq(partner));
    }
    Ok(query.load(db)?)
}

/// Returns reviews that were opened, after this id.
///
/// # Errors
/// Those of the database.
pub fn reviewed(db: &mut Db, of: MonthRows<'_>, after: &str) -> Result<Vec<ReviewedInMonth>, Failure> {
    let mut query = review::table
        .order(review::id)
        .limit(PAGE)
        .select((
            review::id,
            review::partner_id,
            review::state,
            review::opened_ms,
            review::decided_ms,
        ))
        .into_boxed();
    query = query.filter(review::id.gt(after).and(review::id.lt(of.before)));
    if let Some(partner) = of.partner {
        query = query.filter(review::partner_id.eq(partner));
    }
    Ok(query.load(db)?)
}

/// Returns entries of the ledger with this action, after this id.
///
/// # Errors
/// Those of the database.
pub fn entered(db: &mut Db, of: MonthRows<'_>, action: &str, after: &str) -> Result<Vec<EnteredInMonth>, Failure> {
    let mut query = ledger_entry::table
        .order(ledger_entry::id)
        .limit(PAGE)
        .select((ledger_entry::id, ledger_entry::partner_id, ledger_entry::entry))
        .into_boxed();
    query = query
        .filter(ledger_entry::id.gt(after).and(ledger_entry::id.lt(of.before)))
        .filter(ledger_entry::action.eq(action));
    if let Some(partner) = of.partner {
        query = query.filter(ledger_entry::partner_id.eq(partner));
    }
    Ok(query.load(db)?)
}
