//! `[exchange]`: who we are toward the partners whom we ask.

use super::check::refuse;
use super::keys;
use super::values::ConfigValues;
use crate::error::Failure;
use std::path::PathBuf;

/// `[exchange]`: all of it, or nothing when partners are not asked.
#[derive(Clone, Debug)]
pub struct AskingConfig {
    /// The client id under which partners know us.
    pub client_id: String,
    /// File of the private JWK that signs our assertions.
    pub signing_key: PathBuf,
    /// PEM chain of our client certificate.
    pub certificate: PathBuf,
    /// PEM key of the certificate.
    pub certificate_key: PathBuf,
}

impl ConfigValues {
    pub(super) fn asking(&self) -> Result<Option<AskingConfig>, Failure> {
        let (client_id, signing_key) = (
            self.get(&keys::EXCHANGE_CLIENT_ID)?,
            self.get(&keys::EXCHANGE_SIGNING_KEY)?,
        );
        let (certificate, certificate_key) = (
            self.get(&keys::EXCHANGE_CERTIFICATE)?,
            self.get(&keys::EXCHANGE_CERTIFICATE_KEY)?,
        );
        match (client_id, signing_key, certificate, certificate_key) {
            (None, None, None, None) => Ok(None),
            (Some(client_id), Some(signing_key), Some(certificate), Some(certificate_key)) => Ok(Some(AskingConfig {
                client_id,
                signing_key,
                certificate,
                certificate_key,
            })),
            _ => Err(refuse(
                keys::EXCHANGE_SIGNING_KEY.name(),
                "Set exchange.client_id, signing_key, certificate and certificate_key together, or none of them.",
            )),
        }
    }
}
