//! The rows of a filled store, and how a batch of them is written: all of it in one transaction. They say nothing of what is likely.

use crate::audit::LedgerEvent;
use crate::audit::ledger::row_with;
use crate::error::Failure;
use crate::store::Db;
use crate::store::exchanges::{AskRow, AttemptRow, ExchangeResultRow, ExchangeRow};
use crate::store::ledger::{self, NewEntry};
use crate::store::opt_ins::OptInRow;
use crate::store::schema::{
    compartment, consent, decision, exchange, exchange_ask, exchange_result, exchange_step, grants, opt_in,
};
use diesel::prelude::*;

/// Rows of one INSERT; both databases limit the number of parameters.
const ROWS: usize = 500;

/// A member of the store.
#[derive(Clone, Debug, Queryable)]
pub(super) struct FilledMember {
    pub(super) compartment: i64,
    pub(super) patient_id: String,
}

/// Returns the members of the store, in the order in which they came.
///
/// # Errors
/// Those of the database.
pub(super) fn members(db: &mut Db) -> Result<Vec<FilledMember>, Failure> {
    Ok(compartment::table
        .order(compartment::no)
        .select((compartment::no, compartment::patient_id))
        .load(db)?)
}

/// A row of `consent`.
#[derive(Clone, Debug, PartialEq, Eq, Insertable)]
#[diesel(table_name = consent)]
pub(super) struct FilledConsent {
    pub(super) id: String,
    pub(super) partner_id: String,
    pub(super) patient_id: String,
    pub(super) digest: Vec<u8>,
    pub(super) policy: String,
    pub(super) period_from_ms: i64,
    pub(super) period_to_ms: i64,
    pub(super) body: Vec<u8>,
    pub(super) recorded_ms: i64,
}

/// A row of `decision`.
#[derive(Clone, Debug, PartialEq, Eq, Insertable)]
#[diesel(table_name = decision)]
pub(super) struct FilledDecision {
    pub(super) id: String,
    pub(super) partner_id: String,
    pub(super) correlation_id: String,
    pub(super) request_id: String,
    pub(super) kind: String,
    pub(super) outcome: String,
    pub(super) reason: Option<String>,
    pub(super) patient_id: Option<String>,
    pub(super) consent_id: Option<String>,
    pub(super) grant_id: Option<String>,
    pub(super) policy_version: String,
    pub(super) detail: String,
    pub(super) created_ms: i64,
}

/// A row of `grants`.
#[derive(Clone, Debug, PartialEq, Eq, Insertable)]
#[diesel(table_name = grants)]
pub(super) struct FilledGrant {
    pub(super) id: String,
    pub(super) partner_id: String,
    pub(super) compartment: i64,
    pub(super) patient_id: String,
    pub(super) consent_id: String,
    pub(super) decision_id: String,
    pub(super) sensitive: i64,
    pub(super) valid_from_ms: i64,
    pub(super) valid_until_ms: i64,
    pub(super) created_ms: i64,
    pub(super) renewed_ms: i64,
}

/// Rows that become durable together.
#[derive(Clone, Debug, Default)]
pub(super) struct FillBatch {
    pub(super) entries: Vec<NewEntry>,
    pub(super) consents: Vec<FilledConsent>,
    pub(super) decisions: Vec<FilledDecision>,
    pub(super) grants: Vec<FilledGrant>,
    pub(super) opt_ins: Vec<OptInRow>,
    pub(super) exchanges: Vec<ExchangeRow>,
    pub(super) asks: Vec<AskRow>,
    pub(super) results: Vec<ExchangeResultRow>,
    pub(super) attempts: Vec<AttemptRow>,
}

impl FillBatch {
    /// Adds an entry with this id, time (UTC microseconds) and secret.
    pub(super) fn entry(&mut self, event: &LedgerEvent, id: &str, at_us: i64, salt: [u8; 32]) {
        self.entries.push(row_with(event, id, at_us, salt));
    }

    /// Writes all of it in the caller's transaction.
    ///
    /// # Errors
    /// Those of the database.
    pub(super) fn write(&self, db: &mut Db) -> Result<(), Failure> {
        macro_rules! insert {
            ($table:expr, $rows:expr) => {
                for rows in $rows.chunks(ROWS) {
                    match db {
                        Db::Pg(pg) => diesel::insert_into($table).values(rows).execute(pg)?,
                        Db::Sqlite(sqlite) => diesel::insert_into($table).values(rows).execute(sqlite)?,
                    };
                }
            };
        }
        ledger::append_all(db, &self.entries)?;
        insert!(consent::table, self.consents);
        insert!(decision::table, self.decisions);
        insert!(grants::table, self.grants);
        insert!(opt_in::table, self.opt_ins);
        insert!(exchange::table, self.exchanges);
        insert!(exchange_ask::table, self.asks);
        insert!(exchange_result::table, self.results);
        insert!(exchange_step::table, self.attempts);
        Ok(())
    }
}
