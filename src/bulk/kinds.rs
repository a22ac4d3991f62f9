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

/// The kind of bulk matches.
pub const MATCH_KIND: &str = "match";

/// The work of a bulk match.
pub static MATCH: WorkKind = WorkKind {
    name: "bulk-match",
    priority: Priority::Ordinary,
    every: None,
    timeout: Duration::from_secs(3_600),
    renews: true,
    safe_because: "the rows of a piece, decisions and entries, are committed once, together with its state and under the lease",
};

/// The work that ends runs: late ones at their deadline, those whose work is parked, all others when their files have been kept long enough.
pub static END: WorkKind = WorkKind {
    name: "bulk-end",
    priority: Priority::Last,
    every: None,
    timeout: Duration::from_secs(600),
    renews: true,
    safe_because: "it ends a run by its row, which ends once, and removes files and entries that nothing names",
};

/// The work that removes groups of members whose time is over.
pub static GROUPS: WorkKind = WorkKind {
    name: "bulk-groups",
    priority: Priority::First,
    every: Some(Duration::from_secs(3_600)),
    timeout: Duration::from_secs(600),
    renews: true,
    safe_because: "it removes only groups that nobody is to be shown any more",
};

/// The work of runs of this kind.
pub fn work_of(kind: &str) -> Option<&'static WorkKind> {
    match kind {
        EXPORT_KIND => Some(&EXPORT),
        MATCH_KIND => Some(&MATCH),
        _ => None,
    }
}
