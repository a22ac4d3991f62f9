//! The partners' TLS listener: versions, client certificates, revocation, and taking over changed files.
//!
//! No session is resumed and nothing is sent early, so that every connection meets the verifier of that moment
//! (`spec` gotcha: a resumed session is never verified again). Handshake refusals are logged here, because the client
//! of TLS 1.3 only sees a closed connection.

mod reload;
mod revocation;
#[cfg(test)]
mod tests;

pub use reload::{ServerTls, TlsFiles};
pub use revocation::Revocations;

use rustls::crypto::CryptoProvider;
use std::sync::Arc;

/// The cryptography of all our TLS: TLS 1.3, and 1.2 with ECDHE and AEAD suites only.
pub fn provider() -> Arc<CryptoProvider> {
    Arc::new(rustls::crypto::aws_lc_rs::default_provider())
}

/// Makes [`provider`] the process's own, for libraries that ask for one. Call it first; calling it again does nothing.
pub fn install_provider() {
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
}
