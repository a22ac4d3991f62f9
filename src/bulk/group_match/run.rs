//! A bulk match at work, as its step and its result see it.

use crate::bulk::files::BulkFiles;
use crate::bulk::hands;
use crate::error::{Failure, Fault};
use crate::jobs::HeldJob;
use crate::member_match::BulkAsking;
use crate::security::JobCaller;
use crate::store::bulk::BulkJobRow;
use serde::{Deserialize, Serialize};
use std::collections::HashSet;
use std::sync::{Mutex, OnceLock};

/// The side of the file with the members of the body. No manifest names it.
pub(super) const SPOOL: &str = "spool";

/// What a run keeps of its request.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct MatchJob {
    pub members: usize,
    pub caller: JobCaller,
    /// Where the marks stand in the spool, if there are any.
    #[serde(default)]
    pub marks: Option<u64>,
}

impl MatchJob {
    pub(super) fn of(row: &BulkJobRow) -> Result<MatchJob, Failure> {
        serde_json::from_str(&row.request_json).map_err(|error| Failure::new(Fault::StoreDamaged).because(error))
    }
}

/// A run at work.
pub(super) struct MatchRun {
    pub held: HeldJob,
    pub files: BulkFiles,
    pub keep_ms: i64,
    pub row: BulkJobRow,
    pub asking: BulkAsking,
    pub partner_npi: String,
    /// Whether the partner reads the result in the form of PDex 2.1 as well.
    pub wants_envelope: bool,
    /// Where the marks of members stand in the spool, and the marks, once they are read.
    pub marks: Option<u64>,
    pub marked: OnceLock<HashSet<usize>>,
    /// Held while a piece is written to a store that several processes share.
    pub turn: Mutex<()>,
}

impl MatchRun {
    pub(super) fn now_ms(&self) -> i64 {
        self.held.ctx().clock.now_ms()
    }
}

/// Runs work that blocks its thread.
pub(super) async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, Failure> + Send + 'static,
) -> Result<T, Failure> {
    match tokio::task::spawn_blocking(work).await {
        Ok(done) => done,
        Err(error) => Err(hands::lost(error)),
    }
}
