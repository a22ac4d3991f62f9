//! Whether an id token is one for this sign-in (OpenID Connect Core section 3.1.3.7), and what it claims.
//!
//! Pure: keys and time are handed in. A token that is signed with a shared secret, or not at all, is never taken.

use crate::secret::from_base64url;
use chrono::{DateTime, Utc};
use openidconnect::core::{CoreIdToken, CoreIdTokenVerifier, CoreJsonWebKeySet, CoreJwsSigningAlgorithm};
use openidconnect::{ClaimsVerificationError, ClientId, IssuerUrl, Nonce, SignatureVerificationError};
use serde_json::Value;

/// By how much the provider's clock may be ahead, milliseconds.
const SKEW_MS: i64 = 60_000;

/// The algorithms that are taken: those whose key the provider alone has.
fn algorithms() -> [CoreJwsSigningAlgorithm; 9] {
    use CoreJwsSigningAlgorithm::{
        EcdsaP256Sha256, EcdsaP384Sha384, EdDsa, RsaSsaPkcs1V15Sha256, RsaSsaPkcs1V15Sha384, RsaSsaPkcs1V15Sha512,
        RsaSsaPssSha256, RsaSsaPssSha384, RsaSsaPssSha512,
    };
    [
        EcdsaP256Sha256,
        EcdsaP384Sha384,
        EdDsa,
        RsaSsaPkcs1V15Sha256,
        RsaSsaPkcs1V15Sha384,
        RsaSsaPkcs1V15Sha512,
        RsaSsaPssSha256,
        RsaSsaPssSha384,
        RsaSsaPssSha512,
    ]
}

/// Why an id token is not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum TokenRefused {
    /// Its issuer.
    Issuer,
    /// For whom it is.
    Audience,
    /// Its sign-in.
    Nonce,
    /// Its time.
    Time,
    /// Its algorithm.
    Algorithm,
    /// Its key, which the provider may have made since its keys were fetched.
    KeyUnknown,
    /// Its signature.
    Signature,
    /// Anything else of its form.
    Form,
}

impl TokenRefused {
    /// The reason for the log, in fixed words.
    pub(super) const fn text(self) -> &'static str {
        match self {
            TokenRefused::Issuer => "the id token has another issuer",
            TokenRefused::Audience => "the id token is for another client",
            TokenRefused::Nonce => "the id token is of another sign-in",
            TokenRefused::Time => "the id token has expired, or is from the future",
            TokenRefused::Algorithm => "the id token has an algorithm that is not taken",
            TokenRefused::KeyUnknown => "the id token has a key that the provider does not list",
            TokenRefused::Signature => "the signature of the id token is wrong",
            TokenRefused::Form => "the id token cannot be read",
        }
    }

    fn of(error: &ClaimsVerificationError) -> TokenRefused {
        match error {
            ClaimsVerificationError::InvalidIssuer(_) => TokenRefused::Issuer,
            ClaimsVerificationError::InvalidAudience(_) => TokenRefused::Audience,
            ClaimsVerificationError::InvalidNonce(_) => TokenRefused::Nonce,
            ClaimsVerificationError::Expired(_) => TokenRefused::Time,
            ClaimsVerificationError::SignatureVerification(cause) => match cause {
                SignatureVerificationError::NoMatchingKey => TokenRefused::KeyUnknown,
                SignatureVerificationError::NoSignature
                | SignatureVerificationError::DisallowedAlg(_)
                | SignatureVerificationError::UnsupportedAlg(_) => TokenRefused::Algorithm,
                _ => TokenRefused::Signature,
            },
            _ => TokenRefused::Form,
        }
    }
}

/// What a token has to fit.
pub(super) struct TokenJudge {
    /// Who has to have issued it.
    pub(super) issuer: IssuerUrl,
    /// For whom it has to be, and for nobody else.
    pub(super) client_id: ClientId,
    /// What it has to repeat.
    pub(super) nonce: Nonce,
    /// Now, UTC milliseconds.
    pub(super) now_ms: i64,
}

impl TokenJudge {
    /// The claims of a token that fits, by these keys of the provider.
    ///
    /// # Errors
    /// Why it does not fit.
    pub(super) fn claims(&self, token: &CoreIdToken, keys: &CoreJsonWebKeySet) -> Result<Value, TokenRefused> {
        let at = |ms| DateTime::<Utc>::from_timestamp_millis(ms).ok_or(TokenRefused::Time);
        let (now, latest) = (at(self.now_ms)?, at(self.now_ms + SKEW_MS)?);
        let verifier =
            CoreIdTokenVerifier::new_public_client(self.client_id.clone(), self.issuer.clone(), keys.clone())
                .set_allowed_algs(algorithms())
                .set_time_fn(move || now)
                .set_issue_time_verifier_fn(move |issued| match issued <= latest {
                    true => Ok(()),
                    false => Err("it is from the future".to_owned()),
                });
        let judged = token
            .claims(&verifier, &self.nonce)
            .map_err(|error| TokenRefused::of(&error))?;
        if judged
            .authorized_party()
            .is_some_and(|party| party.as_str() != self.client_id.as_str())
        {
            return Err(TokenRefused::Audience);
        }
        let claims = payload(token).ok_or(TokenRefused::Form)?;
        let is_valid_yet = match &claims["nbf"] {
            Value::Null => true,
            from => from
                .as_i64()
                .is_some_and(|from_s| from_s.saturating_mul(1_000) <= self.now_ms + SKEW_MS),
        };
        match is_valid_yet {
            true => Ok(claims),
            false => Err(TokenRefused::Time),
        }
    }
}

/// All claims of a token: what its signature is over.
fn payload(token: &CoreIdToken) -> Option<Value> {
    let text = token.to_string();
    let payload = text.split('.').nth(1)?;
    serde_json::from_slice(&from_base64url(payload)?).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use causeway_jose::{Algorithm, SigningKey, base64url};
    use openidconnect::JsonWebKeySet;
    use serde_json::json;

    const NOW_MS: i64 = 1_796_000_000_000;
    const NOW_S: i64 = NOW_MS / 1_000;
    const ISSUER: &str = "https://login.example";

    fn key(kid: &str) -> SigningKey {
        SigningKey::generate(Algorithm::Es384, kid).expect("a key")
    }

    fn keys(listed: &[&SigningKey]) -> CoreJsonWebKeySet {
        let listed: Vec<Value> = listed.iter().map(|key| key.public_jwk()).collect();
        serde_json::from_value(json!({ "keys": listed })).expect("a key set")
    }

    fn judge() -> TokenJudge {
        TokenJudge {
            issuer: IssuerUrl::new(ISSUER.to_owned()).expect("a URL"),
            client_id: ClientId::new("console".to_owned()),
            nonce: Nonce::new("n".to_owned()),
            now_ms: NOW_MS,
        }
    }

    /// Claims that fit, with this one in the place of its own; `null` leaves it out.
    fn claims(name: &str, value: Value) -> Value {
        let mut claims = json!({
            "iss": ISSUER, "aud": "console", "sub": "ana", "nonce": "n", "iat": NOW_S, "exp": NOW_S + 300,
            "roles": ["ops", 7], "updated_at": NOW_S, "email_verified": true,
        });
        let members = claims.as_object_mut().expect("an object");
        members.remove(name);
        if !value.is_null() {
            members.insert(name.to_owned(), value);
        }
        claims
    }

    fn judged(text: &str, keys: &CoreJsonWebKeySet) -> Result<Value, TokenRefused> {
        let token: CoreIdToken = text.parse().map_err(|_| TokenRefused::Form)?;
        judge().claims(&token, keys)
    }

    #[test]
    fn only_a_token_for_this_sign_in_is_taken() {
        let own = key("k1");
        let listed = keys(&[&own]);
        for (name, value, wanted) in [
            ("roles", json!(["ops"]), Ok(())),
            ("aud", json!(["console"]), Ok(())),
            ("azp", json!("console"), Ok(())),
            ("iat", json!(NOW_S + 59), Ok(())),
            ("exp", json!(NOW_S + 1), Ok(())),
            ("nbf", json!(NOW_S + 59), Ok(())),
            // Parts of seconds, and what providers make of claims that nobody reads here.
            ("exp", json!(1_796_000_300.5), Ok(())),
            ("iat", json!(1_795_999_999.25), Ok(())),
            ("updated_at", json!("2026-11-29T10:00:00.000Z"), Ok(())),
            ("updated_at", json!(1_795_000_000.5), Ok(())),
            ("email_verified", json!("true"), Ok(())),
            ("iss", json!("https://login.example/"), Err(TokenRefused::Issuer)),
            ("iss", json!("https://evil.example"), Err(TokenRefused::Issuer)),
            ("aud", json!("another"), Err(TokenRefused::Audience)),
            ("aud", json!(["console", "another"]), Err(TokenRefused::Audience)),
            ("aud", Value::Null, Err(TokenRefused::Audience)),
            ("azp", json!("another"), Err(TokenRefused::Audience)),
            ("nonce", json!("m"), Err(TokenRefused::Nonce)),
            ("nonce", Value::Null, Err(TokenRefused::Nonce)),
            ("exp", json!(NOW_S), Err(TokenRefused::Time)),
            ("exp", json!(NOW_S - 300), Err(TokenRefused::Time)),
            ("exp", json!(1_795_999_999.9), Err(TokenRefused::Time)),
            ("iat", json!(1_796_000_061.5), Err(TokenRefused::Time)),
            ("iat", json!(NOW_S + 61), Err(TokenRefused::Time)),
            ("nbf", json!(NOW_S + 61), Err(TokenRefused::Time)),
            ("nbf", json!("soon"), Err(TokenRefused::Time)),
            ("exp", Value::Null, Err(TokenRefused::Form)),
            ("exp", json!("soon"), Err(TokenRefused::Form)),
            ("exp", json!(1e300), Err(TokenRefused::Form)),
            ("exp", json!([NOW_S + 300]), Err(TokenRefused::Form)),
            ("aud", json!({"console": true}), Err(TokenRefused::Form)),
            ("nonce", json!(7), Err(TokenRefused::Form)),
            ("sub", Value::Null, Err(TokenRefused::Form)),
        ] {
            let text = own.sign(&own.header(), &claims(name, value.clone())).expect("signed");
            assert_eq!(judged(&text, &listed).map(drop), wanted, "{name} {value}");
        }
        let text = own
            .sign(&own.header(), &claims("extra", json!({"a": [1]})))
            .expect("signed");
        let all = judged(&text, &listed).expect("taken");
        assert_eq!((&all["roles"], &all["extra"]), (&json!(["ops", 7]), &json!({"a": [1]})));
    }

    #[test]
    fn only_a_signature_by_a_listed_key_of_the_provider_counts() {
        let (own, other) = (key("k1"), key("k1"));
        let listed = keys(&[&own]);
        let good = claims("roles", json!("ops"));
        let signed = |key: &SigningKey, header: Value| key.sign(&header, &good).expect("signed");
        assert!(judged(&signed(&own, own.header()), &listed).is_ok());
        let nothing: CoreJsonWebKeySet = JsonWebKeySet::new(Vec::new());
        for (text, keys, wanted) in [
            (signed(&other, other.header()), &listed, TokenRefused::Signature),
            (
                signed(&own, json!({"alg": "ES384", "kid": "k2"})),
                &listed,
                TokenRefused::KeyUnknown,
            ),
            (signed(&own, own.header()), &nothing, TokenRefused::KeyUnknown),
            (signed(&own, json!({"alg": "none"})), &listed, TokenRefused::Algorithm),
            (
                signed(&own, json!({"alg": "HS256", "kid": "k1"})),
                &listed,
                TokenRefused::Algorithm,
            ),
            (
                signed(&own, json!({"alg": "ES384", "kid": "k1", "crit": ["x"]})),
                &listed,
                TokenRefused::Form,
            ),
        ] {
            assert_eq!(judged(&text, keys), Err(wanted), "{text}");
        }
        let unsigned = format!(
            "{}.{}.",
            base64url(br#"{"alg":"none"}"#),
            base64url(good.to_string().as_bytes())
        );
        assert_eq!(judged(&unsigned, &listed), Err(TokenRefused::Algorithm));
        let whole = signed(&own, own.header());
        let cut = whole.rsplit_once('.').expect("three parts").0;
        for bad in ["", "a.b.c", cut, &format!("{whole}.x")] {
            assert_eq!(judged(bad, &listed), Err(TokenRefused::Form), "{bad}");
        }
    }
}
