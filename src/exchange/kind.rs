//! The kind of the job that runs an exchange, the names of those that follow it, and the version of its steps. It runs nothing.

use crate::jobs::{Priority, WorkKind};
use std::time::Duration;

/// The version of the steps that this program knows. An exchange that was begun by a later version is parked.
pub const WORKFLOW: i64 = 1;

/// The name of the job that takes back what an exchange began.
pub(super) const TAKES_BACK: &str = "exchange-take-back";
/// The name of the job that asks a partner again.
pub(super) const ASKS_AGAIN: &str = "exchange-again";

/// The name of the job that works for many exchanges with one partner at once; what it works for has no job of its own.
pub const CARRIER: &str = "bulk-ask";

/// The job of an exchange; its key is the exchange's id.
pub static EXCHANGE: WorkKind = WorkKind {
    name: "exchange",
    priority: Priority::Ordinary,
    every: None,
    timeout: Duration::from_secs(2 * 3_600),
    renews: true,
    safe_because: "each step is safe to repeat (`causeway states`), and a step whose result is recorded is not run again",
};
