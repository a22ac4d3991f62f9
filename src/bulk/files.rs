//! The files of runs: sealed in a folder or an object store, written once, and whole there before their rows are there.
//!
//! A run has a folder of its own. A file has a head that names its key, then its text in sealed pieces of one size, which are found by
//! their number, then the sealed list of whose resources it has. With an object store, a file is written in the folder first, and moved when it
//! is whole; the beginning of one that is fetched stays in the folder until all of it has come. Nothing here decides who may read a file.

mod form;
#[cfg(not(feature = "object-store"))]
mod no_objects;
#[cfg(feature = "object-store")]
mod objects;
mod part;
mod read;
mod write;

#[cfg(not(feature = "object-store"))]
use no_objects::NoObjects as Objects;
#[cfg(feature = "object-store")]
use objects::Objects;

pub use form::PIECE_BYTES;
pub use read::FileReader;
pub use write::{FileWriter, finish};

use super::shares::MemberShare;
use crate::config::Config;
use crate::error::{Failure, Fault};
use crate::failpoint::{self, SYNC};
use crate::jobs::HeldJob;
use crate::secret::{hex, random};
use crate::security::vault::{KEYS_FILE, Seal, Vault};
use crate::store::bulk::BulkFileRow;
use form::{unsealed, unusable};
use read::SealedBytes;
use std::collections::HashSet;
use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::ErrorKind;
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::PathBuf;
use std::sync::{Arc, OnceLock};
use std::time::{Duration, SystemTime};

/// Objects that are read at once when many are asked for.
const AT_ONCE: usize = 8;
/// What was left in a local folder is removed after this time: no run takes so long.
const LEFT_OVER: Duration = Duration::from_secs(31 * 24 * 3600);

/// The folder of files and the keys that seal them. Clones share both.
#[derive(Clone)]
pub struct BulkFiles(Arc<Inner>);

struct Inner {
    folder: PathBuf,
    /// Where files are when they are whole; in the folder without it.
    objects: Option<Arc<Objects>>,
    keys: PathBuf,
    vault: OnceLock<Vault>,
}

/// An id of 128 random bits, for runs and files.
pub fn new_name() -> String {
    hex(&random::<16>())
}

/// Whether `text` can be an id of a run or file.
pub fn is_name(text: &str) -> bool {
    text.len() == 32 && text.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b))
}

impl BulkFiles {
    /// As the configuration says. Neither folder nor keys are touched before the first run.
    pub fn new(config: &Config) -> BulkFiles {
        let own = config.data_folder();
        let objects = config.bulk.objects.as_ref().and_then(Objects::new).map(Arc::new);
        BulkFiles(Arc::new(Inner {
            folder: config.bulk.folder.clone().unwrap_or_else(|| own.join("exports")),
            objects,
            keys: own.join(KEYS_FILE),
            vault: OnceLock::new(),
        }))
    }

    /// Whether there are keys, which the first run makes.
    pub fn has_keys(&self) -> bool {
        self.0.vault.get().is_some() || self.0.keys.exists()
    }

    /// The keys that seal files; makes them when there are none. Blocks this thread.
    ///
    /// # Errors
    /// [`Fault::BulkFolder`].
    pub(super) fn vault(&self) -> Result<&Vault, Failure> {
        if let Some(vault) = self.0.vault.get() {
            return Ok(vault);
        }
        let opened = Vault::open(&self.0.keys).map_err(unsealed)?;
        Ok(self.0.vault.get_or_init(|| opened))
    }

    fn seal(&self, key_id: &str, job: &str) -> Result<Seal, Failure> {
        let seal = self.vault()?.seal_of(key_id, &format!("bulk/{job}"));
        seal.map_err(unsealed)
    }

    fn folder_of(&self, job: &str) -> PathBuf {
        self.0.folder.join(job)
    }

    /// Makes the folder of a run, if it is not there; its name is on the disk when this returns. Blocks this thread, as all that follows.
    ///
    /// # Errors
    /// [`Fault::BulkFolder`].
    pub fn make(&self, job: &str) -> Result<(), Failure> {
        if self.0.objects.is_some() {
            self.drop_left_over();
        }
        self.make_folder(job)
            .and_then(|()| File::open(&self.0.folder)?.sync_all())
            .map_err(unusable)
    }

    fn make_folder(&self, job: &str) -> std::io::Result<()> {
        let mut builder = DirBuilder::new();
        builder.recursive(true).mode(0o700).create(self.folder_of(job))
    }

    /// Removes what attempts left here that were broken off: beside an object store, another host may have ended their runs.
    fn drop_left_over(&self) {
        let is_old = |entry: &fs::DirEntry| {
            let changed = entry.metadata().and_then(|found| found.modified());
            let age = changed.ok().and_then(|at| SystemTime::now().duration_since(at).ok());
            entry.file_name().to_str().is_some_and(is_name) && age.is_some_and(|age| age > LEFT_OVER)
        };
        for entry in fs::read_dir(&self.0.folder).into_iter().flatten().flatten() {
            if is_old(&entry) {
                let _ = fs::remove_dir_all(entry.path());
            }
        }
    }

    /// Begins a file of a run.
    ///
    /// # Errors
    /// [`Fault::BulkFolder`], [`Fault::NoRoom`].
    pub fn begin(&self, job: &str, piece: i64, side: &'static str, rtype: &str) -> Result<FileWriter, Failure> {
        let key_id = self.vault()?.current().to_owned();
        let (name, seal) = (new_name(), self.seal(&key_id, job)?);
        if self.0.objects.is_some() {
            // Another host may have made the folder of the run, on its own disk.
            self.make_folder(job).map_err(unusable)?;
        }
        let path = self.folder_of(job).join(&name);
        let file = OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(&path)
            .map_err(unusable)?;
        let row = row(job, name, piece, (side, rtype));
        let mut begun = FileWriter::begun(row, (file, path, self.0.objects.clone()), seal);
        begun.head(&key_id)?;
        Ok(begun)
    }

    /// Writes the names in the folder of a run to the disk.
    ///
    /// # Errors
    /// [`Fault::BulkFolder`].
    pub fn sync(&self, job: &str) -> Result<(), Failure> {
        if self.0.objects.is_some() {
            return Ok(());
        }
        let folder = File::open(self.folder_of(job)).map_err(unusable)?;
        failpoint::around(SYNC, || folder.sync_all()).map_err(unusable)
    }

    /// Opens a file of a run.
    ///
    /// # Errors
    /// [`Fault::BulkFolder`] when it cannot be read, or is none of ours.
    pub fn open(&self, row: &BulkFileRow) -> Result<FileReader, Failure> {
        let sealed = match &self.0.objects {
            None => SealedBytes::local(File::open(self.folder_of(&row.job_id).join(&row.name)).map_err(unusable)?),
            Some(objects) => SealedBytes::Stored(Arc::new(objects.open(&row.job_id, &row.name)?)),
        };
        let key_id = sealed.key_id()?.ok_or(Fault::BulkFolder)?;
        let reader = FileReader::new(sealed, (&key_id, self.seal(&key_id, &row.job_id)?), row);
        if self.0.objects.is_some() {
            reader.demand_length()?;
        }
        Ok(reader)
    }

    /// Whose resources these files have, file by file. What an object store has is read some files at once.
    ///
    /// # Errors
    /// [`Fault::BulkFolder`].
    pub fn shares_of(&self, rows: &[BulkFileRow]) -> Result<Vec<Vec<MemberShare>>, Failure> {
        let read = |row: &BulkFileRow| self.open(row)?.shares();
        if self.0.objects.is_none() {
            return rows.iter().map(read).collect();
        }
        let each = rows.len().div_ceil(AT_ONCE).max(1);
        std::thread::scope(|scope| {
            let read = move |some: &[BulkFileRow]| some.iter().map(read).collect::<Result<Vec<_>, _>>();
            let parts: Vec<_> = rows.chunks(each).map(|some| scope.spawn(move || read(some))).collect();
            let mut all = Vec::with_capacity(rows.len());
            for part in parts {
                let part = part.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic));
                all.extend(part?);
            }
            Ok(all)
        })
    }

    /// Removes all files of a run.
    ///
    /// # Errors
    /// [`Fault::BulkFolder`].
    pub fn remove(&self, job: &str) -> Result<(), Failure> {
        self.remove_here(job)?;
        match &self.0.objects {
            Some(objects) if is_name(job) => objects.remove(job, &objects.names(job)?),
            _ => Ok(()),
        }
    }

    /// Removes the local folder of a run, and asks no object store: for a run that did not begin, whose end is announced.
    ///
    /// # Errors
    /// [`Fault::BulkFolder`].
    pub fn remove_here(&self, job: &str) -> Result<(), Failure> {
        if !is_name(job) {
            return Ok(());
        }
        match fs::remove_dir_all(self.folder_of(job)) {
            Err(error) if error.kind() != ErrorKind::NotFound => Err(unusable(error)),
            _ => Ok(()),
        }
    }

    /// Removes all files of a run but these: attempts that were broken off left them, and nothing will ever name them. An attempt that has lost
    /// its lease removes nothing, because others may be files of the attempt after it that have no rows yet.
    ///
    /// # Errors
    /// [`Fault::BulkFolder`]; [`Fault::LeaseLost`].
    pub fn keep_only(&self, held: &HeldJob, job: &str, names: &HashSet<&str>) -> Result<(), Failure> {
        let is_other = |name: Option<&str>| !name.is_some_and(|name| names.contains(name));
        let mut others = Vec::new();
        let listed = match fs::read_dir(self.folder_of(job)) {
            // Another host may have done all before.
            Err(error) if error.kind() == ErrorKind::NotFound && self.0.objects.is_some() => None,
            listed => Some(listed.map_err(unusable)?),
        };
        for entry in listed.into_iter().flatten() {
            let entry = entry.map_err(unusable)?;
            if is_other(entry.file_name().to_str()) {
                others.push(entry.path());
            }
        }
        let mut stored = match &self.0.objects {
            None => Vec::new(),
            Some(objects) => objects.names(job)?,
        };
        stored.retain(|name| is_other(Some(name)));
        if others.is_empty() && stored.is_empty() {
            return Ok(());
        }
        // Whoever has the lease after this begins its files after this: none of them is listed.
        held.write_blocking(|_| Ok(()))?;
        for other in &others {
            // The thread of an attempt that was broken off removes its own.
            if let Err(error) = fs::remove_file(other)
                && error.kind() != ErrorKind::NotFound
            {
                return Err(unusable(error));
            }
        }
        match &self.0.objects {
            None => Ok(()),
            Some(objects) => objects.remove(job, &stored),
        }
    }

    /// Removes files that no row names any more; what stays goes with the folder of its run.
    pub fn drop_files(&self, rows: &[BulkFileRow]) {
        for row in rows {
            let _ = fs::remove_file(self.folder_of(&row.job_id).join(&row.name));
        }
        if let (Some(objects), Some(first)) = (&self.0.objects, rows.first()) {
            let names: Vec<String> = rows.iter().map(|row| row.name.clone()).collect();
            if let Err(failure) = objects.remove(&first.job_id, &names) {
                tracing::warn!(cause = ?failure.cause(), "objects of a bulk job that nothing names are still there");
            }
        }
    }

    /// Writes, reads and removes a small file where files of runs are kept. Blocks this thread.
    ///
    /// # Errors
    /// [`Fault::BulkFolder`], [`Fault::NoRoom`].
    pub fn probe(&self) -> Result<(), Failure> {
        let name = new_name();
        self.make_folder(&name).map_err(unusable)?;
        let written = fs::write(self.folder_of(&name).join("probe"), "causeway");
        let removed = fs::remove_dir_all(self.folder_of(&name));
        written.and(removed).map_err(unusable)?;
        match &self.0.objects {
            None => Ok(()),
            Some(objects) => objects.probe(&name),
        }
    }

    /// Whether the files are in an object store.
    pub fn are_objects(&self) -> bool {
        self.0.objects.is_some()
    }
}

/// The row of a file in which nothing is yet.
fn row(job: &str, name: String, piece: i64, (side, rtype): (&str, &str)) -> BulkFileRow {
    BulkFileRow {
        name,
        job_id: job.to_owned(),
        piece,
        side: side.to_owned(),
        resource_type: rtype.to_owned(),
        resources: 0,
        bytes: 0,
        sha256: Vec::new(),
        created_ms: 0,
    }
}

#[cfg(test)]
#[path = "files_tests.rs"]
mod tests;
