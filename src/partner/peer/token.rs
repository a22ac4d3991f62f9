//! Tokens of a partner: SMART Backend Services with a signed assertion, an answer that is read strictly, and how long a token is used.

use super::describe::SmartDocument;
use super::failure::{CallEnd, CallFacts, CallFailure};
use super::{Peer, PeerAsk};
use crate::error::Fault;
use crate::failpoint::{self, SIGN};
use crate::secret::Secret;
use serde::Deserialize;

/// The type of a client assertion (RFC 7523 section 2.2).
const ASSERTION_TYPE: &str = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer";
/// A token is used until this time before its end, milliseconds, so that it does not run out on its way.
const MARGIN_MS: i64 = 15_000;
/// The longest life that is believed, seconds.
const LIFE_MAX_S: i64 = 3_600;

/// What a token is asked for.
#[derive(Clone, Copy, Debug)]
pub struct TokenAsk<'a> {
    /// The scopes.
    pub scopes: &'a [&'a str],
    /// The member for whom alone it is to hold, as `Patient/<id>` or the value of the member identifier.
    pub patient: Option<&'a str>,
    /// The correlation id.
    pub correlation_id: &'a str,
}

/// A token.
#[derive(Clone, Debug)]
pub struct PeerToken {
    /// The token.
    pub secret: Secret,
    /// Until when it is used, UTC milliseconds.
    pub until_ms: i64,
    /// What is known of the answer that brought it, without a digest.
    pub answer: CallFacts,
}

#[derive(Deserialize)]
struct TokenReply {
    access_token: String,
    token_type: String,
    expires_in: Option<i64>,
    scope: Option<String>,
}

impl Peer {
    /// Asks for a token.
    ///
    /// # Errors
    /// [`CallEnd::Trust`] with [`Fault::PartnerElsewhere`] for an endpoint on another origin; [`CallEnd::Refused`] with
    /// [`Fault::PartnerTokenRefused`] or [`Fault::PartnerTokenUnfit`]; as [`Peer::send`].
    pub async fn token(&self, smart: &SmartDocument, ask: TokenAsk<'_>) -> Result<PeerToken, CallFailure> {
        let url = self
            .named(&smart.token_endpoint)
            .map_err(|failure| CallFailure::new(CallEnd::Trust(failure.fault())))?;
        let now_ms = self.means.clock.now_ms();
        let id = self.means.ids.new_id(now_ms);
        let key = &self.means.identity.signing_key;
        let assertion = failpoint::around(SIGN, || {
            key.assertion(&self.client_id, &smart.token_endpoint, now_ms / 1000, &id)
        });
        let assertion = assertion.map_err(|error| CallFailure::from(crate::error::Failure::from(error)))?;
        let scope = ask.scopes.join(" ");
        let mut form = vec![
            ("grant_type", "client_credentials"),
            ("scope", scope.as_str()),
            ("client_assertion_type", ASSERTION_TYPE),
            ("client_assertion", assertion.as_str()),
        ];
        form.extend(ask.patient.map(|patient| ("patient", patient)));
        let body = form_body(&form);
        let request = PeerAsk {
            url,
            body: Some(("application/x-www-form-urlencoded", body)),
            token: None,
            correlation_id: ask.correlation_id,
            idempotency_key: None,
        };
        let (bytes, facts) = match self.read(request).await {
            Ok(answer) => answer,
            // Whatever an authorization server says of a client, repeating the question gives the same answer.
            Err(failure) if matches!(failure.end, CallEnd::Unauthorized | CallEnd::Refused(_)) => {
                return Err(CallFailure {
                    end: CallEnd::Refused(Fault::PartnerTokenRefused),
                    ..failure
                });
            }
            Err(failure) => return Err(failure),
        };
        match read_reply(&bytes, ask.scopes, now_ms) {
            Ok(token) => Ok(PeerToken {
                answer: CallFacts {
                    sent_sha256: None,
                    came_sha256: None,
                    ..facts
                },
                ..token
            }),
            Err(why) => Err(CallFailure::with(CallEnd::Refused(Fault::PartnerTokenUnfit), facts).because(why)),
        }
    }
}

fn form_body(pairs: &[(&str, &str)]) -> Vec<u8> {
    let mut url = reqwest::Url::parse("https://localhost/").ok();
    let mut body = String::new();
    if let Some(url) = &mut url {
        url.query_pairs_mut().extend_pairs(pairs);
        body.push_str(url.query().unwrap_or_default());
    }
    body.into_bytes()
}

/// Reads the answer of a token endpoint. It must say when the token ends, and may grant less than was asked for, never more.
fn read_reply(bytes: &[u8], asked: &[&str], now_ms: i64) -> Result<PeerToken, &'static str> {
    // The parser's own message would quote the token.
    let reply: TokenReply = serde_json::from_slice(bytes).map_err(|_| "it is not a token answer")?;
    let is_plain = |byte: u8| (0x20..0x7f).contains(&byte);
    if reply.access_token.is_empty() || !reply.access_token.bytes().all(is_plain) {
        return Err("it has no token");
    }
    if !reply.token_type.eq_ignore_ascii_case("bearer") {
        return Err("the token is not a bearer token");
    }
    let life_s = reply
        .expires_in
        .filter(|seconds| *seconds > 0)
        .ok_or("it does not say when the token ends")?;
    let granted = reply.scope.as_deref().unwrap_or_default();
    if granted.split_whitespace().any(|scope| !asked.contains(&scope)) {
        return Err("it has a scope that was not asked for");
    }
    let life_ms = life_s.min(LIFE_MAX_S) * 1000;
    Ok(PeerToken {
        secret: Secret::new(reply.access_token),
        until_ms: now_ms + (life_ms - MARGIN_MS).max(life_ms / 2),
        answer: CallFacts::default(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_has_an_end_and_no_scope_that_was_not_asked_for() {
        let read = |text: &str| read_reply(text.as_bytes(), &["a", "b"], 1_000_000).map(|token| token.until_ms);
        for (text, wanted) in [
            (
                r#"{"access_token":"t","token_type":"Bearer","expires_in":300,"scope":"a"}"#,
                Some(1_285_000),
            ),
            (
                r#"{"access_token":"t","token_type":"bearer","expires_in":10,"scope":"b a"}"#,
                Some(1_005_000),
            ),
            (
                r#"{"access_token":"t","token_type":"bearer","expires_in":99999999}"#,
                Some(4_585_000),
            ),
            (r#"{"access_token":"t","token_type":"bearer"}"#, None),
            (r#"{"access_token":"t","token_type":"bearer","expires_in":0}"#, None),
            (r#"{"access_token":"t","token_type":"bearer","expires_in":-5}"#, None),
            (r#"{"access_token":"t","token_type":"bearer","expires_in":"300"}"#, None),
            (
                r#"{"access_token":"t","token_type":"bearer","expires_in":300,"scope":"a c"}"#,
                None,
            ),
            (r#"{"access_token":"t","token_type":"mac","expires_in":300}"#, None),
            (r#"{"access_token":"","token_type":"bearer","expires_in":300}"#, None),
            (
                r#"{"access_token":"a\nb","token_type":"bearer","expires_in":300}"#,
                None,
            ),
            ("{}", None),
            ("<html>", None),
        ] {
            assert_eq!(read(text).ok(), wanted, "{text}");
        }
    }

    #[test]
    fn a_form_is_encoded() {
        assert_eq!(form_body(&[("a", "x y&z=1"), ("b", "é")]), b"a=x+y%26z%3D1&b=%C3%A9");
    }
}
