//! Private signing keys: made, kept as JWK, and used to sign assertions as somebody's client.
//!
//! Used when we are the client of another payer, by the demonstration and by tests. One key has one purpose.

use super::jwk::Algorithm;
use crate::error::{Failure, Fault};
use crate::secret::{base64url, from_base64url};
use aws_lc_rs::encoding::{AsBigEndian, AsDer, Pkcs8V1Der};
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa;
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED_SIGNING, ECDSA_P384_SHA384_FIXED_SIGNING, EcdsaKeyPair, EcdsaSigningAlgorithm,
    KeyPair as _, RSA_PKCS1_SHA384, RSA_PSS_SHA384, RsaKeyPair,
};
use serde_json::{Map, Value, json};
use x509_parser::der_parser::der::{parse_der_integer, parse_der_sequence_defined_g};
use x509_parser::der_parser::error::BerError;
use x509_parser::nom::Parser as _;

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

fn broken(cause: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Failure {
    Failure::new(Fault::Internal).because(cause)
}

fn curve(algorithm: Algorithm) -> Option<(&'static str, &'static EcdsaSigningAlgorithm)> {
    match algorithm {
        Algorithm::Es384 => Some(("P-384", &ECDSA_P384_SHA384_FIXED_SIGNING)),
        Algorithm::Es256 => Some(("P-256", &ECDSA_P256_SHA256_FIXED_SIGNING)),
        Algorithm::Rs384 | Algorithm::Ps384 => None,
    }
}

impl SigningKey {
    /// Makes a new key: RSA of 2048 bits, or on the algorithm's curve.
    ///
    /// # Errors
    /// [`Fault::Internal`] when the library cannot.
    pub fn generate(algorithm: Algorithm, kid: &str) -> Result<SigningKey, Failure> {
        let mut jwk = Map::new();
        match curve(algorithm) {
            Some((name, parameters)) => {
                let pair = EcdsaKeyPair::generate(parameters).map_err(|error| broken(error.to_string()))?;
                let secret = pair
                    .private_key()
                    .as_be_bytes()
                    .map_err(|error| broken(error.to_string()))?;
                let (x, y) = pair.public_key().as_ref()[1..].split_at((pair.public_key().as_ref().len() - 1) / 2);
                jwk.insert("kty".into(), "EC".into());
                jwk.insert("crv".into(), name.into());
                jwk.insert("x".into(), base64url(x).into());
                jwk.insert("y".into(), base64url(y).into());
                jwk.insert("d".into(), base64url(secret.as_ref()).into());
            }
            None => {
                let pair = RsaKeyPair::generate(rsa::KeySize::Rsa2048).map_err(|error| broken(error.to_string()))?;
                let document = AsDer::<Pkcs8V1Der<'_>>::as_der(&pair).map_err(|error| broken(error.to_string()))?;
                jwk.insert("kty".into(), "RSA".into());
                let integers = rsa_integers(document.as_ref()).ok_or_else(|| broken("RSA key encoding"))?;
                for (name, integer) in ["n", "e", "d", "p", "q", "dp", "dq", "qi"].into_iter().zip(integers) {
                    jwk.insert(name.into(), base64url(&integer).into());
                }
            }
        }
        jwk.insert("kid".into(), kid.into());
        jwk.insert("alg".into(), algorithm.name().into());
        jwk.insert("use".into(), "sig".into());
        SigningKey::from_jwk(&Value::Object(jwk))
    }

    /// Reads a private JWK with `alg` and `kid`.
    ///
    /// # Errors
    /// [`Fault::InputUnreadable`] for anything else.
    pub fn from_jwk(jwk: &Value) -> Result<SigningKey, Failure> {
        let refused = || Failure::new(Fault::InputUnreadable).remedy("Give a private JWK with kid and alg.");
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
        let private = jwk.as_object().cloned().unwrap_or_default();
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

    /// The bare signature over `message`.
    ///
    /// # Errors
    /// [`Fault::Internal`] when the library cannot.
    pub fn sign_bytes(&self, message: &[u8]) -> Result<Vec<u8>, Failure> {
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

    /// A compact JWS of any header and claims.
    ///
    /// # Errors
    /// As [`SigningKey::sign_bytes`].
    pub fn sign(&self, header: &Value, claims: &Value) -> Result<String, Failure> {
        let signed = format!(
            "{}.{}",
            base64url(header.to_string().as_bytes()),
            base64url(claims.to_string().as_bytes())
        );
        let signature = self.sign_bytes(signed.as_bytes())?;
        Ok(format!("{signed}.{}", base64url(&signature)))
    }

    /// The header of our assertions.
    pub fn header(&self) -> Value {
        json!({ "alg": self.algorithm.name(), "kid": self.kid, "typ": "JWT" })
    }

    /// A client assertion for one audience, good for 240 s.
    ///
    /// # Errors
    /// As [`SigningKey::sign_bytes`].
    pub fn assertion(&self, client_id: &str, audience: &str, now_s: i64, jti: &str) -> Result<String, Failure> {
        let claims = json!({ "iss": client_id, "sub": client_id, "aud": audience, "iat": now_s, "exp": now_s + 240, "jti": jti });
        self.sign(&self.header(), &claims)
    }
}

/// `n, e, d, p, q, dP, dQ, qInv` of a PKCS#8 RSA key, without leading zeros.
fn rsa_integers(pkcs8: &[u8]) -> Option<Vec<Vec<u8>>> {
    let mut inner = None;
    let (_, ()) = parse_der_sequence_defined_g(|content: &[u8], _| {
        let (rest, _version) = parse_der_integer(content)?;
        let (rest, _algorithm) = x509_parser::der_parser::der::parse_der_sequence(rest)?;
        let (rest, key) = x509_parser::der_parser::der::parse_der_octetstring(rest)?;
        inner = key.as_slice().ok().map(<[u8]>::to_vec);
        Ok::<_, x509_parser::nom::Err<BerError>>((&rest[rest.len()..], ()))
    })
    .parse(pkcs8)
    .ok()?;
    let key = inner?;
    let (_, sequence) = x509_parser::der_parser::der::parse_der_sequence(&key).ok()?;
    let integers = sequence.as_sequence().ok()?;
    let stripped = |bytes: &[u8]| bytes.iter().copied().skip_while(|byte| *byte == 0).collect::<Vec<u8>>();
    let numbers: Vec<_> = integers
        .iter()
        .skip(1)
        .take(8)
        .map(|object| object.as_slice().map(stripped))
        .collect::<Result<_, _>>()
        .ok()?;
    (numbers.len() == 8).then_some(numbers)
}
