//! Who is this? Compares what a request says of a person with what we hold, field by field, and decides.
//!
//! Pure: no store, no clock, no randomness. A doubtful match is never guessed, and nothing is decided on an identifier
//! alone or on name and birth date alone.

pub mod graph;
pub mod normalise;
pub mod survive;

mod decide;

pub use decide::{
    Candidate, Comparison, CoverageIds, Decision, Demographics, Field, Hit, IdKind, Level, Outcome, Policy, SentId,
    SentIds, decide, sent_ids,
};
