//! Who is calling and what they may do: TLS, client certificates, assertions, tokens, scopes.
//!
//! Only this layer can build a [`Caller`]. It knows nothing of members or consent.

pub mod assertion;
mod caller;
pub mod form;
pub mod json;
pub mod jwk;
pub mod scopes;

pub use caller::{Caller, Dialect, PartnerRef};
