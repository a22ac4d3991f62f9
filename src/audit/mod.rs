//! The ledger of business events: what an entry contains, and appending it in the caller's transaction.
//!
//! An entry contains commitments and digests, never a name, a member id or a URL with an id. Entries are appended without an index; the
//! [`sequencer`] gives them an index and a place in the Merkle [`tree`] later, so that this never delays business. [`verify`] checks a ledger
//! in the store or in an exported folder, with nothing but the public key of its log.

pub mod backup;
pub mod backup_files;
mod canonical;
pub mod correlation_sealing;
pub mod cosignature;
pub mod cosigned;
pub mod deletion;
mod entry;
pub mod export;
pub mod fhir;
pub mod folder;
pub mod key_rotation;
pub mod ledger;
pub mod log;
pub mod log_files;
mod members;
pub mod note;
pub mod note_sealing;
pub mod packet;
pub mod packet_sealing;
pub mod restored;
pub mod sequencer;
pub mod shares;
pub mod stored;
pub mod tree;
pub mod verdict;
pub mod verified;
pub mod verify;
pub mod whole_file;

pub use canonical::{commitment, field_salt};
pub use entry::{
    Action, Actor, ConsentNote, DeletedNote, EntryOutcome, LedgerEvent, MembersNote, Object, OperatorNote, RestCall,
};
pub use members::{member_leaf, members_root};
