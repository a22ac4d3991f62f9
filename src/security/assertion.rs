//! Client assertions (RFC 7523, as profiled by SMART Backend Services): parsed first, then verified claim by claim.
//!
//! Pure functions: the key set, the time and the addresses are parameters. The caller must store the `jti` after the signature was
//! verified. The reason why an assertion fails is for the log. `security::oauth` decides how much of it the client gets: until the client
//! has proven who it is, every failure gives the same answer.

use crate::secret::sha256;
use causeway_jose::{Algorithm, Compact, KeySet, PublicKey};
use serde_json::{Map, Value};

/// Longest assertion that is accepted, in bytes.
const BYTES: usize = 16 * 1024;
/// Clock difference that is tolerated, in seconds.
pub const SKEW_S: i64 = 30;
/// Longest lifetime of an assertion, in seconds.
pub const LIFE_S: i64 = 300;

/// Why an assertion is refused: a fixed code for the log and for counting.
pub type RefusalWord = &'static str;

/// A parsed assertion, none of which is trusted yet.
pub struct Assertion<'a> {
    compact: Compact<'a>,
    /// `alg`, one of the supported algorithms.
    pub algorithm: Algorithm,
    /// `kid`.
    pub kid: String,
    /// `jku`, if present.
    pub jku: Option<String>,
    /// `iss`; whether `sub` is the same is checked with the other claims.
    pub client_id: String,
}

/// The result of a verified assertion.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verified {
    /// SHA-256 of its `jti`.
    pub jti_sha256: [u8; 32],
    /// `exp` in seconds since 1970, rounded up.
    pub expires_s: i64,
    /// Thumbprint of the key that signed it.
    pub key_thumbprint: String,
}

impl<'a> Assertion<'a> {
    /// Parses a compact JWS.
    ///
    /// # Errors
    /// The reason: its form, the members of its header, its algorithm, or an invalid `iss`.
    pub fn parse(text: &'a str) -> Result<Assertion<'a>, RefusalWord> {
        let compact = Compact::parse(text, BYTES)?;
        let (header, claims) = (&compact.header, &compact.claims);
        let text =
            |object: &Map<String, Value>, name: &str| object.get(name).and_then(Value::as_str).map(str::to_owned);
        if ["crit", "b64", "zip", "enc", "cty"]
            .iter()
            .any(|name| header.contains_key(*name))
        {
            return Err("header-extension");
        }
        if ["jwk", "x5u", "x5c"].iter().any(|name| header.contains_key(*name)) {
            return Err("embedded-key");
        }
        if text(header, "typ").as_deref() != Some("JWT") {
            return Err("typ");
        }
        let algorithm = text(header, "alg")
            .and_then(|name| Algorithm::parse(&name))
            .ok_or("alg")?;
        let kid = text(header, "kid")
            .filter(|kid| !kid.is_empty() && kid.len() <= 256)
            .ok_or("kid")?;
        let jku = match header.get("jku") {
            None => None,
            Some(Value::String(url)) => Some(url.clone()),
            Some(_) => return Err("jku"),
        };
        let client_id = text(claims, "iss")
            .filter(|iss| !iss.is_empty() && iss.len() <= 255)
            .ok_or("iss")?;
        Ok(Assertion {
            algorithm,
            kid,
            jku,
            client_id,
            compact,
        })
    }

    /// Verifies the signature, then the claims.
    ///
    /// # Errors
    /// The reason why it is refused.
    pub fn verify(
        &self,
        keys: &KeySet,
        registered_jku: Option<&str>,
        audience: &str,
        now_s: i64,
    ) -> Result<Verified, RefusalWord> {
        if self.jku.is_some() && self.jku.as_deref() != registered_jku {
            return Err("jku");
        }
        let key = keys.find(&self.kid).ok_or("kid-unknown")?;
        if !key.takes(self.algorithm) {
            return Err("alg-of-key");
        }
        if !self.is_signed_by(key) {
            return Err("signature");
        }
        let jti_sha256 = self.check_claims(audience, now_s)?;
        let expires_ms = self.instant_ms("exp")?.ok_or("exp")?;
        Ok(Verified {
            jti_sha256,
            expires_s: expires_ms.div_euclid(1000) + i64::from(expires_ms % 1000 != 0),
            key_thumbprint: key.thumbprint.clone(),
        })
    }

    /// Whether `key` made the signature.
    pub fn is_signed_by(&self, key: &PublicKey) -> bool {
        self.compact.is_signed_by(key, self.algorithm)
    }

    /// Checks the claims in the order of SMART Backend Services. `exp` is compared with this server's clock; `iat` only must not be in the
    /// future. UDAP will also limit `exp - iat`.
    fn check_claims(&self, audience: &str, now_s: i64) -> Result<[u8; 32], RefusalWord> {
        if self.compact.claims.get("sub").and_then(Value::as_str) != Some(self.client_id.as_str()) {
            return Err("sub");
        }
        let meant = match self.compact.claims.get("aud") {
            Some(Value::String(one)) => one == audience,
            Some(Value::Array(list)) => matches!(list.as_slice(), [Value::String(one)] if one == audience),
            _ => false,
        };
        if !meant {
            return Err("aud");
        }
        let at = |seconds: i64| (now_s + seconds).saturating_mul(1000);
        let expires = self.instant_ms("exp")?.ok_or("exp")?;
        if expires <= at(-SKEW_S) {
            return Err("expired");
        }
        if expires > at(LIFE_S + SKEW_S) {
            return Err("exp-too-far");
        }
        if self.instant_ms("iat")?.is_some_and(|issued| issued > at(SKEW_S)) {
            return Err("iat");
        }
        if self
            .instant_ms("nbf")?
            .is_some_and(|not_before| not_before > at(SKEW_S))
        {
            return Err("nbf");
        }
        let jti = self
            .compact
            .claims
            .get("jti")
            .and_then(Value::as_str)
            .filter(|jti| (1..=128).contains(&jti.chars().count()))
            .ok_or("jti")?;
        Ok(sha256(jti.as_bytes()))
    }

    /// The value of a NumericDate claim in UTC milliseconds, if present. It is a number of seconds, with or without a fraction (RFC 7519
    /// section 2), and not negative.
    fn instant_ms(&self, name: &'static str) -> Result<Option<i64>, RefusalWord> {
        let number = match self.compact.claims.get(name) {
            None => return Ok(None),
            Some(Value::Number(number)) => number,
            Some(_) => return Err(name),
        };
        if let Some(whole) = number.as_i64() {
            return (whole >= 0).then(|| Some(whole.saturating_mul(1000))).ok_or(name);
        }
        // `as` saturates, so a time far in the future stays far in the future.
        let seconds = number
            .as_f64()
            .filter(|seconds| seconds.is_finite() && !seconds.is_sign_negative());
        seconds.map(|seconds| Some((seconds * 1000.0) as i64)).ok_or(name)
    }
}
