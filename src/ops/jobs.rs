//! Background jobs as operators see them: what waits, what runs, and what to do about what is parked.

use super::OpsPage;
use crate::clock::rfc3339_ms;
use crate::error::Failure;
use crate::jobs::retry::FailureClass;
use crate::store::Db;
use crate::store::jobs::{self as rows, PARKED, Shown};
use serde::Serialize;

/// Rows that are read at once.
const PAGE: i64 = 1_000;

/// A job.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct JobItem {
    /// Its id.
    pub id: String,
    /// What kind of work.
    pub kind: String,
    /// For which partner.
    pub partner: Option<String>,
    /// `waiting`, `running` or `parked`.
    pub state: String,
    /// When it is due.
    pub due: String,
    /// Attempts since it last went well.
    pub attempts: i64,
    /// How often it was taken since then.
    pub claims: i64,
    /// How the last attempt failed.
    pub last_class: Option<String>,
    /// When it was parked.
    pub parked_at: Option<String>,
    /// What an operator does next, for one that is parked.
    pub next_action: Option<&'static str>,
}

/// A page of jobs in the order of their ids; `parked` alone, or all.
///
/// # Errors
/// Those of the database.
pub fn list(db: &mut Db, parked: bool, cursor: Option<&str>, now_ms: i64) -> Result<OpsPage<JobItem>, Failure> {
    let rows = rows::list(db, parked, cursor.unwrap_or_default(), PAGE)?;
    let is_full = i64::try_from(rows.len()).is_ok_and(|rows| rows == PAGE);
    Ok(OpsPage {
        next: rows.last().filter(|_| is_full).map(|job| job.id.clone()),
        items: rows.into_iter().map(|job| item(job, now_ms)).collect(),
    })
}

fn item(job: Shown, now_ms: i64) -> JobItem {
    JobItem {
        next_action: next_action(&job),
        state: match job.lease_until_ms {
            Some(until_ms) if until_ms > now_ms => "running".to_owned(),
            _ => job.state,
        },
        id: job.id,
        kind: job.kind,
        partner: job.partner_id,
        due: rfc3339_ms(job.due_ms),
        attempts: job.attempts,
        claims: job.claims,
        last_class: job.last_class,
        parked_at: job.parked_at_ms.map(rfc3339_ms),
    }
}

fn next_action(job: &Shown) -> Option<&'static str> {
    let class = job.last_class.as_deref().filter(|_| job.state == PARKED)?;
    let known = FailureClass::parse(class).map(|class| class.row().next);
    Some(known.unwrap_or("Look at the log line with the job's id."))
}
