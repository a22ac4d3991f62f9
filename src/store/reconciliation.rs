//! What a reconciliation with a partner reads beside exchanges and matches: bulk runs and bulk jobs in the order of their ids, and what belongs
//! to a page of rows.
//!
//! Reads only, a page at a time; what a row means is decided by `ops::reconciliation`.

use super::Db;
use super::bulk::{BulkJobRow, OUTPUT, RECEIPT};
use super::bulk_runs::BulkRunRow;
use super::exchanges::ExchangeResultRow;
use super::run_receipts::RunReceiptRow;
use super::schema::{
    bulk_file, bulk_job, bulk_run, bulk_run_file, bulk_run_member, bulk_run_receipt, exchange_result, exchange_step,
};
use crate::error::Failure;
use diesel::prelude::*;
use std::collections::{HashMap, HashSet};

/// Resources and bytes, summed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct FileTotals {
    /// Resources.
    pub resources: i64,
    /// Bytes.
    pub bytes: i64,
}

/// Returns bulk runs with a partner after this id, in the order of their ids.
///
/// # Errors
/// Those of the database.
pub fn runs_after(db: &mut Db, partner: &str, after: &str, limit: i64) -> Result<Vec<BulkRunRow>, Failure> {
    Ok(bulk_run::table
        .filter(bulk_run::partner_id.eq(partner).and(bulk_run::id.gt(after)))
        .order(bulk_run::id)
        .limit(limit)
        .select(BulkRunRow::as_select())
        .load(db)?)
}

/// Returns bulk jobs of a partner after this id, in the order of their ids.
///
/// # Errors
/// Those of the database.
pub fn jobs_after(db: &mut Db, partner: &str, after: &str, limit: i64) -> Result<Vec<BulkJobRow>, Failure> {
    Ok(bulk_job::table
        .filter(bulk_job::partner_id.eq(partner).and(bulk_job::id.gt(after)))
        .order(bulk_job::id)
        .limit(limit)
        .select(BulkJobRow::as_select())
        .load(db)?)
}

/// Returns what these exchanges brought.
///
/// # Errors
/// Those of the database.
pub fn results_of(db: &mut Db, exchanges: &[&str]) -> Result<HashMap<String, ExchangeResultRow>, Failure> {
    let rows: Vec<ExchangeResultRow> = exchange_result::table
        .filter(exchange_result::exchange_id.eq_any(exchanges))
        .select(ExchangeResultRow::as_select())
        .load(db)?;
    Ok(rows.into_iter().map(|row| (row.exchange_id.clone(), row)).collect())
}

/// Returns how far these exchanges are in bulk runs: the exchange, and the state of the member.
///
/// # Errors
/// Those of the database.
pub fn states_in_runs(db: &mut Db, exchanges: &[&str]) -> Result<Vec<(String, String)>, Failure> {
    Ok(bulk_run_member::table
        .filter(bulk_run_member::exchange_id.eq_any(exchanges))
        .select((bulk_run_member::exchange_id, bulk_run_member::state))
        .load(db)?)
}

/// Returns those of these exchanges that tried this step in a later round than the first.
///
/// # Errors
/// Those of the database.
pub fn tried_again(db: &mut Db, exchanges: &[&str], step: &str) -> Result<HashSet<String>, Failure> {
    let ids: Vec<String> = exchange_step::table
        .filter(exchange_step::exchange_id.eq_any(exchanges))
        .filter(exchange_step::step.eq(step).and(exchange_step::round.gt(1)))
        .select(exchange_step::exchange_id)
        .load(db)?;
    Ok(ids.into_iter().collect())
}

/// Returns the receipts of these runs.
///
/// # Errors
/// Those of the database.
pub fn receipts_of_runs(db: &mut Db, runs: &[&str]) -> Result<HashMap<String, RunReceiptRow>, Failure> {
    let rows: Vec<RunReceiptRow> = bulk_run_receipt::table
        .filter(bulk_run_receipt::run_id.eq_any(runs))
        .select(RunReceiptRow::as_select())
        .load(db)?;
    Ok(rows.into_iter().map(|row| (row.run_id.clone(), row)).collect())
}

/// Returns the SHA-256 of the receipts of these jobs, as long as their files are kept.
///
/// # Errors
/// Those of the database.
pub fn receipts_of_jobs(db: &mut Db, jobs: &[&str]) -> Result<HashMap<String, Vec<u8>>, Failure> {
    let rows: Vec<(String, Vec<u8>)> = bulk_file::table
        .filter(bulk_file::job_id.eq_any(jobs).and(bulk_file::side.eq(RECEIPT)))
        .select((bulk_file::job_id, bulk_file::sha256))
        .load(db)?;
    Ok(rows.into_iter().collect())
}

/// Returns what the files of these runs hold that came as a whole.
///
/// # Errors
/// Those of the database.
pub fn totals_of_runs(db: &mut Db, runs: &[&str]) -> Result<HashMap<String, FileTotals>, Failure> {
    let rows: Vec<(String, i64, i64)> = bulk_run_file::table
        .filter(bulk_run_file::run_id.eq_any(runs))
        .filter(bulk_run_file::name.is_not_null())
        .select((bulk_run_file::run_id, bulk_run_file::resources, bulk_run_file::bytes))
        .load(db)?;
    Ok(summed(rows))
}

/// Returns what the files of these jobs hold, as long as they are kept.
///
/// # Errors
/// Those of the database.
pub fn totals_of_jobs(db: &mut Db, jobs: &[&str]) -> Result<HashMap<String, FileTotals>, Failure> {
    let rows: Vec<(String, i64, i64)> = bulk_file::table
        .filter(bulk_file::job_id.eq_any(jobs).and(bulk_file::side.eq(OUTPUT)))
        .select((bulk_file::job_id, bulk_file::resources, bulk_file::bytes))
        .load(db)?;
    Ok(summed(rows))
}

fn summed(rows: Vec<(String, i64, i64)>) -> HashMap<String, FileTotals> {
    let mut totals: HashMap<String, FileTotals> = HashMap::new();
    for (id, resources, bytes) in rows {
        let total = totals.entry(id).or_default();
        total.resources = total.resources.saturating_add(resources);
        total.bytes = total.bytes.saturating_add(bytes);
    }
    totals
}
