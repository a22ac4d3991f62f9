//! What the cookie of a sign-in holds, and what follows from it: the hash under which it is stored, and the state, the nonce and the verifier
//! that the identity provider sees.
//!
//! It is random, and each of the others is a hash of it, so that none tells another and nothing more is stored.

use crate::secret::{base64url, random, sha256_of};

/// The random value that belongs to one sign-in of one browser.
#[derive(Clone)]
pub struct SignInHandle([u8; 32]);

impl SignInHandle {
    /// A new one.
    pub(super) fn new() -> SignInHandle {
        SignInHandle(random())
    }

    /// The one that a cookie holds.
    pub fn of(bytes: [u8; 32]) -> SignInHandle {
        SignInHandle(bytes)
    }

    /// What the cookie holds.
    pub fn bytes(&self) -> &[u8; 32] {
        &self.0
    }

    /// The hash under which it is stored.
    pub(super) fn hash(&self) -> [u8; 32] {
        self.derived(b"console sign-in\n")
    }

    /// By which the provider's answer is known to belong to this browser (RFC 6749 section 10.12).
    pub(super) fn state(&self) -> String {
        base64url(&self.derived(b"console sign-in state\n"))
    }

    /// By which an id token is known to belong to this sign-in (OpenID Connect Core section 3.1.2.1).
    pub(super) fn nonce(&self) -> String {
        base64url(&self.derived(b"console sign-in nonce\n"))
    }

    /// By which a code is of use to this browser alone: 43 characters (RFC 7636 section 4.1).
    pub(super) fn verifier(&self) -> String {
        base64url(&self.derived(b"console sign-in verifier\n"))
    }

    fn derived(&self, what_for: &[u8]) -> [u8; 32] {
        sha256_of(&[what_for, &self.0])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_provider_sees_differs_by_what_it_is_for() {
        let handle = SignInHandle::of([7; 32]);
        let shown = [
            base64url(handle.bytes()),
            base64url(&handle.hash()),
            handle.state(),
            handle.nonce(),
            handle.verifier(),
        ];
        for (at, one) in shown.iter().enumerate() {
            assert!(!shown[..at].contains(one), "{at}");
            assert_eq!(one.len(), 43, "as many characters as PKCE asks for: {at}");
        }
        assert_ne!(SignInHandle::new().bytes(), SignInHandle::new().bytes());
    }
}
