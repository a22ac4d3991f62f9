//! The kind of the job that runs an exchange.

use crate::jobs::{Priority, WorkKind};
use std::time::Duration;

/// The job of an exchange; its key is the exchange's id.
pub static EXCHANGE: WorkKind = WorkKind {
    name: "exchange",
    priority: Priority::Ordinary,
    every: None,
    timeout: Duration::from_secs(2 * 3_600),
    renews: true,
    safe_because: "each step is safe to repeat (`causeway states`), and a step whose result is recorded is not run again",
};
