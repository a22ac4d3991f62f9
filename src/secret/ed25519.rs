//! Ed25519 keys of this server's own: made, read and written as PKCS#8, and used to sign. Verifying needs only the public key.

use aws_lc_rs::signature::{ED25519, Ed25519KeyPair, KeyPair as _, UnparsedPublicKey};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use std::fmt;

const BEGIN: &str = "-----BEGIN PRIVATE KEY-----\n";
const END: &str = "\n-----END PRIVATE KEY-----\n";

/// A key that signs.
pub struct Ed25519Key {
    pair: Ed25519KeyPair,
    public: [u8; 32],
}

impl fmt::Debug for Ed25519Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Ed25519Key(secret)")
    }
}

impl Ed25519Key {
    /// Makes a key; returns its PEM text too. `None` when the library refuses.
    pub fn make() -> Option<(Ed25519Key, String)> {
        let document = Ed25519KeyPair::generate_pkcs8v1(&aws_lc_rs::rand::SystemRandom::new()).ok()?;
        let pem = format!("{BEGIN}{}{END}", STANDARD.encode(document.as_ref()));
        Some((Ed25519Key::from_pem(&pem)?, pem))
    }

    /// Reads a key from PEM text; `None` when it holds no such key.
    pub fn from_pem(pem: &str) -> Option<Ed25519Key> {
        let (_, rest) = pem.split_once(BEGIN.trim_end())?;
        let (text, _) = rest.split_once(END.trim())?;
        let text: String = text.chars().filter(|c| !c.is_whitespace()).collect();
        let pair = Ed25519KeyPair::from_pkcs8_maybe_unchecked(&STANDARD.decode(text).ok()?).ok()?;
        let public = pair.public_key().as_ref().try_into().ok()?;
        Some(Ed25519Key { pair, public })
    }

    /// The public key.
    pub fn public(&self) -> [u8; 32] {
        self.public
    }

    /// The signature of `bytes`.
    pub fn sign(&self, bytes: &[u8]) -> Vec<u8> {
        self.pair.sign(bytes).as_ref().to_vec()
    }
}

/// Whether `signature` is that of `bytes` by the key with this public key.
pub fn is_signed(public: &[u8; 32], bytes: &[u8], signature: &[u8]) -> bool {
    UnparsedPublicKey::new(&ED25519, public)
        .verify(bytes, signature)
        .is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_survives_its_text_and_signs_what_its_public_key_verifies() {
        let (made, pem) = Ed25519Key::make().expect("a key");
        let read = Ed25519Key::from_pem(&pem).expect("a key");
        assert_eq!(made.public(), read.public());
        let signature = read.sign(b"text");
        assert!(is_signed(&made.public(), b"text", &signature));
        assert!(!is_signed(&made.public(), b"test", &signature));
        assert!(Ed25519Key::from_pem("-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n").is_none());
    }
}
