//! What controls read: the ids of business rows and entries, counted and walked in order, and the few rows that nothing else finds by id.
//!
//! Reads only, and judges nothing: what belongs to what is decided by `controls`.

use super::Db;
use super::entries::{ENTRY, EntryRow, RequestIds};
use super::ops_queries::StoredDecision;
use super::schema::{
    bulk_acknowledgement, bulk_run_receipt, decision, exchange, grants, idempotency, identity_revocation, ledger_entry,
    opt_in,
};
use crate::error::Failure;
use crate::ids::before_all_of;
use diesel::prelude::*;

/// A kind of rows that are walked by their ids.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[allow(missing_docs)]
pub enum RowKind {
    Entry,
    Decision,
    Consent,
    Grant,
    Review,
    LinkStep,
    OptIn,
    Exchange,
    BulkJob,
    /// Named by the entry that was written with it.
    Acknowledgement,
    Partner,
    PolicyVersion,
    DisclosedFile,
}

macro_rules! on_kind {
    ($kind:expr, ($rows:ident, $key:ident) => $work:expr) => {
        match $kind {
            RowKind::Entry => {
                use super::schema::ledger_entry::{id as $key, table as $rows};
                $work
            }
            RowKind::Decision => {
                use super::schema::decision::{id as $key, table as $rows};
                $work
            }
            RowKind::Consent => {
                use super::schema::consent::{id as $key, table as $rows};
                $work
            }
            RowKind::Grant => {
                use super::schema::grants::{id as $key, table as $rows};
                $work
            }
            RowKind::Review => {
                use super::schema::review::{id as $key, table as $rows};
                $work
            }
            RowKind::LinkStep => {
                use super::schema::identity_step::{id as $key, table as $rows};
                $work
            }
            RowKind::OptIn => {
                use super::schema::opt_in::{id as $key, table as $rows};
                $work
            }
            RowKind::Exchange => {
                use super::schema::exchange::{id as $key, table as $rows};
                $work
            }
            RowKind::BulkJob => {
                use super::schema::bulk_job::{id as $key, table as $rows};
                $work
            }
            RowKind::Acknowledgement => {
                use super::schema::bulk_acknowledgement::{entry_id as $key, table as $rows};
                $work
            }
            RowKind::Partner => {
                use super::schema::partner::{id as $key, table as $rows};
                $work
            }
            RowKind::PolicyVersion => {
                use super::schema::policy_version::{id as $key, table as $rows};
                $work
            }
            RowKind::DisclosedFile => {
                use super::schema::disclosed_file::{name as $key, table as $rows};
                $work
            }
        }
    };
}

/// Returns how many rows of this kind there are.
///
/// # Errors
/// Those of the database.
pub fn count(db: &mut Db, kind: RowKind) -> Result<i64, Failure> {
    on_kind!(kind, (rows, key) => Ok(rows.select(diesel::dsl::count(key)).first(db)?))
}

/// Returns the ids of the rows after the id `after`, in order: `skip` are left out, and then at most `limit` are returned.
///
/// # Errors
/// Those of the database.
pub fn ids(db: &mut Db, kind: RowKind, after: &str, skip: i64, limit: i64) -> Result<Vec<String>, Failure> {
    on_kind!(kind, (rows, key) => Ok(rows
        .filter(key.gt(after))
        .order(key)
        .offset(skip)
        .limit(limit)
        .select(key)
        .load(db)?))
}

/// Returns the entry with this id, and the exchange that its column names.
///
/// # Errors
/// Those of the database.
pub fn entry(db: &mut Db, id: &str) -> Result<Option<(EntryRow, Option<String>)>, Failure> {
    Ok(ledger_entry::table
        .find(id)
        .select((ENTRY, ledger_entry::exchange_id))
        .first(db)
        .optional()?)
}

/// How far an entry may be from the stamp of its row, milliseconds.
const BESIDE_MS: i64 = 1_000;

/// Whether an entry with this action from between these instants (UTC milliseconds), or from less than a second beside them, can no longer be
/// opened: an erasure or the end of its period took out what it is about, so that it is found by nothing else.
///
/// # Errors
/// Those of the database.
pub fn was_closed(db: &mut Db, action: &str, from_ms: i64, to_ms: i64) -> Result<bool, Failure> {
    let from = before_all_of(from_ms.saturating_sub(BESIDE_MS));
    let to = before_all_of(to_ms.saturating_add(BESIDE_MS));
    let found: Option<String> = ledger_entry::table
        .filter(ledger_entry::id.ge(from).and(ledger_entry::id.lt(to)))
        .filter(ledger_entry::action.eq(action))
        .filter(ledger_entry::subject_salt.is_null())
        .select(ledger_entry::id)
        .first(db)
        .optional()?;
    Ok(found.is_some())
}

/// Returns the decisions of one request; a request about many members has many.
///
/// # Errors
/// Those of the database.
pub fn decisions(db: &mut Db, ids: &RequestIds) -> Result<Vec<StoredDecision>, Failure> {
    Ok(decision::table
        .filter(decision::request_id.eq(&ids.request_id))
        .select(decision::all_columns)
        .order(decision::id)
        .load(db)?)
}

/// Returns the consents under which a partner has or had grants on a member, by their ids.
///
/// # Errors
/// Those of the database.
pub fn consents_of(db: &mut Db, partner_id: &str, patient_id: &str) -> Result<Vec<String>, Failure> {
    Ok(grants::table
        .filter(grants::patient_id.eq(patient_id).and(grants::partner_id.eq(partner_id)))
        .select(grants::consent_id)
        .order(grants::consent_id)
        .load(db)?)
}

/// Whether a step on identity links revoked this grant.
///
/// # Errors
/// Those of the database.
pub fn is_revoked_by_step(db: &mut Db, grant_id: &str) -> Result<bool, Failure> {
    let found: Option<String> = identity_revocation::table
        .filter(identity_revocation::grant_id.eq(grant_id))
        .select(identity_revocation::step_id)
        .first(db)
        .optional()?;
    Ok(found.is_some())
}

/// Returns the job whose receipt the partner answered with the entry of this id.
///
/// # Errors
/// Those of the database.
pub fn job_acknowledged_by(db: &mut Db, entry_id: &str) -> Result<Option<String>, Failure> {
    Ok(bulk_acknowledgement::table
        .filter(bulk_acknowledgement::entry_id.eq(entry_id))
        .select(bulk_acknowledgement::job_id)
        .first(db)
        .optional()?)
}

/// Returns the bulk runs of ours whose receipts were answered: the run, and the entry of the answer.
///
/// # Errors
/// Those of the database.
pub fn answered_receipts(db: &mut Db, after: &str, limit: i64) -> Result<Vec<(String, Option<String>)>, Failure> {
    Ok(bulk_run_receipt::table
        .filter(bulk_run_receipt::run_id.gt(after))
        .filter(bulk_run_receipt::entry_id.is_not_null())
        .order(bulk_run_receipt::run_id)
        .limit(limit)
        .select((bulk_run_receipt::run_id, bulk_run_receipt::entry_id))
        .load(db)?)
}

/// An answer that is kept under an idempotency key.
#[derive(Clone, Debug, PartialEq, Eq, Queryable)]
#[allow(missing_docs)] // the columns, as the migrations tell them
pub struct ReplayedReply {
    pub partner_id: String,
    pub method: String,
    pub route: String,
    pub key: String,
    pub fingerprint: Vec<u8>,
    pub status: Option<i64>,
    pub body: Option<Vec<u8>>,
    pub decision_id: Option<String>,
}

/// Returns how many answers are kept under keys that count at this time (UTC milliseconds).
///
/// # Errors
/// Those of the database.
pub fn reply_count(db: &mut Db, now_ms: i64) -> Result<i64, Failure> {
    Ok(idempotency::table
        .filter(idempotency::expires_ms.gt(now_ms).and(idempotency::state.eq("done")))
        .count()
        .first(db)?)
}

/// Returns such an answer, by its place in the order of partners and keys.
///
/// # Errors
/// Those of the database.
pub fn reply_at(db: &mut Db, now_ms: i64, place: i64) -> Result<Option<ReplayedReply>, Failure> {
    Ok(idempotency::table
        .filter(idempotency::expires_ms.gt(now_ms).and(idempotency::state.eq("done")))
        .order((
            idempotency::partner_id,
            idempotency::method,
            idempotency::route,
            idempotency::idem_key,
        ))
        .offset(place)
        .select((
            idempotency::partner_id,
            idempotency::method,
            idempotency::route,
            idempotency::idem_key,
            idempotency::fingerprint,
            idempotency::status,
            idempotency::body,
            idempotency::decision_id,
        ))
        .first(db)
        .optional()?)
}

/// How many entries an exchange has, and how many opt-ins and exchanges its member, to see whether anything was written.
///
/// # Errors
/// Those of the database.
pub fn written_of(db: &mut Db, exchange_id: &str, member_id: &str) -> Result<[i64; 3], Failure> {
    let entries = ledger_entry::table
        .filter(ledger_entry::exchange_id.eq(exchange_id))
        .count()
        .first(db)?;
    let opt_ins = opt_in::table
        .filter(opt_in::member_id.eq(member_id))
        .count()
        .first(db)?;
    let all = exchange::table
        .filter(exchange::member_id.eq(member_id))
        .count()
        .first(db)?;
    Ok([entries, opt_ins, all])
}

/// Returns how many entries have one of these actions.
///
/// # Errors
/// Those of the database.
pub fn count_of(db: &mut Db, actions: &[&str]) -> Result<i64, Failure> {
    Ok(ledger_entry::table
        .filter(ledger_entry::action.eq_any(actions))
        .count()
        .first(db)?)
}

/// Returns the entries with one of these actions after the entry `after`, in order: `skip` are left out, and then at most `limit` are returned.
///
/// # Errors
/// Those of the database.
pub fn entries_of(db: &mut Db, actions: &[&str], after: &str, skip: i64, limit: i64) -> Result<Vec<EntryRow>, Failure> {
    Ok(ledger_entry::table
        .filter(ledger_entry::id.gt(after).and(ledger_entry::action.eq_any(actions)))
        .order(ledger_entry::id)
        .offset(skip)
        .limit(limit)
        .select(ENTRY)
        .load(db)?)
}
