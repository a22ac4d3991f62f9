//! A line of the file of members' keys: how a key is wrapped in it, and where a key is.

use crate::error::{Failure, Fault};
use crate::secret::{base64url, from_base64url, hex, open, seal, sha256};
use std::fs::File;
use std::os::unix::fs::FileExt as _;
use std::path::Path;

/// In the place of a sealed value: there is nothing to seal, or it was erased.
pub const NOTHING_SEALED: &[u8] = &[0];

/// Bytes of the tag of a line.
pub(super) const TAG: usize = 8;
/// Bytes of a [`KeySlot`].
pub(super) const SLOT: usize = 8 + TAG;
/// Characters of a wrapped key: 12 bytes of nonce, 32 of the key and 16 of the code, in base64url.
pub(super) const WRAPPED: usize = 80;
/// Where the wrapped key of a line begins: after the tag and the name of the key of keys.
pub(super) const WRAPPED_AT: usize = 2 * TAG + 1 + 8 + 1;
/// Bytes of a line.
pub(super) const LINE: usize = WRAPPED_AT + WRAPPED + 1;

pub(super) const LOST: &str = "Put member.keys of this store back into the folder of the server's own files, with mode 0600. \
    docs/operators/erasure.md says what to do when it is lost for good.";
pub(super) const NO_KEY: &str = "Put the key back under which member.keys is wrapped: wrapping.keys beside it, or, before its keys were rotated \
    for the first time, the line of received.keys.";

/// Where a key is: the number of its line, and the tag of that.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KeySlot {
    pub(super) number: u64,
    pub(super) tag: [u8; TAG],
}

impl KeySlot {
    /// As bytes, for the database.
    pub fn bytes(&self) -> Vec<u8> {
        [self.number.to_be_bytes().as_slice(), self.tag.as_slice()].concat()
    }

    /// From its bytes; none when they are no slot.
    pub fn of(bytes: &[u8]) -> Option<KeySlot> {
        let (number, tag) = bytes.split_at_checked(8)?;
        Some(KeySlot {
            number: u64::from_be_bytes(number.try_into().ok()?),
            tag: tag.try_into().ok()?,
        })
    }

    /// The byte of the file at which the wrapped key begins.
    pub(super) fn wrapped_at(&self) -> u64 {
        self.number * LINE as u64 + WRAPPED_AT as u64
    }
}

/// A line, read.
pub(super) struct KeyLine {
    pub(super) text: String,
    pub(super) tag: String,
    /// The name of the key of keys.
    pub(super) under: String,
    wrapped: String,
}

impl KeyLine {
    /// Reads the line with this number; none when the file has no such line.
    pub(super) fn read(file: &File, number: u64) -> Option<KeyLine> {
        let mut bytes = vec![0; LINE];
        file.read_exact_at(&mut bytes, number.checked_mul(LINE as u64)?).ok()?;
        KeyLine::of(bytes)
    }

    /// From its bytes; none when they are no line.
    pub(super) fn of(bytes: Vec<u8>) -> Option<KeyLine> {
        let text = String::from_utf8(bytes).ok()?;
        let (tag, rest) = text.strip_suffix('\n')?.split_once(' ')?;
        let (under, wrapped) = rest.split_once(' ')?;
        let [tag, under, wrapped] = [tag, under, wrapped].map(str::to_owned);
        Some(KeyLine {
            text,
            tag,
            under,
            wrapped,
        })
    }

    /// The key; none when it was written over, or the key of keys is missing.
    pub(super) fn key(&self, keys: &[(String, [u8; 32])]) -> Option<[u8; 32]> {
        let (_, above) = keys.iter().find(|(id, _)| *id == self.under)?;
        let sealed = from_base64url(&self.wrapped)?;
        open(above, context(&self.tag).as_bytes(), &sealed)?.try_into().ok()
    }
}

/// The line of a key, wrapped under the last of the keys of keys. `tag` is in hexadecimal.
pub(super) fn wrapped_line(tag: &str, keys: &[(String, [u8; 32])], key: &[u8; 32]) -> Result<String, Failure> {
    let (id, above) = keys.last().ok_or_else(|| unusable(NO_KEY))?;
    let sealed = seal(above, context(tag).as_bytes(), key)
        .ok_or_else(|| Failure::new(Fault::Internal).because("the library seals nothing"))?;
    Ok(format!("{tag} {id} {}\n", base64url(&sealed)))
}

fn context(tag: &str) -> String {
    ["member-key/1/", tag].concat()
}

/// The name of a key of keys in a line: as long as any other.
pub(super) fn name_of(id: &str) -> String {
    hex(&sha256(id.as_bytes())[..4])
}

/// The tag of the first line in the file of the store with this mark, in hexadecimal.
pub(super) fn tag_of(mark: &[u8; 32]) -> String {
    hex(&sha256(mark)[..TAG])
}

pub(super) fn unusable(remedy: &'static str) -> Failure {
    Failure::new(Fault::SealKeys).remedy(remedy)
}

pub(super) fn out_of_reach(path: &Path, error: std::io::Error) -> Failure {
    let remedy = format!("Let the server's user read and write {}.", path.display());
    Failure::new(Fault::SealKeys).remedy(remedy).because(error)
}
