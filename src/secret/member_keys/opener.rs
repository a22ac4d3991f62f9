//! Opening values that stand sealed beside the ledger. It tells a value whose key is gone, which was erased, from one whose key cannot be had.

use super::keys_file::MemberKeys;
use super::line::{LOST, NOTHING_SEALED, unusable};
use super::reader::{KeyReader, ValuePlace};
use crate::error::Failure;
use std::cell::RefCell;

/// How often the file is read for one value, when other processes wrap it again meanwhile.
const READS: usize = 2;

/// Opens values, a page at a time: the file is read when the first sealed value comes.
#[derive(Debug)]
pub struct ValueOpener {
    keys: MemberKeys,
    mark: Option<[u8; 32]>,
    reader: RefCell<Option<KeyReader>>,
}

impl ValueOpener {
    /// With the keys of this file; `mark` is that of the store, if it has one.
    pub fn new(keys: &MemberKeys, mark: Option<[u8; 32]>) -> ValueOpener {
        ValueOpener {
            keys: keys.clone(),
            mark,
            reader: RefCell::new(None),
        }
    }

    /// The reason beside the entry with this id: `plain`, unless it is sealed. It is empty when its key was destroyed.
    ///
    /// # Errors
    /// As [`ValueOpener::value`].
    pub fn note(&self, entry_id: &str, plain: String, sealed: Option<&[u8]>) -> Result<String, Failure> {
        let Some(sealed) = sealed.filter(|sealed| *sealed != NOTHING_SEALED) else {
            return Ok(plain);
        };
        let opened = self.value(ValuePlace::Note(entry_id), sealed)?;
        Ok(opened
            .and_then(|bytes| String::from_utf8(bytes).ok())
            .unwrap_or_default())
    }

    /// The bytes that were sealed for this place; `None` when their key was destroyed.
    ///
    /// # Errors
    /// [`Fault::SealKeys`] when the file of keys is missing, is another store's, or no key of keys opens it: what is sealed must not be told as
    /// erased then.
    ///
    /// [`Fault::SealKeys`]: crate::error::Fault::SealKeys
    pub fn value(&self, place: ValuePlace<'_>, sealed: &[u8]) -> Result<Option<Vec<u8>>, Failure> {
        let mut kept = self.reader.borrow_mut();
        for _ in 0..READS {
            if let Some(opened) = kept.as_ref().and_then(|reader| reader.open(place, sealed).ok()) {
                return Ok(opened);
            }
            *kept = Some(self.load()?);
        }
        match kept.as_ref() {
            Some(reader) => reader.open(place, sealed),
            None => Err(unusable(LOST)),
        }
    }

    /// What stands in the database in place of this correlation id, where it stands sealed.
    ///
    /// # Errors
    /// As [`ValueOpener::value`].
    pub fn handle(&self, correlation_id: &str) -> Result<String, Failure> {
        let mut kept = self.reader.borrow_mut();
        for _ in 0..READS {
            if let Some(handle) = kept.as_ref().and_then(|reader| reader.handle(correlation_id).ok()) {
                return Ok(handle);
            }
            *kept = Some(self.load()?);
        }
        match kept.as_ref() {
            Some(reader) => reader.handle(correlation_id),
            None => Err(unusable(LOST)),
        }
    }

    fn load(&self) -> Result<KeyReader, Failure> {
        let mark = self.mark.ok_or_else(|| unusable(LOST))?;
        self.keys.reader(&mark)?.ok_or_else(|| unusable(LOST))
    }
}
