//! The files of a backup: its manifest, and reading them with the digests that the manifest has.
//!
//! A backup has the store, the last checkpoint of its ledger, the public key of the log, and the manifest. It never has a private key:
//! the manifest says which ones the store needs. Nothing here writes into a backup.

use crate::clock::rfc3339_us;
use crate::error::{Failure, Fault};
use crate::secret::{Sha256, hex, sha256};
use crate::store::copy::LedgerReach;
use serde::{Deserialize, Serialize};
use std::fs::{File, OpenOptions};
use std::io::{ErrorKind, Read as _, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

/// The manifest, and what it is.
pub const MANIFEST: &str = "manifest.json";
pub(super) const FORMAT: &str = "causeway-backup/1";
/// The files that a manifest may name.
pub const STORE: &str = "causeway.db";
pub(super) const CHECKPOINT: &str = "checkpoint";
pub(super) const PUBLIC_KEY: &str = "ledger.pub";
const NAMES: [&str; 3] = [STORE, CHECKPOINT, PUBLIC_KEY];
/// Bytes that are read and written at once.
const PIECE: usize = 1024 * 1024;
/// Most bytes of a manifest.
const MANIFEST_BYTES: u64 = 1024 * 1024;

/// A file of a backup.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BackupFile {
    /// Its name in the folder.
    pub name: String,
    /// Its length.
    pub bytes: u64,
    /// Its SHA-256, in hexadecimal.
    pub sha256: String,
}

/// The log of the ledger in a backup.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BackupLog {
    /// Its id, which is also the name of its files in the folder of `ledger.key_folder`.
    pub id: String,
    /// Its public key, with its name.
    pub key: String,
    /// How many entries its last checkpoint covers; none when nothing was signed.
    pub checkpoint: Option<u64>,
}

/// What a backup has, and what the store in it needs besides.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BackupManifest {
    /// What this is.
    pub format: String,
    /// The program that made it.
    pub software: String,
    /// When it was made, RFC 3339.
    pub made_at: String,
    /// The migrations that the schema of the store has.
    pub migrations: usize,
    /// Number of ledger entries.
    pub entries: u64,
    /// The time of the newest one, RFC 3339.
    pub last_entry_at: Option<String>,
    /// The log of the ledger; none when no server has run.
    pub log: Option<BackupLog>,
    /// The keys of `received.keys`, by their ids. The keys themselves are not in the backup.
    pub received_keys: Vec<String>,
    /// The files.
    pub files: Vec<BackupFile>,
}

/// How far making or reading a backup has come, in bytes.
#[derive(Clone, Copy, Debug)]
pub struct BackupProgress {
    /// What is done: `copying` or `checking`.
    pub stage: &'static str,
    /// Bytes that are done.
    pub done: u64,
    /// Bytes in all, as far as that is known.
    pub total: u64,
}

/// Who hears how far it is.
pub type TellProgress<'t> = &'t mut dyn FnMut(BackupProgress);

/// A failure of the folder of a backup at `path`.
pub(super) fn unusable(path: &Path, error: std::io::Error) -> Failure {
    let place = path.display().to_string();
    match error.kind() {
        ErrorKind::StorageFull | ErrorKind::QuotaExceeded => no_room(path.parent().unwrap_or(path), None),
        _ => Failure::new(Fault::InputUnreadable).at(place),
    }
    .because(error)
}

pub(super) fn no_room(path: &Path, needed: Option<u64>) -> Failure {
    let needed = needed.map_or(String::new(), |bytes| {
        format!(" It needs {} MiB.", bytes.div_ceil(1024 * 1024))
    });
    Failure::new(Fault::NoRoom)
        .at(path.display().to_string())
        .remedy(format!(
            "Free space on the disk of {}, or name a folder on another disk.{needed} Nothing was kept of what had been written there.",
            path.display()
        ))
}

/// The time of the newest entry, RFC 3339.
pub(super) fn last_at(reach: &LedgerReach) -> Option<String> {
    reach.last.as_ref().map(|(_, at_us)| rfc3339_us(*at_us))
}

/// Reads a file to its end, writes what it reads to `to` if that is given, and returns its digest.
pub(super) fn digest(
    path: &Path,
    mut to: Option<(&Path, &mut File)>,
    tell: TellProgress<'_>,
) -> Result<BackupFile, Failure> {
    let failed = |error| unusable(path, error);
    let mut file = File::open(path).map_err(failed)?;
    let total = file.metadata().map_err(failed)?.len();
    let (mut sum, mut piece, mut done) = (Sha256::default(), vec![0; PIECE], 0);
    loop {
        let count = file.read(&mut piece).map_err(failed)?;
        if count == 0 {
            break;
        }
        sum.update(&piece[..count]);
        if let Some((to, file)) = &mut to {
            file.write_all(&piece[..count]).map_err(|error| unusable(to, error))?;
        }
        done += count as u64;
        tell(BackupProgress {
            stage: "checking",
            done,
            total: total.max(done),
        });
    }
    Ok(BackupFile {
        name: path
            .file_name()
            .map_or(String::new(), |name| name.to_string_lossy().into_owned()),
        bytes: done,
        sha256: hex(&sum.finish()),
    })
}

/// A backup that was read.
#[derive(Clone, Debug)]
pub struct Backup {
    folder: PathBuf,
    /// Its manifest.
    pub manifest: BackupManifest,
    /// The SHA-256 of the manifest.
    pub sum: [u8; 32],
}

impl Backup {
    /// Reads the manifest of the backup in this folder, and checks its small files.
    ///
    /// # Errors
    /// [`Fault::InputUnreadable`] when there is no whole backup; [`Fault::BackupAltered`] for a manifest or a file that was changed.
    pub fn open(folder: &Path) -> Result<Backup, Failure> {
        let path = folder.join(MANIFEST);
        let mut text = Vec::new();
        File::open(&path)
            .and_then(|file| file.take(MANIFEST_BYTES).read_to_end(&mut text))
            .map_err(|error| {
                let remedy = "Name the folder of a whole backup: `causeway backup` writes its manifest last.";
                unusable(&path, error).remedy(remedy)
            })?;
        let unreadable = |why: String| {
            Failure::new(Fault::InputUnreadable)
                .at(path.display().to_string())
                .because(why)
        };
        let manifest: BackupManifest = serde_json::from_slice(&text).map_err(|error| unreadable(error.to_string()))?;
        if manifest.format != FORMAT {
            return Err(unreadable(format!("it is no {FORMAT}")));
        }
        let backup = Backup {
            folder: folder.to_path_buf(),
            manifest,
            sum: sha256(&text),
        };
        let files = &backup.manifest.files;
        let is_known = |file: &BackupFile| NAMES.contains(&file.name.as_str());
        if !files.iter().all(is_known) || !files.iter().any(|file| file.name == STORE) {
            return Err(altered(&path, "it names other files than a backup has"));
        }
        for file in files.iter().filter(|file| file.name != STORE) {
            backup.demand(file, None, &mut |_| {})?;
        }
        Ok(backup)
    }

    /// Copies the store of the backup to `to`, and checks it on the way.
    ///
    /// # Errors
    /// As [`Backup::open`]; [`Fault::NoRoom`].
    pub fn copy_store(&self, to: &Path, tell: TellProgress<'_>) -> Result<(), Failure> {
        let store = self.manifest.files.iter().find(|file| file.name == STORE);
        let store = store.ok_or_else(|| altered(&self.folder, "it has no store"))?;
        let failed = |error| unusable(to, error);
        let mut file = OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(to)
            .map_err(failed)?;
        self.demand(store, Some((to, &mut file)), tell)?;
        file.sync_all().map_err(failed)
    }

    fn demand(&self, file: &BackupFile, to: Option<(&Path, &mut File)>, tell: TellProgress<'_>) -> Result<(), Failure> {
        let path = self.folder.join(&file.name);
        let found = digest(&path, to, tell)?;
        match found.bytes < file.bytes {
            _ if found == *file => Ok(()),
            true => Err(Failure::new(Fault::InputUnreadable)
                .at(path.display().to_string())
                .because("the file is cut off")),
            false => Err(altered(&path, "its digest is not the one that the manifest has")),
        }
    }
}

/// The failure of a backup that was changed.
pub fn altered(path: &Path, why: &str) -> Failure {
    Failure::new(Fault::BackupAltered)
        .at(path.display().to_string())
        .because(why.to_owned())
}
