//! The ledger of business events: what an entry is, and appending it in the caller's transaction.
//!
//! An entry holds commitments and digests, never a name, a member id or a URL with an id. Entries are inserted
//! unsequenced; giving them an index and a place in the Merkle tree is the sequencer's move and never delays business.

mod entry;
pub mod ledger;

pub use entry::{Action, Actor, ConsentNote, Entry, Note, Object, Outcome, commitment};
