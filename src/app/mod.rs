//! The running program: the wiring of a [`Context`](crate::context::Context), the server process, and the socket by which commands reach
//! the store of a running server.
//!
//! It makes no decisions about members, partners or commands. `cli` parses and prints; `http` answers requests.

pub mod admin;
pub mod alerts;
pub mod background;
pub mod bring_up;
mod descriptors;
mod ledger;
mod notes;
mod requester;
mod runtime;
pub mod serve;
pub mod service;
pub mod signals;
pub mod start;
pub mod sweeps;
mod traces;
pub mod wiring;
pub mod worker;
