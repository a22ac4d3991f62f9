//! Counts the work of a store: statements that were sent, and durable commits. For `/metrics`, and for
//! the tests that limit these numbers for each kind of request.

use diesel::connection::InstrumentationEvent;
use std::sync::atomic::{AtomicU64, Ordering};

/// The counts since the store was opened.
#[derive(Debug, Default)]
pub(super) struct StoreCounts {
    statements: AtomicU64,
    commits: AtomicU64,
}

impl StoreCounts {
    /// Counts a statement, from an event of a connection.
    pub(super) fn note(&self, event: &InstrumentationEvent<'_>) {
        // Preparing a statement is a round trip of its own on PostgreSQL.
        if matches!(
            event,
            InstrumentationEvent::StartQuery { .. } | InstrumentationEvent::CacheQuery { .. }
        ) {
            self.statements.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Counts a durable commit.
    pub(super) fn committed(&self) {
        self.commits.fetch_add(1, Ordering::Relaxed);
    }

    /// Returns how many statements were sent.
    pub(super) fn statements(&self) -> u64 {
        self.statements.load(Ordering::Relaxed)
    }

    /// Returns how many durable commits were made.
    pub(super) fn commits(&self) -> u64 {
        self.commits.load(Ordering::Relaxed)
    }
}
