//! What a restored store is worth: whether its ledger is whole, whether it agrees with checkpoints that were seen outside it, and what is lost.
//!
//! Reads only. What is lost can be counted, because nobody can take back a checkpoint that was handed out.

use super::backup_files::{BackupManifest, STORE, altered, last_at};
use super::log::{StoreTiles, key_of};
use super::note::{Checkpoint, LogKey};
use super::stored::StoredLedger;
use super::tree::proof::root_at;
use super::verify::{LedgerResult, verify};
use crate::clock::rfc3339_ms;
use crate::error::{Failure, Fault};
use crate::store::copy::{self, LedgerReach};
use crate::store::ledger_tree::{self as rows, LogRow};
use crate::store::{Store, StoreUrl, standing};
use serde::Serialize;
use std::path::Path;

/// What ends or changes a right, or has to be done again, by the codes of [`super::Action`]. A reviewer's act on a review or a link may end
/// grants; a member who was erased is there again, and a hold is not.
const ENDS: [&str; 15] = [
    "consent.revoked",
    "operator.grant-revoked",
    "opt-in.revoked",
    "partner.suspended",
    "partner.rotated",
    "partner.locked",
    "operator.token-revoked",
    "policy.activated",
    "policy.approved",
    "policy.rolled-back",
    "member.erased",
    "retention.hold-placed",
    "review.reopened",
    "link.moved",
    "link.taken-back",
];

/// A checkpoint that was seen outside the backup, and when it was there at the latest (UTC milliseconds).
#[derive(Clone, Debug)]
pub struct SeenCheckpoint {
    /// What it says.
    pub checkpoint: Checkpoint,
    /// The time of the file that holds it.
    pub at_ms: Option<i64>,
}

/// What the restored store lacks.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct LostEntries {
    /// How many entries of the ledger, at least.
    pub entries: u64,
    /// The time of the last entry that is there.
    pub after: Option<String>,
    /// The time at which the last lost entry was there at the latest.
    pub until: Option<String>,
}

/// A right that ended or changed after the backup, and is in the restored store as it was before.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct EndedRight {
    /// When it ended.
    pub at: String,
    /// How.
    pub action: String,
    /// The partner concerned.
    pub partner: Option<String>,
    /// Id of what was ended or changed: of the consent, grant, partner, token, policy version, review or link, of the erasure, or of what is
    /// held. None of an entry whose subject was erased.
    pub id: Option<String>,
}

impl EndedRight {
    /// Its cells in a table.
    pub fn cells(&self) -> Vec<String> {
        vec![
            self.at.clone(),
            self.action.clone(),
            self.partner.clone().unwrap_or_default(),
            self.id.clone().unwrap_or_default(),
        ]
    }
}

/// A store that stands where a backup is to be restored.
#[derive(Clone, Debug)]
pub struct StandingStore {
    reach: LedgerReach,
    url: StoreUrl,
}

impl StandingStore {
    /// The store in the file at `path`. Changes nothing.
    ///
    /// # Errors
    /// Those of reading it.
    pub fn at(path: &Path) -> Result<StandingStore, Failure> {
        let url = StoreUrl::Sqlite(path.to_path_buf());
        let is_new = standing::look(&url, None)?.state.applied.is_empty();
        let reach = match is_new {
            true => LedgerReach { entries: 0, last: None },
            false => standing::read(&url, None, copy::ledger_reach)?,
        };
        Ok(StandingStore { reach, url })
    }

    /// Whether it has what the backup lacks.
    pub fn is_newer(&self, manifest: &BackupManifest) -> bool {
        self.reach.entries > manifest.entries || last_at(&self.reach) > manifest.last_entry_at
    }

    /// How many entries its ledger has, and when the newest was made.
    pub fn told(&self) -> String {
        let last = last_at(&self.reach).map_or(String::new(), |at| format!(", the newest of {at}"));
        format!("{} entries{last}", self.reach.entries)
    }
}

/// The restored store in its place aside, before it replaces anything.
pub struct RestoredStore<'s> {
    store: &'s Store,
    row: Option<LogRow>,
    reach: LedgerReach,
}

impl<'s> RestoredStore<'s> {
    /// The store of a backup with this manifest.
    ///
    /// # Errors
    /// [`Fault::BackupAltered`] when it is not the one that the manifest describes; those of the store.
    pub fn of(store: &'s Store, manifest: &BackupManifest, folder: &Path) -> Result<RestoredStore<'s>, Failure> {
        let (row, reach) = store.read_blocking(|db| Ok((rows::log(db)?, copy::ledger_reach(db)?)))?;
        let key = row.as_ref().map(key_of).transpose()?.map(|key| key.text());
        let id = row.as_ref().map(|row| row.log_id.as_str());
        // The id names the files beside the key, with which the ledger is compared. What the log has signed names the log by it.
        let is_named = row.as_ref().is_none_or(|row| {
            let is_plain = !row.log_id.is_empty() && row.log_id.bytes().all(|byte| byte.is_ascii_hexdigit());
            is_plain && row.origin.ends_with(&format!("/audit/{}", row.log_id))
        });
        let is_described = is_named
            && id == manifest.log.as_ref().map(|log| log.id.as_str())
            && key == manifest.log.as_ref().map(|log| log.key.clone())
            && reach.entries == manifest.entries
            && last_at(&reach) == manifest.last_entry_at;
        if !is_described {
            return Err(altered(
                &folder.join(STORE),
                "its ledger is not the one that the manifest describes",
            ));
        }
        Ok(RestoredStore { store, row, reach })
    }

    /// The public key of its log; none when no server has run.
    ///
    /// # Errors
    /// [`Fault::StoreDamaged`] when the log has none.
    pub fn key(&self) -> Result<Option<LogKey>, Failure> {
        self.row.as_ref().map(key_of).transpose()
    }

    /// The number that the next log has.
    pub fn next_log(&self) -> i64 {
        self.row.as_ref().map_or(0, |row| row.no) + 1
    }

    /// Verifies every entry of the ledger, and the checkpoints that were seen outside. `is_kept`: the manifest is the one whose digest was kept.
    ///
    /// # Errors
    /// [`Fault::BackupAltered`] when the ledger is not as it was signed, or nothing shows that it is; [`Fault::LedgerForked`] when it contradicts
    /// one of `seen`.
    pub fn demand_true(&self, seen: &[SeenCheckpoint], is_kept: bool, folder: &Path) -> Result<(), Failure> {
        let Some(row) = &self.row else {
            return Ok(());
        };
        let key = key_of(row)?;
        let is_signed = self.store.read_blocking(|db| rows::checkpoint(db, row.no))?.is_some();
        if is_signed {
            let verdict = verify(&mut StoredLedger::open(self.store, row.no)?, &key, None, None)?;
            if verdict.result != LedgerResult::Ok {
                let at = verdict
                    .first_bad
                    .map_or(String::new(), |index| format!(" (index {index})"));
                let why = verdict.why.unwrap_or_default();
                return Err(altered(
                    &folder.join(STORE),
                    &format!("its ledger is not as it was signed: {why}{at}"),
                ));
            }
        } else if !seen.is_empty() && !is_kept {
            let why = "its log has signed checkpoints, and none of them is in it";
            return Err(altered(&folder.join(STORE), why).remedy(
                "Restore another backup. If this one was made before its log signed the first checkpoint, give the digest that you kept with --manifest-sha256.",
            ));
        }
        for SeenCheckpoint { checkpoint, .. } in seen {
            let (size, root) = (checkpoint.size, checkpoint.root);
            let own = self.store.read_blocking(|db| {
                let mut tiles = StoreTiles::open(db, row.no)?;
                match tiles.size() < size {
                    true => Ok(None),
                    false => root_at(&mut tiles, size).map(Some),
                }
            })?;
            if own.is_some_and(|own| own != root) {
                return Err(Failure::new(Fault::LedgerForked)
                    .at("--against")
                    .remedy("Restore another backup: this one has another history than the checkpoint that was kept elsewhere.")
                    .because(format!("the first {size} entries of the backup are not those of the checkpoint")));
            }
        }
        Ok(())
    }

    /// What the store lacks, as the checkpoints that were seen outside and the store that stands in its place show it.
    pub fn lost(&self, seen: &[SeenCheckpoint], standing: Option<&StandingStore>) -> LostEntries {
        let mut lost = LostEntries {
            after: last_at(&self.reach),
            ..LostEntries::default()
        };
        let newest = seen.iter().max_by_key(|seen| seen.checkpoint.size);
        if let Some(seen) = newest.filter(|seen| seen.checkpoint.size > self.reach.entries) {
            lost.entries = seen.checkpoint.size - self.reach.entries;
            lost.until = seen.at_ms.map(rfc3339_ms);
        }
        if let Some(standing) = standing.filter(|standing| standing.reach.entries > self.reach.entries) {
            lost.entries = lost.entries.max(standing.reach.entries - self.reach.entries);
            lost.until = last_at(&standing.reach).or(lost.until);
        }
        lost
    }

    /// The rights that ended or changed after the backup, as the store that stands in its place says.
    ///
    /// # Errors
    /// Those of reading it.
    pub fn ended_since(&self, standing: &StandingStore) -> Result<Vec<EndedRight>, Failure> {
        if standing.reach.entries == 0 {
            return Ok(Vec::new());
        }
        let after = self.reach.last.as_ref().map_or("", |(id, _)| id.as_str());
        let found = standing::read(&standing.url, None, |db| copy::entries_since(db, after, &ENDS))?;
        let rights = found.into_iter().map(|(at_us, action, partner, id)| EndedRight {
            at: rfc3339_ms(at_us / 1_000),
            action,
            partner,
            id,
        });
        Ok(rights.collect())
    }

    /// How many entries its ledger has.
    pub fn entries(&self) -> u64 {
        self.reach.entries
    }
}
