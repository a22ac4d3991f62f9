//! Bulk work: runs over many members that a partner starts here, asks about, and takes files from; and runs of ours at a partner ([`asking`]).
//!
//! A run is a row of the store with its pieces; the durable runner does one piece after another, so that a crash repeats at most one. Files
//! are sealed on a disk ([`files`]) and named only by rows. What may leave is decided by `release`, for each member again at each piece
//! and at each download. This module knows no HTTP.

mod again;
pub mod asking;
pub mod end;
pub mod export;
pub mod failpoints;
pub mod files;
pub mod group_match;
mod hands;
pub mod job;
mod kinds;
pub mod looks;
pub mod manifest;
pub mod opened;
pub mod range;
pub mod receipt;
pub mod runbook;
mod shares;

pub use kinds::{EXPORT_KIND, MATCH_KIND};
