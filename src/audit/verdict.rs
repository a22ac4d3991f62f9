//! What verifying a ledger found. Pure; [`super::verify`] finds it.

use serde::Serialize;

/// What verifying found.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum LedgerResult {
    /// Everything is as it was signed.
    Ok,
    /// Something was changed.
    Tampered,
    /// Something is missing or cannot be read.
    Incomplete,
    /// It contradicts a checkpoint that was signed before, or has fewer entries than that.
    Forked,
}

/// What verifying found, with the figures.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct LedgerVerdict {
    /// The result.
    pub result: LedgerResult,
    /// The name of the log.
    pub origin: String,
    /// How many entries were verified.
    pub entries: u64,
    /// How many entries the checkpoint covers.
    pub checkpoint: Option<u64>,
    /// The root that it signs.
    pub root: Option<String>,
    /// How many entries the checkpoint covers that it was compared with.
    pub against: Option<u64>,
    /// The index of the first entry that is not as it was signed.
    pub first_bad: Option<u64>,
    /// What is wrong.
    pub why: Option<String>,
}

impl LedgerVerdict {
    pub(super) fn set(&mut self, result: LedgerResult, first_bad: Option<u64>, why: impl Into<String>) {
        (self.result, self.first_bad, self.why) = (result, first_bad, Some(why.into()));
    }
}
