//! `Group/$bulk-member-match` (PDex): many members in one request, each judged by the steps of the single match.
//!
//! [`MatchIntake`] reads the body while it comes, refuses what is wrong with the whole, and spools the members before the answer. [`MatchStep`] judges piece after
//! piece; the rows of a piece are one transaction, so that a crash repeats at most one piece and counts nobody twice. The last piece writes the
//! groups: as files of the run, and as rows that their partner reads afterwards ([`groups`]). A member who cannot be read fails alone.

mod begin;
mod body;
mod coming;
mod contained;
mod current;
pub mod download;
mod group;
pub mod groups;
mod named;
mod result;
mod run;
mod step;

pub use begin::MatchIntake;
pub use group::{CODES, GroupCode, identifier_system};
pub use step::MatchStep;
