//! The identity provider as a server that is called: its discovery document and keys, and a code that becomes the claims of an id token.
//!
//! Nobody is taken for anybody before the token is judged here: issuer, audience, signature by an asymmetric algorithm, time and nonce. What the
//! provider says is believed about its own addresses only as far as the outbound URL guard allows, and none of it is kept but keys and addresses.

use super::handle::SignInHandle;
use super::settings::ProviderSettings;
use super::token::{TokenJudge, TokenRefused};
use crate::error::{Failure, Fault};
use crate::security::address::{check_configured, check_url};
use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;
use openidconnect::core::{
    CoreAuthenticationFlow, CoreClient, CoreClientAuthMethod, CoreErrorResponseType, CoreIdToken, CoreRequestTokenError,
};
use openidconnect::{
    AuthType, AuthorizationCode, CsrfToken, DiscoveryError, HttpRequest, HttpResponse, LogoutRequest, Nonce,
    PkceCodeChallenge, PkceCodeVerifier, ProviderMetadataWithLogout, RedirectUrl, TokenResponse as _,
};
use serde_json::Value;
use std::fmt;
use std::sync::Arc;
use tokio::sync::Mutex;

/// Most bytes of an answer of the provider.
const ANSWER_BYTES: usize = 262_144;
/// Time for which its document and keys are used, milliseconds.
const KEEP_MS: i64 = 3_600_000;
/// Shortest time between two requests for its keys because none of them fits a token, milliseconds.
const REFRESH_MS: i64 = 60_000;
/// Time after a failure in which it is not asked again, milliseconds.
const REST_MS: i64 = 10_000;

/// Why the provider gave no answer that can be used. Fixed words: what it wrote is nowhere repeated.
#[derive(Debug)]
struct NoAnswer(&'static str);

impl fmt::Display for NoAnswer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0)
    }
}

impl std::error::Error for NoAnswer {}

/// What this process knows of the provider.
#[derive(Default)]
struct Known {
    metadata: Option<Arc<ProviderMetadataWithLogout>>,
    fetched_ms: Option<i64>,
    failed_ms: Option<i64>,
    refreshed_ms: Option<i64>,
}

impl Known {
    /// What was fetched within [`KEEP_MS`] of `now_ms`, before or after it: a clock that was ahead and is set back keeps no old keys in use.
    fn usable(&self, now_ms: i64) -> Option<Arc<ProviderMetadataWithLogout>> {
        let is_near = self.fetched_ms.is_some_and(|at_ms| (now_ms - at_ms).abs() < KEEP_MS);
        self.metadata.clone().filter(|_| is_near)
    }
}

/// Whether `now_ms` is within `time_ms` after an instant.
fn is_within(time_ms: i64, at_ms: Option<i64>, now_ms: i64) -> bool {
    at_ms.is_some_and(|at_ms| (at_ms..at_ms + time_ms).contains(&now_ms))
}

/// The provider of this process.
pub(super) struct IdentityProvider {
    settings: ProviderSettings,
    /// Whoever asks while another fetches waits for it, so that the provider is asked once.
    known: Mutex<Known>,
}

impl IdentityProvider {
    pub(super) fn new(settings: ProviderSettings) -> IdentityProvider {
        IdentityProvider {
            settings,
            known: Mutex::default(),
        }
    }

    /// How it names itself.
    pub(super) fn issuer(&self) -> &str {
        self.settings.issuer.as_str()
    }

    /// Its host, for people.
    pub(super) fn host(&self) -> &str {
        self.settings.issuer.url().host_str().unwrap_or_default()
    }

    /// The address there at which a person signs in, for this sign-in. `redirect`: where the browser comes back.
    ///
    /// # Errors
    /// [`Fault::SignInProvider`].
    pub(super) async fn authorization(
        &self,
        handle: &SignInHandle,
        redirect: &str,
        now_ms: i64,
    ) -> Result<String, Failure> {
        let metadata = self.metadata(now_ms).await?;
        let settings = &self.settings;
        let client = CoreClient::new(
            settings.client_id.clone(),
            settings.issuer.clone(),
            metadata.jwks().clone(),
        )
        .set_auth_uri(metadata.authorization_endpoint().clone())
        .set_redirect_uri(address(redirect)?);
        let (state, nonce) = (handle.state(), handle.nonce());
        let verifier = PkceCodeVerifier::new(handle.verifier());
        let (url, _, _) = client
            .authorize_url(
                CoreAuthenticationFlow::AuthorizationCode,
                move || CsrfToken::new(state),
                move || Nonce::new(nonce),
            )
            .add_scopes(settings.scopes.iter().cloned())
            .set_pkce_challenge(PkceCodeChallenge::from_code_verifier_sha256(&verifier))
            .url();
        Ok(url.to_string())
    }

    /// The claims about whoever signed in, for the code that the browser brought back.
    ///
    /// # Errors
    /// [`Fault::SignInUnfit`] when the provider does not take the code, or the id token is not one for this sign-in;
    /// [`Fault::SignInProvider`].
    pub(super) async fn claims(
        &self,
        code: &str,
        handle: &SignInHandle,
        redirect: &str,
        now_ms: i64,
    ) -> Result<Value, Failure> {
        let metadata = self.metadata(now_ms).await?;
        let endpoint = metadata.token_endpoint().cloned();
        let endpoint = endpoint.ok_or_else(|| unusable("it names no token endpoint"))?;
        let settings = &self.settings;
        let client = CoreClient::new(
            settings.client_id.clone(),
            settings.issuer.clone(),
            metadata.jwks().clone(),
        )
        .set_token_uri(endpoint)
        .set_redirect_uri(address(redirect)?)
        .set_auth_type(auth_type(&metadata));
        let client = match &settings.secret {
            Some(secret) => client.set_client_secret(secret.clone()),
            None => client,
        };
        let send = self.sender();
        let answer = client
            .exchange_code(AuthorizationCode::new(code.to_owned()))
            .set_pkce_verifier(PkceCodeVerifier::new(handle.verifier()))
            .request_async(&send)
            .await
            .map_err(|error| not_given(&error))?;
        let token = answer
            .id_token()
            .ok_or_else(|| unusable("it gave no id token with the access token"))?;
        self.judged(token, &metadata, handle, now_ms).await
    }

    /// Where a person ends the session at the provider, if it is known without asking.
    pub(super) fn end_address(&self) -> Option<String> {
        let metadata = self.known.try_lock().ok()?.metadata.clone()?;
        let end = metadata.additional_metadata().end_session_endpoint.clone()?;
        check(end.as_str(), self.settings.is_here).ok()?;
        let request = LogoutRequest::from(end).set_client_id(self.settings.client_id.clone());
        Some(request.http_get_url().to_string())
    }

    /// The claims of a token that is for this sign-in. A key that is not known, or that does not fit, makes the keys be fetched again: a provider may
    /// make a new one under an old name, or name none.
    async fn judged(
        &self,
        token: &CoreIdToken,
        metadata: &Arc<ProviderMetadataWithLogout>,
        handle: &SignInHandle,
        now_ms: i64,
    ) -> Result<Value, Failure> {
        let judge = TokenJudge {
            issuer: self.settings.issuer.clone(),
            client_id: self.settings.client_id.clone(),
            nonce: Nonce::new(handle.nonce()),
            now_ms,
        };
        let mut judged = judge.claims(token, metadata.jwks());
        if matches!(judged, Err(TokenRefused::KeyUnknown | TokenRefused::Signature))
            && let Some(newer) = self.newer(metadata, now_ms).await?
        {
            judged = judge.claims(token, newer.jwks());
        }
        judged.map_err(|refused| Failure::new(Fault::SignInUnfit).because(refused.text()))
    }

    /// The document and the keys of the provider.
    async fn metadata(&self, now_ms: i64) -> Result<Arc<ProviderMetadataWithLogout>, Failure> {
        let mut known = self.known.lock().await;
        if let Some(metadata) = known.usable(now_ms) {
            return Ok(metadata);
        }
        if is_within(REST_MS, known.failed_ms, now_ms) {
            return Err(unusable("it did not answer a moment ago"));
        }
        self.fetch(&mut known, now_ms).await
    }

    /// The same, fetched after `seen`; `None` when it was fetched a moment ago because no key fitted.
    async fn newer(
        &self,
        seen: &Arc<ProviderMetadataWithLogout>,
        now_ms: i64,
    ) -> Result<Option<Arc<ProviderMetadataWithLogout>>, Failure> {
        let mut known = self.known.lock().await;
        if let Some(metadata) = known.usable(now_ms).filter(|known| !Arc::ptr_eq(known, seen)) {
            return Ok(Some(metadata));
        }
        if is_within(REFRESH_MS, known.refreshed_ms, now_ms) {
            return Ok(None);
        }
        known.refreshed_ms = Some(now_ms);
        self.fetch(&mut known, now_ms).await.map(Some)
    }

    async fn fetch(&self, known: &mut Known, now_ms: i64) -> Result<Arc<ProviderMetadataWithLogout>, Failure> {
        match self.discover().await {
            Ok(metadata) => {
                let metadata = Arc::new(metadata);
                known.metadata = Some(Arc::clone(&metadata));
                known.fetched_ms = Some(now_ms);
                known.failed_ms = None;
                Ok(metadata)
            }
            Err(failure) => {
                known.failed_ms = Some(now_ms);
                Err(failure)
            }
        }
    }

    /// Fetches the discovery document and the keys that it names.
    async fn discover(&self) -> Result<ProviderMetadataWithLogout, Failure> {
        let send = self.sender();
        let found = ProviderMetadataWithLogout::discover_async(self.settings.issuer.clone(), &send).await;
        let metadata = found.map_err(|error| {
            unusable(match error {
                DiscoveryError::Request(NoAnswer(why)) => why,
                DiscoveryError::Response(..) => "it answers something else than its discovery document or its keys",
                DiscoveryError::Validation(_) => "it names itself otherwise than oidc.issuer",
                _ => "its discovery document cannot be used",
            })
        })?;
        // A browser is sent there; the other addresses are judged when they are called.
        check(metadata.authorization_endpoint().as_str(), self.settings.is_here)
            .map_err(|_| unusable("its authorization endpoint is no address to which a browser may be sent"))?;
        Ok(metadata)
    }

    /// What sends a request of the library, if it may be sent.
    fn sender(&self) -> impl Fn(HttpRequest) -> BoxFuture<'static, Result<HttpResponse, NoAnswer>> + use<> {
        let (http, is_here) = (self.settings.http.clone(), self.settings.is_here);
        move |request| send(http.clone(), is_here, request).boxed()
    }
}

/// Whether an address that the provider names may be used: one on this machine only where the provider itself is.
fn check(url: &str, is_here: bool) -> Result<(), &'static str> {
    match is_here {
        true => check_configured(url).map(drop),
        false => check_url(url, false).map(drop),
    }
}

/// Sends one request and reads its answer, up to [`ANSWER_BYTES`].
async fn send(http: reqwest::Client, is_here: bool, request: HttpRequest) -> Result<HttpResponse, NoAnswer> {
    check(&request.uri().to_string(), is_here).map_err(NoAnswer)?;
    let request = reqwest::Request::try_from(request).map_err(|_| NoAnswer("it names an address that is none"))?;
    let failed = |error: reqwest::Error| NoAnswer(kind_of(&error));
    let mut reply = http.execute(request).await.map_err(failed)?;
    let mut response: HttpResponse = openidconnect::http::Response::new(Vec::new());
    *response.status_mut() = reply.status();
    *response.headers_mut() = reply.headers().clone();
    while let Some(piece) = reply.chunk().await.map_err(failed)? {
        if response.body().len() + piece.len() > ANSWER_BYTES {
            return Err(NoAnswer("its answer is too long"));
        }
        response.body_mut().extend_from_slice(&piece);
    }
    Ok(response)
}

/// The kind of a failed request. The full text of the error holds the address, which is not for the log.
fn kind_of(error: &reqwest::Error) -> &'static str {
    match error {
        _ if error.is_timeout() => "it did not answer in time",
        _ if error.is_connect() => "no connection (name, address, port or certificate)",
        _ => "its answer was cut off",
    }
}

fn unusable(why: &'static str) -> Failure {
    Failure::new(Fault::SignInProvider).because(why)
}

fn address(redirect: &str) -> Result<RedirectUrl, Failure> {
    RedirectUrl::new(redirect.to_owned()).map_err(|error| Failure::new(Fault::Internal).because(error.to_string()))
}

/// How we say who we are: in the header where the provider does not say that it wants it in the form.
fn auth_type(metadata: &ProviderMetadataWithLogout) -> AuthType {
    let known = metadata.token_endpoint_auth_methods_supported();
    let has = |method| known.is_none_or(|known| known.contains(&method));
    match has(CoreClientAuthMethod::ClientSecretBasic) || !has(CoreClientAuthMethod::ClientSecretPost) {
        true => AuthType::BasicAuth,
        false => AuthType::RequestBody,
    }
}

/// Why there is no token for a code.
fn not_given(error: &CoreRequestTokenError<NoAnswer>) -> Failure {
    match error {
        CoreRequestTokenError::Request(NoAnswer(why)) => unusable(why),
        CoreRequestTokenError::ServerResponse(answer)
            if matches!(answer.error(), CoreErrorResponseType::InvalidGrant) =>
        {
            Failure::new(Fault::SignInUnfit).because("the provider does not take the code")
        }
        CoreRequestTokenError::ServerResponse(_) => {
            unusable("it refuses oidc.client_id, our secret, or the address to which the browser came back")
        }
        _ => unusable("its answer to the code cannot be used"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    const NOW_MS: i64 = 1_796_000_000_000;

    #[test]
    fn keys_are_used_for_an_hour_even_if_the_clock_was_set_back() {
        let document = json!({
            "issuer": "https://login.example", "authorization_endpoint": "https://login.example/authorize",
            "jwks_uri": "https://login.example/keys", "response_types_supported": ["code"],
            "subject_types_supported": ["public"], "id_token_signing_alg_values_supported": ["RS256"],
        });
        let metadata = serde_json::from_value(document).expect("a document");
        let mut known = Known {
            metadata: Some(Arc::new(metadata)),
            fetched_ms: Some(NOW_MS),
            ..Known::default()
        };
        for (after_ms, wanted) in [
            (-KEEP_MS, false),
            (-1, true),
            (0, true),
            (KEEP_MS - 1, true),
            (KEEP_MS, false),
        ] {
            assert_eq!(known.usable(NOW_MS + after_ms).is_some(), wanted, "{after_ms}");
        }
        known.fetched_ms = None;
        assert!(known.usable(NOW_MS).is_none());
    }

    #[test]
    fn a_rest_ends_by_time_and_by_a_clock_that_is_set_back() {
        for (after_ms, wanted) in [(-1, false), (0, true), (REST_MS - 1, true), (REST_MS, false)] {
            assert_eq!(
                is_within(REST_MS, Some(NOW_MS), NOW_MS + after_ms),
                wanted,
                "{after_ms}"
            );
        }
        assert!(!is_within(REST_MS, None, NOW_MS));
    }

    #[test]
    fn a_public_provider_names_public_addresses_over_tls_alone() {
        for (url, is_here, wanted) in [
            ("https://login.example/token", false, true),
            ("http://login.example/token", false, false),
            ("https://127.0.0.1/token", false, false),
            ("https://localhost/token", false, false),
            ("https://169.254.169.254/latest", false, false),
            ("https://[::1]/token", false, false),
            ("https://user@login.example/token", false, false),
            ("https://login.example/token#x", false, false),
            ("javascript:alert(1)", false, false),
            ("file:///etc/passwd", false, false),
            ("http://127.0.0.1:9/token", true, true),
            ("http://login.example/token", true, false),
            ("https://10.0.0.1/token", true, false),
        ] {
            assert_eq!(check(url, is_here).is_ok(), wanted, "{url}");
        }
    }
}
