//! The place of the file of members' keys: its lock, its lines, and the file that takes its place when the keys are wrapped again. Whoever calls
//! what writes holds the lock.

use super::line::{KeyLine, KeySlot, LINE, LOST, name_of, out_of_reach, tag_of, unusable, wrapped_line};
use super::reader::KeyReader;
use super::wrapping::{self, WRAPPING_KEYS_FILE};
use crate::error::Failure;
use crate::secret::{hex, random};
use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{ErrorKind, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, FileExt as _, MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;

const FOREIGN: &str = "Put member.keys of this store back: the file that is there belongs to another store.";
const OLDER: &str = "Put the newest member.keys of this store back: this one is older, and lacks a key that the store names. \
    docs/operators/erasure.md says what to do when there is no newer one.";
const MODE: &str = "Set the mode of member.keys to 0600: only the server's user may read it.";

/// Lines that are wrapped again at a time: there may be more of them than memory is for.
const TOGETHER: u64 = 4_096;
/// Bytes that are written over at a time.
const OVER: usize = 65_536;

/// Reads the keys of keys, each with its id; the last one is for new work. With `true` they are made when there are none.
pub type KeysOfKeys = Arc<dyn Fn(bool) -> Result<Vec<(String, [u8; 32])>, Failure> + Send + Sync>;

/// Where the file is, and what its keys are wrapped under.
pub(super) struct Place {
    path: PathBuf,
    keys_of_keys: KeysOfKeys,
}

impl Place {
    /// The file at `path`, whose keys are wrapped under those that `keys_of_keys` reads.
    pub(super) fn new(path: PathBuf, keys_of_keys: KeysOfKeys) -> Place {
        Place { path, keys_of_keys }
    }

    /// Where the file is looked for.
    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// The place of the file itself, where a link may lead.
    pub(super) fn itself(&self) -> Place {
        let path = fs::canonicalize(&self.path).unwrap_or_else(|_| self.path.clone());
        Place::new(path, Arc::clone(&self.keys_of_keys))
    }

    /// The keys of keys, each with its name; the last one is for new work. Those that rotations made come after those from before.
    pub(super) fn keys_of_keys(&self, make: bool) -> Result<Vec<(String, [u8; 32])>, Failure> {
        let own = wrapping::read(&self.wrapping())?;
        let above = match own.is_empty() {
            true => (self.keys_of_keys)(make)?,
            false => (self.keys_of_keys)(false).unwrap_or_default(),
        };
        let all = above.into_iter().chain(own);
        Ok(all.map(|(id, key)| (name_of(&id), key)).collect())
    }

    /// The place of the file of keys of keys that rotations made.
    pub(super) fn wrapping(&self) -> PathBuf {
        self.path.with_file_name(WRAPPING_KEYS_FILE)
    }

    /// Reads the file of the store with this mark; `None` when there is none.
    pub(super) fn read(&self, mark: &[u8; 32]) -> Result<Option<KeyReader>, Failure> {
        let Some(file) = self.file(false)? else { return Ok(None) };
        if self.lines(&file)? == 0 {
            return Err(unusable(LOST));
        }
        demand_own(&file, mark)?;
        Ok(Some(KeyReader::of(file, self.keys_of_keys(false)?)))
    }

    /// Waits until no other process changes the file; the lock ends with the value. What a crash left of a file that was to be wrapped again goes.
    pub(super) fn lock(&self) -> Result<File, Failure> {
        let path = self.path.with_extension("lock");
        let failed = |error| out_of_reach(&path, error);
        if let Some(folder) = self.folder() {
            DirBuilder::new()
                .recursive(true)
                .mode(0o700)
                .create(folder)
                .map_err(failed)?;
        }
        let lock = OpenOptions::new()
            .create(true)
            .truncate(false)
            .write(true)
            .mode(0o600)
            .open(&path)
            .map_err(failed)?;
        rustix::fs::flock(&lock, rustix::fs::FlockOperation::LockExclusive).map_err(|error| failed(error.into()))?;
        match remove_left(&self.beside()) {
            Err(error) if error.kind() != ErrorKind::NotFound => Err(failed(error)),
            _ => Ok(lock),
        }
    }

    fn folder(&self) -> Option<&Path> {
        self.path.parent().filter(|folder| !folder.as_os_str().is_empty())
    }

    fn beside(&self) -> PathBuf {
        self.path.with_extension("new")
    }

    /// Opens the file; `None` when there is none.
    pub(super) fn file(&self, write: bool) -> Result<Option<File>, Failure> {
        let file = match OpenOptions::new().read(true).write(write).open(&self.path) {
            Ok(file) => file,
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(out_of_reach(&self.path, error)),
        };
        let about = file.metadata().map_err(|error| out_of_reach(&self.path, error))?;
        match about.mode() & 0o077 {
            0 => Ok(Some(file)),
            _ => Err(unusable(MODE)),
        }
    }

    /// How many whole lines the file has.
    pub(super) fn lines(&self, file: &File) -> Result<u64, Failure> {
        let about = file.metadata().map_err(|error| out_of_reach(&self.path, error))?;
        Ok(about.len() / LINE as u64)
    }

    /// Refuses a file that lacks the line of one of these keys. A line that is damaged may be it, and has no key.
    pub(super) fn demand_lines(&self, file: &File, slots: &[KeySlot]) -> Result<(), Failure> {
        let lines = self.lines(file)?;
        let is_there = |slot: &KeySlot| match KeyLine::read(file, slot.number) {
            Some(line) => line.tag == hex(&slot.tag),
            None => slot.number < lines,
        };
        match slots.iter().all(is_there) {
            true => Ok(()),
            false => Err(unusable(OLDER)),
        }
    }

    /// Makes an empty file.
    pub(super) fn make(&self) -> Result<File, Failure> {
        let failed = |error| out_of_reach(&self.path, error);
        let file = OpenOptions::new()
            .read(true)
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(&self.path)
            .map_err(failed)?;
        self.sync_folder().map_err(failed)?;
        Ok(file)
    }

    fn sync_folder(&self) -> std::io::Result<()> {
        match self.folder() {
            Some(folder) => File::open(folder)?.sync_all(),
            None => Ok(()),
        }
    }

    /// Writes the first line of an empty file.
    pub(super) fn begin(&self, file: &File, mark: &[u8; 32]) -> Result<(), Failure> {
        let text = wrapped_line(&tag_of(mark), &self.keys_of_keys(true)?, &random())?;
        let written = file
            .set_len(0)
            .and_then(|()| file.write_all_at(text.as_bytes(), 0))
            .and_then(|()| file.sync_all());
        written.map_err(|error| out_of_reach(&self.path, error))
    }

    /// Wraps every key under the last of the keys of keys, in a new file that takes the place of the old one. A line that none of them opens
    /// stays as it is.
    pub(super) fn wrap_again(&self, old: &File, keys: &[(String, [u8; 32])]) -> Result<File, Failure> {
        let failed = |error| out_of_reach(&self.path, error);
        let lines = self.lines(old)?;
        let beside = self.beside();
        let mut file = OpenOptions::new()
            .read(true)
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(&beside)
            .map_err(failed)?;
        let mut from = 0;
        while from < lines {
            let upto = lines.min(from + TOGETHER);
            let mut whole = vec![0; usize::try_from(upto - from).map_err(|_| unusable(LOST))? * LINE];
            // What cannot be read now must not be taken for a key that is gone.
            old.read_exact_at(&mut whole, from * LINE as u64).map_err(failed)?;
            file.write_all(again(&whole, keys)?.as_bytes()).map_err(failed)?;
            from = upto;
        }
        file.sync_all()
            .and_then(|()| fs::rename(&beside, &self.path))
            .and_then(|()| self.sync_folder())
            .map_err(failed)?;
        // The keys must not stay on the disk in a file that no erasure reaches any more.
        write_over(old).map_err(failed)?;
        Ok(file)
    }
}

/// These lines with each key wrapped under the last of the keys of keys.
fn again(lines: &[u8], keys: &[(String, [u8; 32])]) -> Result<String, Failure> {
    let mut text = String::with_capacity(lines.len());
    for line in lines.chunks_exact(LINE) {
        let read = KeyLine::of(line.to_vec());
        match (read.as_ref().and_then(|read| read.key(keys)), read) {
            (Some(key), Some(read)) => text.push_str(&wrapped_line(&read.tag, keys, &key)?),
            (_, Some(read)) => text.push_str(&read.text),
            // A line that is damaged has no key.
            (_, None) => {
                text.push_str(&"-".repeat(LINE - 1));
                text.push('\n');
            }
        }
    }
    Ok(text)
}

/// Writes over all bytes of a file, and makes that durable.
fn write_over(file: &File) -> std::io::Result<()> {
    let length = file.metadata()?.len();
    let filler = vec![b'-'; OVER];
    let mut from = 0;
    while from < length {
        let some = usize::try_from(length - from).unwrap_or(OVER).min(OVER);
        file.write_all_at(&filler[..some], from)?;
        from += some as u64;
    }
    file.sync_all()
}

/// Removes a file that a crash left, once its bytes are written over: it has wrapped keys, and no erasure reaches them there.
fn remove_left(path: &Path) -> std::io::Result<()> {
    write_over(&OpenOptions::new().write(true).open(path)?)?;
    fs::remove_file(path)
}

/// Refuses a file that is not that of the store with this mark.
pub(super) fn demand_own(file: &File, mark: &[u8; 32]) -> Result<(), Failure> {
    match KeyLine::read(file, 0).is_some_and(|line| line.tag == tag_of(mark)) {
        true => Ok(()),
        false => Err(unusable(FOREIGN)),
    }
}
