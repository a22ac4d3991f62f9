//! The keys of values beside the ledger, one for each member or thing that its entries are about, in a file outside the database; and the
//! sealing of a value under one of them.
//!
//! The file has one line of a fixed length for each key: a tag, the name of the key of keys under which the key is wrapped, and the wrapped
//! key. The first line is of the key of look-ups, by which the database finds a line without knowing whose it is. Lines are added at the end,
//! and the wrapped key of a line is written over when its member is erased: then nothing can open what was sealed under it, in a backup of the
//! database neither. A line that a crash cut off is cut away before the next one is added.
//!
//! It must never write a key, or whose a line is, anywhere else. Which line is whose stands in the database (`store::member_keys`); when a
//! key is made and destroyed is decided elsewhere.

mod line;
mod reader;

pub use line::KeySlot;
pub use reader::KeyReader;

use super::{hex, random};
use crate::error::{Failure, Fault};
use line::{KeyLine, LINE, LOST, WRAPPED, name_of, tag_of, unusable, wrapped_line};
use std::cell::OnceCell;
use std::fmt;
use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{ErrorKind, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, FileExt as _, MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// The name of the file in the folder of this server's own files.
pub const MEMBER_KEYS_FILE: &str = "member.keys";
/// In the place of a sealed value: there is nothing to seal, or it was erased.
pub const NOTHING_SEALED: &[u8] = &[0];

const FOREIGN: &str = "Put member.keys of this store back: the file that is there belongs to another store.";
const MODE: &str = "Set the mode of member.keys to 0600: only the server's user may read it.";

/// Reads the keys of keys, each with its id; the last one is for new work. With `true` they are made when there are none.
pub type KeysOfKeys = Arc<dyn Fn(bool) -> Result<Vec<(String, [u8; 32])>, Failure> + Send + Sync>;

/// Whether the file may begin, because the store knows no key yet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeyStart {
    /// It may not: a file without keys is one that was lost.
    Never,
    /// In an empty file that somebody put there, for all processes of the store.
    InEmptyFile,
    /// Also where there is no file.
    Anew,
}

/// The file of members' keys, if this process has a place for it. Clones share it.
#[derive(Clone, Default)]
pub struct MemberKeys(Option<Arc<Place>>);

#[derive(Clone)]
struct Place {
    path: PathBuf,
    keys_of_keys: KeysOfKeys,
}

impl fmt::Debug for MemberKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let path = self.0.as_ref().map(|place| place.path.as_path());
        write!(f, "MemberKeys({path:?})")
    }
}

fn out_of_reach(path: &Path, error: std::io::Error) -> Failure {
    let remedy = format!("Let the server's user read and write {}.", path.display());
    Failure::new(Fault::SealKeys).remedy(remedy).because(error)
}

impl MemberKeys {
    /// The file at `path`, whose keys are wrapped under those that `keys_of_keys` reads. Reads nothing yet.
    pub fn at(path: PathBuf, keys_of_keys: KeysOfKeys) -> MemberKeys {
        MemberKeys(Some(Arc::new(Place { path, keys_of_keys })))
    }

    /// Whether this process has a place for the file.
    pub fn is_placed(&self) -> bool {
        self.0.is_some()
    }

    /// Whether there is a file.
    pub fn has_file(&self) -> bool {
        self.0.as_ref().is_some_and(|place| place.path.exists())
    }

    /// The place of the file itself, where a link may lead: the lock and the file that takes its place are beside it.
    fn place(&self) -> Result<Place, Failure> {
        let mut place = self.0.as_deref().cloned().ok_or_else(|| unusable(LOST))?;
        if let Ok(path) = fs::canonicalize(&place.path) {
            place.path = path;
        }
        Ok(place)
    }

    /// Makes the file ready for new work, and reads it: it begins where `start` says so, and is wrapped again when there is a newer key of keys.
    /// `mark` is that of the store.
    ///
    /// # Errors
    /// [`Fault::SealKeys`] when there is no file, it is another store's, cannot be used, or the key of keys is missing.
    pub fn ready(&self, mark: &[u8; 32], start: KeyStart) -> Result<KeyReader, Failure> {
        let place = self.place()?;
        let _lock = place.lock()?;
        let file = match place.file(true)? {
            Some(file) => file,
            None if start == KeyStart::Anew => place.make()?,
            None => return Err(unusable(LOST)),
        };
        match (place.lines(&file)?, start) {
            (0, KeyStart::Never) => return Err(unusable(LOST)),
            (0, _) => place.begin(&file, mark)?,
            _ => {}
        }
        demand_own(&file, mark)?;
        let read = KeyReader::of(file, place.keys_of_keys(false)?);
        // Without the key of look-ups nothing is found, and nothing can be wrapped again.
        read.code("")?;
        match read.is_up_to_date() {
            true => Ok(read),
            false => {
                let (file, keys) = read.into_parts();
                let file = place.wrap_again(&file, &keys)?;
                Ok(KeyReader::of(file, keys))
            }
        }
    }

    /// Adds so many new keys, which are durable when this returns.
    ///
    /// # Errors
    /// As [`MemberKeys::ready`].
    pub fn add(&self, mark: &[u8; 32], count: usize) -> Result<Vec<KeySlot>, Failure> {
        let place = self.place()?;
        let _lock = place.lock()?;
        let file = place.file(true)?.ok_or_else(|| unusable(LOST))?;
        demand_own(&file, mark)?;
        let keys = place.keys_of_keys(false)?;
        let first = place.lines(&file)?;
        let (mut text, mut slots) = (String::with_capacity(count * LINE), Vec::with_capacity(count));
        for number in (first..).take(count) {
            let slot = KeySlot { number, tag: random() };
            text.push_str(&wrapped_line(&hex(&slot.tag), &keys, &random())?);
            slots.push(slot);
        }
        // What a crash left of a line goes.
        let written = file
            .set_len(first * LINE as u64)
            .and_then(|()| file.write_all_at(text.as_bytes(), first * LINE as u64))
            .and_then(|()| file.sync_all());
        written.map_err(|error| out_of_reach(&place.path, error))?;
        Ok(slots)
    }

    /// Writes over these keys. When this returns, they are gone for good; doing it again changes nothing.
    ///
    /// # Errors
    /// As [`MemberKeys::ready`].
    pub fn destroy(&self, mark: &[u8; 32], slots: &[KeySlot]) -> Result<(), Failure> {
        if slots.is_empty() {
            return Ok(());
        }
        let place = self.place()?;
        let _lock = place.lock()?;
        let file = place.file(true)?.ok_or_else(|| unusable(LOST))?;
        demand_own(&file, mark)?;
        for slot in slots {
            let is_there = KeyLine::read(&file, slot.number).is_some_and(|line| line.tag == hex(&slot.tag));
            if is_there {
                file.write_all_at(&[b'-'; WRAPPED], slot.wrapped_at())
                    .map_err(|error| out_of_reach(&place.path, error))?;
            }
        }
        file.sync_all().map_err(|error| out_of_reach(&place.path, error))
    }

    /// Reads the file; none when there is none.
    ///
    /// # Errors
    /// [`Fault::SealKeys`] when it cannot be read, or the keys of keys cannot.
    pub fn reader(&self) -> Result<Option<KeyReader>, Failure> {
        let Some(place) = &self.0 else { return Ok(None) };
        match place.file(false)? {
            Some(file) => Ok(Some(KeyReader::of(file, place.keys_of_keys(false)?))),
            None => Ok(None),
        }
    }

    /// Opens values, a page at a time: the file is read when the first sealed value comes.
    pub fn opener(&self) -> ValueOpener {
        ValueOpener {
            keys: self.clone(),
            reader: OnceCell::new(),
        }
    }
}

impl Place {
    fn keys_of_keys(&self, make: bool) -> Result<Vec<(String, [u8; 32])>, Failure> {
        let keys = (self.keys_of_keys)(make)?;
        Ok(keys.into_iter().map(|(id, key)| (name_of(&id), key)).collect())
    }

    /// Waits until no other process changes the file; the lock ends with the value. What a crash left of a file that was to be wrapped again goes.
    fn lock(&self) -> Result<File, Failure> {
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
        match fs::remove_file(self.beside()) {
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

    fn file(&self, write: bool) -> Result<Option<File>, Failure> {
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
    fn lines(&self, file: &File) -> Result<u64, Failure> {
        let about = file.metadata().map_err(|error| out_of_reach(&self.path, error))?;
        Ok(about.len() / LINE as u64)
    }

    fn make(&self) -> Result<File, Failure> {
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
    fn begin(&self, file: &File, mark: &[u8; 32]) -> Result<(), Failure> {
        let text = wrapped_line(&tag_of(mark), &self.keys_of_keys(true)?, &random())?;
        let written = file
            .set_len(0)
            .and_then(|()| file.write_all_at(text.as_bytes(), 0))
            .and_then(|()| file.sync_all());
        written.map_err(|error| out_of_reach(&self.path, error))
    }

    /// Wraps every key under the last of the keys of keys, in a new file that takes the place of the old one. A line that none of them opens
    /// stays as it is.
    fn wrap_again(&self, old: &File, keys: &[(String, [u8; 32])]) -> Result<File, Failure> {
        let failed = |error| out_of_reach(&self.path, error);
        let mut text = String::new();
        for number in 0..self.lines(old)? {
            let read = KeyLine::read(old, number);
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
        let beside = self.beside();
        let mut file = OpenOptions::new()
            .read(true)
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(&beside)
            .map_err(failed)?;
        file.write_all(text.as_bytes())
            .and_then(|()| file.sync_all())
            .and_then(|()| fs::rename(&beside, &self.path))
            .and_then(|()| self.sync_folder())
            .map_err(failed)?;
        // The keys must not stay on the disk in a file that no erasure reaches any more.
        old.write_all_at(&vec![b'-'; text.len()], 0)
            .and_then(|()| old.sync_all())
            .map_err(failed)?;
        Ok(file)
    }
}

fn demand_own(file: &File, mark: &[u8; 32]) -> Result<(), Failure> {
    match KeyLine::read(file, 0).is_some_and(|line| line.tag == tag_of(mark)) {
        true => Ok(()),
        false => Err(unusable(FOREIGN)),
    }
}

/// Opens values beside the ledger. A value whose key is gone reads as one that was erased.
#[derive(Debug)]
pub struct ValueOpener {
    keys: MemberKeys,
    reader: OnceCell<Option<KeyReader>>,
}

impl ValueOpener {
    /// The text beside the entry with this id: `plain`, unless it is sealed.
    pub fn text(&self, entry_id: &str, plain: String, sealed: Option<&[u8]>) -> String {
        match sealed {
            None => plain,
            Some(sealed) if sealed == NOTHING_SEALED => plain,
            Some(sealed) => {
                let reader = self.reader.get_or_init(|| self.load()).as_ref();
                reader
                    .and_then(|reader| reader.open(entry_id, sealed))
                    .unwrap_or_default()
            }
        }
    }

    fn load(&self) -> Option<KeyReader> {
        match self.keys.reader() {
            Ok(Some(reader)) => return Some(reader),
            Ok(None) => tracing::error!(
                fault = Fault::SealKeys.code(),
                "there is no member.keys: what was sealed under its keys is shown as if it were erased"
            ),
            Err(failure) => tracing::error!(
                fault = failure.fault().code(),
                remedy = failure.remedy_text(),
                "member.keys cannot be read: what was sealed under its keys is shown as if it were erased"
            ),
        }
        None
    }
}

#[cfg(test)]
mod tests;
