//! Makes a backup of a SQLite store in a folder, while the store is in use. The manifest is written last, so that a folder without one is no
//! backup. What was written is removed again when something fails.

use super::backup_files::{
    BackupLog, BackupManifest, BackupProgress, CHECKPOINT, FORMAT, MANIFEST, PUBLIC_KEY, STORE, TellProgress, digest,
    last_at, no_room, unusable,
};
use super::log::{key_of, last_checkpoint};
use crate::clock::{Clock, rfc3339_ms};
use crate::error::{Failure, Fault};
use crate::secret::sha256;
use crate::store::copy;
use crate::store::ledger_tree::{self as rows, LogRow};
use crate::store::{StoreUrl, standing};
use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{ErrorKind, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

/// The folder of a backup while it is made. What was made is removed again unless it is kept.
struct Making {
    folder: PathBuf,
    made_folder: bool,
    files: Vec<PathBuf>,
    is_kept: bool,
}

impl Drop for Making {
    fn drop(&mut self) {
        if self.is_kept {
            return;
        }
        for file in &self.files {
            let _ = fs::remove_file(file);
            // What the database library keeps beside a file that it writes.
            let mut beside = file.clone().into_os_string();
            beside.push("-journal");
            let _ = fs::remove_file(beside);
        }
        if self.made_folder {
            let _ = fs::remove_dir(&self.folder);
        }
    }
}

impl Making {
    fn within(folder: &Path) -> Result<Making, Failure> {
        let made_folder = match fs::read_dir(folder) {
            Ok(mut inside) => match inside.next() {
                None => false,
                Some(_) => {
                    let remedy =
                        "Name a folder that is not there yet or is empty: a backup never replaces another one.";
                    return Err(unusable(folder, ErrorKind::DirectoryNotEmpty.into()).remedy(remedy));
                }
            },
            Err(error) if error.kind() == ErrorKind::NotFound => {
                DirBuilder::new()
                    .recursive(true)
                    .mode(0o700)
                    .create(folder)
                    .map_err(|error| unusable(folder, error))?;
                true
            }
            Err(error) => return Err(unusable(folder, error)),
        };
        Ok(Making {
            folder: folder.to_path_buf(),
            made_folder,
            files: Vec::new(),
            is_kept: false,
        })
    }

    fn make(&mut self, name: &str, bytes: &[u8]) -> Result<PathBuf, Failure> {
        let path = self.folder.join(name);
        let mut file = OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(&path)
            .map_err(|error| unusable(&path, error))?;
        self.files.push(path.clone());
        let written = file.write_all(bytes).and_then(|()| file.sync_all());
        written.map_err(|error| unusable(&path, error))?;
        Ok(path)
    }
}

/// Makes a backup of the SQLite store at `from` in `folder`, which must be empty or not there. Returns its manifest, and the SHA-256 of that.
/// `record` is called with the digest and the number of bytes before the manifest is written. Blocks the thread.
///
/// # Errors
/// [`Fault::InputUnreadable`] for a folder that cannot be used; [`Fault::NoRoom`]; those of the store and of `record`. Nothing is left then.
pub fn make(
    from: &Path,
    folder: &Path,
    received_keys: Vec<String>,
    clock: &Clock,
    tell: TellProgress<'_>,
    record: impl FnOnce([u8; 32], u64) -> Result<(), Failure>,
) -> Result<(BackupManifest, [u8; 32]), Failure> {
    let mut making = Making::within(folder)?;
    let total = fs::metadata(from).map_or(0, |about| about.len());
    demand_room(folder, total)?;
    let made_at = rfc3339_ms(clock.now_ms());
    let store = making.make(STORE, b"")?;
    let copied = copy::copy(from, &store, &mut |done| {
        tell(BackupProgress {
            stage: "copying",
            done,
            total,
        });
    });
    copied.map_err(|failure| match failure.fault() {
        Fault::NoRoom => no_room(folder, None).because(failure),
        _ => failure,
    })?;
    File::open(&store)
        .and_then(|file| file.sync_all())
        .map_err(|error| unusable(&store, error))?;
    let (mut manifest, note) = of_copy(&store, made_at, received_keys)?;
    if let Some(log) = &manifest.log {
        making.make(PUBLIC_KEY, format!("{}\n", log.key).as_bytes())?;
    }
    if let Some(note) = note {
        making.make(CHECKPOINT, note.as_bytes())?;
    }
    for path in &making.files {
        manifest.files.push(digest(path, None, tell)?);
    }
    let text = serde_json::to_vec_pretty(&manifest).map_err(|error| Failure::new(Fault::Internal).because(error))?;
    let sum = sha256(&text);
    record(sum, manifest.files.iter().map(|file| file.bytes).sum())?;
    making.make(MANIFEST, &text)?;
    let synced = File::open(folder).and_then(|folder| folder.sync_all());
    synced.map_err(|error| unusable(folder, error))?;
    making.is_kept = true;
    Ok((manifest, sum))
}

/// Refuses a disk on which so many bytes have no room.
fn demand_room(folder: &Path, bytes: u64) -> Result<(), Failure> {
    let Ok(said) = rustix::fs::statvfs(folder) else {
        return Ok(());
    };
    match said.f_bavail.saturating_mul(said.f_frsize) < bytes {
        true => Err(no_room(folder, Some(bytes))),
        false => Ok(()),
    }
}

/// The manifest of a copied store, without its files, and the text of its last checkpoint.
fn of_copy(
    store: &Path,
    made_at: String,
    received_keys: Vec<String>,
) -> Result<(BackupManifest, Option<String>), Failure> {
    let url = StoreUrl::Sqlite(store.to_path_buf());
    let migrations = standing::look(&url, None)?.state.applied.len();
    let (reach, log, signed) = standing::read(&url, None, |db| {
        let log = rows::log(db)?;
        let signed = match &log {
            Some(row) if rows::checkpoint(db, row.no)?.is_some() => Some(last_checkpoint(db, row)?),
            _ => None,
        };
        Ok((copy::ledger_reach(db)?, log, signed))
    })?;
    let (covered, note) = signed.map(|(checkpoint, note)| (checkpoint.size, note)).unzip();
    let log = log.map(|row| log_of(&row, covered)).transpose()?;
    let manifest = BackupManifest {
        format: FORMAT.to_owned(),
        software: concat!("causeway/", env!("CARGO_PKG_VERSION")).to_owned(),
        made_at,
        migrations,
        entries: reach.entries,
        last_entry_at: last_at(&reach),
        log,
        received_keys,
        files: Vec::new(),
    };
    Ok((manifest, note))
}

fn log_of(row: &LogRow, checkpoint: Option<u64>) -> Result<BackupLog, Failure> {
    Ok(BackupLog {
        id: row.log_id.clone(),
        key: key_of(row)?.text(),
        checkpoint,
    })
}
