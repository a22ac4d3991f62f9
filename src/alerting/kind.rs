//! The kind of work that tells one receiver what waits for it, when it is tried again, and what people do when it is parked.

use crate::context::Context;
use crate::error::{ActWithin, Failure, RunbookRow};
use crate::jobs::retry::RetryRule;
use crate::jobs::runbook::parked;
use crate::jobs::{NewJob, Priority, WorkKind, enqueue};
use crate::store::Db;
use std::time::Duration;

/// Tells a receiver what waits for it, one message each time. The key of the job is the name of the receiver.
pub static ALERT_WEBHOOK: WorkKind = WorkKind {
    name: "alert-webhook",
    priority: Priority::First,
    every: None,
    timeout: Duration::from_secs(30),
    renews: true,
    safe_because: "a receiver knows a message by its id and drops one that it has, and what it took is not sent again",
};

/// When a receiver does not answer, or answers with a fault of its own: about an hour and a half in all.
pub const UNREACHABLE: RetryRule = RetryRule {
    code: "unreachable",
    base_ms: 2_000,
    cap_ms: 600_000,
    attempts: 24,
    next: "See that the receiver runs, then replay the job: what waits is sent in its order.",
};

/// When a receiver does not want the message, or names another place for it.
pub const UNWANTED: RetryRule = RetryRule {
    code: "unwanted",
    base_ms: 5_000,
    cap_ms: 300_000,
    attempts: 6,
    next: "Correct the URL or the secret of the receiver, restart the servers, then replay the job.",
};

/// What people do when it is parked.
pub fn runbook() -> RunbookRow {
    parked(
        &ALERT_WEBHOOK,
        ActWithin::Hour,
        "A receiver is not told of alerts. What waits for it is kept, and is sent in its order when the job is replayed.",
    )
}

/// Enqueues the work for a receiver in the caller's transaction, unless it is there.
///
/// # Errors
/// Those of the database.
pub fn hand_in(db: &mut Db, ctx: &Context, receiver: &str) -> Result<(), Failure> {
    let now_ms = ctx.clock.now_ms();
    let new = NewJob {
        kind: &ALERT_WEBHOOK,
        partner: None,
        key: receiver,
        payload: "",
        due_ms: now_ms,
    };
    enqueue(db, &ctx.ids.new_id(now_ms), &new, now_ms)?;
    Ok(())
}
