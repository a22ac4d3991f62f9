//! The file of members' keys as the rest of the program has it: made ready, added to, destroyed in, and wrapped again, each under its lock.

use super::line::{KeySlot, LINE, LOST, WRAPPED, out_of_reach, unusable, wrapped_line};
use super::place::{KeysOfKeys, Place, demand_own};
use super::reader::KeyReader;
use super::wrapping;
use crate::error::Failure;
use crate::secret::{hex, random};
use std::fmt;
use std::os::unix::fs::FileExt as _;
use std::path::PathBuf;
use std::sync::Arc;

/// The name of the file in the folder of this server's own files.
pub const MEMBER_KEYS_FILE: &str = "member.keys";

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

impl fmt::Debug for MemberKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let path = self.0.as_ref().map(|place| place.path());
        write!(f, "MemberKeys({path:?})")
    }
}

impl MemberKeys {
    /// The file at `path`, whose keys are wrapped under those that `keys_of_keys` reads. Reads nothing yet.
    pub fn at(path: PathBuf, keys_of_keys: KeysOfKeys) -> MemberKeys {
        MemberKeys(Some(Arc::new(Place::new(path, keys_of_keys))))
    }

    /// Whether this process has a place for the file.
    pub fn is_placed(&self) -> bool {
        self.0.is_some()
    }

    /// Whether there is a file.
    pub fn has_file(&self) -> bool {
        self.0.as_ref().is_some_and(|place| place.path().exists())
    }

    /// The place of the file itself, where a link may lead: the lock and the file that takes its place are beside it.
    fn place(&self) -> Result<Place, Failure> {
        let place = self.0.as_deref().ok_or_else(|| unusable(LOST))?;
        Ok(place.itself())
    }

    /// Makes the file ready for new work, and reads it: it begins where `start` says so, and is wrapped again when there is a newer key of keys.
    /// `mark` is that of the store.
    ///
    /// # Errors
    /// [`Fault::SealKeys`] when there is no file, it is another store's, cannot be used, or the key of keys is missing.
    ///
    /// [`Fault::SealKeys`]: crate::error::Fault::SealKeys
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
        written.map_err(|error| out_of_reach(place.path(), error))?;
        Ok(slots)
    }

    /// Refuses when the file lacks the line of one of these keys: then it is older than the store, and the key is in a newer one.
    ///
    /// # Errors
    /// As [`MemberKeys::ready`].
    pub fn demand(&self, mark: &[u8; 32], slots: &[KeySlot]) -> Result<(), Failure> {
        if slots.is_empty() {
            return Ok(());
        }
        let place = self.place()?;
        let _lock = place.lock()?;
        let file = place.file(false)?.ok_or_else(|| unusable(LOST))?;
        demand_own(&file, mark)?;
        place.demand_lines(&file, slots)
    }

    /// Writes over these keys. When this returns, they are gone for good; doing it again changes nothing.
    ///
    /// # Errors
    /// As [`MemberKeys::ready`]; [`Fault::SealKeys`] also when the file lacks the line of one of them: then none is written over.
    ///
    /// [`Fault::SealKeys`]: crate::error::Fault::SealKeys
    pub fn destroy(&self, mark: &[u8; 32], slots: &[KeySlot]) -> Result<(), Failure> {
        if slots.is_empty() {
            return Ok(());
        }
        let place = self.place()?;
        let _lock = place.lock()?;
        let file = place.file(true)?.ok_or_else(|| unusable(LOST))?;
        demand_own(&file, mark)?;
        place.demand_lines(&file, slots)?;
        for slot in slots {
            file.write_all_at(&[b'-'; WRAPPED], slot.wrapped_at())
                .map_err(|error| out_of_reach(place.path(), error))?;
        }
        file.sync_all().map_err(|error| out_of_reach(place.path(), error))
    }

    /// Makes a new key of keys, and wraps every key under it again; the keys of keys that rotations made before are destroyed. Doing it again
    /// after a crash ends what was begun. `mark` is that of the store.
    ///
    /// # Errors
    /// As [`MemberKeys::ready`]; then the file is still wrapped under a key that is there.
    pub fn rotate(&self, mark: &[u8; 32]) -> Result<KeyRotation, Failure> {
        let place = self.place()?;
        let _lock = place.lock()?;
        let file = place.file(true)?.ok_or_else(|| unusable(LOST))?;
        demand_own(&file, mark)?;
        let read = KeyReader::of(file, place.keys_of_keys(false)?);
        // Without the key that wraps them now, nothing can be wrapped again.
        read.code("")?;
        let (file, _) = read.into_parts();
        let path = place.wrapping();
        let mut own = wrapping::read(&path)?;
        let key_id = hex(&random::<4>());
        own.push((key_id.clone(), random()));
        // Until the new file is there, the old one needs its key.
        wrapping::write(&path, &own)?;
        let file = place.wrap_again(&file, &place.keys_of_keys(false)?)?;
        let last = own.split_off(own.len() - 1);
        wrapping::write(&path, &last)?;
        // The first line is of the key of look-ups.
        let keys = place.lines(&file)?.saturating_sub(1);
        Ok(KeyRotation { key_id, keys })
    }

    /// Reads the file; `None` when there is none. `mark` is that of the store.
    ///
    /// # Errors
    /// [`Fault::SealKeys`] when it is empty, is another store's, or cannot be read, or the keys of keys cannot.
    ///
    /// [`Fault::SealKeys`]: crate::error::Fault::SealKeys
    pub fn reader(&self, mark: &[u8; 32]) -> Result<Option<KeyReader>, Failure> {
        if self.0.is_none() {
            return Ok(None);
        }
        let place = self.place()?;
        // A file that another process wraps again at this moment is opened once more.
        place.read(mark).or_else(|_| place.read(mark))
    }

    /// How many keys the file has, those that were destroyed among them. `mark` is that of the store.
    ///
    /// # Errors
    /// As [`MemberKeys::reader`]; [`Fault::SealKeys`] also when there is no file, or no key of keys opens it.
    ///
    /// [`Fault::SealKeys`]: crate::error::Fault::SealKeys
    pub fn check(&self, mark: &[u8; 32]) -> Result<u64, Failure> {
        let reader = self.reader(mark)?.ok_or_else(|| unusable(LOST))?;
        reader.code("")?;
        let (file, _) = reader.into_parts();
        Ok(self.place()?.lines(&file)?.saturating_sub(1))
    }
}

/// What a rotation did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyRotation {
    /// The id of the new key of keys.
    pub key_id: String,
    /// How many keys are wrapped under it, those that were destroyed among them.
    pub keys: u64,
}
