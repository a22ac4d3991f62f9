//! Grants as operators see them: who may read whom, since when, and who ended it.

use super::{OpsPage, View, page};
use crate::clock::rfc3339_ms;
use crate::error::{Failure, Fault};
use crate::store::ops_queries::{self, StoredGrant};
use crate::store::{Db, consents};
use serde::Serialize;

pub use crate::store::ops_queries::GrantFilter;

/// A grant.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct GrantItem {
    /// Its id.
    pub id: String,
    /// Who may read.
    pub partner: String,
    /// The consent it was made under.
    pub consent_id: String,
    /// The decision that made it.
    pub decision_id: String,
    /// Whether it covers sensitive data.
    pub sensitive: bool,
    /// From when on it holds.
    pub valid_from: String,
    /// When it ends by itself.
    pub valid_until: String,
    /// When it was made.
    pub created_at: String,
    /// When it was last renewed.
    pub renewed_at: String,
    /// When somebody ended it.
    pub revoked_at: Option<String>,
    /// Who did.
    pub revoked_by: Option<String>,
    /// The member, in the full view.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub patient_id: Option<String>,
    /// Why it was ended, in the full view.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub revoked_reason: Option<Option<String>>,
}

/// A page of grants, live or not.
///
/// # Errors
/// Those of the database.
pub fn list(db: &mut Db, filter: &GrantFilter, view: View) -> Result<OpsPage<GrantItem>, Failure> {
    let rows = ops_queries::grants(db, filter)?;
    page(rows, filter.limit, |row| row.id.clone(), |row| Ok(item(row, view)))
}

/// One grant.
///
/// # Errors
/// [`Fault::GrantUnknown`]; those of the database.
pub fn one(db: &mut Db, id: &str, view: View) -> Result<GrantItem, Failure> {
    let row = consents::grant(db, id)?.ok_or(Fault::GrantUnknown)?;
    Ok(item(row, view))
}

fn item(row: StoredGrant, view: View) -> GrantItem {
    GrantItem {
        id: row.id,
        partner: row.partner_id,
        consent_id: row.consent_id,
        decision_id: row.decision_id,
        sensitive: row.sensitive != 0,
        valid_from: rfc3339_ms(row.valid_from_ms),
        valid_until: rfc3339_ms(row.valid_until_ms),
        created_at: rfc3339_ms(row.created_ms),
        renewed_at: rfc3339_ms(row.renewed_ms),
        revoked_at: row.revoked_ms.map(rfc3339_ms),
        revoked_by: row.revoked_by,
        patient_id: view.full(row.patient_id),
        revoked_reason: view.full(row.revoked_why),
    }
}
