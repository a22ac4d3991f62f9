//! `[exports]` and `[bulk]`: where the files of bulk jobs are, and how many jobs there may be for how long.

use super::check::refuse;
use super::keys;
use super::values::ConfigValues;
use crate::error::Failure;
use std::path::PathBuf;

/// Milliseconds of an hour.
const HOUR_MS: i64 = 3_600_000;

/// `[exports]` and `[bulk]`.
#[derive(Clone, Debug)]
pub struct BulkConfig {
    /// The folder of the files; `None` for the one beside the store.
    pub folder: Option<PathBuf>,
    /// Bytes of the body of a bulk match.
    pub body_bytes: usize,
    /// Members of one bulk match.
    pub members_max: usize,
    /// Unfinished jobs of one partner.
    pub jobs_per_partner: i64,
    /// Time in which a job has to come to its end, milliseconds.
    pub deadline_ms: i64,
    /// Time for which its files are kept, milliseconds.
    pub keep_ms: i64,
    /// Time for which groups of matched members are kept after their match, milliseconds.
    pub group_ms: i64,
}

impl ConfigValues {
    pub(super) fn bulk(&self) -> Result<BulkConfig, Failure> {
        let folder = match self.get(&keys::EXPORTS_URL)? {
            None => None,
            Some(url) => match url.strip_prefix("file:").filter(|path| !path.is_empty()) {
                Some(path) => Some(PathBuf::from(path)),
                None => {
                    let remedy =
                        "Write exports.url as file:PATH; this version keeps files of bulk jobs in a folder only.";
                    return Err(refuse(keys::EXPORTS_URL.name(), remedy));
                }
            },
        };
        Ok(BulkConfig {
            folder,
            body_bytes: self.get(&keys::BULK_BODY_BYTES)?,
            members_max: self.get(&keys::BULK_MEMBERS_MAX)?,
            jobs_per_partner: self.get(&keys::BULK_JOBS_PER_PARTNER)?,
            deadline_ms: i64::from(self.get(&keys::BULK_DEADLINE_HOURS)?) * HOUR_MS,
            keep_ms: i64::from(self.get(&keys::BULK_KEEP_HOURS)?) * HOUR_MS,
            group_ms: i64::from(self.get(&keys::BULK_GROUP_DAYS)?) * 24 * HOUR_MS,
        })
    }
}
