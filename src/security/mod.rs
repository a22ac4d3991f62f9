//! Who is calling and what they may do: TLS, client certificates, assertions, tokens, scopes.
//!
//! Only this layer can build a [`Caller`]. It knows nothing of members or consent.

mod caller;

pub use caller::{Caller, Dialect, PartnerRef};
