//! Erasure of a member: from the ledger what opens its commitments, and if asked for, the record with everything that was made of it.
//!
//! The bytes of the ledger's entries stay, and with them every proof: an entry commits to a salted hash of what it is about, and after the
//! erasure nobody can open it or try out whom it was about. The work is done in parts, each of which may be done again (`run`); a job of the runner
//! ends what a crash broke off (`job`). Whether a member may be erased is asked at one place (`leave`). This module knows no HTTP.

mod job;
mod kind;
mod leave;
mod report;
mod run;
mod steps;
mod words;

pub use job::ErasureStep;
pub use kind::{ERASE, runbook};
pub use leave::{ErasureLeave, may_be_erased};
pub use report::{ErasureReport, KeptBackup};
pub use run::{ErasureWish, erase, finish};
pub use steps::POINTS;
pub use words::{ErasureReason, LegalBasis};
