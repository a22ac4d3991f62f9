//! The receipt of an export at a partner: it, the partner's published keys, and our answer. What a receipt says is not judged here.

use super::body::PeerBody;
use super::failure::{self, CallEnd, CallFacts, CallFailure};
use super::{Peer, PeerAsk};
use crate::error::Failure;
use crate::secret::Secret;
use causeway_jose::KeySet;
use reqwest::header::{ACCEPT, CONTENT_TYPE, HeaderValue};
use reqwest::{StatusCode, Url};
use serde_json::{Value, json};

/// The media type of a JWS.
const JOSE: &str = "application/jose";
/// Largest receipt in bytes: it has a line for each file.
const RECEIPT_BYTES: u64 = 16 << 20;

impl Peer {
    /// Fetches a receipt: a JWS that nobody has verified.
    ///
    /// # Errors
    /// [`CallEnd::ServerFault`] for an answer that is no JWS; as [`Peer::send`].
    pub async fn bulk_receipt(
        &self,
        url: &Url,
        token: &Secret,
        correlation: &str,
    ) -> Result<(String, CallFacts), CallFailure> {
        let mut request = self.request(PeerAsk::get(url.clone(), Some(token), correlation))?;
        request.headers_mut().insert(ACCEPT, HeaderValue::from_static(JOSE));
        let answer = self.execute(request).await?;
        if answer.status() != StatusCode::OK {
            return Err(self.refusal(answer, None).await);
        }
        let facts = failure::facts(answer.status(), answer.headers(), None);
        let media_type = answer.headers().get(CONTENT_TYPE).and_then(|value| value.to_str().ok());
        let is_jose = media_type.is_some_and(|told| told.split(';').next().unwrap_or_default().trim() == JOSE);
        if !is_jose {
            return Err(CallFailure::with(CallEnd::ServerFault, facts).because("the receipt is not a JWS"));
        }
        let body = PeerBody::new(answer, *self.limits(), RECEIPT_BYTES, facts);
        let (bytes, facts) = body.whole().await?;
        match String::from_utf8(bytes) {
            Ok(text) => Ok((text, facts)),
            Err(_) => Err(CallFailure::with(CallEnd::ServerFault, facts).because("the receipt is not text")),
        }
    }

    /// Reads the keys that the partner publishes.
    ///
    /// # Errors
    /// [`CallEnd::ServerFault`] when there are none; as [`Peer::send`].
    pub async fn published_keys(&self, correlation: &str) -> Result<KeySet, CallFailure> {
        let url = self.below(".well-known/jwks.json")?;
        let (bytes, facts) = self.read(PeerAsk::get(url, None, correlation)).await?;
        let unusable = |_| CallFailure::with(CallEnd::ServerFault, facts).because("it is no key set");
        KeySet::parse(&bytes).map_err(unusable)
    }

    /// Answers a receipt with `claims`, signed with our key as a JWS of this type.
    ///
    /// # Errors
    /// As [`Peer::send`].
    pub async fn answer_receipt(
        &self,
        (url, token): (&Url, &Secret),
        correlation: &str,
        (typ, claims): (&str, &Value),
    ) -> Result<CallFacts, CallFailure> {
        let key = &self.means.identity.signing_key;
        let header = json!({"alg": key.algorithm().name(), "kid": key.kid(), "typ": typ});
        let signed = key.sign(&header, claims);
        let signed = signed.map_err(|error| CallFailure::from(Failure::from(error)))?;
        let ask = PeerAsk {
            url: url.clone(),
            body: Some((JOSE, signed.into_bytes())),
            token: Some(token),
            correlation_id: correlation,
            idempotency_key: None,
        };
        Ok(self.read(ask).await?.1)
    }
}
