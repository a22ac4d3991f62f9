//! Who is this? Compares what a request says of a person with what a payer holds, and decides: match, review or none.
//!
//! Pure: no store, no clock, no randomness, no hashing; values in, values out. It never guesses: what relatives share never
//! adds up to a person, and nothing is decided on an identifier alone or on name and birth date with nothing else agreeing.
//!
//! [`Profile`] folds a [`Person`]; [`blocking`] says where to look; [`decide()`] decides; [`Policy`] holds every number.

pub mod address;
pub mod bench;
pub mod blocking;
mod card;
pub mod compare;
pub mod date;
mod decide;
pub mod explain;
mod facts;
mod field;
mod guard;
pub mod ids;
mod index;
pub mod nickname;
mod packed;
mod person;
mod policy;
pub mod rules;
pub mod score;
pub mod search;
pub mod text;
pub mod train;

/// Name of the method: which rules and guards there are, beside the numbers of a policy. It changes when code that decides does.
pub const METHOD: &str = "fs-3";

pub use decide::{Decision, Outcome, Scored, decide, same_person};
pub use facts::{DEPENDENT_DIGITS, Facts};
pub use field::{FIELDS, Field, LEVELS, Level, Levels};
pub use guard::Guard;
pub use index::Roster;
pub use packed::FORMAT;
pub use person::{Address, EmailForm, Gender, Generation, NameForm, Person, PersonName, Profile, is_particle};
pub use policy::{Bounds, Point, Policy, PolicyError, Shares};
