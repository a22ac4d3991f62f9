//! Witnesses of the ledger (C2SP `tlog-witness`): the witness itself, which runs apart from every payer, and the job by which a server asks
//! witnesses to confirm its checkpoints.
//!
//! A witness knows the public keys of some logs, and for each log the last checkpoint that it confirmed. It sees no entry. The two sides share
//! the form of a request and nothing else.

pub mod desk;
pub mod files;
mod reply;
pub mod runbook;
pub mod send;
pub mod server;
pub mod submission;
