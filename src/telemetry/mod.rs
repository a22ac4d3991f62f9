//! Log setup, the names of metrics, and the correlation ids that follow a request everywhere.
//!
//! No member data is logged or traced: log fields and spans have ids of this server, codes and counts.

mod correlation;
pub mod exposition;
pub mod log;
mod log_json;
mod log_queue;
mod log_text;
mod metric_family;
pub mod metrics;
pub mod process;
pub mod signs;
pub mod spans;

pub use correlation::Correlation;
