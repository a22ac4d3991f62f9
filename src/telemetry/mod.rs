//! Log set-up, the names of fields and metrics, and the correlation ids that follow a request everywhere.
//!
//! No member data passes through here: log fields are ids of ours, codes and counts.

mod correlation;
pub mod log;

pub use correlation::Correlation;
