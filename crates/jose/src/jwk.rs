//! Partners' public keys: which keys are accepted, and how a signature is verified with one.
//!
//! The algorithm comes from the registered key, never from the signed text. Keys that are not used here (other types, encryption keys) are
//! ignored; a key that is weak, secret or malformed makes the whole set refused.

use super::encoding::{base64url, from_base64url};
use super::json::strict_object;
use aws_lc_rs::digest::{SHA256, digest};
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED, ECDSA_P384_SHA384_FIXED, ParsedPublicKey, RSA_PKCS1_2048_8192_SHA384,
    RSA_PSS_2048_8192_SHA384, RsaPublicKeyComponents,
};
use serde_json::{Map, Value};
use std::collections::HashSet;
use std::fmt;

/// Largest key set that is accepted, in bytes.
pub const SET_BYTES: usize = 64 * 1024;
/// Most keys in a set.
const SET_KEYS: usize = 64;

/// The accepted signature algorithms (SMART requires RS384 and ES384).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Algorithm {
    /// RSASSA-PKCS1-v1_5 with SHA-384.
    Rs384,
    /// RSASSA-PSS with SHA-384.
    Ps384,
    /// ECDSA on P-384 with SHA-384.
    Es384,
    /// ECDSA on P-256 with SHA-256.
    Es256,
}

impl Algorithm {
    /// All of them, in the order in which discovery lists them.
    pub const ALL: [Algorithm; 4] = [Algorithm::Rs384, Algorithm::Es384, Algorithm::Ps384, Algorithm::Es256];

    /// The name in RFC 7518.
    pub const fn name(self) -> &'static str {
        match self {
            Algorithm::Rs384 => "RS384",
            Algorithm::Ps384 => "PS384",
            Algorithm::Es384 => "ES384",
            Algorithm::Es256 => "ES256",
        }
    }

    /// The algorithm with exactly this name.
    pub fn parse(name: &str) -> Option<Self> {
        Algorithm::ALL.into_iter().find(|algorithm| algorithm.name() == name)
    }
}

/// Why a key set is refused: a fixed text, and the index of the key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyRefused {
    /// What is wrong, as a sentence without a full stop.
    pub why: &'static str,
    /// The index of the key, from 0; `None` when the set itself is refused.
    pub key: Option<usize>,
}

impl fmt::Display for KeyRefused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.key {
            Some(key) => write!(f, "keys[{key}]: {}", self.why),
            None => f.write_str(self.why),
        }
    }
}

impl std::error::Error for KeyRefused {}

/// An accepted public key.
pub struct PublicKey {
    /// Its id, unique in the set.
    pub kid: String,
    /// RFC 7638 thumbprint, SHA-256, base64url.
    pub thumbprint: String,
    algorithms: Vec<(Algorithm, ParsedPublicKey)>,
}

impl PublicKey {
    /// Whether this key may be used with `algorithm`.
    pub fn takes(&self, algorithm: Algorithm) -> bool {
        self.algorithms.iter().any(|(known, _)| *known == algorithm)
    }

    /// The names of the algorithms it may be used with.
    pub fn algorithms(&self) -> impl Iterator<Item = &'static str> {
        self.algorithms.iter().map(|(algorithm, _)| algorithm.name())
    }

    /// Whether `signature` over `message` was made with this key. False also when the key is not for `algorithm`.
    pub fn verify(&self, algorithm: Algorithm, message: &[u8], signature: &[u8]) -> bool {
        let found = self.algorithms.iter().find(|(known, _)| *known == algorithm);
        found.is_some_and(|(_, key)| key.verify_sig(message, signature).is_ok())
    }
}

/// The accepted keys of one partner.
pub struct KeySet {
    keys: Vec<PublicKey>,
}

impl KeySet {
    /// Reads a JWK set.
    ///
    /// # Errors
    /// [`KeyRefused`] for a document that is not a key set, a set without a usable key, a key that is weak, secret, malformed or without
    /// `kid`, and a repeated `kid` (threats A10, A11).
    pub fn parse(bytes: &[u8]) -> Result<KeySet, KeyRefused> {
        let whole = |why| KeyRefused { why, key: None };
        if bytes.len() > SET_BYTES {
            return Err(whole("the set is larger than 64 KiB"));
        }
        let set = strict_object(bytes).ok_or(whole("the set is not one JSON object with each member once"))?;
        let listed = set
            .get("keys")
            .and_then(Value::as_array)
            .ok_or(whole("the set has no keys array"))?;
        if listed.len() > SET_KEYS {
            return Err(whole("the set has more than 64 keys"));
        }
        let mut kids = HashSet::new();
        let mut keys = Vec::new();
        for (at, jwk) in listed.iter().enumerate() {
            let refused = |why| KeyRefused { why, key: Some(at) };
            let jwk = jwk.as_object().ok_or(refused("the key is not an object"))?;
            if let Some(kid) = jwk.get("kid") {
                let kid = kid.as_str().ok_or(refused("kid is not a text"))?;
                if !kids.insert(kid.to_owned()) {
                    return Err(refused("the kid is in the set twice"));
                }
            }
            if let Some(key) = read_key(jwk).map_err(refused)? {
                keys.push(key);
            }
        }
        if keys.is_empty() {
            return Err(whole(
                "the set has no signature key of a type we take (RSA, P-256, P-384)",
            ));
        }
        Ok(KeySet { keys })
    }

    /// The key with exactly this id.
    pub fn find(&self, kid: &str) -> Option<&PublicKey> {
        self.keys.iter().find(|key| key.kid == kid)
    }

    /// The keys, in the set's order.
    pub fn into_keys(self) -> Vec<PublicKey> {
        self.keys
    }

    /// The keys, in the set's order.
    pub fn keys(&self) -> &[PublicKey] {
        &self.keys
    }
}

fn read_key(jwk: &Map<String, Value>) -> Result<Option<PublicKey>, &'static str> {
    let text = |name: &str| jwk.get(name).and_then(Value::as_str);
    let kty = text("kty").ok_or("kty is missing")?;
    if kty == "oct" || jwk.contains_key("k") {
        return Err("a symmetric key is in the set");
    }
    if ["d", "p", "q", "dp", "dq", "qi", "oth"]
        .iter()
        .any(|name| jwk.contains_key(*name))
    {
        return Err("a private key is in the set; register the public part, and replace this key");
    }
    let parts = match kty {
        "RSA" => rsa(jwk)?,
        "EC" => match text("crv").ok_or("crv is missing")? {
            "P-256" => ec(jwk, "P-256", 32, Algorithm::Es256)?,
            "P-384" => ec(jwk, "P-384", 48, Algorithm::Es384)?,
            _ => return Ok(None),
        },
        _ => return Ok(None),
    };
    if jwk.get("use").is_some_and(|usage| usage != "sig") {
        return Ok(None);
    }
    if let Some(operations) = jwk.get("key_ops") {
        let operations = operations.as_array().ok_or("key_ops is not an array")?;
        if !operations.iter().any(|operation| operation == "verify") {
            return Ok(None);
        }
    }
    let mut algorithms = parts.algorithms;
    if let Some(named) = jwk.get("alg") {
        let named = named.as_str().ok_or("alg is not a text")?;
        let Some(named) = Algorithm::parse(named) else {
            return Ok(None);
        };
        algorithms.retain(|(algorithm, _)| *algorithm == named);
        if algorithms.is_empty() {
            return Err("alg does not fit the key's type or curve");
        }
    }
    let kid = text("kid")
        .filter(|kid| (1..=256).contains(&kid.len()))
        .ok_or("kid is missing, empty or longer than 256")?;
    Ok(Some(PublicKey {
        kid: kid.to_owned(),
        thumbprint: base64url(digest(&SHA256, parts.canonical.as_bytes()).as_ref()),
        algorithms,
    }))
}

struct Parts {
    canonical: String,
    algorithms: Vec<(Algorithm, ParsedPublicKey)>,
}

fn number(jwk: &Map<String, Value>, name: &str, missing: &'static str) -> Result<Vec<u8>, &'static str> {
    jwk.get(name)
        .and_then(Value::as_str)
        .and_then(from_base64url)
        .filter(|bytes| !bytes.is_empty())
        .ok_or(missing)
}

fn rsa(jwk: &Map<String, Value>) -> Result<Parts, &'static str> {
    let n = number(jwk, "n", "n is missing or not base64url")?;
    let e = number(jwk, "e", "e is missing or not base64url")?;
    if n[0] == 0 || e[0] == 0 {
        return Err("n or e has leading zeros");
    }
    let bits = n.len() * 8 - n[0].leading_zeros() as usize;
    if !(2048..=8192).contains(&bits) {
        return Err("the RSA modulus is not of 2048 to 8192 bits");
    }
    if n[n.len() - 1] & 1 == 0 {
        return Err("the RSA modulus is even");
    }
    if e.len() > 4 || e[e.len() - 1] & 1 == 0 || e == [1] {
        return Err("the RSA exponent is not odd, at least 3 and below 2^32");
    }
    if SMALL_PRIMES.iter().any(|prime| remainder(&n, *prime) == 0) {
        return Err("the RSA modulus has a small factor");
    }
    if looks_like_roca(&n) {
        return Err("the RSA modulus has the fingerprint of CVE-2017-15361 (ROCA)");
    }
    let components = RsaPublicKeyComponents {
        n: n.as_slice(),
        e: e.as_slice(),
    };
    let parse = |params| {
        components
            .to_parsed_public_key(params)
            .map_err(|_| "the RSA key cannot be used")
    };
    Ok(Parts {
        canonical: format!(r#"{{"e":"{}","kty":"RSA","n":"{}"}}"#, base64url(&e), base64url(&n)),
        algorithms: vec![
            (Algorithm::Rs384, parse(&RSA_PKCS1_2048_8192_SHA384)?),
            (Algorithm::Ps384, parse(&RSA_PSS_2048_8192_SHA384)?),
        ],
    })
}

fn ec(jwk: &Map<String, Value>, curve: &'static str, size: usize, algorithm: Algorithm) -> Result<Parts, &'static str> {
    let x = number(jwk, "x", "x is missing or not base64url")?;
    let y = number(jwk, "y", "y is missing or not base64url")?;
    if x.len() != size || y.len() != size {
        return Err("x or y has not the length of the curve");
    }
    let canonical = format!(
        r#"{{"crv":"{curve}","kty":"EC","x":"{}","y":"{}"}}"#,
        base64url(&x),
        base64url(&y)
    );
    let point = [&[4], x.as_slice(), y.as_slice()].concat();
    let verifier = if algorithm == Algorithm::Es384 {
        &ECDSA_P384_SHA384_FIXED
    } else {
        &ECDSA_P256_SHA256_FIXED
    };
    let key = ParsedPublicKey::new(verifier, point).map_err(|_| "the point is not on the curve")?;
    Ok(Parts {
        canonical,
        algorithms: vec![(algorithm, key)],
    })
}

/// The primes of the ROCA fingerprint (Nemec et al. 2017), which are also used for trial division.
const SMALL_PRIMES: [u32; 38] = [
    3, 5, 7, 11, 13, 17, 19, 23, 29, 31, 37, 41, 43, 47, 53, 59, 61, 67, 71, 73, 79, 83, 89, 97, 101, 103, 107, 109,
    113, 127, 131, 137, 139, 149, 151, 157, 163, 167,
];

fn remainder(n: &[u8], prime: u32) -> u32 {
    n.iter().fold(0, |rest, byte| (rest * 256 + u32::from(*byte)) % prime)
}

/// Whether `n` is a power of 65537 modulo every small prime. A good key has this property with a probability of at most 1 in 2^27.
fn looks_like_roca(n: &[u8]) -> bool {
    SMALL_PRIMES.iter().all(|prime| {
        let wanted = remainder(n, *prime);
        let mut power = 1;
        (0..*prime).any(|_| {
            power = power * 65537 % prime;
            power == wanted
        })
    })
}
