//! What an erasure found and did, in numbers: it names nobody.

use crate::clock::rfc3339_ms;
use crate::error::{Failure, Fault};
use crate::secret::hex;
use crate::store::backups::{self, BackupRow};
use crate::store::erasures::ErasureRow;
use crate::store::{Db, erased_decided, erased_entries, erased_record};
use serde::Serialize;
use std::collections::BTreeMap;

/// What was erased, or would be.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct ErasureReport {
    /// Id of the erasure; none of one that was only tried.
    pub id: Option<String>,
    /// Id of its ledger entry (`member.erased`).
    pub ledger_entry: Option<String>,
    /// Whether it was only tried.
    pub dry_run: bool,
    /// Whether the record went too.
    pub with_record: bool,
    /// The code of the reason.
    pub reason: String,
    /// The code of the law.
    pub legal_basis: Option<String>,
    /// Until when records must be kept, if that time is not over.
    pub kept_until: Option<String>,
    /// How much there was, by name.
    pub counts: BTreeMap<String, u64>,
    /// Backups in which everything still is.
    pub backups: Vec<KeptBackup>,
}

/// A backup that is not over.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct KeptBackup {
    /// When it was made.
    pub made_at: String,
    /// Its folder, as it was when it was made.
    pub folder: String,
    /// Its bytes.
    pub bytes: i64,
    /// The SHA-256 of its manifest.
    pub manifest_sha256: String,
    /// When it will have been deleted; none when nobody said.
    pub expires_at: Option<String>,
}

impl From<BackupRow> for KeptBackup {
    fn from(row: BackupRow) -> KeptBackup {
        KeptBackup {
            made_at: rfc3339_ms(row.made_ms),
            folder: row.folder,
            bytes: row.bytes,
            manifest_sha256: hex(&row.sha256),
            expires_at: row.expires_ms.map(rfc3339_ms),
        }
    }
}

/// The backups in which erased members still are at `now_ms` (UTC milliseconds).
///
/// # Errors
/// Those of the database.
pub(super) fn kept_backups(db: &mut Db, now_ms: i64) -> Result<Vec<KeptBackup>, Failure> {
    Ok(backups::standing(db, now_ms)?
        .into_iter()
        .map(KeptBackup::from)
        .collect())
}

/// Counts what an erasure of this member finds.
///
/// # Errors
/// Those of the database.
pub(super) fn plan(db: &mut Db, patient_id: &str, with_record: bool) -> Result<BTreeMap<String, u64>, Failure> {
    let names = erased_entries::names_of(db, patient_id)?;
    let number = |count: i64| u64::try_from(count).unwrap_or(0);
    let length = |count: usize| u64::try_from(count).unwrap_or(u64::MAX);
    let mut counts = BTreeMap::from([
        ("ledger_entries", number(erased_entries::count(db, &names)?)),
        ("file_shares", number(erased_entries::count_shares(db, patient_id)?)),
        (
            "plain_correlation_ids",
            number(erased_entries::with_plain_correlation(db, &names)?),
        ),
    ]);
    if with_record {
        let about = erased_decided::decided(db, patient_id)?;
        let resources = match erased_record::compartment(db, patient_id)? {
            Some((no, _)) => erased_record::count(db, no)?,
            None => 0,
        };
        counts.extend([
            ("resources", number(resources)),
            ("exchanges", length(erased_record::exchanges(db, patient_id)?.len())),
            ("bulk_jobs", length(erased_record::bulk_jobs(db, patient_id)?.len())),
            ("decisions", length(about.decisions.len())),
            ("reviews", length(about.reviews.len())),
        ]);
    }
    Ok(counts
        .into_iter()
        .map(|(name, count)| (name.to_owned(), count))
        .collect())
}

/// What an erasure found when it began.
pub(super) fn counts_of(row: &ErasureRow) -> Result<BTreeMap<String, u64>, Failure> {
    serde_json::from_str(&row.counts).map_err(|error| Failure::new(Fault::StoreDamaged).because(error))
}
