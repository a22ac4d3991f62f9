//! The kinds of runs, each with the work that does it. Names are in rows, and must never change.

use crate::jobs::{Priority, WorkKind};
use std::time::Duration;

/// The kind of exports.
pub const EXPORT_KIND: &str = "export";

/// The work of an export.
pub static EXPORT: WorkKind = WorkKind {
    name: "bulk-export",
    priority: Priority::Ordinary,
    every: None,
    timeout: Duration::from_secs(3_600),
    renews: true,
    safe_because: "a piece counts when its rows are committed under the lease, and its files have new names each time",
};

/// The work of runs of this kind.
pub fn work_of(kind: &str) -> Option<&'static WorkKind> {
    match kind {
        EXPORT_KIND => Some(&EXPORT),
        _ => None,
    }
}
