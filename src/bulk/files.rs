//! The files of runs: sealed in a folder, written once, and whole on the disk before their rows are there.
//!
//! A run has a folder of its own. A file has a head that names its key, then its text in sealed pieces of one size, which are found by
//! their number, then the sealed list of whose resources it has. Nothing here decides who may read a file.

mod part;

use super::shares::{MemberShare, Unfinished};
use crate::config::Config;
use crate::error::{Failure, Fault};
use crate::failpoint::{self, SYNC};
use crate::jobs::HeldJob;
use crate::secret::{Sha256, hex, random};
use crate::security::vault::{KEYS_FILE, Seal, Vault};
use crate::store::bulk::BulkFileRow;
use std::collections::HashSet;
use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{ErrorKind, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, FileExt as _, OpenOptionsExt as _};
use std::path::PathBuf;
use std::sync::{Arc, OnceLock};

/// Length of a piece before it is sealed. It must never change: pieces are found by it.
pub const PIECE_BYTES: usize = 64 * 1024;
/// Bytes that sealing adds: the nonce and the tag.
const SEALED_MORE: usize = 12 + 16;
/// With this begins each file; the id of its key and a line end follow.
const HEAD: &str = "causeway-bulk/1 ";
/// Longest head.
const HEAD_BYTES: usize = 128;

/// The folder of files and the keys that seal them. Clones share both.
#[derive(Clone)]
pub struct BulkFiles(Arc<Inner>);

struct Inner {
    folder: PathBuf,
    keys: PathBuf,
    vault: OnceLock<Vault>,
}

fn unusable(error: std::io::Error) -> Failure {
    let fault = match error.kind() {
        ErrorKind::StorageFull | ErrorKind::QuotaExceeded => Fault::NoRoom,
        _ => Fault::BulkFolder,
    };
    Failure::new(fault).because(error)
}

/// The keys are wrong, or a file is not as it was written.
fn unsealed(failure: Failure) -> Failure {
    Failure::new(Fault::BulkFolder).because(failure)
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
        BulkFiles(Arc::new(Inner {
            folder: config.bulk.folder.clone().unwrap_or_else(|| own.join("exports")),
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
        DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(self.folder_of(job))
            .and_then(|()| File::open(&self.0.folder)?.sync_all())
            .map_err(unusable)
    }

    /// Begins a file of a run.
    ///
    /// # Errors
    /// [`Fault::BulkFolder`], [`Fault::NoRoom`].
    pub fn begin(&self, job: &str, piece: i64, side: &'static str, rtype: &str) -> Result<FileWriter, Failure> {
        let key_id = self.vault()?.current().to_owned();
        let (name, seal) = (new_name(), self.seal(&key_id, job)?);
        let path = self.folder_of(job).join(&name);
        let mut file = OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(&path)
            .map_err(unusable)?;
        let unfinished = Unfinished::at(path);
        file.write_all(format!("{HEAD}{key_id}\n").as_bytes())
            .map_err(unusable)?;
        Ok(FileWriter {
            row: BulkFileRow {
                name,
                job_id: job.to_owned(),
                piece,
                side: side.to_owned(),
                resource_type: rtype.to_owned(),
                resources: 0,
                bytes: 0,
                sha256: Vec::new(),
                created_ms: 0,
            },
            file,
            unfinished,
            seal,
            buffer: Vec::with_capacity(PIECE_BYTES),
            pieces: 0,
            digest: Sha256::default(),
            shares: Vec::new(),
        })
    }

    /// Writes the names in the folder of a run to the disk.
    ///
    /// # Errors
    /// [`Fault::BulkFolder`].
    pub fn sync(&self, job: &str) -> Result<(), Failure> {
        let folder = File::open(self.folder_of(job)).map_err(unusable)?;
        failpoint::around(SYNC, || folder.sync_all()).map_err(unusable)
    }

    /// Opens a file of a run.
    ///
    /// # Errors
    /// [`Fault::BulkFolder`] when it cannot be read, or is none of ours.
    pub fn open(&self, row: &BulkFileRow) -> Result<FileReader, Failure> {
        let file = File::open(self.folder_of(&row.job_id).join(&row.name)).map_err(unusable)?;
        let key_id = key_id(&file)?.ok_or(Fault::BulkFolder)?;
        Ok(FileReader {
            seal: self.seal(&key_id, &row.job_id)?,
            begins: (HEAD.len() + key_id.len() + 1) as u64,
            bytes: u64::try_from(row.bytes).unwrap_or(0),
            name: row.name.clone(),
            file: Arc::new(file),
        })
    }

    /// Removes all files of a run.
    ///
    /// # Errors
    /// [`Fault::BulkFolder`].
    pub fn remove(&self, job: &str) -> Result<(), Failure> {
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
        let mut others = Vec::new();
        for entry in fs::read_dir(self.folder_of(job)).map_err(unusable)? {
            let entry = entry.map_err(unusable)?;
            if !entry.file_name().to_str().is_some_and(|name| names.contains(name)) {
                others.push(entry.path());
            }
        }
        if others.is_empty() {
            return Ok(());
        }
        // Whoever has the lease after this begins its files after this: none of them is listed.
        held.write_blocking(|_| Ok(()))?;
        others.iter().try_for_each(fs::remove_file).map_err(unusable)
    }

    /// Removes a file that no row names any more; what stays goes with the folder of its run.
    pub fn drop_file(&self, row: &BulkFileRow) {
        let _ = fs::remove_file(self.folder_of(&row.job_id).join(&row.name));
    }
}

/// The key under which a file was begun.
fn key_id(file: &File) -> Result<Option<String>, Failure> {
    let mut head = [0; HEAD_BYTES];
    let read = file.read_at(&mut head, 0).map_err(unusable)?;
    let end = head[..read].iter().position(|byte| *byte == b'\n');
    let line = end.and_then(|end| std::str::from_utf8(&head[..end]).ok());
    Ok(line.and_then(|line| line.strip_prefix(HEAD)).map(str::to_owned))
}

/// A file that is being written. If it is dropped before its end, it is removed.
pub struct FileWriter {
    row: BulkFileRow,
    file: File,
    unfinished: Unfinished,
    seal: Seal,
    buffer: Vec<u8>,
    pieces: u64,
    digest: Sha256,
    shares: Vec<MemberShare>,
}

impl FileWriter {
    /// Adds a resource as a line. `grant_id` is empty for what belongs to no member.
    ///
    /// # Errors
    /// [`Fault::NoRoom`], [`Fault::BulkFolder`].
    pub fn line(&mut self, grant_id: &str, json: &[u8]) -> Result<(), Failure> {
        // A line end in JSON stands between its parts only, where a blank means the same.
        let mut rest = json;
        while let Some(at) = memchr::memchr2(b'\n', b'\r', rest) {
            self.put(&rest[..at])?;
            self.put(b" ")?;
            rest = &rest[at + 1..];
        }
        self.put(rest)?;
        self.put(b"\n")?;
        self.row.resources += 1;
        if !grant_id.is_empty() {
            if self.shares.last().is_none_or(|share| share.grant_id != grant_id) {
                self.shares.push(MemberShare {
                    grant_id: grant_id.to_owned(),
                    bytes: 0,
                    resources: 0,
                });
            }
            if let Some(share) = self.shares.last_mut() {
                share.bytes += json.len() as u64 + 1;
                share.resources += 1;
            }
        }
        Ok(())
    }

    /// Counts the resources of a text that was written by [`FileWriter::put`].
    pub fn count(&mut self, resources: i64) {
        self.row.resources += resources;
    }

    /// Adds a part of the text that belongs to no member, and counts no resource.
    ///
    /// # Errors
    /// As [`FileWriter::line`].
    pub fn put(&mut self, bytes: &[u8]) -> Result<(), Failure> {
        self.row.bytes += i64::try_from(bytes.len()).unwrap_or(i64::MAX);
        let mut rest = bytes;
        while !rest.is_empty() {
            let (now, later) = rest.split_at(rest.len().min(PIECE_BYTES - self.buffer.len()));
            self.buffer.extend_from_slice(now);
            rest = later;
            if self.buffer.len() == PIECE_BYTES {
                self.seal_piece()?;
            }
        }
        Ok(())
    }

    fn seal_piece(&mut self) -> Result<(), Failure> {
        let place = format!("{}/{}", self.row.name, self.pieces);
        self.digest.update(&self.buffer);
        let sealed = self.seal.seal(&place, &self.buffer)?;
        self.file.write_all(&sealed).map_err(unusable)?;
        self.pieces += 1;
        self.buffer.clear();
        Ok(())
    }

    /// Ends the file; it is on the disk when this returns. Returns its row.
    ///
    /// # Errors
    /// [`Fault::NoRoom`], [`Fault::BulkFolder`].
    pub fn finish(mut self, now_ms: i64) -> Result<BulkFileRow, Failure> {
        self.write_end()?;
        self.synced(now_ms)
    }

    fn write_end(&mut self) -> Result<(), Failure> {
        if !self.buffer.is_empty() {
            self.seal_piece()?;
        }
        let list: String = self.shares.iter().map(MemberShare::line).collect();
        let sealed = self.seal.seal(&format!("{}/members", self.row.name), list.as_bytes())?;
        self.file.write_all(&sealed).map_err(unusable)
    }

    fn synced(mut self, now_ms: i64) -> Result<BulkFileRow, Failure> {
        failpoint::around(SYNC, || self.file.sync_all()).map_err(unusable)?;
        self.unfinished.is_whole();
        self.row.sha256 = self.digest.finish().to_vec();
        self.row.created_ms = now_ms;
        Ok(self.row)
    }
}

/// Ends files. All are written before the first one is synced, so that one commit of the file system's journal serves all of them.
///
/// # Errors
/// As [`FileWriter::finish`].
pub fn finish(mut files: Vec<FileWriter>, now_ms: i64) -> Result<Vec<BulkFileRow>, Failure> {
    files.iter_mut().try_for_each(FileWriter::write_end)?;
    files.into_iter().map(|file| file.synced(now_ms)).collect()
}

/// A file that can be read. Clones share it.
#[derive(Clone)]
pub struct FileReader {
    file: Arc<File>,
    seal: Seal,
    name: String,
    begins: u64,
    bytes: u64,
}

impl FileReader {
    fn pieces(&self) -> u64 {
        self.bytes.div_ceil(PIECE_BYTES as u64)
    }

    /// The piece with this number, from 0; `None` after the last one. Blocks this thread.
    ///
    /// # Errors
    /// [`Fault::BulkFolder`] when it is missing or changed.
    pub fn piece(&self, at: u64) -> Result<Option<Vec<u8>>, Failure> {
        if at >= self.pieces() {
            return Ok(None);
        }
        let whole = PIECE_BYTES as u64;
        let length = whole.min(self.bytes - at * whole);
        let mut sealed = vec![0; usize::try_from(length).unwrap_or(PIECE_BYTES) + SEALED_MORE];
        let place = self.begins + at * (whole + SEALED_MORE as u64);
        self.read_exact(&mut sealed, place)?;
        let opened = self.seal.open(&format!("{}/{at}", self.name), &sealed);
        opened.map(Some).map_err(unsealed)
    }

    /// The bytes from `first` on that stand in one piece, and before `end`; `None` at the end. Blocks this thread.
    ///
    /// # Errors
    /// As [`FileReader::piece`].
    pub fn bytes(&self, first: u64, end: u64) -> Result<Option<Vec<u8>>, Failure> {
        let (at, end) = (first / PIECE_BYTES as u64, end.min(self.bytes));
        if first >= end {
            return Ok(None);
        }
        let Some(mut piece) = self.piece(at)? else {
            return Ok(None);
        };
        let begins = at * PIECE_BYTES as u64;
        let place = |byte: u64| usize::try_from(byte.saturating_sub(begins)).unwrap_or(PIECE_BYTES);
        piece.truncate(place(end));
        piece.drain(..place(first).min(piece.len()));
        Ok(Some(piece))
    }

    fn read_exact(&self, bytes: &mut [u8], at: u64) -> Result<(), Failure> {
        self.file.read_exact_at(bytes, at).map_err(|error| match error.kind() {
            ErrorKind::UnexpectedEof => Fault::BulkFolder.into(),
            _ => unusable(error),
        })
    }

    /// Whose resources the file has. Blocks this thread.
    ///
    /// # Errors
    /// As [`FileReader::piece`].
    pub fn shares(&self) -> Result<Vec<MemberShare>, Failure> {
        let place = self.begins + self.bytes + self.pieces() * SEALED_MORE as u64;
        let all = self.file.metadata().map_err(unusable)?.len();
        let left = all.checked_sub(place).ok_or(Fault::BulkFolder)?;
        let mut sealed = vec![0; usize::try_from(left).map_err(|_| Fault::BulkFolder)?];
        self.read_exact(&mut sealed, place)?;
        let opened = self.seal.open(&format!("{}/members", self.name), &sealed);
        let list = opened.map_err(unsealed)?;
        let text = String::from_utf8(list).map_err(|_| Fault::BulkFolder)?;
        text.lines()
            .map(|line| MemberShare::read(line).ok_or_else(|| Fault::BulkFolder.into()))
            .collect()
    }

    /// The whole text of a small file. Blocks this thread.
    ///
    /// # Errors
    /// As [`FileReader::piece`].
    pub fn text(&self) -> Result<String, Failure> {
        let mut all = Vec::new();
        for at in 0..self.pieces() {
            all.extend(self.piece(at)?.unwrap_or_default());
        }
        String::from_utf8(all).map_err(|_| Fault::BulkFolder.into())
    }
}

#[cfg(test)]
#[path = "files_tests.rs"]
mod tests;
