//! Log set-up, the names of fields and metrics, and the correlation ids that follow a request everywhere.
//!
//! No member data passes through here: log fields are ids of ours, codes and counts.

mod correlation;
pub mod log;
mod log_queue;
mod log_text;
pub mod metrics;
pub mod process;

pub use correlation::Correlation;
