//! This server as a client of another payer: mutual TLS, SMART Backend Services, `$member-match`, `$everything`.
//!
//! Redirects are never followed, and token and certificate are only sent to the registered origin (`docs/threats.md` E03).

use crate::clock::Clock;
use crate::error::{Failure, Fault};
use crate::ids::Ids;
use crate::secret::Secret;
use causeway_jose::SigningKey;
use openidconnect::core::{CoreClient, CoreJsonWebKeySet};
use openidconnect::{AuthType, ClientId, IssuerUrl, JsonWebKeySet, OAuth2TokenResponse as _, Scope, TokenUrl};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use serde::Deserialize;
use serde_json::Value;
use std::sync::Arc;
use std::time::Duration;

/// The type of a client assertion (RFC 7523 section 2.2).
const ASSERTION_TYPE: &str = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer";

/// The identity of this server toward the other payer.
pub struct Identity {
    /// The client id under which this server is registered there.
    pub client_id: String,
    /// Signs this server's assertions; the public half is registered there.
    pub signing_key: SigningKey,
    /// PEM chain of this server's client certificate.
    pub certificate_pem: String,
    /// PEM of the certificate's key.
    pub certificate_key_pem: Secret,
}

/// The answer of the other payer to one call.
pub struct PeerReply {
    /// HTTP status.
    pub status: u16,
    /// The peer's `X-Request-Id`.
    pub request_id: String,
    /// Where the status of work is that was begun (`Content-Location`); empty when there is none.
    pub status_url: String,
    /// The body.
    pub body: Vec<u8>,
}

impl PeerReply {
    /// Parses the body as JSON.
    ///
    /// # Errors
    /// [`Fault::PartnerAnswer`] when it is not JSON.
    pub fn json(&self) -> Result<Value, Failure> {
        serde_json::from_slice(&self.body).map_err(|error| Failure::new(Fault::PartnerAnswer).because(error))
    }
}

/// The members of the SMART discovery document that a client needs.
#[derive(Clone, Debug, Deserialize)]
pub struct SmartConfiguration {
    /// The URL of the token endpoint.
    pub token_endpoint: String,
    /// The signature algorithms that it accepts.
    #[serde(default)]
    pub token_endpoint_auth_signing_alg_values_supported: Vec<String>,
}

/// A client of one other payer.
pub struct PeerClient {
    http: reqwest::Client,
    base_url: String,
    identity: Identity,
    clock: Clock,
    ids: Ids,
}

impl PeerClient {
    /// Makes a client for the FHIR base URL `base_url` that trusts only the authorities in `trust_pem`.
    ///
    /// # Errors
    /// [`Fault::ConfigInvalid`] when a certificate or key cannot be used.
    pub fn new(
        base_url: &str,
        trust_pem: &str,
        identity: Identity,
        clock: Clock,
        ids: Ids,
    ) -> Result<PeerClient, Failure> {
        let unusable = |what: &'static str| {
            move |error: rustls::pki_types::pem::Error| {
                Failure::new(Fault::ConfigInvalid).at(what).because(error.to_string())
            }
        };
        let mut roots = rustls::RootCertStore::empty();
        for certificate in CertificateDer::pem_slice_iter(trust_pem.as_bytes()) {
            let certificate = certificate.map_err(unusable("trust"))?;
            roots
                .add(certificate)
                .map_err(|error| Failure::new(Fault::ConfigInvalid).at("trust").because(error))?;
        }
        let chain = CertificateDer::pem_slice_iter(identity.certificate_pem.as_bytes())
            .collect::<Result<Vec<_>, _>>()
            .map_err(unusable("certificate"))?;
        let key =
            PrivateKeyDer::from_pem_slice(identity.certificate_key_pem.expose().as_bytes()).map_err(unusable("key"))?;
        let tls = rustls::ClientConfig::builder()
            .with_root_certificates(Arc::new(roots))
            .with_client_auth_cert(chain, key)
            .map_err(|error| Failure::new(Fault::ConfigInvalid).at("certificate").because(error))?;
        let http = reqwest::Client::builder()
            .tls_backend_preconfigured(tls)
            .http1_only()
            .https_only(true)
            .redirect(reqwest::redirect::Policy::none())
            .connect_timeout(Duration::from_secs(5))
            .timeout(Duration::from_secs(60))
            .build()
            .map_err(|error| Failure::new(Fault::ConfigInvalid).because(error))?;
        Ok(PeerClient {
            http,
            base_url: base_url.to_owned(),
            identity,
            clock,
            ids,
        })
    }

    /// Reads the SMART discovery document.
    ///
    /// # Errors
    /// [`Fault::PartnerUnreachable`], [`Fault::PartnerAnswer`].
    pub async fn discover(&self) -> Result<SmartConfiguration, Failure> {
        let url = format!("{}/.well-known/smart-configuration", self.base_url);
        let reply = self.send(self.http.get(url), "").await?;
        serde_json::from_value(reply.json()?).map_err(|error| Failure::new(Fault::PartnerAnswer).because(error))
    }

    /// Requests a token with these scopes, restricted to `patient` when that is given.
    ///
    /// # Errors
    /// [`Fault::PartnerUnreachable`]; [`Fault::PartnerAnswer`] when the token is refused.
    pub async fn token(
        &self,
        configuration: &SmartConfiguration,
        scopes: &[&str],
        patient: Option<&str>,
    ) -> Result<Secret, Failure> {
        let origin = |url: &str| reqwest::Url::parse(url).map(|url| url.origin()).ok();
        if origin(&configuration.token_endpoint) != origin(&self.base_url) {
            return Err(Failure::new(Fault::PartnerAnswer)
                .at("token_endpoint")
                .remedy("The other payer names a token endpoint on another host than the one that is registered: ask its operator."));
        }
        let unusable =
            |error: openidconnect::url::ParseError| Failure::new(Fault::PartnerAnswer).because(error.to_string());
        let issuer = IssuerUrl::new(self.base_url.clone()).map_err(unusable)?;
        let token_url = TokenUrl::new(configuration.token_endpoint.clone()).map_err(unusable)?;
        let keys: CoreJsonWebKeySet = JsonWebKeySet::new(Vec::new());
        let client = CoreClient::new(ClientId::new(self.identity.client_id.clone()), issuer, keys)
            .set_token_uri(token_url)
            .set_auth_type(AuthType::RequestBody);
        let assertion = self.assertion(&configuration.token_endpoint)?;
        let mut request = client
            .exchange_client_credentials()
            .add_scopes(scopes.iter().map(|scope| Scope::new((*scope).to_owned())))
            .add_extra_param("client_assertion_type", ASSERTION_TYPE)
            .add_extra_param("client_assertion", assertion);
        if let Some(patient) = patient {
            request = request.add_extra_param("patient", patient.to_owned());
        }
        let send = |request: openidconnect::HttpRequest| {
            let http = self.http.clone();
            async move {
                let reply = http.execute(request.try_into()?).await?;
                let mut response = openidconnect::http::Response::new(Vec::new());
                *response.status_mut() = reply.status();
                *response.headers_mut() = reply.headers().clone();
                *response.body_mut() = reply.bytes().await?.to_vec();
                Ok::<_, reqwest::Error>(response)
            }
        };
        let answer = request.request_async(&send).await.map_err(|error| match error {
            openidconnect::RequestTokenError::Request(cause) => {
                Failure::new(Fault::PartnerUnreachable).because(cause.without_url())
            }
            other => Failure::new(Fault::PartnerAnswer).because(other.to_string()),
        })?;
        Ok(Secret::new(answer.access_token().secret()))
    }

    /// Posts a `$member-match` request body.
    ///
    /// # Errors
    /// [`Fault::PartnerUnreachable`]. A refused match is returned as a reply.
    pub async fn member_match(
        &self,
        token: &Secret,
        body: Vec<u8>,
        correlation_id: &str,
        idempotency_key: &str,
    ) -> Result<PeerReply, Failure> {
        let request = self
            .http
            .post(format!("{}/Patient/$member-match", self.base_url))
            .bearer_auth(token.expose())
            .header("content-type", "application/fhir+json")
            .header("accept", "application/fhir+json")
            .header("idempotency-key", format!("\"{idempotency_key}\""))
            .body(body);
        self.send(request, correlation_id).await
    }

    /// Fetches a member's whole record by `$everything`.
    ///
    /// # Errors
    /// [`Fault::PartnerUnreachable`], also when the answer ends early.
    pub async fn everything(
        &self,
        token: &Secret,
        patient_id: &str,
        correlation_id: &str,
    ) -> Result<PeerReply, Failure> {
        let request = self
            .http
            .get(format!("{}/Patient/{patient_id}/$everything", self.base_url))
            .bearer_auth(token.expose())
            .header("accept", "application/fhir+json");
        self.send(request, correlation_id).await
    }

    /// Asks for work over many members (`Prefer: respond-async`) at this path: with a body by POST, without one by GET.
    ///
    /// # Errors
    /// [`Fault::PartnerUnreachable`]. A refusal is returned as a reply.
    pub async fn kick_off(
        &self,
        token: &Secret,
        path: &str,
        body: Option<Vec<u8>>,
        correlation_id: &str,
    ) -> Result<PeerReply, Failure> {
        let url = format!("{}/{path}", self.base_url);
        let request = match body {
            None => self.http.get(url),
            Some(body) => self
                .http
                .post(url)
                .header("content-type", "application/fhir+json")
                .body(body),
        };
        let request = request
            .bearer_auth(token.expose())
            .header("accept", "application/fhir+json")
            .header("prefer", "respond-async");
        self.send(request, correlation_id).await
    }

    /// Fetches a status or a file at an address that the other payer gave.
    ///
    /// # Errors
    /// [`Fault::PartnerAnswer`] for an address outside the registered one, where no token is sent; [`Fault::PartnerUnreachable`].
    pub async fn fetch(&self, token: &Secret, url: &str, correlation_id: &str) -> Result<PeerReply, Failure> {
        if !url
            .strip_prefix(&self.base_url)
            .is_some_and(|rest| rest.starts_with('/'))
        {
            return Err(Failure::new(Fault::PartnerAnswer).remedy("The other payer names an address elsewhere."));
        }
        self.send(self.http.get(url).bearer_auth(token.expose()), correlation_id)
            .await
    }

    fn assertion(&self, audience: &str) -> Result<String, Failure> {
        let now_ms = self.clock.now_ms();
        let jti = self.ids.new_id(now_ms);
        let key = &self.identity.signing_key;
        Ok(key.assertion(&self.identity.client_id, audience, now_ms / 1000, &jti)?)
    }

    async fn send(&self, request: reqwest::RequestBuilder, correlation_id: &str) -> Result<PeerReply, Failure> {
        let request = if correlation_id.is_empty() {
            request
        } else {
            request.header("x-correlation-id", correlation_id)
        };
        let unreachable = |error: reqwest::Error| Failure::new(Fault::PartnerUnreachable).because(error.without_url());
        let reply = request.send().await.map_err(unreachable)?;
        let header = |name: &str| {
            let value = reply.headers().get(name).and_then(|value| value.to_str().ok());
            value.unwrap_or("").to_owned()
        };
        let (request_id, status_url) = (header("x-request-id"), header("content-location"));
        let status = reply.status().as_u16();
        Ok(PeerReply {
            status,
            request_id,
            status_url,
            body: reply.bytes().await.map_err(unreachable)?.to_vec(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::security::dev_pki::{Leaf, issue_ca, self_signed};
    use causeway_jose::Algorithm;

    #[test]
    fn one_origin_may_be_written_in_two_ways() {
        let origin = |url: &str| reqwest::Url::parse(url).expect("a URL").origin();
        assert_eq!(
            origin("https://payer.example:443/token"),
            origin("https://Payer.example/fhir")
        );
    }

    #[tokio::test]
    async fn an_assertion_goes_to_the_registered_origin_alone() {
        let ca = issue_ca("Another payer", 1_798_761_600_000).expect("an authority");
        let issued = self_signed(&Leaf::client("https://we.example/fhir", 1_798_761_600_000)).expect("a certificate");
        let identity = Identity {
            client_id: "we".into(),
            signing_key: SigningKey::generate(Algorithm::Es384, "k1").expect("a key"),
            certificate_pem: issued.certificate_pem,
            certificate_key_pem: Secret::new(&issued.key_pem),
        };
        let peer = PeerClient::new(
            "https://payer.example/fhir",
            ca.certificate_pem(),
            identity,
            Clock::System,
            Ids::random(),
        )
        .expect("a client");
        for endpoint in [
            "https://elsewhere.example/token",
            "https://payer.example.elsewhere.example/token",
            "https://payer.example:444/token",
            "http://payer.example/token",
        ] {
            let configuration = SmartConfiguration {
                token_endpoint: endpoint.into(),
                token_endpoint_auth_signing_alg_values_supported: Vec::new(),
            };
            let refused = peer
                .token(&configuration, &["system/*.rs"], None)
                .await
                .expect_err(endpoint);
            assert_eq!(
                (refused.fault(), refused.expressions()),
                (Fault::PartnerAnswer, &["token_endpoint".to_owned()][..])
            );
        }
    }
}
