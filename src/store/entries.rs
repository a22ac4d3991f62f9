//! Ledger entries by what they are about and by the ids of their request, for those who ask what happened.
//!
//! The entry that ends a disclosure is never listed by itself: it is found from the one that began it.

use super::Db;
use super::schema::{compartment, decision, ledger_entry, operator_note};
use crate::error::Failure;
use diesel::dsl::sql;
use diesel::prelude::*;
use diesel::sql_types::Bool;
use std::collections::HashMap;

/// Action of the entry that begins a disclosure.
pub const BEGUN: &str = "disclosure.begun";
/// Action of the entry that ends a disclosure.
pub const COMPLETED: &str = "disclosure.completed";
/// What the index of entries by subject covers; a query has to say it word for word.
const INDEXED: &str = "action <> 'disclosure.completed' AND action <> 'member-match.matched'";
/// Entries that end disclosures, loaded at once.
const ENDS: i64 = 5_000;

/// A row of `ledger_entry` with what opens its commitments.
#[derive(Clone, Debug, Queryable)]
#[allow(missing_docs)]
pub struct EntryRow {
    pub id: String,
    pub at_us: i64,
    pub action: String,
    pub partner_id: Option<String>,
    pub correlation_id: String,
    /// Our request id, where it is not the correlation id as well.
    pub request_id: Option<String>,
    pub entry: Vec<u8>,
    pub subject: Option<String>,
    pub salt: Option<Vec<u8>>,
}

/// The ids of one request.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct RequestIds {
    /// The caller's, or ours when it sent none.
    pub correlation_id: String,
    /// Ours.
    pub request_id: String,
}

/// A decision, as far as other things are found by it.
#[derive(Clone, Debug, Queryable)]
#[allow(missing_docs)]
pub struct DecisionIds {
    pub id: String,
    pub correlation_id: String,
    pub request_id: String,
    pub outcome: String,
    pub grant_id: Option<String>,
    pub consent_id: Option<String>,
    pub created_ms: i64,
}

/// Which disclosures of a member.
#[derive(Clone, Debug, Default)]
pub struct DisclosureFilter {
    /// Id of the Patient.
    pub member: String,
    /// Id of the partner.
    pub partner: Option<String>,
    /// At or after this, UTC milliseconds.
    pub from_ms: Option<i64>,
    /// Before this, UTC milliseconds.
    pub to_ms: Option<i64>,
    /// Id of the last one seen.
    pub cursor: Option<String>,
    /// Rows of a page.
    pub limit: i64,
}

macro_rules! rows {
    ($after:expr, $limit:expr) => {
        ledger_entry::table
            .select((
                ledger_entry::id,
                ledger_entry::at_us,
                ledger_entry::action,
                ledger_entry::partner_id,
                ledger_entry::correlation_id,
                ledger_entry::request_id,
                ledger_entry::entry,
                ledger_entry::subject,
                ledger_entry::subject_salt,
            ))
            .filter(ledger_entry::id.gt($after))
            .order(ledger_entry::id)
            .limit($limit)
    };
}

/// The entries under a correlation id after the entry `after`, at most `limit`.
///
/// # Errors
/// Those of the database.
pub fn under(db: &mut Db, correlation_id: &str, after: &str, limit: i64) -> Result<Vec<EntryRow>, Failure> {
    Ok(rows!(after, limit)
        .filter(ledger_entry::correlation_id.eq(correlation_id))
        .filter(ledger_entry::action.ne(COMPLETED))
        .load(db)?)
}

/// The entries of one request, as [`under`].
///
/// # Errors
/// Those of the database.
pub fn of_request(db: &mut Db, ids: &RequestIds, after: &str, limit: i64) -> Result<Vec<EntryRow>, Failure> {
    if ids.request_id != ids.correlation_id {
        return by_request_id(db, &ids.request_id, after, limit);
    }
    Ok(rows!(after, limit)
        .filter(ledger_entry::correlation_id.eq(&ids.correlation_id))
        .filter(ledger_entry::request_id.is_null())
        .filter(ledger_entry::action.ne(COMPLETED))
        .load(db)?)
}

/// The entries of a request that came with a correlation id of its caller's, as [`under`].
///
/// # Errors
/// Those of the database.
pub fn by_request_id(db: &mut Db, request_id: &str, after: &str, limit: i64) -> Result<Vec<EntryRow>, Failure> {
    Ok(rows!(after, limit)
        .filter(ledger_entry::request_id.eq(request_id))
        .filter(ledger_entry::action.ne(COMPLETED))
        .load(db)?)
}

/// The entries about this thing, as [`under`]; those of matches are not among them.
///
/// # Errors
/// Those of the database.
pub fn about(db: &mut Db, subject: &str, after: &str, limit: i64) -> Result<Vec<EntryRow>, Failure> {
    Ok(rows!(after, limit)
        .filter(ledger_entry::subject.eq(subject))
        .filter(sql::<Bool>(INDEXED))
        .load(db)?)
}

/// The entries that began disclosures of a member, a page and one row more when there is another page.
///
/// # Errors
/// Those of the database.
pub fn begun(db: &mut Db, filter: &DisclosureFilter) -> Result<Vec<EntryRow>, Failure> {
    let after = filter.cursor.as_deref().unwrap_or_default();
    let mut query = rows!(after, super::ops_queries::fetched(filter.limit))
        .filter(ledger_entry::subject.eq(&filter.member))
        .filter(sql::<Bool>(INDEXED))
        .filter(ledger_entry::action.eq(BEGUN))
        .into_boxed();
    if let Some(partner) = &filter.partner {
        query = query.filter(ledger_entry::partner_id.eq(partner));
    }
    if let Some(from_ms) = filter.from_ms {
        query = query.filter(ledger_entry::at_us.ge(from_ms.saturating_mul(1000)));
    }
    if let Some(to_ms) = filter.to_ms {
        query = query.filter(ledger_entry::at_us.lt(to_ms.saturating_mul(1000)));
    }
    Ok(query.load(db)?)
}

/// The entries that ended disclosures of these requests, from an instant (UTC microseconds) on.
///
/// # Errors
/// Those of the database.
pub fn ends(db: &mut Db, correlation_ids: &[String], from_us: i64) -> Result<Vec<EntryRow>, Failure> {
    Ok(rows!("", ENDS)
        .filter(ledger_entry::correlation_id.eq_any(correlation_ids))
        .filter(ledger_entry::action.eq(COMPLETED))
        .filter(ledger_entry::at_us.ge(from_us))
        .load(db)?)
}

/// The names of the operators of these entries, by the entries' ids.
///
/// # Errors
/// Those of the database.
pub fn operators(db: &mut Db, entry_ids: &[String]) -> Result<HashMap<String, String>, Failure> {
    let rows: Vec<(String, String)> = operator_note::table
        .filter(operator_note::entry_id.eq_any(entry_ids))
        .select((operator_note::entry_id, operator_note::operator))
        .load(db)?;
    Ok(rows.into_iter().collect())
}

type DecisionColumns = (
    decision::id,
    decision::correlation_id,
    decision::request_id,
    decision::outcome,
    decision::grant_id,
    decision::consent_id,
    decision::created_ms,
);
const DECISION: DecisionColumns = (
    decision::id,
    decision::correlation_id,
    decision::request_id,
    decision::outcome,
    decision::grant_id,
    decision::consent_id,
    decision::created_ms,
);

/// The decisions of these requests.
///
/// # Errors
/// Those of the database.
pub fn decisions_of(db: &mut Db, requests: &[RequestIds]) -> Result<Vec<DecisionIds>, Failure> {
    let correlations: Vec<&str> = requests.iter().map(|ids| ids.correlation_id.as_str()).collect();
    let own: Vec<&str> = requests.iter().map(|ids| ids.request_id.as_str()).collect();
    Ok(decision::table
        .filter(decision::correlation_id.eq_any(correlations))
        .filter(decision::request_id.eq_any(own))
        .select(DECISION)
        .order(decision::id)
        .load(db)?)
}

/// The decisions that made or renewed these grants, after the decision `after`, at most `limit`.
///
/// # Errors
/// Those of the database.
pub fn decisions_under(
    db: &mut Db,
    grant_ids: &[String],
    after: &str,
    limit: i64,
) -> Result<Vec<DecisionIds>, Failure> {
    Ok(decision::table
        .filter(decision::grant_id.eq_any(grant_ids))
        .filter(decision::id.gt(after))
        .select(DECISION)
        .order(decision::id)
        .limit(limit)
        .load(db)?)
}

/// The decision in force for a grant at an instant (UTC milliseconds): the last one that made or renewed it until then.
///
/// # Errors
/// Those of the database.
pub fn decision_at(db: &mut Db, grant_id: &str, at_ms: i64) -> Result<Option<String>, Failure> {
    Ok(decision::table
        .filter(decision::grant_id.eq(grant_id))
        .filter(decision::created_ms.le(at_ms))
        .order(decision::id.desc())
        .select(decision::id)
        .first(db)
        .optional()?)
}

/// Whether a member with this Patient is on record.
///
/// # Errors
/// Those of the database.
pub fn is_member(db: &mut Db, patient_id: &str) -> Result<bool, Failure> {
    let found: Option<i64> = compartment::table
        .filter(compartment::patient_id.eq(patient_id))
        .select(compartment::no)
        .first(db)
        .optional()?;
    Ok(found.is_some())
}
