//! The partner registry: what an operator registers about another payer, and every change of it with its ledger entry.
//!
//! The registry is the only source of a partner's keys, names and addresses; nothing here trusts what requests say.

mod check;
pub mod client;
mod contacts;
mod npi;
pub mod peer;
mod registration;
pub mod registry;
#[cfg(test)]
mod tests;

pub use check::{Finding, check};
pub use contacts::{PartnerContact, PartnerContacts};
pub use npi::has_valid_check_digit;
pub use registration::{Registration, check_dialect};
