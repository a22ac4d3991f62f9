//! Log setup, the names of metrics, and the correlation ids that follow a request everywhere.
//!
//! No member data is logged: log fields are ids of this server, codes and counts.

mod correlation;
pub mod exposition;
pub mod log;
mod log_json;
mod log_queue;
mod log_text;
pub mod metrics;
pub mod process;
pub mod signs;

pub use correlation::Correlation;
