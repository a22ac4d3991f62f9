//! Who is this? What a request and a record say of a person, in the terms of the matcher ([`causeway_identity`]); the hashing of its
//! blocking keys; and the rules it decides by.
//!
//! Pure: no store, no clock, no randomness. Comparing, scoring and deciding are the matcher's own; nothing is decided here.

pub mod graph;
mod keys;
mod people;
mod rules;
pub mod survive;

pub use causeway_identity::rules::RuleRow;
pub use causeway_identity::search::{Basis, search};
pub use causeway_identity::text::{code, fold};
pub use causeway_identity::{
    Decision, FORMAT as PROFILE_FORMAT, Facts, Field, Guard, Level, Outcome, Person, Point, Policy, Profile, decide,
};
pub use keys::{Key, KeyHasher};
pub use people::{Systems, of_record, of_request};
pub use rules::Rules;
