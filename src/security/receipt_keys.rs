//! The keys that sign receipts. They are derived from those of [`super::vault`], so that processes that share sealed files sign with the same
//! ones. Their public halves are in the key set of this server; nothing else is ever signed with them.

use super::vault::Vault;
use crate::error::Failure;
use crate::failpoint::{self, SIGN};
use crate::secret::hmac_sha256;
use causeway_jose::SigningKey;
use serde_json::{Value, json};

/// What the secrets of the vault are derived for.
const PURPOSE: &str = "receipt/1";

/// The keys. The last one signs; the others signed what is still to be verified.
pub struct ReceiptKeys(Vec<SigningKey>);

impl ReceiptKeys {
    /// The keys that follow from those of `vault`.
    ///
    /// # Errors
    /// [`crate::error::Fault::Internal`] when the cryptography library fails.
    pub fn of(vault: &Vault) -> Result<ReceiptKeys, Failure> {
        let keys = vault.secrets(PURPOSE).map(|(id, secret)| {
            let bytes = |at: u8| {
                let (first, rest) = (hmac_sha256(&secret, &[at, 0]), hmac_sha256(&secret, &[at, 1]));
                let mut bytes = [0; 48];
                bytes[..32].copy_from_slice(&first);
                bytes[32..].copy_from_slice(&rest[..16]);
                bytes
            };
            SigningKey::derived(&format!("receipt-{id}"), bytes)
        });
        Ok(ReceiptKeys(keys.collect::<Result<_, _>>()?))
    }

    /// Signs `claims` as a compact JWS of this type.
    ///
    /// # Errors
    /// [`crate::error::Fault::Internal`] when the cryptography library fails.
    pub fn sign(&self, typ: &str, claims: &Value) -> Result<String, Failure> {
        let key = self.0.last().ok_or(crate::error::Fault::Internal)?;
        let header = json!({"alg": key.algorithm().name(), "kid": key.kid(), "typ": typ});
        Ok(failpoint::around(SIGN, || key.sign(&header, claims))?)
    }

    /// The public keys.
    pub fn public(&self) -> Vec<Value> {
        self.0.iter().map(SigningKey::public_jwk).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_key_of_the_vault_gives_a_key_and_the_last_one_signs() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("received.keys");
        let vault = Vault::open(&path).expect("made");
        let first = ReceiptKeys::of(&vault).expect("keys");
        let again = ReceiptKeys::of(&Vault::open(&path).expect("read")).expect("keys");
        assert_eq!(first.public(), again.public(), "the same from the same file");
        let text = std::fs::read_to_string(&path).expect("text");
        let secret = crate::secret::base64url(&[3; 32]);
        std::fs::write(&path, format!("{text}b {secret}\n")).expect("written");
        let both = ReceiptKeys::of(&Vault::open(&path).expect("read")).expect("keys");
        assert_eq!(both.public()[..1], first.public()[..]);
        assert_eq!(both.public()[1]["kid"], "receipt-b");
        assert!(both.public().iter().all(|key| key.get("d").is_none()));
        let signed = both.sign("t+jws", &json!({"a": 1})).expect("signed");
        let compact = causeway_jose::Compact::parse(&signed, 4096).expect("compact");
        assert_eq!(
            (&compact.header["kid"], &compact.header["typ"]),
            (&json!("receipt-b"), &json!("t+jws"))
        );
    }
}
