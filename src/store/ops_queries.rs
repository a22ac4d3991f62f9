//! What operators read of decisions, grants and the ledger: pages ordered by id, which is also the order of time.

use super::Db;
use super::schema::{decision, grants, ledger_entry, ledger_leaf, operator_note};
use crate::error::Failure;
use diesel::prelude::*;

/// Largest page.
pub const LIMIT_MAX: i64 = 200;

/// Which decisions to list.
#[derive(Clone, Debug, Default)]
#[allow(missing_docs)]
pub struct DecisionFilter {
    pub partner: Option<String>,
    pub correlation: Option<String>,
    /// Made at or after this, UTC milliseconds.
    pub since_ms: Option<i64>,
    /// Id of the last decision of the previous page.
    pub cursor: Option<String>,
    /// Only the newest decisions, without a next page; they too are returned oldest first.
    pub newest: bool,
    /// Rows of a page; at most [`LIMIT_MAX`].
    pub limit: i64,
}

/// Which grants to list.
#[derive(Clone, Debug, Default)]
#[allow(missing_docs)]
pub struct GrantFilter {
    pub partner: Option<String>,
    /// Id of the Patient.
    pub member: Option<String>,
    pub cursor: Option<String>,
    pub limit: i64,
}

/// Which ledger entries to list.
#[derive(Clone, Debug, Default)]
#[allow(missing_docs)]
pub struct LedgerFilter {
    /// At or after this, UTC milliseconds.
    pub from_ms: Option<i64>,
    /// Before this, UTC milliseconds.
    pub to_ms: Option<i64>,
    pub exchange: Option<String>,
    pub correlation: Option<String>,
    pub cursor: Option<String>,
    pub limit: i64,
}

/// A row of `decision`.
#[derive(Clone, Debug, Queryable)]
#[allow(missing_docs)]
pub struct StoredDecision {
    pub id: String,
    pub partner_id: String,
    pub exchange_id: Option<String>,
    pub correlation_id: String,
    pub request_id: String,
    pub kind: String,
    pub outcome: String,
    pub reason: Option<String>,
    pub patient_id: Option<String>,
    pub consent_id: Option<String>,
    pub grant_id: Option<String>,
    pub policy_version: String,
    pub detail: String,
    pub created_ms: i64,
}

/// A row of `grants`.
#[derive(Clone, Debug, Queryable)]
#[allow(missing_docs)]
pub struct StoredGrant {
    pub id: String,
    pub partner_id: String,
    pub patient_id: String,
    pub consent_id: String,
    pub decision_id: String,
    pub sensitive: i64,
    pub valid_from_ms: i64,
    pub valid_until_ms: i64,
    pub created_ms: i64,
    pub renewed_ms: i64,
    pub revoked_ms: Option<i64>,
    pub revoked_by: Option<String>,
    pub revoked_why: Option<String>,
}

type GrantColumns = (
    grants::id,
    grants::partner_id,
    grants::patient_id,
    grants::consent_id,
    grants::decision_id,
    grants::sensitive,
    grants::valid_from_ms,
    grants::valid_until_ms,
    grants::created_ms,
    grants::renewed_ms,
    grants::revoked_ms,
    grants::revoked_by,
    grants::revoked_why,
);
/// The columns of [`StoredGrant`].
pub(super) const GRANT: GrantColumns = (
    grants::id,
    grants::partner_id,
    grants::patient_id,
    grants::consent_id,
    grants::decision_id,
    grants::sensitive,
    grants::valid_from_ms,
    grants::valid_until_ms,
    grants::created_ms,
    grants::renewed_ms,
    grants::revoked_ms,
    grants::revoked_by,
    grants::revoked_why,
);

/// A row of `ledger_entry`, without the values that open its commitments.
#[derive(Clone, Debug, Queryable)]
#[allow(missing_docs)]
pub struct LedgerEntry {
    pub id: String,
    pub index: Option<i64>,
    pub at_us: i64,
    pub correlation_id: String,
    /// This server's request id, when it differs from the correlation id.
    pub request_id: Option<String>,
    pub entry: Vec<u8>,
    /// The operator who acted and the reason, when it was an operator.
    pub operator: Option<String>,
    pub reason: Option<String>,
    /// The reason, when it is sealed.
    pub sealed: Option<Vec<u8>>,
}

/// Returns how many rows to fetch for a page: one more than it holds, which shows whether there is a next page.
pub(super) fn fetched(limit: i64) -> i64 {
    limit.clamp(1, LIMIT_MAX) + 1
}

/// Returns a page of decisions, plus one more row when there is a next page. `forms` are those in which the correlation id of the filter may
/// stand (`store::correlations`).
///
/// # Errors
/// Those of the database.
pub fn decisions(
    db: &mut Db,
    filter: &DecisionFilter,
    forms: Option<&[String]>,
) -> Result<Vec<StoredDecision>, Failure> {
    let Some(forms) = forms else {
        return selected(db, filter, None);
    };
    // Each form by itself: only so does the index give them in their order.
    let mut found = Vec::new();
    for form in forms {
        found.extend(selected(db, filter, Some(form))?);
    }
    found.sort_unstable_by(|one, other| one.id.cmp(&other.id));
    // One that was moved between the two reads is in both.
    found.dedup_by(|one, other| one.id == other.id);
    let most = match filter.newest {
        true => filter.limit,
        false => fetched(filter.limit),
    };
    let more = found.len().saturating_sub(usize::try_from(most).unwrap_or(usize::MAX));
    match filter.newest {
        true => drop(found.drain(..more)),
        false => found.truncate(found.len() - more),
    }
    Ok(found)
}

/// The decisions of a page, oldest first, of all or of those with this in place of their correlation id.
fn selected(db: &mut Db, filter: &DecisionFilter, form: Option<&str>) -> Result<Vec<StoredDecision>, Failure> {
    let mut query = decision::table.select(decision::all_columns).into_boxed();
    query = if filter.newest {
        query.order(decision::id.desc()).limit(filter.limit)
    } else {
        query.order(decision::id).limit(fetched(filter.limit))
    };
    if let Some(partner) = &filter.partner {
        query = query.filter(decision::partner_id.eq(partner));
    }
    if let Some(form) = form {
        query = query.filter(decision::correlation_id.eq(form));
    }
    if let Some(since_ms) = filter.since_ms {
        query = query.filter(decision::created_ms.ge(since_ms));
    }
    if let Some(cursor) = &filter.cursor {
        query = query.filter(decision::id.gt(cursor));
    }
    let mut rows: Vec<StoredDecision> = query.load(db)?;
    if filter.newest {
        rows.reverse();
    }
    Ok(rows)
}

/// Returns the decision with this id.
///
/// # Errors
/// Those of the database.
pub fn decision(db: &mut Db, id: &str) -> Result<Option<StoredDecision>, Failure> {
    Ok(decision::table
        .find(id)
        .select(decision::all_columns)
        .first(db)
        .optional()?)
}

/// Returns a page of grants, plus one more row when there is a next page.
///
/// # Errors
/// Those of the database.
pub fn grants(db: &mut Db, filter: &GrantFilter) -> Result<Vec<StoredGrant>, Failure> {
    let mut query = grants::table
        .select(GRANT)
        .order(grants::id)
        .limit(fetched(filter.limit))
        .into_boxed();
    if let Some(partner) = &filter.partner {
        query = query.filter(grants::partner_id.eq(partner));
    }
    if let Some(member) = &filter.member {
        query = query.filter(grants::patient_id.eq(member));
    }
    if let Some(cursor) = &filter.cursor {
        query = query.filter(grants::id.gt(cursor));
    }
    Ok(query.load(db)?)
}

/// Returns a page of ledger entries, plus one more row when there is a next page. `forms` as in [`decisions`].
///
/// # Errors
/// Those of the database.
pub fn ledger(db: &mut Db, filter: &LedgerFilter, forms: Option<&[String]>) -> Result<Vec<LedgerEntry>, Failure> {
    let log = super::ledger_tree::log(db)?.map_or(0, |log| log.no);
    let mut query = ledger_entry::table
        .left_join(operator_note::table.on(operator_note::entry_id.eq(ledger_entry::id)))
        .left_join(ledger_leaf::table.on(ledger_leaf::entry_id.eq(ledger_entry::id).and(ledger_leaf::log.eq(log))))
        .select((
            ledger_entry::id,
            ledger_leaf::idx.nullable(),
            ledger_entry::at_us,
            ledger_entry::correlation_id,
            ledger_entry::request_id,
            ledger_entry::entry,
            operator_note::operator.nullable(),
            operator_note::reason.nullable(),
            operator_note::sealed.nullable(),
        ))
        .order(ledger_entry::id)
        .limit(fetched(filter.limit))
        .into_boxed();
    if let Some(from_ms) = filter.from_ms {
        query = query.filter(ledger_entry::at_us.ge(from_ms.saturating_mul(1000)));
    }
    if let Some(to_ms) = filter.to_ms {
        query = query.filter(ledger_entry::at_us.lt(to_ms.saturating_mul(1000)));
    }
    if let Some(exchange) = &filter.exchange {
        query = query.filter(ledger_entry::exchange_id.eq(exchange));
    }
    if let Some(forms) = forms {
        query = query.filter(ledger_entry::correlation_id.eq_any(forms));
    }
    if let Some(cursor) = &filter.cursor {
        query = query.filter(ledger_entry::id.gt(cursor));
    }
    Ok(query.load(db)?)
}
