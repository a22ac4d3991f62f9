//! `[oidc]`: the identity provider by which people sign in to the console.
//!
//! It checks what belongs together. Whether the provider may be called, and what its values mean here, is for `security::sign_in`.

use super::check::refuse;
use super::keys;
use super::values::ConfigValues;
use crate::error::Failure;
use std::path::PathBuf;

/// `[oidc]`: all of it, or nothing when people sign in by links alone.
#[derive(Clone, Debug)]
pub struct OidcConfig {
    /// The issuer, exactly as the provider names itself.
    pub issuer: String,
    /// Our client id there.
    pub client_id: String,
    /// File of our secret there; without it we are a public client.
    pub client_secret_file: Option<PathBuf>,
    /// Scopes to ask for besides `openid`.
    pub scopes: Vec<String>,
    /// The claim with the name of the person.
    pub name_claim: String,
    /// The claim with the roles or groups of the person.
    pub role_claim: String,
    /// What the values of that claim mean here: `VALUE=ROLE` each.
    pub roles: Vec<String>,
    /// Authorities of the provider's certificate; those of the system when there are none.
    pub provider_ca: Vec<PathBuf>,
}

impl ConfigValues {
    pub(super) fn oidc(&self) -> Result<Option<OidcConfig>, Failure> {
        let roles = self.get(&keys::OIDC_ROLES)?;
        let client_secret_file = self.get(&keys::OIDC_CLIENT_SECRET_FILE)?;
        let (scopes, provider_ca) = (self.get(&keys::OIDC_SCOPES)?, self.get(&keys::OIDC_PROVIDER_CA)?);
        let (name_claim, role_claim) = (self.get(&keys::OIDC_NAME_CLAIM)?, self.get(&keys::OIDC_ROLE_CLAIM)?);
        let (issuer, client_id) = match (self.get(&keys::OIDC_ISSUER)?, self.get(&keys::OIDC_CLIENT_ID)?) {
            (Some(issuer), Some(client_id)) if !roles.is_empty() => (issuer, client_id),
            (None, None) if roles.is_empty() && client_secret_file.is_none() => return Ok(None),
            _ => {
                return Err(refuse(
                    keys::OIDC_ISSUER.name(),
                    "Set oidc.issuer, oidc.client_id and oidc.roles together, or none of them.",
                ));
            }
        };
        Ok(Some(OidcConfig {
            issuer,
            client_id,
            client_secret_file,
            scopes,
            name_claim,
            role_claim,
            roles,
            provider_ca,
        }))
    }
}
