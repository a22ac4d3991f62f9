//! A file that a command writes piece by piece: it was not there before, and it is whole or gone afterwards.

use crate::error::{Failure, Fault};
use crate::secret::Sha256;
use std::fs::{self, File, OpenOptions};
use std::io::{BufWriter, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

/// A file that is being written. Dropped before [`WrittenFile::finish`], it is removed.
pub(super) struct WrittenFile {
    path: PathBuf,
    file: BufWriter<File>,
    sum: Sha256,
    is_whole: bool,
}

impl WrittenFile {
    /// Begins a file.
    ///
    /// # Errors
    /// [`Fault::InputUnreadable`] when it is there, or cannot be written.
    pub(super) fn begin(path: &Path) -> Result<WrittenFile, Failure> {
        let file = OpenOptions::new().write(true).create_new(true).mode(0o640).open(path);
        Ok(WrittenFile {
            file: BufWriter::new(file.map_err(|error| unwritable(path, error))?),
            path: path.to_owned(),
            sum: Sha256::default(),
            is_whole: false,
        })
    }

    /// Adds text.
    ///
    /// # Errors
    /// As [`WrittenFile::begin`].
    pub(super) fn add(&mut self, text: &str) -> Result<(), Failure> {
        self.sum.update(text.as_bytes());
        let written = self.file.write_all(text.as_bytes());
        written.map_err(|error| unwritable(&self.path, error))
    }

    /// Makes the file durable. Returns its SHA-256.
    ///
    /// # Errors
    /// As [`WrittenFile::begin`].
    pub(super) fn finish(mut self) -> Result<[u8; 32], Failure> {
        let written = self.file.flush().and_then(|()| self.file.get_ref().sync_all());
        written.map_err(|error| unwritable(&self.path, error))?;
        self.is_whole = true;
        Ok(std::mem::take(&mut self.sum).finish())
    }
}

impl Drop for WrittenFile {
    fn drop(&mut self) {
        if !self.is_whole {
            let _ = fs::remove_file(&self.path);
        }
    }
}

fn unwritable(path: &Path, error: std::io::Error) -> Failure {
    Failure::new(Fault::InputUnreadable)
        .at(path.display().to_string())
        .remedy("Name a file that is not there yet, in a folder that can be written; while a server runs, it is the server that writes.")
        .because(error)
}
