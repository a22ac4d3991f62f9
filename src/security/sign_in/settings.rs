//! Who we are at the identity provider and how it is called, from `[oidc]`: checked once at the start, so that a provider that may not be called
//! stops the start and not a sign-in.

use crate::config::{Config, OidcConfig};
use crate::error::{Failure, Fault};
use crate::security::address::{GuardedResolver, check_configured};
use crate::security::secret_file::{secret_of, text_of};
use openidconnect::{ClientId, ClientSecret, IssuerUrl, Scope};
use std::time::Duration;

/// Time for a connection to the provider, and for a whole request.
const CONNECT: Duration = Duration::from_secs(2);
const REQUEST: Duration = Duration::from_secs(4);
/// Most bytes of a file of authorities.
const FILE_BYTES: u64 = 65_536;

/// What requests to the provider are made of.
pub(super) struct ProviderSettings {
    /// The provider.
    pub(super) issuer: IssuerUrl,
    /// Our id there.
    pub(super) client_id: ClientId,
    /// Our secret there; without it we are a public client.
    pub(super) secret: Option<ClientSecret>,
    /// Scopes besides `openid`.
    pub(super) scopes: Vec<Scope>,
    /// Whether it is on this machine, where it may be called without TLS.
    pub(super) is_here: bool,
    /// What calls it.
    pub(super) http: reqwest::Client,
}

impl ProviderSettings {
    /// Those of the configuration. Reads files.
    ///
    /// # Errors
    /// [`Fault::ConfigInvalid`], naming the key.
    pub(super) fn of(oidc: &OidcConfig, config: &Config) -> Result<ProviderSettings, Failure> {
        let (url, is_here) = check_configured(&oidc.issuer)
            .map_err(|why| refuse("oidc.issuer", format!("Correct oidc.issuer: {why}.")))?;
        if url.query().is_some() {
            return Err(refuse("oidc.issuer", "Correct oidc.issuer: it has a query.".to_owned()));
        }
        if is_here && !config.server.ops_listen.ip().is_loopback() {
            return Err(refuse(
                "oidc.issuer",
                "Name a provider with a public address: one on this machine is for tests, with server.ops_listen on this machine too.".to_owned(),
            ));
        }
        let issuer = IssuerUrl::new(oidc.issuer.clone())
            .map_err(|_| refuse("oidc.issuer", "Correct oidc.issuer: it is not a URL.".to_owned()))?;
        let secret = match &oidc.client_secret_file {
            None => None,
            Some(path) => Some(secret_of(path, 1).map_err(|why| {
                refuse(
                    "oidc.client_secret_file",
                    format!("The file of oidc.client_secret_file {why}."),
                )
            })?),
        };
        Ok(ProviderSettings {
            issuer,
            client_id: ClientId::new(oidc.client_id.clone()),
            secret: secret.map(|secret| ClientSecret::new(secret.expose().to_owned())),
            scopes: oidc.scopes.iter().cloned().map(Scope::new).collect(),
            is_here,
            http: client(oidc, url.scheme() == "https", is_here)?,
        })
    }
}

fn refuse(key: &str, remedy: String) -> Failure {
    Failure::new(Fault::ConfigInvalid).at(key).remedy(remedy)
}

/// The client of the provider: no redirects, no proxy, and addresses that are judged when they are dialed.
fn client(oidc: &OidcConfig, is_https: bool, is_here: bool) -> Result<reqwest::Client, Failure> {
    const CA: &str = "oidc.provider_ca";
    let unusable = || refuse(CA, format!("Put PEM certificates into each file of {CA}."));
    let mut client = reqwest::Client::builder()
        .redirect(reqwest::redirect::Policy::none())
        .http1_only()
        .https_only(is_https)
        .no_proxy()
        .connect_timeout(CONNECT)
        .timeout(REQUEST)
        .dns_resolver(GuardedResolver { loopback: is_here })
        .user_agent(concat!("causeway/", env!("CARGO_PKG_VERSION")));
    let mut roots = Vec::new();
    for path in &oidc.provider_ca {
        let pem = text_of(path, FILE_BYTES).map_err(|why| refuse(CA, format!("Correct {CA}: {why}.")))?;
        let found = reqwest::Certificate::from_pem_bundle(pem.as_bytes()).map_err(|_| unusable())?;
        if found.is_empty() {
            return Err(unusable());
        }
        roots.extend(found);
    }
    if !roots.is_empty() {
        client = client.tls_certs_only(roots);
    }
    client
        .build()
        .map_err(|error| Failure::new(Fault::ConfigInvalid).at(CA).because(error.without_url()))
}
