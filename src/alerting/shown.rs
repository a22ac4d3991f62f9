//! The receivers of alerts as operators see them: what waits for each, and whether its work is parked. Reads rows only.

use super::kind::ALERT_WEBHOOK;
use crate::clock::rfc3339_ms;
use crate::error::Failure;
use crate::jobs::is_parked;
use crate::store::Db;
use crate::store::alert_episodes as rows;
use serde::Serialize;

/// A receiver that was told of an alert, or is to be.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ReceiverItem {
    /// Its name.
    pub receiver: String,
    /// `told` when nothing waits, `waiting`, or `parked` until an operator acts.
    pub state: &'static str,
    /// Messages that wait.
    pub waiting: i64,
    /// When the oldest of them was made.
    pub waiting_since: Option<String>,
    /// When it took a message last.
    pub last_delivered: Option<String>,
}

/// Returns the receivers of which there are rows, in the order of their names.
///
/// # Errors
/// Those of the database.
pub fn items(db: &mut Db) -> Result<Vec<ReceiverItem>, Failure> {
    let mut found = Vec::new();
    for receiver in rows::receivers(db)? {
        let tally = rows::tally(db, &receiver)?;
        let is_parked = is_parked(db, &ALERT_WEBHOOK, &receiver)?;
        found.push(ReceiverItem {
            receiver,
            state: match tally.waiting {
                _ if is_parked => "parked",
                0 => "told",
                _ => "waiting",
            },
            waiting: tally.waiting,
            waiting_since: tally.waiting_since_ms.map(rfc3339_ms),
            last_delivered: tally.delivered_ms.map(rfc3339_ms),
        });
    }
    Ok(found)
}
