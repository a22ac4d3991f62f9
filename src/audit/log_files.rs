//! The files of a log outside the database: the key that signs its checkpoints, and the last checkpoint that was signed with it.
//!
//! The folder has mode 0700 and the files have mode 0600. The copy of the checkpoint is written before anybody can see it, so that a
//! database that was put back to an earlier state is noticed.

use super::whole_file;
use crate::error::{Failure, Fault};
use crate::failpoint;
use crate::secret::ed25519::Ed25519Key;
use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{ErrorKind, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

/// The name of the points at which a test can end this process.
const POINT: &str = "ledger";

/// The folder of these files.
#[derive(Clone, Debug)]
pub struct LogFiles(PathBuf);

fn unusable(path: &Path, error: std::io::Error) -> Failure {
    whole_file::unusable(path, error, Fault::LedgerKey)
}

impl LogFiles {
    /// These files in `folder`.
    pub fn new(folder: PathBuf) -> LogFiles {
        LogFiles(folder)
    }

    fn path(&self, log_id: &str, end: &str) -> PathBuf {
        self.0.join(format!("{log_id}.{end}"))
    }

    /// Makes the key of a log.
    ///
    /// # Errors
    /// [`Fault::LedgerKey`], [`Fault::NoRoom`].
    pub fn make(&self, log_id: &str) -> Result<Ed25519Key, Failure> {
        let path = self.path(log_id, "key");
        let (key, pem) = Ed25519Key::make().ok_or_else(|| Failure::new(Fault::Internal).because("no key was made"))?;
        DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(&self.0)
            .map_err(|error| unusable(&self.0, error))?;
        let write = || {
            let mut file = OpenOptions::new()
                .write(true)
                .create_new(true)
                .mode(0o600)
                .open(&path)?;
            file.write_all(pem.as_bytes())?;
            file.sync_all()?;
            File::open(&self.0)?.sync_all()
        };
        if let Err(error) = write() {
            // A key that is not whole must not stay.
            let _ = fs::remove_file(&path);
            return Err(unusable(&path, error));
        }
        Ok(key)
    }

    /// Removes the key of a log that never began.
    pub fn forget(&self, log_id: &str) {
        let _ = fs::remove_file(self.path(log_id, "key"));
    }

    /// Reads the key of a log.
    ///
    /// # Errors
    /// [`Fault::LedgerKey`] when it is not there, readable by others, or no key.
    pub fn key(&self, log_id: &str) -> Result<Ed25519Key, Failure> {
        let path = self.path(log_id, "key");
        let about = fs::metadata(&path).map_err(|error| unusable(&path, error))?;
        if about.mode() & 0o077 != 0 {
            let remedy = "Set its mode to 0600: only the server's user may read the key of the ledger.";
            return Err(Failure::new(Fault::LedgerKey)
                .at(path.display().to_string())
                .remedy(remedy));
        }
        let pem = fs::read_to_string(&path).map_err(|error| unusable(&path, error))?;
        Ed25519Key::from_pem(&pem).ok_or_else(|| {
            Failure::new(Fault::LedgerKey)
                .at(path.display().to_string())
                .because("the file holds no Ed25519 key")
        })
    }

    /// Reads the last checkpoint that was signed here.
    ///
    /// # Errors
    /// [`Fault::LedgerKey`] when it is there and cannot be read.
    pub fn checkpoint(&self, log_id: &str) -> Result<Option<String>, Failure> {
        let path = self.path(log_id, "checkpoint");
        match fs::read_to_string(&path) {
            Ok(note) => Ok(Some(note)),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
            Err(error) => Err(unusable(&path, error)),
        }
    }

    /// Whether there is a checkpoint of any log.
    ///
    /// # Errors
    /// [`Fault::LedgerKey`] when the folder is there and cannot be read.
    pub fn has_checkpoints(&self) -> Result<bool, Failure> {
        let unusable = |error| unusable(&self.0, error);
        let found = match fs::read_dir(&self.0) {
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(false),
            found => found.map_err(unusable)?,
        };
        for file in found {
            if file
                .map_err(unusable)?
                .path()
                .extension()
                .is_some_and(|end| end == "checkpoint")
            {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Writes the last checkpoint; it is on the disk when this returns.
    ///
    /// # Errors
    /// [`Fault::LedgerKey`], [`Fault::NoRoom`].
    pub fn keep(&self, log_id: &str, note: &str) -> Result<(), Failure> {
        let path = self.path(log_id, "checkpoint");
        whole_file::replace(&path, note, &|done| failpoint::pass(POINT, done)).map_err(|error| unusable(&path, error))
    }
}
