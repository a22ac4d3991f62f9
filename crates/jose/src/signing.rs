//! Private signing keys: generated, stored as JWK, and used to sign client assertions.
//!
//! Used when this server is the client of another payer, by the demonstration, and by tests. One key has one purpose.

use super::encoding::{base64url, from_base64url};
use super::jwk::Algorithm;
use aws_lc_rs::agreement;
use aws_lc_rs::encoding::AsBigEndian;
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa;
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED_SIGNING, ECDSA_P384_SHA384_FIXED_SIGNING, EcdsaKeyPair, EcdsaSigningAlgorithm,
    KeyPair as _, RSA_PKCS1_SHA384, RSA_PSS_SHA384, RsaKeyPair,
};
use serde_json::{Map, Value, json};
use std::fmt;

enum Pair {
    Ec(EcdsaKeyPair),
    Rsa(RsaKeyPair),
}

/// A private key with its id and algorithm.
pub struct SigningKey {
    algorithm: Algorithm,
    kid: String,
    pair: Pair,
    private: Map<String, Value>,
}

/// Why a key cannot be had, or nothing signed with it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SigningError {
    /// What was given is no private JWK with `kid` and `alg`.
    NoPrivateKey,
    /// The cryptography library refused; its words.
    Library(String),
}

impl fmt::Display for SigningError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            SigningError::NoPrivateKey => f.write_str("not a private JWK with kid and alg"),
            SigningError::Library(cause) => f.write_str(cause),
        }
    }
}

impl std::error::Error for SigningError {}

fn broken(cause: impl Into<String>) -> SigningError {
    SigningError::Library(cause.into())
}

fn curve(algorithm: Algorithm) -> Option<(&'static str, &'static EcdsaSigningAlgorithm)> {
    match algorithm {
        Algorithm::Es384 => Some(("P-384", &ECDSA_P384_SHA384_FIXED_SIGNING)),
        Algorithm::Es256 => Some(("P-256", &ECDSA_P256_SHA256_FIXED_SIGNING)),
        Algorithm::Rs384 | Algorithm::Ps384 => None,
    }
}

/// The private JWK of a key on a curve. The point is not compressed: the byte 4, then both coordinates.
fn jwk_of((curve, algorithm): (&str, Algorithm), kid: &str, (point, secret): (&[u8], &[u8])) -> Value {
    let (x, y) = point[1..].split_at((point.len() - 1) / 2);
    json!({
        "kty": "EC", "crv": curve, "x": base64url(x), "y": base64url(y), "d": base64url(secret),
        "kid": kid, "alg": algorithm.name(), "use": "sig",
    })
}

impl SigningKey {
    /// Generates a key on the algorithm's curve.
    ///
    /// # Errors
    /// [`SigningError::Library`] for an RSA algorithm, for which no keys are generated here, or when the cryptography library fails.
    pub fn generate(algorithm: Algorithm, kid: &str) -> Result<SigningKey, SigningError> {
        let (name, parameters) = curve(algorithm).ok_or_else(|| broken("no keys of RSA are made here"))?;
        let pair = EcdsaKeyPair::generate(parameters).map_err(|error| broken(error.to_string()))?;
        let secret = pair
            .private_key()
            .as_be_bytes()
            .map_err(|error| broken(error.to_string()))?;
        SigningKey::from_jwk(&jwk_of(
            (name, algorithm),
            kid,
            (pair.public_key().as_ref(), secret.as_ref()),
        ))
    }

    /// Makes a key for ES384 from a secret: always the same one. `secret` gives 48 bytes for each attempt; nearly always the first one is a
    /// key.
    ///
    /// # Errors
    /// [`SigningError::Library`] when no attempt gives a key.
    pub fn derived(kid: &str, secret: impl Fn(u8) -> [u8; 48]) -> Result<SigningKey, SigningError> {
        let of_attempt = |at: u8| {
            let bytes = secret(at);
            let private = agreement::PrivateKey::from_private_key(&agreement::ECDH_P384, &bytes).ok()?;
            let public = private.compute_public_key().ok()?;
            SigningKey::from_jwk(&jwk_of(("P-384", Algorithm::Es384), kid, (public.as_ref(), &bytes))).ok()
        };
        (0..=u8::MAX)
            .find_map(of_attempt)
            .ok_or_else(|| broken("no key comes from this secret"))
    }

    /// Reads a private JWK with `alg` and `kid`.
    ///
    /// # Errors
    /// [`SigningError::NoPrivateKey`] for anything else.
    pub fn from_jwk(jwk: &Value) -> Result<SigningKey, SigningError> {
        let refused = || SigningError::NoPrivateKey;
        let text = |name: &str| jwk.get(name).and_then(Value::as_str).ok_or_else(refused);
        let bytes = |name: &str| text(name).and_then(|text| from_base64url(text).ok_or_else(refused));
        let algorithm = Algorithm::parse(text("alg")?).ok_or_else(refused)?;
        let pair = match curve(algorithm) {
            Some((_, parameters)) => {
                let point = [vec![4], bytes("x")?, bytes("y")?].concat();
                Pair::Ec(
                    EcdsaKeyPair::from_private_key_and_public_key(parameters, &bytes("d")?, &point)
                        .map_err(|_| refused())?,
                )
            }
            None => {
                let components = rsa::KeyPairComponents {
                    public_key: aws_lc_rs::signature::RsaPublicKeyComponents {
                        n: bytes("n")?,
                        e: bytes("e")?,
                    },
                    d: bytes("d")?,
                    p: bytes("p")?,
                    q: bytes("q")?,
                    dP: bytes("dp")?,
                    dQ: bytes("dq")?,
                    qInv: bytes("qi")?,
                };
                Pair::Rsa(RsaKeyPair::from_components(&components).map_err(|_| refused())?)
            }
        };
        let private = jwk.as_object().cloned().ok_or_else(refused)?;
        Ok(SigningKey {
            algorithm,
            kid: text("kid")?.to_owned(),
            pair,
            private,
        })
    }

    /// Its id.
    pub fn kid(&self) -> &str {
        &self.kid
    }

    /// Its algorithm.
    pub fn algorithm(&self) -> Algorithm {
        self.algorithm
    }

    /// The private JWK. A secret: only for files of mode 0600.
    pub fn private_jwk(&self) -> Value {
        Value::Object(self.private.clone())
    }

    /// The public JWK.
    pub fn public_jwk(&self) -> Value {
        let secret = ["d", "p", "q", "dp", "dq", "qi"];
        Value::Object(
            self.private
                .iter()
                .filter(|(name, _)| !secret.contains(&name.as_str()))
                .map(|(n, v)| (n.clone(), v.clone()))
                .collect(),
        )
    }

    /// The raw signature over `message`.
    ///
    /// # Errors
    /// [`SigningError::Library`] when the cryptography library fails.
    pub fn sign_bytes(&self, message: &[u8]) -> Result<Vec<u8>, SigningError> {
        let random = SystemRandom::new();
        match &self.pair {
            Pair::Ec(pair) => pair.sign(&random, message).map(|signature| signature.as_ref().to_vec()),
            Pair::Rsa(pair) => {
                let mut signature = vec![0; pair.public_modulus_len()];
                let padding = if self.algorithm == Algorithm::Ps384 {
                    &RSA_PSS_SHA384
                } else {
                    &RSA_PKCS1_SHA384
                };
                pair.sign(padding, &random, message, &mut signature).map(|()| signature)
            }
        }
        .map_err(|error| broken(error.to_string()))
    }

    /// Signs any header and claims as a compact JWS.
    ///
    /// # Errors
    /// As [`SigningKey::sign_bytes`].
    pub fn sign(&self, header: &Value, claims: &Value) -> Result<String, SigningError> {
        let signed = format!(
            "{}.{}",
            base64url(header.to_string().as_bytes()),
            base64url(claims.to_string().as_bytes())
        );
        let signature = self.sign_bytes(signed.as_bytes())?;
        Ok(format!("{signed}.{}", base64url(&signature)))
    }

    /// The header of assertions.
    pub fn header(&self) -> Value {
        json!({ "alg": self.algorithm.name(), "kid": self.kid, "typ": "JWT" })
    }

    /// A client assertion for one audience, valid for 240 s.
    ///
    /// # Errors
    /// As [`SigningKey::sign_bytes`].
    pub fn assertion(&self, client_id: &str, audience: &str, now_s: i64, jti: &str) -> Result<String, SigningError> {
        let claims = json!({ "iss": client_id, "sub": client_id, "aud": audience, "iat": now_s, "exp": now_s + 240, "jti": jti });
        self.sign(&self.header(), &claims)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Compact, KeySet};

    #[test]
    fn a_derived_key_is_always_the_same_and_verifies_what_it_signs() {
        let of = |byte: u8| SigningKey::derived("k", |at| [byte.wrapping_add(at); 48]).expect("a key");
        assert_eq!(of(7).public_jwk(), of(7).public_jwk());
        assert_ne!(of(7).public_jwk(), of(8).public_jwk());
        // The first two, 255 and 0, are no keys.
        assert_eq!(of(255).public_jwk(), of(1).public_jwk());
        let key = of(7);
        let text = key.sign(&key.header(), &json!({"a": 1})).expect("signed");
        let set = json!({"keys": [key.public_jwk()]}).to_string();
        let set = KeySet::parse(set.as_bytes()).expect("a set");
        let compact = Compact::parse(&text, 10_000).expect("a compact JWS");
        assert!(compact.is_signed_by(set.find("k").expect("the key"), Algorithm::Es384));
    }
}
