//! One other payer's server, as this server calls it: mutual TLS, one origin, no redirects, and limits on everything that comes.
//!
//! Tokens and the client certificate go to the registered origin alone (`docs/threats.md` E03). Only public addresses are dialed, judged on
//! the address that is dialed (E01, E02). Nothing here repeats a call: that is the exchange's to decide.

mod body;
mod bulk;
mod describe;
mod failure;
mod issues;
mod limits;
mod receipt;
mod token;

pub use body::PeerBody;
pub use bulk::{BulkManifest, BulkPoll, FileBody, ManifestFile, ManifestReceipt};
pub use describe::{PeerOffer, SmartDocument};
pub use failure::{CallEnd, CallFacts, CallFailure};
pub use limits::PeerLimits;
pub use token::{PeerToken, TokenAsk};

use crate::clock::Clock;
use crate::error::{Failure, Fault};
use crate::failpoint::{self, AFTER, BEFORE, SEND};
use crate::ids::Ids;
use crate::partner::client::Identity;
use crate::secret::{Secret, random_of_many, sha256};
use crate::security::address::{GuardedResolver, check_url};
use crate::telemetry::spans::{self, SpanContext, SpanNote};
use reqwest::Url;
use reqwest::header::{ACCEPT, AUTHORIZATION, CONTENT_ENCODING, CONTENT_TYPE, HeaderMap, HeaderValue};
use serde::Deserialize;
use std::sync::Arc;

const FHIR_JSON: &str = "application/fhir+json";

/// Where a partner's server is, as the registration has it.
#[derive(Clone, Debug, Deserialize, PartialEq, Eq)]
pub struct PeerEndpoint {
    /// FHIR base URL, without a slash at its end.
    pub fhir: String,
    /// PEM of the authorities of its server; `None` for those of the system.
    pub trust: Option<String>,
    /// The client id of this server there; `None` for the one of the configuration.
    pub client_id: Option<String>,
}

impl PeerEndpoint {
    /// Reads the endpoint of a registration.
    ///
    /// # Errors
    /// [`Fault::PartnerHasNoEndpoint`] when there is none.
    pub fn read(json: Option<&str>) -> Result<PeerEndpoint, Failure> {
        json.and_then(|text| serde_json::from_str(text).ok())
            .ok_or_else(|| Fault::PartnerHasNoEndpoint.into())
    }
}

/// What of this process a peer is called with.
#[derive(Clone)]
pub struct PeerMeans {
    /// Who we are toward partners.
    pub identity: Arc<Identity>,
    /// The limits of calls.
    pub limits: PeerLimits,
    /// Whether addresses of this machine may be called; only for a server that no other machine can reach.
    pub loopback: bool,
    /// The clock.
    pub clock: Clock,
    /// The source of ids.
    pub ids: Ids,
}

/// A partner's server. Clones share its connections.
#[derive(Clone)]
pub struct Peer {
    http: reqwest::Client,
    base: Url,
    client_id: String,
    means: PeerMeans,
}

/// What is sent.
pub struct PeerAsk<'a> {
    /// The URL.
    pub url: Url,
    /// The body of a POST with its media type; `None` for a GET.
    pub body: Option<(&'static str, Vec<u8>)>,
    /// The token, if one is sent.
    pub token: Option<&'a Secret>,
    /// The correlation id.
    pub correlation_id: &'a str,
    /// The idempotency key, for a call that may change something.
    pub idempotency_key: Option<&'a str>,
}

impl<'a> PeerAsk<'a> {
    /// A GET.
    pub fn get(url: Url, token: Option<&'a Secret>, correlation_id: &'a str) -> PeerAsk<'a> {
        PeerAsk {
            url,
            body: None,
            token,
            correlation_id,
            idempotency_key: None,
        }
    }
}

fn own(fault: Fault) -> CallFailure {
    CallFailure::new(CallEnd::Own(fault))
}

impl Peer {
    /// Makes a client of the server at `endpoint`; nothing is sent.
    ///
    /// # Errors
    /// [`Fault::PartnerHasNoEndpoint`] when its URL may not be called; [`Fault::ConfigInvalid`] when a certificate or key cannot be used.
    pub fn new(endpoint: &PeerEndpoint, means: &PeerMeans) -> Result<Peer, Failure> {
        let base = check_url(&endpoint.fhir, means.loopback).map_err(|why| {
            Failure::new(Fault::PartnerHasNoEndpoint)
                .at("endpoint.fhir")
                .because(why)
        })?;
        let unusable = |what: &'static str| {
            move |error: reqwest::Error| Failure::new(Fault::ConfigInvalid).at(what).because(error.without_url())
        };
        let identity = &means.identity;
        let pem = format!(
            "{}\n{}",
            identity.certificate_pem,
            identity.certificate_key_pem.expose()
        );
        let mut client = reqwest::Client::builder()
            .redirect(reqwest::redirect::Policy::none())
            .http1_only()
            .https_only(true)
            .no_proxy()
            .connect_timeout(means.limits.connect)
            .dns_resolver(GuardedResolver {
                loopback: means.loopback,
            })
            .identity(reqwest::Identity::from_pem(pem.as_bytes()).map_err(unusable("certificate"))?)
            .user_agent(concat!("causeway/", env!("CARGO_PKG_VERSION")));
        if let Some(trust) = &endpoint.trust {
            let roots = reqwest::Certificate::from_pem_bundle(trust.as_bytes()).map_err(unusable("endpoint.trust"))?;
            client = client.tls_certs_only(roots);
        }
        Ok(Peer {
            http: client.build().map_err(unusable("endpoint"))?,
            base,
            client_id: endpoint.client_id.clone().unwrap_or_else(|| identity.client_id.clone()),
            means: means.clone(),
        })
    }

    /// The limits of calls.
    pub fn limits(&self) -> &PeerLimits {
        &self.means.limits
    }

    /// The client id of this server there.
    pub fn client_id(&self) -> &str {
        &self.client_id
    }

    /// The FHIR base URL.
    pub fn base(&self) -> &str {
        self.base.as_str().trim_end_matches('/')
    }

    /// The URL of something below the FHIR base.
    ///
    /// # Errors
    /// [`Fault::Internal`] for a path that makes no URL.
    pub fn below(&self, path: &str) -> Result<Url, Failure> {
        Url::parse(&format!("{}/{path}", self.base())).map_err(|error| Failure::new(Fault::Internal).because(error))
    }

    /// Reads a URL that the partner names; a relative one is below the FHIR base.
    ///
    /// # Errors
    /// [`Fault::PartnerElsewhere`] when it is not on the registered origin.
    pub fn named(&self, text: &str) -> Result<Url, Failure> {
        let elsewhere = || Failure::new(Fault::PartnerElsewhere);
        let below = Url::parse(&format!("{}/", self.base())).map_err(|_| elsewhere())?;
        let url = below.join(text).map_err(|_| elsewhere())?;
        let plain = url.username().is_empty() && url.password().is_none() && url.scheme() == "https";
        match plain && url.origin() == self.base.origin() {
            true => Ok(url),
            false => Err(elsewhere()),
        }
    }

    /// Sends a request and returns the body of its answer, of which at most `most` bytes will be taken.
    ///
    /// # Errors
    /// A [`CallFailure`], also for every status but 200.
    pub async fn send(&self, ask: PeerAsk<'_>, most: u64) -> Result<PeerBody, CallFailure> {
        let sent = ask.body.as_ref().map(|(_, bytes)| sha256(bytes));
        let answer = self.execute(self.request(ask)?).await?;
        let (status, headers) = (answer.status(), answer.headers());
        if status != reqwest::StatusCode::OK {
            return Err(self.refusal(answer, sent).await);
        }
        let facts = failure::facts(status, headers, sent);
        if let Some(why) = unreadable(headers) {
            return Err(CallFailure::with(CallEnd::ServerFault, facts).because(why));
        }
        Ok(PeerBody::new(answer, self.means.limits, most, facts))
    }

    /// Sends a request and returns the head of its answer, whatever it says.
    async fn execute(&self, request: reqwest::Request) -> Result<reqwest::Response, CallFailure> {
        failpoint::pass(SEND, BEFORE);
        let answered = tokio::time::timeout(self.means.limits.head, self.http.execute(request)).await;
        failpoint::pass(SEND, AFTER);
        match answered {
            Err(_) => {
                spans::note(SpanNote::Timeout, Vec::new());
                Err(CallFailure::new(CallEnd::Unknown).because("no answer came"))
            }
            Ok(Err(error)) => Err(failure::of_transport(error)),
            Ok(Ok(answer)) => Ok(answer),
        }
    }

    /// The failure that an answer means which is not the one that was wanted.
    async fn refusal(&self, answer: reqwest::Response, sent: Option<[u8; 32]>) -> CallFailure {
        let (status, headers) = (answer.status(), answer.headers());
        let mut failed = failure::of_status(status, headers, failure::facts(status, headers, sent));
        if let CallEnd::Refused(_) = failed.end {
            // The partner's words, for whoever must tell refusals apart; a body that does not come changes nothing.
            let limits = self.means.limits;
            let body = PeerBody::new(answer, limits, limits.small_bytes, (*failed.facts).clone());
            if let Ok((bytes, facts)) = body.whole().await {
                failed.facts = Box::new(facts);
                failed.issues = issues::issues(&bytes);
            }
        }
        failed
    }

    fn request(&self, ask: PeerAsk<'_>) -> Result<reqwest::Request, CallFailure> {
        if ask.url.origin() != self.base.origin() {
            return Err(CallFailure::new(CallEnd::Trust(Fault::PartnerElsewhere)));
        }
        let mut headers = HeaderMap::new();
        let value = |text: &str| HeaderValue::from_str(text).map_err(|_| own(Fault::Internal));
        headers.insert(ACCEPT, HeaderValue::from_static(FHIR_JSON));
        if !ask.correlation_id.is_empty() {
            headers.insert("x-correlation-id", value(ask.correlation_id)?);
            headers.insert("traceparent", value(&context(ask.correlation_id).text())?);
        }
        if let Some(key) = ask.idempotency_key {
            headers.insert("idempotency-key", value(&format!("\"{key}\""))?);
        }
        if let Some(token) = ask.token {
            let mut bearer = value(&format!("Bearer {}", token.expose()))?;
            bearer.set_sensitive(true);
            headers.insert(AUTHORIZATION, bearer);
        }
        let request = match ask.body {
            None => self.http.get(ask.url),
            Some((media_type, bytes)) => self.http.post(ask.url).header(CONTENT_TYPE, media_type).body(bytes),
        };
        let request = request.headers(headers);
        request
            .build()
            .map_err(|error| own(Fault::Internal).because(error.without_url()))
    }

    /// Sends a request and reads its answer, which is small.
    ///
    /// # Errors
    /// As [`Peer::send`] and [`PeerBody::next`].
    pub async fn read(&self, ask: PeerAsk<'_>) -> Result<(Vec<u8>, CallFacts), CallFailure> {
        let most = self.means.limits.small_bytes;
        match self.send(ask, most).await?.whole().await {
            // A small answer that is too large is one that cannot be read.
            Err(failure) if failure.end == CallEnd::Refused(Fault::PartnerTooMuch) => Err(CallFailure {
                end: CallEnd::ServerFault,
                ..failure
            }),
            other => other,
        }
    }
}

/// The place in a trace that a call tells the partner: the span that is open here. Without one it is a new span, which nobody keeps, in the
/// trace of the correlation id.
fn context(correlation_id: &str) -> SpanContext {
    spans::current().unwrap_or_else(|| SpanContext {
        trace: spans::trace_of(correlation_id),
        span: random_of_many(),
        is_kept: false,
    })
}

/// Why the head of an answer says that its body cannot be read.
fn unreadable(headers: &HeaderMap) -> Option<&'static str> {
    let text = |name| {
        headers
            .get(name)
            .map(|value| value.to_str().unwrap_or("?").to_ascii_lowercase())
    };
    if text(CONTENT_ENCODING).is_some_and(|encoding| encoding != "identity") {
        return Some("the body is encoded, which was not asked for");
    }
    let Some(media_type) = text(CONTENT_TYPE) else {
        return Some("the answer has no media type");
    };
    let mut parts = media_type.split(';').map(str::trim);
    let is_json = matches!(parts.next(), Some("application/fhir+json" | "application/json"));
    let charset = parts.find_map(|part| part.strip_prefix("charset="));
    let is_utf8 = charset.is_none_or(|charset| charset.trim_matches('"') == "utf-8");
    match (is_json, is_utf8) {
        (true, true) => None,
        (false, _) => Some("the answer is not JSON"),
        (true, false) => Some("the answer is not UTF-8"),
    }
}

#[cfg(test)]
pub(crate) mod tests;
