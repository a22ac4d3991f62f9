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

    /// What stands in the database in place of a correlation id that a caller chose: nobody learns the id from it without the file. It begins
    /// with a character that no caller can send in an id ([`crate::ids::is_correlation_id`]).
    ///
    /// # Errors
    /// As [`KeyReader::code`].
    pub fn handle(&self, correlation_id: &str) -> Result<String, Failure> {
        let code = self.code(&["correlation-id/1/", correlation_id].concat())?;
        Ok(format!("{{{code}"))
    }

    /// The key of a slot; `None` when it was destroyed.
    ///
    /// A line that does not open is one that was destroyed, as long as the first line opens: one key of keys wraps them all.
    fn key(&self, slot: KeySlot) -> Result<Option<[u8; 32]>, Failure> {
        let line = KeyLine::read(&self.file, slot.number).filter(|line| line.tag == hex(&slot.tag));
        if let Some(key) = line.and_then(|line| line.key(&self.keys)) {
            return Ok(Some(key));
        }
        let first = KeyLine::read(&self.file, 0).and_then(|line| line.key(&self.keys));
        match first {
            Some(_) => Ok(None),
            None => Err(unusable(NO_KEY)),
        }
    }

    /// Seals a value for its place under the key of a slot; `None` when that key is gone, or cannot be had.
    pub fn seal(&self, slot: KeySlot, place: ValuePlace<'_>, bytes: &[u8]) -> Option<Vec<u8>> {
        let key = self.key(slot).ok()??;
        let sealed = seal(&key, place.context().as_bytes(), bytes)?;
        let mut value = vec![VERSION];
        value.extend_from_slice(&slot.bytes());
        value.extend_from_slice(&sealed);
        Some(value)
    }

    /// Opens what [`KeyReader::seal`] made for the same place; `None` when the key was destroyed, or the value was changed.
    ///
    /// # Errors
    /// [`Fault::SealKeys`] when no key of keys opens the file, or it was wrapped again and written over since it was opened.
    ///
    /// [`Fault::SealKeys`]: crate::error::Fault::SealKeys
    pub fn open(&self, place: ValuePlace<'_>, sealed: &[u8]) -> Result<Option<Vec<u8>>, Failure> {
        let Some((slot, sealed)) = parts(sealed) else {
            return Ok(None);
        };
        let key = self.key(slot)?;
        Ok(key.and_then(|key| open(&key, place.context().as_bytes(), sealed)))
    }
}

/// Under which key a value is sealed, and the rest of it.
fn parts(sealed: &[u8]) -> Option<(KeySlot, &[u8])> {
    let (version, rest) = sealed.split_first()?;
    let (slot, rest) = rest.split_at_checked(SLOT)?;
    let slot = KeySlot::of(slot).filter(|_| *version == VERSION)?;
    Some((slot, rest))
}

/// Where the key is under which a value was sealed; none when the bytes are no sealed value.
pub fn slot_of_sealed(sealed: &[u8]) -> Option<KeySlot> {
    parts(sealed).map(|(slot, _)| slot)
}

/// What a value is, and where it stands: what was sealed for one place opens in no other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ValuePlace<'p> {
    /// The reason of the operator who caused the entry with this id.
    Note(&'p str),
    /// A piece of the evidence packet with this id.
    Piece(&'p str, i64),
    /// The correlation id for which this handle stands.
    Correlation(&'p str),
}

impl ValuePlace<'_> {
    fn context(self) -> String {
        match self {
            ValuePlace::Note(entry_id) => ["operator-note/1/", entry_id].concat(),
            ValuePlace::Piece(packet_id, no) => format!("evidence-piece/1/{packet_id}/{no}"),
            ValuePlace::Correlation(handle) => ["correlation-id/1/", handle].concat(),
        }
    }
}
