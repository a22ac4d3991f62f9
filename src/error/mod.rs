//! The one table of faults and the one error type that carries them.
//!
//! Every error answer, log line and metric label is a row of [`Fault`]. This module never knows HTTP, SQL or FHIR types.

mod failure;
mod fault;
mod row;
mod texts;

pub use failure::Failure;
pub use fault::Fault;
pub use row::{ActWithin, FaultOwner, FaultRow, Retry, Severity};
pub use texts::{HEAD as ERROR_TEXTS_HEAD, text_for};
