//! Consents as operators see them: under which policy and period, live or ended, and who ended them.

use super::{OpsPage, View, page};
use crate::clock::rfc3339_ms;
use crate::error::{Failure, Fault};
use crate::store::Db;
use crate::store::consents::{self, ConsentRow};
use crate::store::ops_queries::StoredGrant;
use serde::Serialize;

pub use crate::store::consents::ConsentFilter;

/// A consent.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct ConsentItem {
    /// Its id.
    pub id: String,
    /// Who brought it.
    pub partner: String,
    /// `active`, `not-yet`, `expired` or `revoked`.
    pub status: &'static str,
    /// `regular` or `sensitive`.
    pub policy: String,
    /// When its period begins.
    pub period_from: String,
    /// When its period is over.
    pub period_until: String,
    /// When it was put on record.
    pub recorded_at: String,
    /// When it was withdrawn.
    pub revoked_at: Option<String>,
    /// Who withdrew it.
    pub revoked_by: Option<String>,
    /// Ids of the grants under it.
    pub grants: Vec<String>,
    /// The member, in the full view.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub patient_id: Option<String>,
    /// Why it was withdrawn, in the full view.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub revoked_reason: Option<Option<String>>,
}

/// A page of consents with their grants. `now_ms` decides whether their period is over.
///
/// # Errors
/// Those of the database.
pub fn list(db: &mut Db, filter: &ConsentFilter, view: View, now_ms: i64) -> Result<OpsPage<ConsentItem>, Failure> {
    let rows = consents::page(db, filter)?;
    let grants = consents::grants_under(db, &rows)?;
    page(
        rows,
        filter.limit,
        |row| row.id.clone(),
        |row| Ok(item(row, &grants, view, now_ms)),
    )
}

/// One consent with its grants.
///
/// # Errors
/// [`Fault::ConsentUnknown`]; those of the database.
pub fn one(db: &mut Db, id: &str, view: View, now_ms: i64) -> Result<ConsentItem, Failure> {
    let row = consents::find(db, id)?.ok_or(Fault::ConsentUnknown)?;
    let grants = consents::grants_under(db, std::slice::from_ref(&row))?;
    Ok(item(row, &grants, view, now_ms))
}

fn item(row: ConsentRow, grants: &[StoredGrant], view: View, now_ms: i64) -> ConsentItem {
    let status = match &row {
        _ if row.revoked_ms.is_some() => "revoked",
        _ if now_ms < row.period_from_ms => "not-yet",
        _ if now_ms >= row.period_to_ms => "expired",
        _ => "active",
    };
    let under = grants.iter().filter(|grant| grant.consent_id == row.id);
    ConsentItem {
        grants: under.map(|grant| grant.id.clone()).collect(),
        id: row.id,
        partner: row.partner_id,
        status,
        policy: row.policy,
        period_from: rfc3339_ms(row.period_from_ms),
        period_until: rfc3339_ms(row.period_to_ms),
        recorded_at: rfc3339_ms(row.recorded_ms),
        revoked_at: row.revoked_ms.map(rfc3339_ms),
        revoked_by: row.revoked_by,
        patient_id: view.full(row.patient_id),
        revoked_reason: view.full(row.revoked_why),
    }
}
