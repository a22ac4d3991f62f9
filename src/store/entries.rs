//! Finds ledger entries by their subject and by the ids of their request, for people who ask what happened.
//!
//! A *completed* entry is never listed by itself: it is found from its *begun* entry ([`super::ends`]). An entry that says that somebody viewed something is
//! left out, because it does not belong to the history of the thing viewed.

use super::Db;
use super::disclosed::{files_of, has_any};
use super::schema::{
    compartment, decision, disclosed_share, ledger_entry, ledger_subject, ledger_subject_state, operator_note,
};
use super::statement::{Bind, Statement, run};
use crate::error::Failure;
use diesel::prelude::*;
use std::collections::HashMap;

/// Action of the entry that begins a disclosure.
pub const BEGUN: &str = "disclosure.begun";
/// Action of the entry that ends a disclosure.
pub const COMPLETED: &str = "disclosure.completed";
/// Action of the entry of a match that found a member.
pub const MATCHED: &str = "member-match.matched";
/// Action of the entry of a match that was refused.
pub const MATCH_REFUSED: &str = "member-match.refused";
/// Action of the entry that says that somebody viewed something.
const VIEWED: &str = "operator.viewed";
/// How many requests one query looks for.
const REQUESTS: usize = 1_000;
/// From which age on an entry is indexed by its subject, in microseconds: no older entry can still be uncommitted.
const SETTLED_US: i64 = 120_000_000;

/// A row of `ledger_entry`, with the values that open its commitments.
#[derive(Clone, Debug, Queryable)]
#[allow(missing_docs)]
pub struct EntryRow {
    pub id: String,
    pub at_us: i64,
    pub action: String,
    pub partner_id: Option<String>,
    pub correlation_id: String,
    /// This server's request id, when it differs from the correlation id.
    pub request_id: Option<String>,
    pub entry: Vec<u8>,
    pub subject: Option<String>,
    pub salt: Option<Vec<u8>>,
}

impl EntryRow {
    /// Returns the ids of the request that wrote the entry.
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
    /// The caller's id, or this server's when the caller sent none.
    pub correlation_id: String,
    /// This server's id.
    pub request_id: String,
}

/// The ids of a decision and of what it made.
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

/// Which disclosures to list.
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
    /// Id of the last entry of the previous page.
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

/// Returns the entries with a correlation id that come after the entry `after`, at most `limit`. `forms` are those in which the id may stand
/// (`store::correlations`).
///
/// # Errors
/// Those of the database.
pub fn under(db: &mut Db, forms: &[String], after: &str, limit: i64) -> Result<Vec<EntryRow>, Failure> {
    Ok(rows!(after, limit)
        .filter(ledger_entry::correlation_id.eq_any(forms))
        .filter(ledger_entry::action.ne(COMPLETED))
        .filter(ledger_entry::action.ne(VIEWED))
        .load(db)?)
}

/// Returns the entries of one exchange; `after` and `limit` as in [`under`].
///
/// # Errors
/// Those of the database.
pub fn of_exchange(db: &mut Db, exchange_id: &str, after: &str, limit: i64) -> Result<Vec<EntryRow>, Failure> {
    Ok(rows!(after, limit)
        .filter(ledger_entry::exchange_id.eq(exchange_id))
        .load(db)?)
}

/// Returns the entries of one request; `after` and `limit` as in [`under`].
///
/// # Errors
/// Those of the database.
pub fn of_request(db: &mut Db, ids: &RequestIds, after: &str, limit: i64) -> Result<Vec<EntryRow>, Failure> {
    by_request_id(db, &ids.request_id, after, limit)
}

/// Returns the entries of the request to which this server gave this id; `after` and `limit` as in [`under`].
///
/// # Errors
/// Those of the database.
pub fn by_request_id(db: &mut Db, request_id: &str, after: &str, limit: i64) -> Result<Vec<EntryRow>, Failure> {
    // Where the caller chose no correlation id, or an erasure took it out, the request id stands in its place. Each column has its index.
    let instead = ledger_entry::correlation_id
        .eq(request_id)
        .and(ledger_entry::request_id.is_null());
    Ok(rows!(after, limit)
        .filter(ledger_entry::request_id.eq(request_id).or(instead))
        .filter(ledger_entry::action.ne(COMPLETED))
        .filter(ledger_entry::action.ne(VIEWED))
        .load(db)?)
}

macro_rules! both_ways {
    ($db:expr, ($indexed:expr, $young:expr), $after:expr, $limit:expr, $query:ident => $filtered:expr) => {{
        // Indexed entries first; the entries that are too young to be indexed are filtered without an index. Where one part ends and the
        // other begins is read before both: entries are indexed meanwhile.
        let upto = upto($db)?;
        let indexed = {
            let $query = rows!($after, $limit)
                .inner_join(ledger_subject::table.on(ledger_subject::entry_id.eq(ledger_entry::id)))
                .filter($indexed)
                .filter(ledger_subject::entry_id.gt($after))
                .filter(ledger_subject::entry_id.le(&upto))
                .order(ledger_subject::entry_id)
                .into_boxed();
            $filtered.load::<EntryRow>($db)?
        };
        let left = $limit - i64::try_from(indexed.len()).unwrap_or($limit);
        let from = if upto.as_str() > $after { upto.as_str() } else { $after };
        let $query = rows!(from, left).filter($young).into_boxed();
        let young = $filtered.load::<EntryRow>($db)?;
        indexed.into_iter().chain(young).collect::<Vec<EntryRow>>()
    }};
    ($db:expr, subject $subject:expr, $after:expr, $limit:expr, $query:ident => $filtered:expr) => {
        both_ways!(
            $db,
            (ledger_subject::subject.eq($subject), ledger_entry::subject.eq($subject)),
            $after, $limit, $query => $filtered
        )
    };
    ($db:expr, files of $member:expr, $after:expr, $limit:expr, $query:ident => $filtered:expr) => {
        both_ways!(
            $db,
            (
                ledger_subject::subject.eq_any(files_of($member)),
                ledger_entry::subject.eq_any(files_of($member).select(disclosed_share::file.nullable()))
            ),
            $after, $limit, $query => $filtered
        )
    };
    // A member's disclosures: the entries about the member, and those about files of many members.
    ($db:expr, member $member:expr, $after:expr, $limit:expr, $query:ident => $filtered:expr) => {{
        let mut rows = both_ways!($db, subject $member, $after, $limit, $query => $filtered);
        if has_any($db, &[$member])? {
            rows.extend(both_ways!($db, files of $member, $after, $limit, $query => $filtered));
            rows.sort_unstable_by(|one, other| one.id.cmp(&other.id));
            rows.truncate(usize::try_from($limit).unwrap_or(0));
        }
        rows
    }};
}

/// Returns the entries about this subject; `after` and `limit` as in [`under`].
///
/// # Errors
/// Those of the database.
pub fn about(db: &mut Db, subject: &str, after: &str, limit: i64) -> Result<Vec<EntryRow>, Failure> {
    Ok(both_ways!(db, subject subject, after, limit, query => query
        .filter(ledger_entry::action.ne(COMPLETED))
        .filter(ledger_entry::action.ne(VIEWED))))
}

/// [`about`], only the entries with this action. Those that begin a disclosure may be about a file that has a share of the subject
/// ([`super::disclosed`]).
///
/// # Errors
/// Those of the database.
pub fn about_by(db: &mut Db, subject: &str, action: &str, after: &str, limit: i64) -> Result<Vec<EntryRow>, Failure> {
    Ok(match action {
        BEGUN => both_ways!(db, member subject, after, limit, query => query.filter(ledger_entry::action.eq(BEGUN))),
        _ => both_ways!(db, subject subject, after, limit, query => query.filter(ledger_entry::action.eq(action))),
    })
}

/// Returns a page of the *begun* entries of a member's disclosures, plus one more row when there is a next page. The subject of an entry is
/// the member, or a file that has a share of the member.
///
/// # Errors
/// Those of the database.
pub fn begun(db: &mut Db, filter: &DisclosureFilter) -> Result<Vec<EntryRow>, Failure> {
    let (member, limit) = (filter.member.as_str(), super::ops_queries::fetched(filter.limit));
    let after = filter.cursor.as_deref().unwrap_or_default();
    let from_us = filter.from_ms.map_or(i64::MIN, |ms| ms.saturating_mul(1000));
    let to_us = filter.to_ms.map_or(i64::MAX, |ms| ms.saturating_mul(1000));
    Ok(match filter.partner.as_deref() {
        Some(partner) => both_ways!(db, member member, after, limit, query => query
            .filter(ledger_entry::action.eq(BEGUN))
            .filter(ledger_entry::at_us.ge(from_us).and(ledger_entry::at_us.lt(to_us)))
            .filter(ledger_entry::partner_id.eq(partner))),
        None => both_ways!(db, member member, after, limit, query => query
            .filter(ledger_entry::action.eq(BEGUN))
            .filter(ledger_entry::at_us.ge(from_us).and(ledger_entry::at_us.lt(to_us)))),
    })
}

/// Returns the id of the last entry that the index of subjects covers.
pub(super) fn upto(db: &mut Db) -> Result<String, Failure> {
    Ok(ledger_subject_state::table
        .find(1)
        .select(ledger_subject_state::upto)
        .first(db)?)
}

struct Index;

/// Adds the next entries to the index of subjects: at most `limit` of those that are old enough at `now_us`. Returns how many were looked
/// at; the caller repeats the call while the result equals `limit`.
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
    // In the order of the index, so that each of its pages is written once. Another process may have inserted the same rows.
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

/// Returns the names of the operators who caused these entries, by entry id.
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

/// Returns the decisions of these requests, oldest first.
///
/// # Errors
/// Those of the database.
pub fn decisions_of(db: &mut Db, requests: &[RequestIds]) -> Result<Vec<DecisionIds>, Failure> {
    let mut found: Vec<DecisionIds> = Vec::new();
    // No statement of either database takes as many values as a member may have matches.
    for some in requests.chunks(REQUESTS) {
        let own: Vec<&str> = some.iter().map(|ids| ids.request_id.as_str()).collect();
        let rows: Vec<DecisionIds> = decision::table
            .filter(decision::request_id.eq_any(own))
            .select(DECISION)
            .load(db)?;
        found.extend(rows);
    }
    found.sort_unstable_by(|a, b| a.id.cmp(&b.id));
    found.dedup_by(|a, b| a.id == b.id);
    Ok(found)
}

/// Returns when the last entry of an exchange with this action was written, UTC microseconds.
///
/// # Errors
/// Those of the database.
pub fn last_of_exchange(db: &mut Db, exchange_id: &str, action: &str) -> Result<Option<i64>, Failure> {
    Ok(ledger_entry::table
        .filter(ledger_entry::exchange_id.eq(exchange_id))
        .filter(ledger_entry::action.eq(action))
        .select(diesel::dsl::max(ledger_entry::at_us))
        .first(db)?)
}

/// Whether the store has a member with this Patient id.
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
