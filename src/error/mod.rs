//! The one table of faults and the one error type that carries them.
//!
//! Every error answer, log line and metric label is a row of [`Fault`]. This module never knows HTTP, SQL or FHIR types.

mod failure;
mod fault;
mod procedure;
mod row;
mod runbook;
mod texts;

pub use failure::Failure;
pub use fault::Fault;
pub use procedure::{
    ContactKind, EscalateTo, PersonDecides, Procedure, ReplayRule, RunbookAbout, RunbookCommand, RunbookOwner,
    RunbookRow, RunbookStep,
};
pub use row::{ActWithin, FaultOwner, FaultRow, Retry, Severity};
pub use texts::{HEAD as ERROR_TEXTS_HEAD, text_for};
