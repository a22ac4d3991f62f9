//! What the tests share: private databases, and payers to talk to.

pub mod postgres;
pub mod store;
