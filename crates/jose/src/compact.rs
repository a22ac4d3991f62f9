//! The compact serialization of a JWS (RFC 7515 section 7.1), taken apart. Nothing of it is trusted before its signature is verified.

use super::encoding::from_base64url;
use super::json::strict_object;
use super::jwk::{Algorithm, PublicKey};
use serde_json::{Map, Value};

/// A compact JWS whose payload is a JSON object.
pub struct Compact<'a> {
    /// The protected header.
    pub header: Map<String, Value>,
    /// The payload.
    pub claims: Map<String, Value>,
    signed: &'a str,
    signature: Vec<u8>,
}

impl<'a> Compact<'a> {
    /// Takes a text of at most `bytes_max` bytes apart.
    ///
    /// # Errors
    /// A fixed word: `too-long`, `not-compact`, `not-base64url`, `header-not-json`, `claims-not-json`.
    pub fn parse(text: &'a str, bytes_max: usize) -> Result<Compact<'a>, &'static str> {
        if text.len() > bytes_max {
            return Err("too-long");
        }
        let (signed, signature) = text.rsplit_once('.').ok_or("not-compact")?;
        let (header, claims) = signed.split_once('.').ok_or("not-compact")?;
        if claims.contains('.') || header.is_empty() || claims.is_empty() || signature.is_empty() {
            return Err("not-compact");
        }
        let part = |part: &str| from_base64url(part).ok_or("not-base64url");
        Ok(Compact {
            header: strict_object(&part(header)?).ok_or("header-not-json")?,
            claims: strict_object(&part(claims)?).ok_or("claims-not-json")?,
            signed,
            signature: part(signature)?,
        })
    }

    /// Whether `key` made the signature with `algorithm`.
    pub fn is_signed_by(&self, key: &PublicKey, algorithm: Algorithm) -> bool {
        key.verify(algorithm, self.signed.as_bytes(), &self.signature)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{KeySet, SigningKey};
    use serde_json::json;

    #[test]
    fn a_signed_text_is_taken_apart_and_verified_by_its_key_alone() {
        let key = SigningKey::generate(Algorithm::Es384, "k").expect("a key");
        let other = SigningKey::generate(Algorithm::Es384, "k").expect("a key");
        let set = |key: &SigningKey| {
            let set = json!({"keys": [key.public_jwk()]}).to_string();
            KeySet::parse(set.as_bytes()).expect("a set").into_keys().remove(0)
        };
        let text = key.sign(&key.header(), &json!({"a": 1})).expect("signed");
        let compact = Compact::parse(&text, 10_000).expect("a compact JWS");
        assert_eq!((&compact.header["kid"], &compact.claims["a"]), (&json!("k"), &json!(1)));
        assert!(compact.is_signed_by(&set(&key), Algorithm::Es384));
        assert!(!compact.is_signed_by(&set(&other), Algorithm::Es384));
        assert!(!compact.is_signed_by(&set(&key), Algorithm::Es256));
    }

    #[test]
    fn what_is_no_compact_jws_has_a_fixed_word() {
        for (text, word) in [
            ("e30.e30.AA", None),
            ("e30.e30.AAAAAAAAAAAAAAAAAAAA", Some("too-long")),
            ("e30.e30", Some("not-compact")),
            ("e30..AA", Some("not-compact")),
            ("e30.e30.", Some("not-compact")),
            ("e30.e30.AA.AA", Some("not-compact")),
            ("e30=.e30.AA", Some("not-base64url")),
            ("e30.e30.A", Some("not-base64url")),
            ("W10.e30.AA", Some("header-not-json")),
            ("e30.W10.AA", Some("claims-not-json")),
        ] {
            assert_eq!(Compact::parse(text, 20).err(), word, "{text}");
        }
    }
}
