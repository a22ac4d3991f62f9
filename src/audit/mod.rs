//! The ledger of business events: what an entry contains, and appending it in the caller's transaction.
//!
//! An entry contains commitments and digests, never a name, a member id or a URL with an id. Entries are appended without an index; the
//! sequencer gives them an index and a place in the Merkle tree later, so that this never delays business.

mod canonical;
mod entry;
pub mod ledger;

pub use canonical::commitment;
pub use entry::{Action, Actor, ConsentNote, EntryOutcome, LedgerEvent, Object, OperatorNote};
