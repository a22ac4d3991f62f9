//! Operators' tokens as whoever runs the host sees them: whose, for what, until when; never the token.

use crate::clock::{Clock, rfc3339_ms};
use crate::error::Failure;
use crate::security::operator::token_id;
use crate::store::Db;
use crate::store::operator_tokens::{self, OperatorTokenRow};
use serde::Serialize;

/// A token.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct OperatorTokenItem {
    /// What it is revoked by.
    pub id: String,
    /// What its holder may do.
    pub role: String,
    /// Whose it is; none of those that were made before they had names.
    pub name: Option<String>,
    /// When it was made.
    pub created_at: String,
    /// When it ends by itself.
    pub expires_at: String,
}

/// The tokens that let somebody in now, the oldest first.
///
/// # Errors
/// Those of the database.
pub fn list(db: &mut Db, clock: &Clock) -> Result<Vec<OperatorTokenItem>, Failure> {
    let rows = operator_tokens::current(db, clock.lasting_ms())?;
    Ok(rows.into_iter().map(|row| item(row, clock)).collect())
}

/// A token, with its times as the wall clock has them.
pub fn item(row: OperatorTokenRow, clock: &Clock) -> OperatorTokenItem {
    let ahead_ms = clock.lasting_ms() - clock.now_ms();
    OperatorTokenItem {
        id: token_id(&row.hash),
        role: row.role,
        name: row.name,
        created_at: rfc3339_ms(row.created_ms - ahead_ms),
        expires_at: rfc3339_ms(row.expires_ms - ahead_ms),
    }
}
