//! Digests, random bytes, constant-time comparison, and the keys with which this server signs its ledger. Other signatures are `security`'s;
//! nothing else names the cryptography library.

pub mod ed25519;
pub mod key_lines;
pub mod member_keys;
pub mod recipient;

use aws_lc_rs::aead::{AES_256_GCM, Aad, NONCE_LEN, RandomizedNonceKey};
use aws_lc_rs::{digest, hmac, rand};
pub use causeway_jose::{base64url, from_base64url};
use std::cell::RefCell;
use std::fmt;

/// SHA-256 of `bytes`.
pub fn sha256(bytes: &[u8]) -> [u8; 32] {
    let mut out = [0; 32];
    out.copy_from_slice(digest::digest(&digest::SHA256, bytes).as_ref());
    out
}

/// SHA-256 of several pieces, one after the other.
pub fn sha256_of(pieces: &[&[u8]]) -> [u8; 32] {
    let mut context = digest::Context::new(&digest::SHA256);
    for piece in pieces {
        context.update(piece);
    }
    let mut out = [0; 32];
    out.copy_from_slice(context.finish().as_ref());
    out
}

/// SHA-256 of bytes that arrive in pieces.
pub struct Sha256(digest::Context);

impl Default for Sha256 {
    fn default() -> Self {
        Sha256(digest::Context::new(&digest::SHA256))
    }
}

impl Sha256 {
    /// Adds the next piece.
    pub fn update(&mut self, bytes: &[u8]) {
        self.0.update(bytes);
    }

    /// Returns the digest of all pieces.
    pub fn finish(self) -> [u8; 32] {
        let mut out = [0; 32];
        out.copy_from_slice(self.0.finish().as_ref());
        out
    }
}

/// HMAC-SHA-256 of `bytes` under `key`.
pub fn hmac_sha256(key: &[u8], bytes: &[u8]) -> [u8; 32] {
    let mut out = [0; 32];
    out.copy_from_slice(hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, key), bytes).as_ref());
    out
}

/// Encrypts `bytes` under `key` and binds them to `context` (AES-256-GCM); the random nonce comes first.
///
/// # Errors
/// None in practice; `None` when the library refuses.
pub fn seal(key: &[u8; 32], context: &[u8], bytes: &[u8]) -> Option<Vec<u8>> {
    let sealing = RandomizedNonceKey::new(&AES_256_GCM, key).ok()?;
    // Room for all of it at once: pieces of files are long.
    let mut sealed = Vec::with_capacity(NONCE_LEN + bytes.len() + AES_256_GCM.tag_len());
    sealed.extend_from_slice(&[0; NONCE_LEN]);
    sealed.extend_from_slice(bytes);
    let (head, text) = sealed.split_at_mut(NONCE_LEN);
    let (nonce, tag) = sealing.seal_in_place_separate_tag(Aad::from(context), text).ok()?;
    head.copy_from_slice(nonce.as_ref().as_slice());
    sealed.extend_from_slice(tag.as_ref());
    Some(sealed)
}

/// Opens what [`seal`] made under the same key and context; `None` for anything else.
pub fn open(key: &[u8; 32], context: &[u8], sealed: &[u8]) -> Option<Vec<u8>> {
    let opening = RandomizedNonceKey::new(&AES_256_GCM, key).ok()?;
    let (nonce, rest) = sealed.split_at_checked(NONCE_LEN)?;
    let nonce = aws_lc_rs::aead::Nonce::try_assume_unique_for_key(nonce).ok()?;
    let mut rest = rest.to_vec();
    let length = opening.open_in_place(nonce, Aad::from(context), &mut rest).ok()?.len();
    rest.truncate(length);
    Some(rest)
}

/// HMAC-SHA-256 under a key that is prepared once, for many short texts.
#[derive(Clone)]
pub struct Mac(hmac::Key);

impl Mac {
    /// With this key.
    pub fn new(key: &[u8; 32]) -> Mac {
        Mac(hmac::Key::new(hmac::HMAC_SHA256, key))
    }

    /// The first sixteen bytes of the code of `bytes`.
    pub fn first_16(&self, bytes: &[u8]) -> [u8; 16] {
        let mut out = [0; 16];
        out.copy_from_slice(&hmac::sign(&self.0, bytes).as_ref()[..16]);
        out
    }

    /// The code of `bytes`.
    pub fn of(&self, bytes: &[u8]) -> [u8; 32] {
        let mut out = [0; 32];
        out.copy_from_slice(hmac::sign(&self.0, bytes).as_ref());
        out
    }

    /// The first eight bytes of the code of `bytes`.
    pub fn first_8(&self, bytes: &[u8]) -> [u8; 8] {
        let mut out = [0; 8];
        out.copy_from_slice(&hmac::sign(&self.0, bytes).as_ref()[..8]);
        out
    }
}

impl fmt::Debug for Mac {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Mac(secret)")
    }
}

const DIGITS: [u8; 16] = *b"0123456789abcdef";

fn digits(byte: u8) -> [u8; 2] {
    [DIGITS[usize::from(byte >> 4)], DIGITS[usize::from(byte & 15)]]
}

/// Lower-case hexadecimal.
pub fn hex(bytes: &[u8]) -> String {
    let mut text = Vec::with_capacity(bytes.len() * 2);
    put_hex(bytes, &mut text);
    // Digits are always text.
    String::from_utf8(text).unwrap_or_default()
}

/// Appends `bytes` in lower-case hexadecimal.
pub fn put_hex(bytes: &[u8], text: &mut Vec<u8>) {
    let from = text.len();
    text.resize(from + bytes.len() * 2, 0);
    for (pair, byte) in text[from..].chunks_exact_mut(2).zip(bytes) {
        pair.copy_from_slice(&digits(*byte));
    }
}

/// Whether two byte strings are equal, in time that depends on their lengths alone.
pub fn same(a: &[u8], b: &[u8]) -> bool {
    use subtle::ConstantTimeEq as _;
    a.ct_eq(b).into()
}

/// `N` bytes from the operating system's generator.
///
/// # Panics
/// Never in practice: the generator fails only when the system has no entropy source, and then nothing may go on.
pub fn random<const N: usize>() -> [u8; N] {
    let mut out = [0; N];
    #[allow(clippy::expect_used)] // no entropy source: stopping is the only safe answer
    rand::fill(&mut out).expect("the system's random generator");
    out
}

/// Random bytes that one thread keeps.
struct KeptBytes {
    bytes: [u8; 1024],
    left: usize,
}

thread_local! {
    static KEPT: RefCell<KeptBytes> = const {
        RefCell::new(KeptBytes {
            bytes: [0; 1024],
            left: 0,
        })
    };
}

/// As [`random`], for identifiers and for secrets that are stored as they are: one call of the generator makes the bytes of many. Bytes that
/// were given are not kept. A key that is never stored is made by [`random`].
///
/// # Panics
/// As [`random`].
pub fn random_of_many<const N: usize>() -> [u8; N] {
    let kept = KEPT.try_with(|kept| {
        let mut kept = kept.borrow_mut();
        if kept.left < N {
            kept.bytes = random();
            kept.left = kept.bytes.len();
        }
        let until = kept.left;
        kept.left = until.checked_sub(N)?;
        let from = kept.left;
        let bytes = &mut kept.bytes[from..until];
        let given = (&*bytes).try_into().ok();
        bytes.fill(0);
        given
    });
    kept.ok().flatten().unwrap_or_else(random)
}

/// A text that must not be printed: `Debug` shows only that it is there.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    /// Wraps a secret text.
    pub fn new(text: impl Into<String>) -> Self {
        Secret(text.into())
    }

    /// The text, for the one place that needs it.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(…)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    #[test]
    fn bytes_of_many_are_never_given_twice_and_not_kept() {
        let few: HashSet<[u8; 8]> = (0..1_000).map(|_| random_of_many()).collect();
        assert_eq!(few.len(), 1_000);
        let many: HashSet<[u8; 1_500]> = (0..3).map(|_| random_of_many()).collect();
        assert_eq!(many.len(), 3);
        let _: [u8; 32] = random_of_many();
        KEPT.with_borrow(|kept| assert!(kept.bytes[kept.left..].iter().all(|byte| *byte == 0)));
    }
}
