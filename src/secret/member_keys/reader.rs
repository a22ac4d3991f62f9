//! The file of members' keys, opened for sealing and opening values. It writes nothing.

use super::line::{KeyLine, KeySlot, NO_KEY, SLOT, unusable};
use crate::error::Failure;
use crate::secret::{Mac, hex, open, seal};
use std::fmt;
use std::fs::File;

/// The first byte of a sealed value.
const VERSION: u8 = 1;

/// The file, opened for reading keys.
pub struct KeyReader {
    file: File,
    keys: Vec<(String, [u8; 32])>,
    look_ups: Option<Mac>,
}

impl fmt::Debug for KeyReader {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("KeyReader(…)")
    }
}

impl KeyReader {
    /// Over this file, whose keys are wrapped under `keys`.
    pub(super) fn of(file: File, keys: Vec<(String, [u8; 32])>) -> KeyReader {
        let first = KeyLine::read(&file, 0).and_then(|line| line.key(&keys));
        KeyReader {
            look_ups: first.map(|key| Mac::new(&key)),
            file,
            keys,
        }
    }

    /// Whether the file is wrapped under the last of the keys of keys.
    pub(super) fn is_up_to_date(&self) -> bool {
        let last = self.keys.last().map(|(id, _)| id);
        KeyLine::read(&self.file, 0).is_none_or(|line| Some(&line.under) == last)
    }

    /// The file, and the keys of keys.
    pub(super) fn into_parts(self) -> (File, Vec<(String, [u8; 32])>) {
        (self.file, self.keys)
    }

    /// By what the database finds the slot of a subject: nobody learns the subject from it without the file.
    ///
    /// # Errors
    /// [`Fault::SealKeys`] when the key of keys of the first line is missing.
    ///
    /// [`Fault::SealKeys`]: crate::error::Fault::SealKeys
    pub fn code(&self, subject: &str) -> Result<String, Failure> {
        let look_ups = self.look_ups.as_ref().ok_or_else(|| unusable(NO_KEY))?;
        Ok(hex(&look_ups.first_16(subject.as_bytes())))
    }

    fn key(&self, slot: KeySlot) -> Option<[u8; 32]> {
        let line = KeyLine::read(&self.file, slot.number)?;
        match line.tag == hex(&slot.tag) {
            true => line.key(&self.keys),
            false => None,
        }
    }

    /// Seals a text of the entry with this id under the key of a slot; none when that key is gone.
    pub fn seal(&self, slot: KeySlot, entry_id: &str, text: &str) -> Option<Vec<u8>> {
        let key = self.key(slot)?;
        let sealed = seal(&key, place_of(entry_id).as_bytes(), text.as_bytes())?;
        let mut value = vec![VERSION];
        value.extend_from_slice(&slot.bytes());
        value.extend_from_slice(&sealed);
        Some(value)
    }

    /// Opens what [`KeyReader::seal`] made for the same entry; none when the key is gone, or it was changed.
    pub fn open(&self, entry_id: &str, sealed: &[u8]) -> Option<String> {
        let (version, rest) = sealed.split_first()?;
        let (slot, sealed) = rest.split_at_checked(SLOT)?;
        let slot = KeySlot::of(slot).filter(|_| *version == VERSION)?;
        let text = open(&self.key(slot)?, place_of(entry_id).as_bytes(), sealed)?;
        String::from_utf8(text).ok()
    }
}

fn place_of(entry_id: &str) -> String {
    ["operator-note/1/", entry_id].concat()
}
