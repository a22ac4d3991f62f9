//! What operators read of decisions, grants and the ledger: pages in the order of ids, which is that of time.

use super::Db;
use super::schema::{decision, grants, ledger_entry, operator_note};
use crate::error::Failure;
use diesel::prelude::*;

/// Largest page.
pub const LIMIT_MAX: i64 = 200;

/// Which decisions.
#[derive(Clone, Debug, Default)]
#[allow(missing_docs)]
pub struct DecisionFilter {
    pub partner: Option<String>,
    pub correlation: Option<String>,
    /// Made at or after this, UTC milliseconds.
    pub since_ms: Option<i64>,
    /// Id of the last one seen.
    pub cursor: Option<String>,
    /// The newest alone, no page after them; they too come oldest first.
    pub newest: bool,
    /// Rows of a page; at most [`LIMIT_MAX`].
    pub limit: i64,
}

/// Which grants.
#[derive(Clone, Debug, Default)]
#[allow(missing_docs)]
pub struct GrantFilter {
    pub partner: Option<String>,
    /// Id of the Patient.
    pub member: Option<String>,
    pub cursor: Option<String>,
    pub limit: i64,
}

/// Which ledger entries.
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
pub struct Decision {
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
pub struct Grant {
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
/// The columns of [`Grant`].
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

/// A row of `ledger_entry`, without what opens its commitment.
#[derive(Clone, Debug, Queryable)]
#[allow(missing_docs)]
pub struct LedgerEntry {
    pub id: String,
    pub index: Option<i64>,
    pub at_us: i64,
    pub entry: Vec<u8>,
    /// Who acted and why, where an operator did.
    pub operator: Option<String>,
    pub reason: Option<String>,
}

/// One more row than the page holds tells whether there is another page.
pub(super) fn fetched(limit: i64) -> i64 {
    limit.clamp(1, LIMIT_MAX) + 1
}

/// A page of decisions and one row more when there is another page.
///
/// # Errors
/// Those of the database.
pub fn decisions(db: &mut Db, filter: &DecisionFilter) -> Result<Vec<Decision>, Failure> {
    let mut query = decision::table.select(decision::all_columns).into_boxed();
    query = if filter.newest {
        query.order(decision::id.desc()).limit(filter.limit)
    } else {
        query.order(decision::id).limit(fetched(filter.limit))
    };
    if let Some(partner) = &filter.partner {
        query = query.filter(decision::partner_id.eq(partner));
    }
    if let Some(correlation) = &filter.correlation {
        query = query.filter(decision::correlation_id.eq(correlation));
    }
    if let Some(since_ms) = filter.since_ms {
        query = query.filter(decision::created_ms.ge(since_ms));
    }
    if let Some(cursor) = &filter.cursor {
        query = query.filter(decision::id.gt(cursor));
    }
    let mut rows: Vec<Decision> = query.load(db)?;
    if filter.newest {
        rows.reverse();
    }
    Ok(rows)
}

/// One decision.
///
/// # Errors
/// Those of the database.
pub fn decision(db: &mut Db, id: &str) -> Result<Option<Decision>, Failure> {
    Ok(decision::table
        .find(id)
        .select(decision::all_columns)
        .first(db)
        .optional()?)
}

/// A page of grants and one row more when there is another page.
///
/// # Errors
/// Those of the database.
pub fn grants(db: &mut Db, filter: &GrantFilter) -> Result<Vec<Grant>, Failure> {
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

/// A page of ledger entries and one row more when there is another page.
///
/// # Errors
/// Those of the database.
pub fn ledger(db: &mut Db, filter: &LedgerFilter) -> Result<Vec<LedgerEntry>, Failure> {
    let mut query = ledger_entry::table
        .left_join(operator_note::table.on(operator_note::entry_id.eq(ledger_entry::id)))
        .select((
            ledger_entry::id,
            ledger_entry::idx,
            ledger_entry::at_us,
            ledger_entry::entry,
            operator_note::operator.nullable(),
            operator_note::reason.nullable(),
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
    if let Some(correlation) = &filter.correlation {
        query = query.filter(ledger_entry::correlation_id.eq(correlation));
    }
    if let Some(cursor) = &filter.cursor {
        query = query.filter(ledger_entry::id.gt(cursor));
    }
    Ok(query.load(db)?)
}
