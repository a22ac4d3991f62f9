//! What the OAuth endpoints share: their settings, the authentication of a client by its assertion, and their errors.

use super::assertion::{Assertion, SKEW_S, Verified, Why};
use super::certificate::PeerCertificate;
use super::form::Form;
use super::jwk::{Algorithm, KeySet, PublicKey};
use super::keyring::Keyring;
use super::refusals::Refusals;
use super::signing::SigningKey;
use super::throttle::{self, Throttle};
use super::tls::Revocations;
use crate::audit::{Action, Actor};
use crate::config::Config;
use crate::context::Context;
use crate::error::{Failure, Fault};
use crate::store::partners::{self, PartnerRow};
use crate::telemetry::Correlation;
use serde_json::json;
use std::net::IpAddr;
use std::sync::{Arc, OnceLock};

/// `client_assertion_type` of RFC 7523.
const ASSERTION_TYPE: &str = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer";

/// What the OAuth endpoints and discovery need beside the context. Clones share keys and counters.
#[derive(Clone)]
pub struct OauthSettings {
    /// FHIR base URL.
    pub base_url: String,
    /// Address of the token endpoint: the one audience of assertions.
    pub token_url: String,
    /// Address of the introspection endpoint.
    pub introspection_url: String,
    /// Address of the revocation endpoint.
    pub revocation_url: String,
    /// Life of an access token.
    pub access_token_seconds: u32,
    /// Whether client certificates are asked for, and so tokens bound.
    pub client_certificates: bool,
    /// Partners' keys.
    pub keyring: Keyring,
    /// Recorded refusals.
    pub refusals: Refusals,
    /// Failed requests of each client.
    pub throttle: Throttle,
    /// Revoked client certificates.
    pub revocations: Revocations,
}

impl OauthSettings {
    /// The settings of this configuration: endpoints under the base URL's origin. `revocations` comes from the listener.
    pub fn new(config: &Config, revocations: Revocations) -> OauthSettings {
        let origin = config.server.origin();
        OauthSettings {
            base_url: config.server.base_url.clone(),
            token_url: format!("{origin}/oauth/token"),
            introspection_url: format!("{origin}/oauth/introspect"),
            revocation_url: format!("{origin}/oauth/revoke"),
            access_token_seconds: config.oauth.access_token_seconds,
            client_certificates: !config.tls.client_ca.is_empty(),
            keyring: Keyring::new(config.oauth.allow_loopback_jwks),
            refusals: Refusals::default(),
            throttle: Throttle::new(config.limits.token_failures, config.limits.token_failures_window),
            revocations,
        }
    }
}

/// The raw request of any OAuth endpoint.
pub struct OauthRequest<'a> {
    /// The body's bytes.
    pub body: &'a [u8],
    /// `Content-Type`, if sent.
    pub content_type: Option<&'a str>,
    /// Whether the URL had a query.
    pub has_query: bool,
    /// The `Authorization` header, if sent.
    pub authorization: Option<&'a str>,
    /// The certificate of this connection.
    pub certificate: Option<&'a PeerCertificate>,
    /// The address that the connection comes from.
    pub address: Option<IpAddr>,
    /// The ids of this request.
    pub correlation: Correlation,
}

impl OauthRequest<'_> {
    /// The form, read strictly; nothing in the query.
    pub(super) fn form(&self) -> Result<Form, Failure> {
        if self.has_query {
            return Err(Failure::new(Fault::OauthRequest).at("query"));
        }
        Form::parse(self.content_type, self.body)
    }
}

/// A client that proved who it is.
pub(super) struct Client {
    pub partner: PartnerRow,
    pub verified: Verified,
    /// The certificate a token is to be bound to.
    pub bind: Option<[u8; 32]>,
}

impl Client {
    pub(super) fn actor(&self) -> Actor {
        Actor {
            kind: "partner",
            id: Some(self.partner.id.clone()),
            client_id: Some(self.partner.client_id.clone()),
            certificate_sha256: self.bind,
            jti_sha256: Some(self.verified.jti_sha256),
        }
    }

    /// Until when the assertion's id must be remembered.
    pub(super) fn remember_until_ms(&self) -> i64 {
        (self.verified.expires_s + SKEW_S).saturating_mul(1000)
    }
}

fn not_authenticated(why: Why) -> Failure {
    Failure::new(Fault::OauthClient).because(why)
}

/// What a client is told of a claim, once its signature has been verified.
fn of_claim(why: Why) -> Option<&'static str> {
    Some(match why {
        "sub" => "sub: it must be the client_id, as iss is.",
        "aud" => "aud: it must be the address of this token endpoint, alone and to the letter.",
        "exp" => "exp: it must be seconds since 1970, as a number.",
        "expired" => "exp: the assertion has expired; compare your clock with the Date header.",
        "exp-too-far" => "exp: it must be at most 300 s ahead; compare your clock with the Date header.",
        "iat" => "iat: it must be a number and not in the future; compare your clock with the Date header.",
        "nbf" => "nbf: it must be a number and not in the future; compare your clock with the Date header.",
        "jti" => "jti: it must be a text of 1 to 128 characters.",
        "replay" => "jti: this id was used before; make a new one for each assertion.",
        _ => return None,
    })
}

/// What a client is told of its key and signature, on a connection with the certificate that is registered for it.
fn of_key(why: Why) -> Option<&'static str> {
    Some(match why {
        "kid-unknown" => "kid: no key of your registered set has it.",
        "alg-of-key" => "alg: it does not fit the key of this kid.",
        "jku" => "jku: it must be the JWKS URL that is registered, or be left out.",
        "signature" => "The signature is not that of the registered key of this kid.",
        "keys-none" | "keys-unusable" => "Your registered key set could not be read or fetched.",
        _ => return None,
    })
}

/// A refused assertion, with as much of its reason as the client may know. `owns_connection`: the certificate of this connection is
/// registered for the client that the assertion names.
pub(super) fn told(why: Why, owns_connection: bool) -> Failure {
    let remedy = of_claim(why).or_else(|| of_key(why).filter(|_| owns_connection));
    let failure = not_authenticated(why);
    match remedy {
        Some(remedy) => failure.remedy(remedy),
        None => failure,
    }
}

/// Authenticates the client of `form`: certificate, then assertion, then whether both are of one active partner.
/// The assertion's id is not used up here.
/// `claimed` tells which registered client it said it was.
///
/// # Errors
/// [`Fault::OauthRequest`] for missing fields, [`Fault::OauthClient`] for every way to fail authentication,
/// [`Fault::CertificateUnknown`], [`Fault::CertificateNeeded`], [`Fault::PartnerSuspended`].
pub(super) async fn authenticate(
    ctx: &Context,
    settings: &OauthSettings,
    form: &Form,
    request: &OauthRequest<'_>,
    claimed: &mut Option<String>,
) -> Result<Client, Failure> {
    if form.demand("client_assertion_type")? != ASSERTION_TYPE {
        return Err(Failure::new(Fault::OauthRequest).at("client_assertion_type"));
    }
    let text = form.demand("client_assertion")?;
    if form.get("client_secret").is_some() {
        return Err(Failure::new(Fault::OauthRequest).at("client_secret"));
    }
    let now_ms = ctx.clock.now_ms();
    let owner = certificate_owner(ctx, &settings.revocations, request.certificate, now_ms).await?;
    let assertion = Assertion::parse(text).map_err(not_authenticated)?;
    if form.get("client_id").is_some_and(|given| given != assertion.client_id) {
        return Err(not_authenticated("client-id"));
    }
    let client_id = assertion.client_id.clone();
    let partner = ctx.store.read(move |db| partners::by_client_id(db, &client_id)).await?;
    *claimed = partner.as_ref().map(|partner| partner.client_id.clone());
    let verified = match &partner {
        None => Err("client-unknown"),
        Some(partner) => match keys_of(settings, partner, &assertion.kid, ctx.clock.lasting_ms()).await {
            Ok(keys) => {
                let now_s = ctx.clock.ended_ms() / 1000;
                assertion.verify(&keys, partner.jwks_url.as_deref(), &settings.token_url, now_s)
            }
            Err(why) => Err(why),
        },
    };
    let owns_connection = owner.is_some() && owner.as_ref() == partner.as_ref().map(|partner| &partner.id);
    let (partner, verified) = match (partner, verified) {
        (Some(partner), Ok(verified)) => (partner, verified),
        (_, outcome) => {
            let why = outcome.err().unwrap_or("client-unknown");
            // What fails before its signature is looked at costs the same as what fails by it.
            if [
                "client-unknown",
                "keys-none",
                "keys-unusable",
                "jku",
                "kid-unknown",
                "alg-of-key",
            ]
            .contains(&why)
            {
                verify_in_vain(&assertion);
            }
            return Err(told(why, owns_connection));
        }
    };
    if !partner.is_active() {
        return Err(Fault::PartnerSuspended.into());
    }
    if owner.as_ref().is_some_and(|owner| *owner != partner.id) {
        return Err(not_authenticated("certificate-of-another"));
    }
    let bind = match (partner.mtls.as_str(), request.certificate) {
        ("required", None) => return Err(Fault::CertificateNeeded.into()),
        ("off", _) | (_, None) => None,
        (_, Some(certificate)) => Some(certificate.sha256),
    };
    Ok(Client {
        partner,
        verified,
        bind,
    })
}

/// The partner that a presented certificate is registered for; `None` when none was presented.
pub(super) async fn certificate_owner(
    ctx: &Context,
    revocations: &Revocations,
    certificate: Option<&PeerCertificate>,
    now_ms: i64,
) -> Result<Option<String>, Failure> {
    let Some(certificate) = certificate else {
        return Ok(None);
    };
    if certificate.uris.is_empty() || !certificate.is_current(now_ms / 1000) || revocations.is_revoked(certificate) {
        return Err(Fault::CertificateUnknown.into());
    }
    let uris = certificate.uris.clone();
    let owner = ctx.store.read(move |db| partners::id_by_certificate(db, &uris)).await?;
    owner.map(Some).ok_or_else(|| Fault::CertificateUnknown.into())
}

async fn keys_of(settings: &OauthSettings, partner: &PartnerRow, kid: &str, now_ms: i64) -> Result<Arc<KeySet>, Why> {
    let found = match (&partner.jwks, &partner.jwks_url) {
        (Some(inline), _) => settings.keyring.inline(inline),
        (None, Some(url)) => settings.keyring.at_url(url, kid, now_ms).await,
        (None, None) => return Err("keys-none"),
    };
    found.map_err(|_| "keys-unusable")
}

/// Spends the time of a verification with a key that signed nothing (threat A19).
fn verify_in_vain(assertion: &Assertion<'_>) {
    static KEYS: OnceLock<Vec<PublicKey>> = OnceLock::new();
    if let Some(key) = KEYS
        .get_or_init(nobodys_keys)
        .iter()
        .find(|key| key.takes(assertion.algorithm))
    {
        std::hint::black_box(assertion.is_signed_by(key));
    }
}

/// A key for each algorithm. The RSA modulus is any number that passes for one: nothing needs its factors.
fn nobodys_keys() -> Vec<PublicKey> {
    let curve = |algorithm| SigningKey::generate(algorithm, "none").ok().map(|key| key.public_jwk());
    let modulus = || {
        let mut n: [u8; 256] = crate::secret::random();
        n[0] |= 0x80;
        n[255] |= 1;
        Some(json!({ "kty": "RSA", "kid": "none", "e": "AQAB", "n": crate::secret::base64url(&n) }))
    };
    let read = |jwk: Option<serde_json::Value>| KeySet::parse(json!({ "keys": [jwk?] }).to_string().as_bytes()).ok();
    let rsa = (0..1000).find_map(|_| read(modulus()));
    let sets = [rsa, read(curve(Algorithm::Es384)), read(curve(Algorithm::Es256))];
    sets.into_iter().flatten().flat_map(KeySet::into_keys).collect()
}

/// Records a refusal of an OAuth endpoint and gives it back.
pub(super) async fn refused(
    ctx: &Context,
    settings: &OauthSettings,
    request: &OauthRequest<'_>,
    client_id: Option<String>,
    failure: Failure,
) -> Failure {
    tracing::info!(
        fault = failure.fault().code(),
        why = failure.cause().map(tracing::field::display),
        correlation.id = %request.correlation.correlation_id,
        "an OAuth request was refused"
    );
    // Looked up whatever was claimed, so that one claim takes as long as another.
    let owner = certificate_owner(ctx, &settings.revocations, request.certificate, ctx.clock.now_ms());
    let owner = owner.await.unwrap_or_default();
    // Turned away before it was judged: whose it says it is, so that its client can find it. Looked up whatever it says.
    let client_id = match failure.fault() {
        Fault::OauthThrottled if owner.is_none() => claimed(ctx, request).await.unwrap_or_default(),
        _ => client_id,
    };
    let actor = Actor {
        kind: if owner.is_some() { "partner" } else { "unknown" },
        id: owner,
        client_id,
        certificate_sha256: request.certificate.map(|certificate| certificate.sha256),
        ..Actor::default()
    };
    if let Err(error) = settings
        .refusals
        .record(ctx, Action::TokenRefused, actor, &failure, &request.correlation)
        .await
    {
        tracing::error!(fault = error.fault().code(), cause = ?error.cause(), "a refusal could not be recorded");
    }
    failure.noted()
}

/// The registered client that a request says it is of.
async fn claimed(ctx: &Context, request: &OauthRequest<'_>) -> Result<Option<String>, Failure> {
    let given = throttle::given_id(request);
    let partner = ctx.store.read(move |db| partners::by_client_id(db, &given)).await?;
    Ok(partner.map(|partner| partner.client_id))
}

/// A failure as RFC 6749 section 5.2 wants it: status, `error`, `error_description` ending in our code in brackets.
pub fn oauth_error(failure: &Failure) -> (u16, &'static str, String) {
    let row = failure.fault().row();
    let (status, error) = match failure.fault() {
        Fault::OauthRequest | Fault::TooLarge | Fault::MediaTypeRefused | Fault::EncodingRefused => {
            (400, "invalid_request")
        }
        Fault::OauthClient | Fault::CertificateNeeded | Fault::CertificateUnknown | Fault::PartnerSuspended => {
            (401, "invalid_client")
        }
        Fault::TokenMissing | Fault::TokenInvalid => (401, "invalid_client"),
        Fault::OauthGrantType => (400, "unsupported_grant_type"),
        Fault::OauthScope => (400, "invalid_scope"),
        Fault::OauthTarget => (400, "invalid_target"),
        _ if row.http == 429 || row.http == 503 => (row.http, "temporarily_unavailable"),
        _ if row.http >= 500 => (row.http, "server_error"),
        _ => (row.http, "invalid_request"),
    };
    (
        status,
        error,
        format!("{} {} [{}]", row.text, failure.remedy_text(), row.code),
    )
}
