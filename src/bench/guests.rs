//! Further partners of a measured installation, each with a certificate, a key and an NPI of its own, and the processes that share its store.
//! Partners are registered with the command that an operator uses. Nothing is measured here.

use super::process::{self, ServerProcess};
use super::site::{Installation, Tokens};
use super::wire::BenchTarget;
use crate::clock::Clock;
use crate::dev;
use crate::error::{Failure, Fault};
use crate::partner::client::Identity;
use crate::partner::has_valid_check_digit;
use crate::secret::Secret;
use crate::security::dev_pki::{self, DevCa};
use crate::synth::{MatchOptions, Member, SharingPolicy, Variation, match_request};
use causeway_jose::{Algorithm, SigningKey};
use chrono::Utc;
use serde_json::json;
use std::ffi::OsStr;

/// The authority of the certificates of further partners, in the folder of the installation's keys.
const AUTHORITY: &str = "partners-ca.pem";

/// A registered partner, with what it authenticates with.
pub(super) struct BenchGuest {
    pub(super) npi: String,
    identity: Identity,
    target: BenchTarget,
}

impl BenchGuest {
    /// How the partner connects, and its source of tokens from the running server.
    ///
    /// # Errors
    /// Those of the discovery of the token endpoint.
    pub(super) async fn arrive(self, site: &Installation) -> Result<(BenchTarget, Tokens), Failure> {
        Ok((self.target, site.tokens_of(self.identity).await?))
    }
}

impl Installation {
    /// Registers so many further partners, before the server starts.
    ///
    /// # Errors
    /// Those of the commands and files.
    pub(super) fn invite(&self, count: usize) -> Result<Vec<BenchGuest>, Failure> {
        let unusable = |error: std::io::Error| Failure::new(Fault::InputUnreadable).at("bench folder").because(error);
        let now_ms = Clock::System.now_ms();
        let authority = dev_pki::issue_ca("Causeway bench partners", now_ms)?;
        self.files.write(AUTHORITY, authority.certificate_pem(), false)?;
        let text = std::fs::read_to_string(&self.config).map_err(unusable)?;
        let trusted = text.replace("[\"pki/ca.pem\"]", &format!("[\"pki/ca.pem\", \"pki/{AUTHORITY}\"]"));
        std::fs::write(&self.config, trusted).map_err(unusable)?;
        (1..=count)
            .map(|number| self.invite_one(&authority, number, now_ms))
            .collect()
    }

    fn invite_one(&self, authority: &DevCa, number: usize, now_ms: i64) -> Result<BenchGuest, Failure> {
        let (id, npi) = (format!("partner-{number}"), npi(number));
        let (uri, keys) = (format!("https://{id}.example/fhir"), format!("{id}-jwks.json"));
        let certificate = authority.client(&uri, now_ms)?;
        let key = SigningKey::generate(Algorithm::Es384, &id)?;
        self.files
            .write(&keys, &json!({"keys": [key.public_jwk()]}).to_string(), false)?;
        let (file, text) = (format!("{id}.toml"), dev::partner_toml(&id, (&id, &npi), (&keys, &uri)));
        self.files.write(&file, &text, false)?;
        process::command(
            Some(&self.config),
            [
                OsStr::new("partner"),
                OsStr::new("add"),
                OsStr::new("--file"),
                self.files.path(&file).as_os_str(),
            ],
        )?;
        let trust = self.files.read("ca.pem")?;
        Ok(BenchGuest {
            npi,
            target: BenchTarget::new(self.fhir, &trust, &certificate.certificate_pem, &certificate.key_pem)?,
            identity: Identity {
                client_id: id,
                signing_key: key,
                certificate_pem: certificate.certificate_pem,
                certificate_key_pem: Secret::new(certificate.key_pem),
            },
        })
    }

    /// The body of a `$member-match` request of the partner with this NPI, which must succeed.
    pub(super) fn match_body_of(&self, npi: &str, member: &Member) -> Vec<u8> {
        let options = MatchOptions {
            policy: SharingPolicy::Regular,
            new_npi: npi.to_owned(),
            ..MatchOptions::on(Utc::now().date_naive())
        };
        match_request(member, &options, Variation::Exact)
            .to_string()
            .into_bytes()
    }

    /// Starts a server that answers and does no background work.
    ///
    /// # Errors
    /// As [`ServerProcess::start`].
    pub(super) fn start_front(&self) -> Result<ServerProcess, Failure> {
        let log = self.folder.path().join("serve.log");
        let args = ["serve", "--no-worker", "--log-file"].map(OsStr::new);
        let args = [args[0], args[1], args[2], log.as_os_str()];
        ServerProcess::start(Some(&self.config), &args, self.ops, &self.output())
    }

    /// Starts a process that does background work alone; `number` tells its log from those of others.
    ///
    /// # Errors
    /// As [`ServerProcess::begin`].
    pub(super) fn start_worker(&self, number: usize) -> Result<ServerProcess, Failure> {
        let log = self.folder.path().join(format!("worker-{number}.log"));
        let args = [OsStr::new("worker"), OsStr::new("--log-file"), log.as_os_str()];
        ServerProcess::begin(Some(&self.config), &args, &self.output())
    }
}

/// The NPI of a further partner.
fn npi(number: usize) -> String {
    let mut all = (0..10).map(|digit| format!("19930{number:04}{digit}"));
    all.find(|npi| has_valid_check_digit(npi)).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::npi;
    use std::collections::BTreeSet;

    #[test]
    fn each_partner_has_an_npi_of_its_own() {
        let all: BTreeSet<String> = (1..=100).map(npi).collect();
        assert_eq!(all.len(), 100);
        assert!(all.iter().all(|npi| npi.len() == 10), "{all:?}");
    }
}
