//! What another payer sent about one of our members: kept as received, checked, stored beside our own records, and taken out again.
//!
//! Nothing that comes can change what is ours: each resource gets an id of the partner's own name space (`names`), the partner's Patient
//! is kept as received and never stored as one, and identifiers that come are not used to recognize members. A resource that belongs to
//! somebody else, or that the gate refuses, is kept apart (quarantine) and told by reason; it is judged again by later versions.
//!
//! Bodies are sealed piece by piece (`spool`) and read again from there, so memory does not grow with the record. This module never
//! calls the partner and never decides whether an exchange goes on.

mod batch;
mod check;
mod counts;
mod custodian;
mod entry;
mod forget;
mod line;
mod lost;
mod masked;
mod named_beside;
mod names;
mod normal;
mod original;
mod outcome;
mod pages;
mod parts;
mod person;
mod progress;
mod ready;
mod retract;
mod retracted;
mod scope;
mod spool;
mod state;
mod store;
mod told;
mod twice;
mod verdict;
mod writer;

pub use check::{IngestCheck, Shortfall, check};
pub use counts::{IngestCounts, counted};
pub use forget::forget_unstored;
pub use line::{LINE_BYTES, LineFound, LineOwner, look_at_line, may_be_nobodys};
pub use lost::{open_lost, seal_again};
pub use named_beside::named_beside;
pub use original::{ReceivedOriginal, ReceivedPlace, originals, quarantined, received};
pub use outcome::stored_types;
pub use parts::{LandedPage, PartState, RecordPart, anew_once, mark_part, open, open_links, parts};
pub use person::knows_person;
pub use progress::WorkTurn;
pub use retract::{is_withdrawn, retract, withdraw};
pub use retracted::{Retracted, forget_retraction};
pub use scope::{BothSides, IngestScope, missing_keys};
pub use spool::{Arrivals, PageWriter, SpoolSize, arrivals, size, size_of_part};
pub use store::{due_again, judge_again, store};
pub use told::{next_owed, owe_counts, take_owed};
pub use writer::{GiveUp, IngestPermit, IngestWriter, LeasedWriter};

#[cfg(test)]
mod tests;
