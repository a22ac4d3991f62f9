//! Measures the matcher on files: rosters and requests as CSV in, one row per request out. Reads no truth.

pub mod csv;
pub mod link;
pub mod member;
