//! `[jobs]`: how much background work a process does at once, and how it is leased.

use super::keys;
use super::values::ConfigValues;
use crate::error::Failure;
use std::time::Duration;

/// `[jobs]`.
#[derive(Clone, Copy, Debug)]
pub struct Jobs {
    /// Jobs at once in one process.
    pub at_once: usize,
    /// Longest time between two looks for work.
    pub poll: Duration,
    /// How long a lease holds.
    pub lease: Duration,
}

impl ConfigValues {
    pub(super) fn jobs(&self) -> Result<Jobs, Failure> {
        Ok(Jobs {
            at_once: self.get(&keys::JOBS_AT_ONCE)?,
            poll: self.get(&keys::JOBS_POLL_SECONDS)?,
            lease: self.get(&keys::JOBS_LEASE_SECONDS)?,
        })
    }
}
