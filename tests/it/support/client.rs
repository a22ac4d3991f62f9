//! A partner as the tests play it: certificate, signing key, tokens, and answers that can be asked questions.

use super::assertion::{Assertion, ClientKey};
use super::pki::Pair;
use causeway::error::Fault;
use reqwest::header::{CONTENT_TYPE, HeaderMap};
use serde_json::Value;
use std::time::{Duration, Instant};

pub const MATCH_SCOPE: &str = "http://hl7.org/fhir/us/davinci-hrex/OperationDefinition/member-match";
pub const ALL_SCOPES: &str = "system/*.rs http://hl7.org/fhir/us/davinci-hrex/OperationDefinition/member-match";

/// How long a client waits for an answer: longer than a busy machine needs.
pub const PATIENCE: Duration = Duration::from_secs(120);

/// A partner's side of the wire.
pub struct Client {
    pub http: reqwest::Client,
    pub id: String,
    pub key: ClientKey,
    /// Base of the server without `/fhir`.
    pub origin: String,
}

/// An HTTP client that trusts `ca` and presents `identity`. What a test did not use for almost as long as the server keeps it, a minute, it does not
/// use again.
pub fn http(ca: &str, identity: Option<&Pair>) -> reqwest::Client {
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    let mut builder = reqwest::Client::builder()
        .tls_certs_only([reqwest::Certificate::from_pem(ca.as_bytes()).expect("a certificate")])
        .timeout(PATIENCE)
        .pool_idle_timeout(Duration::from_secs(50));
    if let Some(pair) = identity {
        let pem = format!("{}{}", pair.certificate, pair.key);
        builder = builder.identity(reqwest::Identity::from_pem(pem.as_bytes()).expect("an identity"));
    }
    builder.build().expect("a client")
}

impl Client {
    pub fn assertion(&self) -> Assertion {
        Assertion::of(&self.id, &format!("{}/oauth/token", self.origin), &self.key.kid)
    }

    /// Posts this assertion for this scope.
    pub async fn ask_token(&self, assertion: &str, scope: &str) -> Reply {
        let form = [
            ("grant_type", "client_credentials"),
            ("scope", scope),
            (
                "client_assertion_type",
                "urn:ietf:params:oauth:client-assertion-type:jwt-bearer",
            ),
            ("client_assertion", assertion),
        ];
        let sent = self
            .http
            .post(format!("{}/oauth/token", self.origin))
            .form(&form)
            .send()
            .await;
        Reply::of(sent.expect("an answer")).await
    }

    /// A token for `scope`.
    pub async fn token(&self, scope: &str) -> String {
        let reply = self.ask_token(&self.assertion().sign(&self.key), scope).await;
        reply.assert_status(200);
        reply.json()["access_token"].as_str().expect("a token").to_owned()
    }

    /// Takes another token for all scopes when the one that was made then grows old: it lives for five minutes, and a busy machine may need
    /// more for a test of many requests.
    pub async fn renew(&self, token: &mut String, made: &mut Instant) {
        if made.elapsed() > Duration::from_secs(100) {
            *made = Instant::now();
            *token = self.token(ALL_SCOPES).await;
        }
    }

    /// `POST Patient/$member-match` with these bytes.
    pub async fn post_match(&self, token: &str, body: impl Into<reqwest::Body>, headers: &[(&str, &str)]) -> Reply {
        self.try_match(token, body, headers).await.expect("an answer")
    }

    /// The same, when the server may go away.
    pub async fn try_match(
        &self,
        token: &str,
        body: impl Into<reqwest::Body>,
        headers: &[(&str, &str)],
    ) -> reqwest::Result<Reply> {
        let mut request = self
            .http
            .post(format!("{}/fhir/Patient/$member-match", self.origin))
            .bearer_auth(token);
        if !headers
            .iter()
            .any(|(name, _)| name.eq_ignore_ascii_case("content-type"))
        {
            request = request.header(CONTENT_TYPE, "application/fhir+json");
        }
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let sent = request.body(body).send().await?;
        let (status, headers) = (sent.status().as_u16(), sent.headers().clone());
        Ok(Reply {
            status,
            headers,
            body: sent.bytes().await?.to_vec(),
        })
    }

    /// `GET` below the FHIR base.
    pub async fn get(&self, token: &str, path: &str) -> Reply {
        let sent = self
            .http
            .get(format!("{}/fhir/{path}", self.origin))
            .bearer_auth(token)
            .send()
            .await;
        Reply::of(sent.expect("an answer")).await
    }
}

/// An answer.
#[derive(Debug)]
pub struct Reply {
    pub status: u16,
    pub headers: HeaderMap,
    pub body: Vec<u8>,
}

impl Reply {
    pub async fn of(response: reqwest::Response) -> Reply {
        let (status, headers) = (response.status().as_u16(), response.headers().clone());
        Reply {
            status,
            headers,
            body: response.bytes().await.expect("a whole body").to_vec(),
        }
    }

    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    #[track_caller]
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|error| panic!("{error} in {}", self.text()))
    }

    pub fn header(&self, name: &str) -> &str {
        self.headers
            .get(name)
            .and_then(|value| value.to_str().ok())
            .unwrap_or("")
    }

    /// Waits as long as the answer says, if it says that its asker is too fast; `false` when it says anything else.
    pub async fn is_throttled(&self) -> bool {
        if self.status != 429 {
            return false;
        }
        let seconds = self.header("retry-after").parse().expect("seconds");
        tokio::time::sleep(Duration::from_secs(seconds)).await;
        true
    }

    #[track_caller]
    pub fn assert_status(&self, status: u16) {
        assert_eq!(self.status, status, "{}", self.text());
    }

    /// The answer is the OperationOutcome of this fault, with its code, severity and remedy.
    #[track_caller]
    pub fn assert_outcome(&self, fault: Fault) {
        let row = fault.row();
        assert_eq!(self.status, row.http, "{}", self.text());
        assert!(
            self.header("content-type").starts_with("application/fhir+json"),
            "{:?}",
            self.headers
        );
        let outcome = self.json();
        assert_eq!(outcome["resourceType"], "OperationOutcome");
        let issue = &outcome["issue"][0];
        let coding = &issue["details"]["coding"][0];
        assert_eq!(
            (coding["code"].as_str(), issue["code"].as_str()),
            (Some(row.code), Some(row.issue)),
            "{}",
            self.text()
        );
        assert!(
            coding["system"]
                .as_str()
                .is_some_and(|system| system.ends_with("/CodeSystem/causeway-fault"))
        );
        assert_eq!(issue["severity"], row.severity.code());
        assert!(issue["diagnostics"].as_str().is_some_and(|text| !text.is_empty()));
    }

    /// The answer is this OAuth error, with our code at the end of its description.
    #[track_caller]
    pub fn assert_oauth(&self, status: u16, error: &str, fault: Fault) {
        self.assert_status(status);
        let body = self.json();
        assert_eq!(body["error"], error, "{}", self.text());
        let description = body["error_description"].as_str().unwrap_or("");
        assert!(description.ends_with(&format!("[{}]", fault.code())), "{}", self.text());
    }
}
