//! Client assertions (RFC 7523 as SMART Backend Services profiles it): taken apart, then judged claim by claim.
//!
//! Pure: the key set, the time and the addresses come in. Remembering a `jti` is the caller's, after the signature verified.
//! Why an assertion fails is for our log. What of it the client hears is decided in `security::oauth`: one answer for all of it, until it
//! has shown who it is.

use super::json::strict_object;
use super::jwk::{Algorithm, KeySet, PublicKey};
use crate::secret::{from_base64url, sha256};
use serde_json::{Map, Value};

/// Longest assertion we read.
const BYTES: usize = 16 * 1024;
/// Clock difference that is forgiven, in seconds.
pub const SKEW_S: i64 = 30;
/// Longest life of an assertion, in seconds.
pub const LIFE_S: i64 = 300;

/// Why an assertion is refused; a fixed word for the log and for counting.
pub type Why = &'static str;

/// An assertion taken apart; nothing of it is trusted yet.
pub struct Assertion<'a> {
    signed: &'a str,
    signature: Vec<u8>,
    /// `alg`, one of the list.
    pub algorithm: Algorithm,
    /// `kid`.
    pub kid: String,
    /// `jku`, if there is one.
    pub jku: Option<String>,
    /// `iss`; that `sub` is the same is judged with the claims.
    pub client_id: String,
    claims: Map<String, Value>,
}

/// What a verified assertion says.
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
    /// Takes a compact JWS apart.
    ///
    /// # Errors
    /// The reason: form, header members, algorithm, or an `iss` that cannot be one.
    pub fn parse(text: &'a str) -> Result<Assertion<'a>, Why> {
        if text.len() > BYTES {
            return Err("too-long");
        }
        let (signed, signature) = text.rsplit_once('.').ok_or("not-compact")?;
        let (header, claims) = signed.split_once('.').ok_or("not-compact")?;
        if claims.contains('.') || header.is_empty() || claims.is_empty() || signature.is_empty() {
            return Err("not-compact");
        }
        let part = |part: &str| from_base64url(part).ok_or("not-base64url");
        let header = strict_object(&part(header)?).ok_or("header-not-json")?;
        let claims = strict_object(&part(claims)?).ok_or("claims-not-json")?;
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
        if text(&header, "typ").as_deref() != Some("JWT") {
            return Err("typ");
        }
        let algorithm = text(&header, "alg")
            .and_then(|name| Algorithm::parse(&name))
            .ok_or("alg")?;
        let kid = text(&header, "kid")
            .filter(|kid| !kid.is_empty() && kid.len() <= 256)
            .ok_or("kid")?;
        let jku = match header.get("jku") {
            None => None,
            Some(Value::String(url)) => Some(url.clone()),
            Some(_) => return Err("jku"),
        };
        let client_id = text(&claims, "iss")
            .filter(|iss| !iss.is_empty() && iss.len() <= 255)
            .ok_or("iss")?;
        Ok(Assertion {
            signed,
            signature: part(signature)?,
            algorithm,
            kid,
            jku,
            client_id,
            claims,
        })
    }

    /// Verifies the signature, then the claims.
    ///
    /// # Errors
    /// The reason.
    pub fn verify(
        &self,
        keys: &KeySet,
        registered_jku: Option<&str>,
        audience: &str,
        now_s: i64,
    ) -> Result<Verified, Why> {
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
        key.verify(self.algorithm, self.signed.as_bytes(), &self.signature)
    }

    /// The claims in the order of SMART Backend Services. `exp` is held against our clock alone, and `iat` only must not be in the
    /// future; UDAP will bound `exp - iat` as well.
    fn check_claims(&self, audience: &str, now_s: i64) -> Result<[u8; 32], Why> {
        if self.claims.get("sub").and_then(Value::as_str) != Some(self.client_id.as_str()) {
            return Err("sub");
        }
        let meant = match self.claims.get("aud") {
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
            .claims
            .get("jti")
            .and_then(Value::as_str)
            .filter(|jti| (1..=128).contains(&jti.chars().count()))
            .ok_or("jti")?;
        Ok(sha256(jti.as_bytes()))
    }

    /// A NumericDate in UTC milliseconds when it is there: seconds, with a fraction or without (RFC 7519 section 2), none negative.
    fn instant_ms(&self, name: &'static str) -> Result<Option<i64>, Why> {
        let number = match self.claims.get(name) {
            None => return Ok(None),
            Some(Value::Number(number)) => number,
            Some(_) => return Err(name),
        };
        if let Some(whole) = number.as_i64() {
            return (whole >= 0).then(|| Some(whole.saturating_mul(1000))).ok_or(name);
        }
        // `as` saturates, so that the far future stays the far future.
        let seconds = number
            .as_f64()
            .filter(|seconds| seconds.is_finite() && !seconds.is_sign_negative());
        seconds.map(|seconds| Some((seconds * 1000.0) as i64)).ok_or(name)
    }
}
