//! Who is this? Translates what requests and records say about a person into the terms of the matcher ([`causeway_identity`]), hashes its
//! blocking keys, and holds the rules by which it decides.
//!
//! Without side effects: no store, no clock, no randomness. The matcher compares, scores and decides; nothing is decided here.

pub mod graph;
mod keys;
mod people;
mod rules;
pub mod survive;

pub use causeway_identity::blocking;
pub use causeway_identity::date::Birth;
pub use causeway_identity::nickname::variants as nicknames;
pub use causeway_identity::rules::RuleRow;
pub use causeway_identity::search::{SearchBasis, search};
pub use causeway_identity::text::{code, fold};
pub use causeway_identity::{
    DecidedAgain, Decision, FORMAT as PROFILE_FORMAT, Facts, Field, Gender, Guard, Level, Levels, MatchOutcome,
    MatchingPolicy, OutcomeKind, Person, Point, Profile, RecordedCandidate, RecordedDecision, decide, decide_again,
};
pub use keys::{KeyHasher, LookupKey};
pub use people::{Systems, of_record, of_request};
pub use rules::Rules;
