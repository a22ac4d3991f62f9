//! A requester as another payer would write it: reqwest, a signed assertion, JSON.

use causeway_jose::{Algorithm, SigningKey};
use causeway_sandbox_partner::{RunningSandbox, Sandbox, SandboxMember, SandboxScript};
use reqwest::{Client, RequestBuilder, Response};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use serde_json::{Value, json};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

pub const MATCH_SCOPE: &str = "http://hl7.org/fhir/us/davinci-hrex/OperationDefinition/member-match";
pub const DATA_SCOPE: &str = "system/*.rs";
pub const CLIENT_ID: &str = "new-payer";
pub const NPI: &str = "1992000020";

static JTI: AtomicU64 = AtomicU64::new(1);

/// A sandbox and a client that is registered there.
pub struct Pair {
    pub sandbox: RunningSandbox,
    pub key: SigningKey,
    pub http: Client,
}

/// Starts a sandbox with this script.
pub fn played(toml: &str) -> Pair {
    started(
        SandboxScript::from_toml(toml).unwrap_or_else(|error| panic!("{error}\n{toml}")),
        None,
    )
}

/// Starts a sandbox; `uri` gives the client a certificate with this name.
pub fn started(script: SandboxScript, uri: Option<&str>) -> Pair {
    let key = SigningKey::generate(Algorithm::Es384, "k1").expect("a key");
    let script = script.with_client(CLIENT_ID, json!({ "keys": [key.public_jwk()] }));
    let sandbox = Sandbox::start(script).expect("a sandbox");
    let http = client(&sandbox, uri, Duration::from_secs(180));
    Pair { sandbox, key, http }
}

/// A client that trusts the sandbox's authority and follows nothing.
pub fn client(sandbox: &RunningSandbox, uri: Option<&str>, limit: Duration) -> Client {
    let mut roots = rustls::RootCertStore::empty();
    for certificate in CertificateDer::pem_slice_iter(sandbox.trust_pem().as_bytes()) {
        roots.add(certificate.expect("PEM")).expect("a root");
    }
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let builder = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .expect("TLS versions")
        .with_root_certificates(roots);
    let tls = match uri {
        None => builder.with_no_client_auth(),
        Some(uri) => {
            let issued = sandbox.client_certificate(uri).expect("a certificate");
            let chain = CertificateDer::pem_slice_iter(issued.certificate_pem.as_bytes())
                .map(|one| one.expect("PEM"))
                .collect();
            let key = PrivateKeyDer::from_pem_slice(issued.key_pem.as_bytes()).expect("a key");
            builder.with_client_auth_cert(chain, key).expect("a client certificate")
        }
    };
    Client::builder()
        .tls_backend_preconfigured(tls)
        .redirect(reqwest::redirect::Policy::none())
        .timeout(limit)
        .build()
        .expect("a client")
}

impl Pair {
    pub fn url(&self, path: &str) -> String {
        format!("{}/{path}", self.sandbox.base_url())
    }

    pub fn member(&self) -> SandboxMember {
        self.sandbox.members()[0].clone()
    }

    pub async fn get(&self, path: &str) -> Response {
        self.http.get(self.url(path)).send().await.expect("an answer")
    }

    /// A client assertion; `change` may spoil its claims.
    pub fn assertion(&self, change: impl FnOnce(&mut Value)) -> String {
        let now_s = self.sandbox.control().now_ms() / 1000;
        let jti = format!("jti-{}", JTI.fetch_add(1, Ordering::Relaxed));
        let mut claims = json!({
            "iss": CLIENT_ID, "sub": CLIENT_ID, "aud": self.sandbox.token_url(), "iat": now_s, "exp": now_s + 240, "jti": jti
        });
        change(&mut claims);
        self.key.sign(&self.key.header(), &claims).expect("signed")
    }

    pub fn token_request(&self, assertion: &str, scope: &str) -> RequestBuilder {
        self.http.post(self.sandbox.token_url()).form(&[
            ("grant_type", "client_credentials"),
            (
                "client_assertion_type",
                "urn:ietf:params:oauth:client-assertion-type:jwt-bearer",
            ),
            ("client_assertion", assertion),
            ("scope", scope),
        ])
    }

    pub async fn token(&self, scope: &str) -> String {
        let reply = self
            .token_request(&self.assertion(|_| {}), scope)
            .send()
            .await
            .expect("an answer");
        let status = reply.status();
        let body: Value = reply.json().await.expect("JSON");
        body["access_token"]
            .as_str()
            .unwrap_or_else(|| panic!("{status} {body}"))
            .to_owned()
    }

    pub fn match_body(&self, member: &SandboxMember) -> Value {
        let payer = causeway_sandbox_partner::SandboxPayer::default();
        let now = chrono::DateTime::from_timestamp_millis(self.sandbox.control().now_ms()).expect("a time");
        member.match_parameters(&payer, NPI, now.date_naive())
    }

    pub fn match_request(&self, token: &str, body: &Value) -> RequestBuilder {
        self.http
            .post(self.url("Patient/$member-match"))
            .bearer_auth(token)
            .header("content-type", "application/fhir+json")
            .body(body.to_string())
    }

    /// Matches the first member and returns a token for its data.
    pub async fn matched(&self) -> String {
        self.matched_with(&self.member()).await
    }

    pub async fn matched_with(&self, member: &SandboxMember) -> String {
        let token = self.token(MATCH_SCOPE).await;
        let reply = self
            .match_request(&token, &self.match_body(member))
            .send()
            .await
            .expect("an answer");
        assert_eq!(reply.status(), 200, "{:?}", reply.text().await);
        self.token(DATA_SCOPE).await
    }

    pub fn data(&self, token: &str, path: &str) -> RequestBuilder {
        self.http.get(self.url(path)).bearer_auth(token)
    }

    pub fn everything(&self, token: &str) -> RequestBuilder {
        self.data(token, &format!("Patient/{}/$everything", self.member().patient_id))
    }
}

/// The resources of a Bundle that matched.
pub fn resources(bundle: &Value) -> Vec<Value> {
    let entries = bundle["entry"].as_array().into_iter().flatten();
    entries
        .filter(|entry| entry["search"]["mode"] == "match")
        .map(|entry| entry["resource"].clone())
        .collect()
}

/// The URL of a link.
pub fn link<'a>(bundle: &'a Value, relation: &str) -> Option<&'a str> {
    let links = bundle["link"].as_array()?;
    links.iter().find(|link| link["relation"] == relation)?["url"].as_str()
}
