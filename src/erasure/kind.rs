//! The kind of the job that ends an erasure, and what people do when it is parked. It runs nothing.

use crate::error::{ActWithin, RunbookRow};
use crate::jobs::runbook::parked;
use crate::jobs::{Priority, WorkKind};
use std::time::Duration;

/// Ends an erasure; its key is the erasure's id.
pub static ERASE: WorkKind = WorkKind {
    name: "erasure",
    priority: Priority::Ordinary,
    every: None,
    timeout: Duration::from_secs(3_600),
    renews: true,
    safe_because: "what is gone cannot be deleted again, and its ledger entry comes with the change of its state, which happens once",
};

/// What people do when its job is parked.
pub fn runbook() -> RunbookRow {
    parked(
        &ERASE,
        ActWithin::Hour,
        "An erasure was broken off and is not finished: a part of the member's data may still be here.",
    )
}
