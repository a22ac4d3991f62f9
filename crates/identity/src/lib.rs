//! The matcher: compares the description of a person in a request with a payer's members, and decides between match, review and no match.
//!
//! Pure: no store, no clock, no randomness, no hashing. It never guesses: values that relatives share never add up to a match, and nothing
//! is decided on an identifier alone, or on name and birth date when nothing else agrees.
//!
//! [`Profile`] is the normalized form of a [`Person`]; [`blocking`] gives the keys for finding candidates; [`decide()`] decides; [`MatchingPolicy`]
//! holds all numbers.

pub mod address;
mod again;
pub mod bench;
pub mod blocking;
mod candidate;
mod card;
mod catalogue;
mod company;
pub mod compare;
pub mod comparison;
pub mod date;
mod decide;
mod evidence;
pub mod explain;
mod facts;
mod field;
mod guard;
pub mod ids;
mod index;
mod names;
pub mod nickname;
mod packed;
mod person;
mod policy;
pub mod rules;
pub mod score;
pub mod search;
pub mod text;
pub mod train;

/// Version of the method, which covers the code of rules and guards; the numbers are in the policy. It must change when code that affects
/// decisions changes.
pub const METHOD: &str = "fs-3";

pub use address::WrittenAddress;
pub use again::{DecidedAgain, OutcomeKind, RecordedCandidate, RecordedDecision, decide_again};
pub use candidate::{Scored, same_person};
pub use decide::{Decision, MatchOutcome, decide};
pub use facts::{DEPENDENT_DIGITS, Facts};
pub use field::{FIELDS, Field, LEVELS, Level, Levels};
pub use guard::{GUARDS, Guard, GuardRow};
pub use index::Roster;
pub use packed::FORMAT;
pub use person::{EmailForm, Gender, Generation, NameForm, Person, PersonName, Profile, is_particle};
pub use policy::{Bounds, LevelShares, MatchingPolicy, Point, PolicyError};
