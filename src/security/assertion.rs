//! Client assertions (RFC 7523 as SMART Backend Services profiles it): taken apart, then judged claim by claim.
//!
//! Pure: the key set, the time and the addresses come in. Remembering a `jti` is the caller's, after the signature verified.
//! Why an assertion fails is for our log; the client hears one answer for all of it.

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
    /// `iss`, which must equal `sub`.
    pub client_id: String,
    claims: Map<String, Value>,
}

/// What a verified assertion says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verified {
    /// SHA-256 of its `jti`.
    pub jti_sha256: [u8; 32],
    /// `exp`, in seconds since 1970.
    pub expires_s: i64,
    /// Thumbprint of the key that signed it.
    pub key_thumbprint: String,
}

impl<'a> Assertion<'a> {
    /// Takes a compact JWS apart.
    ///
    /// # Errors
    /// The reason: form, header members, algorithm, or an `iss` that is not `sub`.
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
        if text(&claims, "sub").as_deref() != Some(client_id.as_str()) {
            return Err("sub");
        }
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
        let expires_s = self.instant("exp")?.ok_or("exp")?;
        Ok(Verified {
            jti_sha256,
            expires_s,
            key_thumbprint: key.thumbprint.clone(),
        })
    }

    /// Whether `key` made the signature.
    pub fn is_signed_by(&self, key: &PublicKey) -> bool {
        key.verify(self.algorithm, self.signed.as_bytes(), &self.signature)
    }

    fn check_claims(&self, audience: &str, now_s: i64) -> Result<[u8; 32], Why> {
        let meant = match self.claims.get("aud") {
            Some(Value::String(one)) => one == audience,
            Some(Value::Array(list)) => matches!(list.as_slice(), [Value::String(one)] if one == audience),
            _ => false,
        };
        if !meant {
            return Err("aud");
        }
        let expires = self.instant("exp")?.ok_or("exp")?;
        if expires.saturating_add(SKEW_S) <= now_s {
            return Err("expired");
        }
        if expires > now_s.saturating_add(LIFE_S + SKEW_S) {
            return Err("exp-too-far");
        }
        if let Some(issued) = self.instant("iat")?
            && (issued > now_s + SKEW_S || expires.saturating_sub(issued) > LIFE_S || expires < issued)
        {
            return Err("iat");
        }
        if self
            .instant("nbf")?
            .is_some_and(|not_before| not_before > now_s + SKEW_S)
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

    /// A claim that is whole seconds when it is there.
    fn instant(&self, name: &'static str) -> Result<Option<i64>, Why> {
        match self.claims.get(name) {
            None => Ok(None),
            Some(Value::Number(number)) => number.as_i64().filter(|s| *s >= 0).map(Some).ok_or(name),
            Some(_) => Err(name),
        }
    }
}
