//! Bulk work over HTTP: the start of a run, its status address, and its files (Bulk Data Access 2.0.0).
//!
//! Only forms are decided here; what a run does and who may have what is in [`crate::bulk`].

pub mod file;
pub mod group_match;
pub mod groups;
pub mod kick_off;
mod match_file;
mod packed;
pub mod receipt;
mod sent;
pub mod status;
mod told;
