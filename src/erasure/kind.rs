//! The kind of the job that ends an erasure. It runs nothing.

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
