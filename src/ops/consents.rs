//! Consents and grants as operators see them: under which policy and period, live or ended, and who ended them.

use super::{Page, View, grant_item, page};
use crate::clock::rfc3339_ms;
use crate::error::{Failure, Fault};
use crate::store::Db;
use crate::store::consents::{self, ConsentRow};
use crate::store::ops_queries::Grant;
use serde_json::{Value, json};

pub use crate::store::consents::ConsentFilter;

/// A page of consents with their grants. `now_ms` decides whether their period is over.
///
/// # Errors
/// Those of the database.
pub fn list(db: &mut Db, filter: &ConsentFilter, view: View, now_ms: i64) -> Result<Page, Failure> {
    let rows = consents::page(db, filter)?;
    let grants = consents::grants_under(db, &rows)?;
    page(
        rows,
        filter.limit,
        |row| row.id.clone(),
        |row| Ok(item(&row, &grants, view, now_ms)),
    )
}

/// One consent with its grants.
///
/// # Errors
/// [`Fault::ConsentUnknown`]; those of the database.
pub fn one(db: &mut Db, id: &str, view: View, now_ms: i64) -> Result<Value, Failure> {
    let row = consents::find(db, id)?.ok_or(Fault::ConsentUnknown)?;
    let grants = consents::grants_under(db, std::slice::from_ref(&row))?;
    Ok(item(&row, &grants, view, now_ms))
}

/// One grant.
///
/// # Errors
/// [`Fault::GrantUnknown`]; those of the database.
pub fn grant(db: &mut Db, id: &str, view: View) -> Result<Value, Failure> {
    let row = consents::grant(db, id)?.ok_or(Fault::GrantUnknown)?;
    Ok(grant_item(row, view))
}

fn item(row: &ConsentRow, grants: &[Grant], view: View, now_ms: i64) -> Value {
    let status = match row {
        _ if row.revoked_ms.is_some() => "revoked",
        _ if now_ms < row.period_from_ms => "not-yet",
        _ if now_ms >= row.period_to_ms => "expired",
        _ => "active",
    };
    let under: Vec<&str> = grants
        .iter()
        .filter(|grant| grant.consent_id == row.id)
        .map(|grant| grant.id.as_str())
        .collect();
    let mut item = json!({
        "id": row.id, "partner": row.partner_id, "status": status, "policy": row.policy,
        "period_from": rfc3339_ms(row.period_from_ms), "period_until": rfc3339_ms(row.period_to_ms),
        "recorded_at": rfc3339_ms(row.recorded_ms), "revoked_at": row.revoked_ms.map(rfc3339_ms),
        "revoked_by": row.revoked_by, "grants": under,
    });
    if view == View::Full {
        item["patient_id"] = row.patient_id.as_str().into();
        item["revoked_reason"] = row.revoked_why.as_deref().into();
    }
    item
}
