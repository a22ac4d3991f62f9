//! The partner registry: what an operator registers of another payer, and every change of it with its ledger entry.
//!
//! What is registered is the only source of a partner's keys, names and addresses; nothing here believes the wire.

mod check;
pub mod client;
mod npi;
mod registration;
pub mod registry;
#[cfg(test)]
mod tests;

pub use check::{Finding, check};
pub use npi::has_valid_check_digit;
pub use registration::Registration;
