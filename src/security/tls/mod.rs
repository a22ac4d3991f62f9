//! The partners' TLS listener: versions, client certificates, revocation, and reloading of changed files.
//!
//! Sessions are never resumed and early data is not accepted, so that every connection is checked by the current verifier (a resumed
//! session is not verified again). Refused handshakes are logged here, because a TLS 1.3 client sees only a closed connection.

mod ends;
mod reload;
mod revocation;
#[cfg(test)]
mod tests;

pub use reload::{ServerTls, TlsFiles};
pub use revocation::Revocations;

use rustls::crypto::CryptoProvider;
use std::sync::Arc;

/// The cryptography for all TLS connections: TLS 1.3, and TLS 1.2 with ECDHE and AEAD suites only.
pub fn provider() -> Arc<CryptoProvider> {
    Arc::new(rustls::crypto::aws_lc_rs::default_provider())
}

/// Makes [`provider`] the default of the process, for libraries that use the default. Call it first; further calls do nothing.
pub fn install_provider() {
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
}
