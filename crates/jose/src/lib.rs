//! Keys and signatures in JSON (RFC 7515, 7517, 7518): which keys are acceptable, and what is signed with them.
//!
//! Untrusted bytes come in and values go out: no store, no clock, no network. What a signed text *means* is decided by whoever asks:
//! the server judges assertions, a client makes them.

mod compact;
mod encoding;
mod json;
mod jwk;
mod signing;

pub use compact::Compact;
pub use encoding::{base64url, from_base64url};
pub use json::strict_object;
pub use jwk::{Algorithm, KeyRefused, KeySet, PublicKey, SET_BYTES};
pub use signing::{SigningError, SigningKey};
