//! What the OAuth endpoints share: their settings, the authentication of a client by its assertion, and their error format.

use super::assertion::{Assertion, RefusalWord, SKEW_S, Verified};
use super::certificate::PeerCertificate;
use super::form::FormFields;
use super::keyring::{Keyring, Unavailable};
use super::oauth_request::{OauthRequest, given_id};
use super::refusals::Refusals;
use super::scarce::ScarceTokens;
use super::throttle::Throttle;
use super::tls::Revocations;
use crate::audit::{Action, Actor};
use crate::config::Config;
use crate::context::Context;
use crate::error::{Failure, Fault};
use crate::store::partners::{self, PartnerRow};
use causeway_jose::SigningKey;
use causeway_jose::{Algorithm, KeySet, PublicKey};
use serde_json::json;
use std::sync::{Arc, OnceLock};

/// `client_assertion_type` of RFC 7523.
const ASSERTION_TYPE: &str = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer";

/// What the OAuth endpoints and discovery need in addition to the context. Clones share keys and counters.
#[derive(Clone)]
pub struct OauthSettings {
    /// FHIR base URL.
    pub base_url: String,
    /// Address of the token endpoint, which is the only accepted audience of assertions.
    pub token_url: String,
    /// Address of the introspection endpoint.
    pub introspection_url: String,
    /// Address of the revocation endpoint.
    pub revocation_url: String,
    /// Lifetime of an access token.
    pub access_token_seconds: u32,
    /// Whether client certificates are requested, so that tokens are bound to them.
    pub client_certificates: bool,
    /// Partners' keys.
    pub keyring: Keyring,
    /// Records refusals in the ledger.
    pub refusals: Refusals,
    /// Counts tokens while the disk is nearly full.
    pub scarce: ScarceTokens,
    /// Counts failed requests of each client.
    pub throttle: Throttle,
    /// Revoked client certificates.
    pub revocations: Revocations,
}

impl OauthSettings {
    /// The settings from this configuration. The endpoints are at the origin of the base URL. `revocations` comes from the listener.
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
            scarce: ScarceTokens::default(),
            throttle: Throttle::new(config.limits.token_failures, config.limits.token_failures_window),
            revocations,
        }
    }
}

/// An authenticated client.
pub(super) struct Client {
    pub partner: PartnerRow,
    pub verified: Verified,
    /// The certificate to which a token is to be bound.
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

    /// Until when the id of the assertion must be stored.
    pub(super) fn remember_until_ms(&self) -> i64 {
        (self.verified.expires_s + SKEW_S).saturating_mul(1000)
    }
}

fn not_authenticated(why: RefusalWord) -> Failure {
    Failure::new(Fault::OauthClient).because(why)
}

/// What a client is told about a wrong claim, once its signature has been verified.
fn of_claim(why: RefusalWord) -> Option<&'static str> {
    Some(match why {
        "sub" => "sub: it must be the client_id, as iss is.",
        "aud" => "aud: it must be exactly the address of this token endpoint, and nothing else.",
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

/// What a client is told about its key and signature, on a connection with the certificate that is registered for it.
fn of_key(why: RefusalWord) -> Option<&'static str> {
    Some(match why {
        "kid-unknown" => "kid: no key of your registered set has it.",
        "alg-of-key" => "alg: it does not fit the key of this kid.",
        "jku" => "jku: it must be the JWKS URL that is registered, or be left out.",
        "signature" => "The signature is not that of the registered key of this kid.",
        "keys-none" | "keys-unusable" => "Your registered key set could not be read or fetched.",
        _ => return None,
    })
}

/// The failure for a refused assertion, with as much of the reason as the client may learn. `owns_connection`: the certificate of this
/// connection is registered for the client that the assertion names.
pub(super) fn told(why: RefusalWord, owns_connection: bool) -> Failure {
    let remedy = of_claim(why).or_else(|| of_key(why).filter(|_| owns_connection));
    let failure = not_authenticated(why);
    match remedy {
        Some(remedy) => failure.remedy(remedy),
        None => failure,
    }
}

/// Authenticates the client of `form`: checks the certificate, then the assertion, then that both belong to one active partner. Does not
/// store the assertion's id.
///
/// Sets `claimed` to the client_id in the request, before it is verified, if a client with this id is registered.
///
/// # Errors
/// [`Fault::OauthRequest`] for missing fields, [`Fault::OauthClient`] for every way to fail authentication,
/// [`Fault::CertificateUnknown`], [`Fault::CertificateNeeded`], [`Fault::PartnerSuspended`].
pub(super) async fn authenticate(
    ctx: &Context,
    settings: &OauthSettings,
    form: &FormFields,
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
        Some(partner) => match keys_of(settings, partner, &assertion.kid, ctx.clock.lasting_ms()).await? {
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
            // A failure before the signature check must take the same time as a failed signature check.
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

/// The partner for which a presented certificate is registered; `None` when none was presented.
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

/// The registered keys of a partner, or why there are none; `kid` is the one that is looked for.
///
/// # Errors
/// [`Fault::Overloaded`] when too many wait for them; those of the store.
pub async fn keys_of_partner(
    ctx: &Context,
    settings: &OauthSettings,
    partner: &str,
    kid: &str,
) -> Result<Result<Arc<KeySet>, RefusalWord>, Failure> {
    let id = partner.to_owned();
    match ctx.store.read(move |db| partners::by_id(db, &id)).await? {
        Some(row) => keys_of(settings, &row, kid, ctx.clock.now_ms()).await,
        None => Ok(Err("keys-none")),
    }
}

/// The partner's keys, or why there are none; a failure of this server when too many requests wait for them.
async fn keys_of(
    settings: &OauthSettings,
    partner: &PartnerRow,
    kid: &str,
    now_ms: i64,
) -> Result<Result<Arc<KeySet>, RefusalWord>, Failure> {
    let found = match (&partner.jwks, &partner.jwks_url) {
        (Some(inline), _) => settings.keyring.inline(inline),
        (None, Some(url)) => match settings.keyring.at_url(url, kid, now_ms).await {
            Err(Unavailable::Busy) => {
                return Err(Failure::new(Fault::Overloaded).because("too many wait for a key set"));
            }
            Err(Unavailable::NoKeys(none)) => Err(none),
            Ok(keys) => Ok(keys),
        },
        (None, None) => return Ok(Err("keys-none")),
    };
    Ok(found.map_err(|_| "keys-unusable"))
}

/// Takes the time of a verification, with a key that signed nothing (threat A19).
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

/// A key for each algorithm. The RSA modulus is a random number of the right form, because its factors are never needed.
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

/// Records a refusal by an OAuth endpoint and returns its failure.
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
    // Always looked up, so that the time does not depend on the claim.
    let owner = certificate_owner(ctx, &settings.revocations, request.certificate, ctx.clock.now_ms());
    let owner = owner.await.unwrap_or_default();
    // This request was refused before it was judged. The client that it claims to be is looked up, so that its operator can find the
    // refusal; the lookup does not depend on what is claimed.
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

/// The registered client that a request claims to be.
async fn claimed(ctx: &Context, request: &OauthRequest<'_>) -> Result<Option<String>, Failure> {
    let given = given_id(request);
    let partner = ctx.store.read(move |db| partners::by_client_id(db, &given)).await?;
    Ok(partner.map(|partner| partner.client_id))
}

/// A failure in the form of RFC 6749 section 5.2: status, `error`, and `error_description` that ends with this server's fault code in
/// brackets.
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
