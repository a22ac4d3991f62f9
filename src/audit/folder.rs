//! An exported ledger in a folder, as it is found there.

use super::note::LogKey;
use super::tree::TreeHash;
use super::tree::tiles::{TileAt, all, entries_of, tile_from};
use super::verdict::LedgerResult;
use super::verified::{FoundEntries, VerifiedLedger};
use crate::error::{Failure, Fault};
use std::collections::HashSet;
use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

/// The name of the checkpoint in an export.
pub const CHECKPOINT: &str = "checkpoint";
/// The name of the public key in an export.
pub const KEY: &str = "key";

/// The folder of the checkpoints in an export that witnesses confirmed before.
pub const WITNESSED: &str = "witnessed";

/// An exported ledger.
pub struct ExportedLedger(PathBuf);

fn unreadable(path: &Path, error: std::io::Error) -> Failure {
    Failure::new(Fault::InputUnreadable)
        .at(path.display().to_string())
        .because(error)
}

/// The bytes of a file; none when it is not there.
fn bytes(path: &Path) -> Result<Option<Vec<u8>>, Failure> {
    match fs::read(path) {
        Ok(bytes) => Ok(Some(bytes)),
        Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) => Ok(None),
        Err(error) => Err(unreadable(path, error)),
    }
}

impl ExportedLedger {
    /// The export in this folder.
    ///
    /// # Errors
    /// [`Fault::InputUnreadable`] when there is no such folder.
    pub fn open(folder: &Path) -> Result<ExportedLedger, Failure> {
        match folder.is_dir() {
            true => Ok(ExportedLedger(folder.to_path_buf())),
            false => Err(Failure::new(Fault::InputUnreadable).at(folder.display().to_string())),
        }
    }
}

impl VerifiedLedger for ExportedLedger {
    fn note(&mut self) -> Result<Option<String>, Failure> {
        let found = bytes(&self.0.join(CHECKPOINT))?;
        Ok(found.map(|bytes| String::from_utf8_lossy(&bytes).into_owned()))
    }

    fn size(&self, signed: u64) -> u64 {
        signed
    }

    fn tile(&mut self, at: TileAt) -> Result<Option<Vec<TreeHash>>, Failure> {
        let found = bytes(&self.0.join(at.path()))?;
        Ok(found
            .and_then(|bytes| tile_from(&bytes))
            .filter(|hashes| hashes.len() == at.width))
    }

    fn entries(&mut self, at: TileAt) -> Result<FoundEntries, Failure> {
        let Some(bundle) = bytes(&self.0.join(at.entries_path()))? else {
            return Ok(FoundEntries {
                entries: Vec::new(),
                broken: Some("the file is missing"),
            });
        };
        let (entries, is_whole) = entries_of(&bundle);
        Ok(FoundEntries {
            entries: entries.into_iter().map(<[u8]>::to_vec).collect(),
            broken: (!is_whole).then_some("the file is cut off"),
        })
    }

    fn confirmed(&mut self) -> Result<Vec<String>, Failure> {
        let folder = self.0.join(WITNESSED);
        let mut paths = vec![self.0.join(CHECKPOINT)];
        match fs::read_dir(&folder) {
            Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) => {}
            found => {
                for file in found.map_err(|error| unreadable(&folder, error))? {
                    paths.push(file.map_err(|error| unreadable(&folder, error))?.path());
                }
            }
        }
        let mut notes = Vec::new();
        for path in paths.into_iter().filter(|path| path.is_file()) {
            notes.extend(bytes(&path)?.map(|bytes| String::from_utf8_lossy(&bytes).into_owned()));
        }
        Ok(notes)
    }

    fn surplus(&mut self, size: u64) -> Result<Option<String>, Failure> {
        let mut expected: HashSet<PathBuf> = all(size).map(|at| PathBuf::from(at.path())).collect();
        expected.extend(
            all(size)
                .filter(|at| at.level == 0)
                .map(|at| PathBuf::from(at.entries_path())),
        );
        let mut folders = vec![PathBuf::from("tile")];
        while let Some(folder) = folders.pop() {
            let path = self.0.join(&folder);
            if !path.is_dir() {
                continue;
            }
            for found in fs::read_dir(&path).map_err(|error| unreadable(&path, error))? {
                let found = found.map_err(|error| unreadable(&path, error))?;
                let name = folder.join(found.file_name());
                // A link to a folder is not followed, and does not belong here either.
                let kind = found.file_type().map_err(|error| unreadable(&path, error))?;
                match kind.is_dir() {
                    true => folders.push(name),
                    false if expected.contains(&name) => {}
                    false => return Ok(Some(name.display().to_string())),
                }
            }
        }
        Ok(None)
    }

    fn key_beside(&mut self, key: &LogKey) -> Result<Option<(LedgerResult, &'static str)>, Failure> {
        let given = format!("{}\n", key.text()).into_bytes();
        Ok(match bytes(&self.0.join(KEY))? {
            None => Some((LedgerResult::Incomplete, "the file with the public key is missing")),
            Some(beside) if beside != given => Some((
                LedgerResult::Tampered,
                "the public key beside the ledger is not the one that was given",
            )),
            Some(_) => None,
        })
    }
}
