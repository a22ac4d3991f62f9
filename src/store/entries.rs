//! Ledger entries by what they are about and by the ids of their request, for those who ask what happened.
//!
//! The entry that ends a disclosure is never listed by itself: it is found from the one that began it. That somebody looked at
//! something is no part of what happened to it.

use super::Db;
use super::schema::{compartment, decision, ledger_entry, ledger_subject, ledger_subject_state, operator_note};
use super::statement::{Bind, Statement, run};
use crate::error::Failure;
use diesel::prelude::*;
use std::collections::HashMap;

/// Action of the entry that begins a disclosure.
pub const BEGUN: &str = "disclosure.begun";
/// Action of the entry that ends a disclosure.
pub const COMPLETED: &str = "disclosure.completed";
/// Action of the entry of a match that was found.
pub const MATCHED: &str = "member-match.matched";
/// Action of the entry that somebody looked at something; no part of what happened.
const VIEWED: &str = "operator.viewed";
/// Entries that end disclosures, loaded at once.
const ENDS: i64 = 5_000;
/// Age at which an entry is indexed by its subject, microseconds: none that is older can still be on its way to its commit.
const SETTLED_US: i64 = 120_000_000;

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

impl EntryRow {
    /// The ids of its request.
    pub fn ids(&self) -> RequestIds {
        RequestIds {
            correlation_id: self.correlation_id.clone(),
            request_id: self.request_id.clone().unwrap_or_else(|| self.correlation_id.clone()),
        }
    }
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

type EntryColumns = (
    ledger_entry::id,
    ledger_entry::at_us,
    ledger_entry::action,
    ledger_entry::partner_id,
    ledger_entry::correlation_id,
    ledger_entry::request_id,
    ledger_entry::entry,
    ledger_entry::subject,
    ledger_entry::subject_salt,
);
/// The columns of an [`EntryRow`].
pub(super) const ENTRY: EntryColumns = (
    ledger_entry::id,
    ledger_entry::at_us,
    ledger_entry::action,
    ledger_entry::partner_id,
    ledger_entry::correlation_id,
    ledger_entry::request_id,
    ledger_entry::entry,
    ledger_entry::subject,
    ledger_entry::subject_salt,
);

macro_rules! rows {
    ($after:expr, $limit:expr) => {
        ledger_entry::table
            .select(ENTRY)
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
        .filter(ledger_entry::action.ne(VIEWED))
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
        .filter(ledger_entry::action.ne(VIEWED))
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
        .filter(ledger_entry::action.ne(VIEWED))
        .load(db)?)
}

macro_rules! both_ways {
    ($db:expr, $subject:expr, $after:expr, $limit:expr, $query:ident => $filtered:expr) => {{
        // Indexed entries first; what is younger than the index is read through.
        let indexed = {
            let $query = rows!($after, $limit)
                .inner_join(ledger_subject::table.on(ledger_subject::entry_id.eq(ledger_entry::id)))
                .filter(ledger_subject::subject.eq($subject))
                .filter(ledger_subject::entry_id.gt($after))
                .order(ledger_subject::entry_id)
                .into_boxed();
            $filtered.load::<EntryRow>($db)?
        };
        let left = $limit - i64::try_from(indexed.len()).unwrap_or($limit);
        let upto = upto($db)?;
        let from = if upto.as_str() > $after { upto.as_str() } else { $after };
        let $query = rows!(from, left)
            .filter(ledger_entry::subject.eq($subject))
            .into_boxed();
        let young = $filtered.load::<EntryRow>($db)?;
        Ok(indexed.into_iter().chain(young).collect())
    }};
}

/// The entries about this thing, as [`under`].
///
/// # Errors
/// Those of the database.
pub fn about(db: &mut Db, subject: &str, after: &str, limit: i64) -> Result<Vec<EntryRow>, Failure> {
    both_ways!(db, subject, after, limit, query => query
        .filter(ledger_entry::action.ne(COMPLETED))
        .filter(ledger_entry::action.ne(VIEWED)))
}

/// Those of them with one action.
///
/// # Errors
/// Those of the database.
pub fn about_by(db: &mut Db, subject: &str, action: &str, after: &str, limit: i64) -> Result<Vec<EntryRow>, Failure> {
    both_ways!(db, subject, after, limit, query => query.filter(ledger_entry::action.eq(action)))
}

/// The entries that began disclosures of a member, a page and one row more when there is another page.
///
/// # Errors
/// Those of the database.
pub fn begun(db: &mut Db, filter: &DisclosureFilter) -> Result<Vec<EntryRow>, Failure> {
    let (member, limit) = (filter.member.as_str(), super::ops_queries::fetched(filter.limit));
    let after = filter.cursor.as_deref().unwrap_or_default();
    let from_us = filter.from_ms.map_or(i64::MIN, |ms| ms.saturating_mul(1000));
    let to_us = filter.to_ms.map_or(i64::MAX, |ms| ms.saturating_mul(1000));
    match filter.partner.as_deref() {
        Some(partner) => both_ways!(db, member, after, limit, query => query
            .filter(ledger_entry::action.eq(BEGUN))
            .filter(ledger_entry::at_us.ge(from_us).and(ledger_entry::at_us.lt(to_us)))
            .filter(ledger_entry::partner_id.eq(partner))),
        None => both_ways!(db, member, after, limit, query => query
            .filter(ledger_entry::action.eq(BEGUN))
            .filter(ledger_entry::at_us.ge(from_us).and(ledger_entry::at_us.lt(to_us)))),
    }
}

/// The last entry that was looked at for the index of subjects.
fn upto(db: &mut Db) -> Result<String, Failure> {
    Ok(ledger_subject_state::table
        .find(1)
        .select(ledger_subject_state::upto)
        .first(db)?)
}

struct Index;

/// Indexes the next entries by their subjects, at most `limit` of those that are old enough at `now_us`; how many were looked at.
/// Call it again while that is `limit`.
///
/// # Errors
/// Those of the database.
pub fn index(db: &mut Db, now_us: i64, limit: i64) -> Result<i64, Failure> {
    let from = upto(db)?;
    let next: Vec<String> = ledger_entry::table
        .filter(ledger_entry::id.gt(&from))
        .filter(ledger_entry::at_us.lt(now_us - SETTLED_US))
        .order(ledger_entry::id)
        .limit(limit)
        .select(ledger_entry::id)
        .load(db)?;
    let Some(last) = next.last() else { return Ok(0) };
    // In the order of the index, so that each of its pages is written once. Another process may have been first.
    let rows = Statement::<Index>::new(
        "INSERT INTO ledger_subject (subject, entry_id) SELECT subject, id FROM ledger_entry \
         WHERE id > ? AND id <= ? AND subject IS NOT NULL AND action <> ? ORDER BY subject, id ON CONFLICT DO NOTHING",
        vec![Bind::Text(&from), Bind::Text(last), Bind::Text(COMPLETED)],
    );
    run(db, rows)?;
    let behind = ledger_subject_state::table
        .find(1)
        .filter(ledger_subject_state::upto.lt(last));
    diesel::update(behind)
        .set(ledger_subject_state::upto.eq(last))
        .execute(db)?;
    Ok(i64::try_from(next.len()).unwrap_or(limit))
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
);
const DECISION: DecisionColumns = (
    decision::id,
    decision::correlation_id,
    decision::request_id,
    decision::outcome,
    decision::grant_id,
    decision::consent_id,
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
