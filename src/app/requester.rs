//! What this process needs in order to ask partners: its keys and certificate, and the keys that seal what comes.

use crate::config::{AskingConfig, Config};
use crate::context::Context;
use crate::error::{Failure, Fault};
use crate::exchange::steps::PartnerAccess;
use crate::partner::client::Identity;
use crate::partner::peer::{PeerLimits, PeerMeans};
use crate::records::ingest::missing_keys;
use crate::secret::Secret;
use crate::security::vault::{KEYS_FILE, Vault};
use causeway_jose::SigningKey;
use std::path::Path;
use std::sync::Arc;

/// The way to partners; `None` when the configuration has no `[exchange]`, so that this process asks nobody. Reads files.
///
/// # Errors
/// [`Fault::InputUnreadable`] and [`Fault::ConfigInvalid`] for files that cannot be used; those of [`Vault::open`].
pub fn access(config: &Config, ctx: &Context) -> Result<Option<PartnerAccess>, Failure> {
    let Some(asking) = &config.asking else {
        return Ok(None);
    };
    let means = PeerMeans {
        identity: Arc::new(identity(asking)?),
        limits: PeerLimits::default(),
        loopback: config.server.is_on_loopback(),
        clock: ctx.clock.clone(),
        ids: ctx.ids.clone(),
    };
    let vault = Vault::open(&config.data_folder().join(KEYS_FILE))?;
    let missing = missing_keys(ctx, &vault)?;
    if !missing.is_empty() {
        // It is no reason not to start: a file that is lost for good must not stop everything.
        tracing::error!(
            fault = Fault::SealKeys.code(),
            keys = missing.join(" "),
            current = vault.current(),
            "received.keys of this process lacks keys under which received data is sealed: put the right file back, the same for all processes"
        );
    }
    Ok(Some(PartnerAccess::new(means, vault)))
}

fn identity(asking: &AskingConfig) -> Result<Identity, Failure> {
    let jwk = serde_json::from_str(&read(&asking.signing_key, "exchange.signing_key")?).map_err(|error| {
        Failure::new(Fault::ConfigInvalid)
            .at("exchange.signing_key")
            .remedy("Give a private JWK with kid and alg.")
            .because(error)
    })?;
    Ok(Identity {
        client_id: asking.client_id.clone(),
        signing_key: SigningKey::from_jwk(&jwk).map_err(|error| Failure::from(error).at("exchange.signing_key"))?,
        certificate_pem: read(&asking.certificate, "exchange.certificate")?,
        certificate_key_pem: Secret::new(read(&asking.certificate_key, "exchange.certificate_key")?),
    })
}

fn read(path: &Path, key: &'static str) -> Result<String, Failure> {
    std::fs::read_to_string(path).map_err(|error| {
        let remedy = format!("Check the path {} and its permissions.", path.display());
        Failure::new(Fault::InputUnreadable)
            .at(key)
            .remedy(remedy)
            .because(error)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_signing_key_that_cannot_be_used_is_named_by_its_key_of_the_configuration() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("exchange-key.json");
        for text in [r#"{"keys":[]}"#, "{"] {
            std::fs::write(&path, text).expect("a file");
            let asking = AskingConfig {
                client_id: "old-payer".to_owned(),
                signing_key: path.clone(),
                certificate: path.clone(),
                certificate_key: path.clone(),
            };
            let failure = identity(&asking).err().expect("refused");
            assert_eq!(failure.expressions(), ["exchange.signing_key"], "{text}");
        }
    }
}
