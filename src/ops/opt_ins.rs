//! Opt-ins as operators see them: how they were given, and whether they hold.

use crate::clock::rfc3339_ms;
use crate::error::{Failure, Fault};
use crate::store::Db;
use crate::store::opt_ins::{self, OptInRow};
use serde::Serialize;

/// The opt-in of an exchange.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct OptInItem {
    /// Its id.
    pub id: String,
    /// `active`, `not-yet`, `expired` or `revoked`.
    pub status: &'static str,
    /// `regular` or `sensitive`.
    pub policy: String,
    /// How it was given.
    pub attested_how: String,
    /// When it was given.
    pub attested_at: String,
    /// When it ends.
    pub until: Option<String>,
    /// When it was revoked.
    pub revoked_at: Option<String>,
}

impl OptInItem {
    pub(super) fn of(row: OptInRow, now_ms: i64) -> OptInItem {
        let status = match &row {
            _ if row.revoked_ms.is_some() => "revoked",
            _ if now_ms < row.from_ms => "not-yet",
            _ if row.to_ms.is_some_and(|to_ms| to_ms < now_ms) => "expired",
            _ => "active",
        };
        OptInItem {
            id: row.id,
            status,
            policy: row.policy,
            attested_how: row.attested_how,
            attested_at: rfc3339_ms(row.attested_ms),
            until: row.to_ms.map(rfc3339_ms),
            revoked_at: row.revoked_ms.map(rfc3339_ms),
        }
    }
}

/// Whether this is the id of an opt-in.
///
/// # Errors
/// Those of the database.
pub fn is_opt_in(db: &mut Db, id: &str) -> Result<bool, Failure> {
    Ok(opt_ins::find(db, id)?.is_some())
}

/// One opt-in.
///
/// # Errors
/// [`Fault::OptInUnknown`]; those of the database.
pub fn opt_in(db: &mut Db, id: &str, now_ms: i64) -> Result<OptInItem, Failure> {
    let row = opt_ins::find(db, id)?.ok_or(Fault::OptInUnknown)?;
    Ok(OptInItem::of(row, now_ms))
}
