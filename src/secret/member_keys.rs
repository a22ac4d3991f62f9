//! The keys of values beside the ledger, one for each member or thing that its entries are about, in a file outside the database; and the
//! sealing of a value under one of them.
//!
//! The file has one line of a fixed length for each key: a tag, the name of the key of keys under which the key is wrapped, and the wrapped
//! key. The first line is of the key of look-ups, by which the database finds a line without knowing whose it is. Lines are added at the end,
//! and the wrapped key of a line is written over when its member is erased: then nothing can open what was sealed under it, in a backup of the
//! database neither. A line that a crash cut off is cut away before the next one is added. A rotation wraps all lines under a new key of keys,
//! which is in a file of its own beside this one.
//!
//! It must never write a key, or whose a line is, anywhere else. Which line is whose stands in the database (`store::member_keys`); when a
//! key is made and destroyed is decided elsewhere.

mod keys_file;
mod line;
mod opener;
mod place;
mod reader;
mod wrapping;

pub use keys_file::{KeyRotation, KeyStart, MEMBER_KEYS_FILE, MemberKeys};
pub use line::{KeySlot, NOTHING_SEALED};
pub use opener::ValueOpener;
pub use place::KeysOfKeys;
pub use reader::{KeyReader, ValuePlace, slot_of_sealed};
pub use wrapping::WRAPPING_KEYS_FILE;

#[cfg(test)]
mod tests;
