//! `[exports]` and `[bulk]`: where the files of bulk jobs are, and how many jobs there may be for how long.

use super::check::refuse;
use super::keys;
use super::values::ConfigValues;
use crate::error::Failure;
use crate::keeping::{DataKind, Periods};
use reqwest::Url;
use std::path::PathBuf;

/// Milliseconds of an hour.
const HOUR_MS: i64 = 3_600_000;

/// The schemes of object stores, the feature that each needs, and whether this build has it.
const STORES: [(&str, &str, bool); 5] = [
    ("s3", "s3", cfg!(feature = "s3")),
    ("gs", "gcs", cfg!(feature = "gcs")),
    ("az", "azure", cfg!(feature = "azure")),
    ("abfs", "azure", cfg!(feature = "azure")),
    ("abfss", "azure", cfg!(feature = "azure")),
];

/// `[exports]` and `[bulk]`.
#[derive(Clone, Debug)]
pub struct BulkConfig {
    /// The folder of the files; `None` for the one beside the store.
    pub folder: Option<PathBuf>,
    /// The object store in which the files are when they are whole; `None` for the folder.
    pub objects: Option<Url>,
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
    pub(super) fn bulk(&self, periods: &Periods) -> Result<BulkConfig, Failure> {
        let (folder, objects) = match self.get(&keys::EXPORTS_URL)? {
            None => (None, None),
            Some(url) => match url.strip_prefix("file:").filter(|path| !path.is_empty()) {
                Some(path) => (Some(PathBuf::from(path)), None),
                None => (None, Some(objects(&url)?)),
            },
        };
        Ok(BulkConfig {
            folder,
            objects,
            body_bytes: self.get(&keys::BULK_BODY_BYTES)?,
            members_max: self.get(&keys::BULK_MEMBERS_MAX)?,
            jobs_per_partner: self.get(&keys::BULK_JOBS_PER_PARTNER)?,
            deadline_ms: i64::from(self.get(&keys::BULK_DEADLINE_HOURS)?) * HOUR_MS,
            keep_ms: periods.ms(DataKind::Exports),
            group_ms: periods.ms(DataKind::Groups),
        })
    }
}

/// The address of an object store of which this build knows the kind.
fn objects(text: &str) -> Result<Url, Failure> {
    let refused = |remedy: &str| Err(refuse(keys::EXPORTS_URL.name(), remedy));
    let scheme = text.split_once("://").map_or("", |(scheme, _)| scheme);
    let Some((_, feature, is_built)) = STORES.iter().find(|(known, ..)| *known == scheme) else {
        return refused(
            "Write exports.url as file:PATH, s3://BUCKET/PREFIX, gs://BUCKET/PREFIX or az://CONTAINER/PREFIX.",
        );
    };
    if !is_built {
        return refused(&format!(
            "This build has no stores of the kind {scheme}. Build it with `cargo build --release --features {feature}`, or write exports.url as file:PATH."
        ));
    }
    // The container stands before the account: abfss://CONTAINER@ACCOUNT.dfs.core.windows.net.
    let is_named = |url: &Url| url.host_str().is_some_and(|host| !host.is_empty());
    let has_user = |url: &Url| !url.username().is_empty() && !scheme.starts_with("abfs");
    let has_more = |url: &Url| url.password().is_some() || url.query().is_some() || url.fragment().is_some();
    match Url::parse(text) {
        Ok(url) if is_named(&url) && !has_user(&url) && !has_more(&url) => Ok(url),
        _ => refused(
            "Write exports.url as SCHEME://BUCKET/PREFIX without anything else: credentials come from the environment, never from the configuration.",
        ),
    }
}
