//! The ledger of business events: what an entry contains, and appending it in the caller's transaction.
//!
//! An entry contains commitments and digests, never a name, a member id or a URL with an id. Entries are appended without an index; the
//! [`sequencer`] gives them an index and a place in the Merkle [`tree`] later, so that this never delays business. [`verify`] checks a ledger
//! in the store or in an exported folder, with nothing but the public key of its log.

mod canonical;
pub mod cosignature;
pub mod cosigned;
mod entry;
pub mod export;
pub mod folder;
pub mod ledger;
pub mod log;
pub mod log_files;
pub mod note;
pub mod sequencer;
pub mod stored;
pub mod tree;
pub mod verdict;
pub mod verify;

pub use canonical::commitment;
pub use entry::{Action, Actor, ConsentNote, EntryOutcome, LedgerEvent, Object, OperatorNote};
