//! Read models for operators and auditors: what `/ops/v1`, commands with `--json`, tables for people and the demo show, as structs; lists
//! come a page at a time.
//!
//! Reads only. Which role may see what is the caller's to decide and comes in as a [`View`]; nothing here shows a name, a
//! birth date or a member number, but to reviewers in `reviews` and `links`, and a Patient id only where the view allows it. The members of
//! a struct are those of its JSON, in their order: programs rely on them.

pub mod alerts;
pub mod audit_events;
pub mod both_ways;
pub mod bulk;
pub mod bulk_runs;
pub mod consents;
pub mod decisions;
pub mod detail;
pub mod disclosures;
mod entry;
pub mod exchanges;
pub mod explain;
pub mod failpoints;
pub mod faults;
mod file_shares;
pub mod grants;
pub mod inbound;
pub mod jobs;
pub mod ledger;
pub mod linkage;
pub mod links;
pub mod looks;
pub mod month;
pub mod operator_tokens;
pub mod opt_ins;
pub mod packets;
pub mod partner_checkpoint;
pub mod partners;
pub mod policies;
pub mod policy_kinds;
pub mod policy_replay;
pub mod recipients;
pub mod reconciliation;
mod recorded;
pub mod retention;
pub mod reviews;
pub mod scorecard;
pub mod sent_under;
pub mod slo;
pub mod states;
pub mod sum;
pub mod trace;
pub mod trace_item;
pub mod viewed;

use crate::error::Failure;
use crate::store::ops_queries::LIMIT_MAX;
use serde::Serialize;

/// How much of an item may be shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum View {
    /// Without the ids of Patients (role `support`).
    WithoutPatients,
    /// With them.
    Full,
}

impl View {
    /// What only the full view shows.
    fn full<T>(self, value: T) -> Option<T> {
        (self == View::Full).then_some(value)
    }
}

/// Items in the order of time, and the cursor of the next page.
#[derive(Clone, Debug, PartialEq)]
pub struct OpsPage<T> {
    /// The items.
    pub items: Vec<T>,
    /// Id of the last item, when there are more.
    pub next: Option<String>,
}

/// A list that comes whole, in the form of a page.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Whole<T> {
    /// All items.
    pub items: Vec<T>,
    /// Never anything.
    next: Option<String>,
}

impl<T> From<Vec<T>> for Whole<T> {
    fn from(items: Vec<T>) -> Self {
        Whole { items, next: None }
    }
}

/// The page that these rows make, one more of which is read than a page has.
fn page<R, T>(
    mut rows: Vec<R>,
    limit: i64,
    id: impl Fn(&R) -> String,
    item: impl FnMut(R) -> Result<T, Failure>,
) -> Result<OpsPage<T>, Failure> {
    let limit = usize::try_from(limit.clamp(1, LIMIT_MAX)).unwrap_or(1);
    let more = rows.len() > limit;
    rows.truncate(limit);
    let next = rows.last().filter(|_| more).map(id);
    Ok(OpsPage {
        items: rows.into_iter().map(item).collect::<Result<_, _>>()?,
        next,
    })
}
