//! The script: who the other payer is, whom it insures, and how it misbehaves. A value; nothing here listens or answers.
//!
//! A script is TOML or JSON. A key that is not known is refused, so that a misspelt rule is not silently no rule.

mod act;
mod bulk;
mod check;
mod numbers;
mod route;
mod rule;
mod settings;

pub use act::{
    CertificateFlaw, DriftShape, GarbageBody, IntactFraming, LargeShape, SandboxAct, SandboxTarget, ScriptedMatch,
};
pub use bulk::ScriptedBulk;
pub use numbers::RequestNumbers;
pub use route::SandboxRoute;
pub use rule::SandboxRule;
pub use settings::{
    ClientCertificates, HrexVersion, KeyHandling, PdexVersion, SandboxClient, SandboxMemberSpec, SandboxOffer,
    SandboxPayer, SandboxRoster, ServerFiles, UsCoreVersion,
};

use crate::error::SandboxError;
use serde::Deserialize;
use std::path::Path;

/// A whole script. The defaults are a payer that behaves: HRex 1.1, PDex 2.2, five members, no rule.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct SandboxScript {
    /// Address of the FHIR listener: loopback only. Port 0 takes a free one.
    pub listen: String,
    /// Address of the control listener: loopback only.
    pub control: String,
    /// Host name in the URLs that are told: `localhost` or a loopback address.
    pub host: String,
    /// Fixes members, records and chances.
    pub seed: u64,
    /// Version of HRex that is spoken.
    pub hrex: HrexVersion,
    /// Version of PDex that is spoken.
    pub pdex: PdexVersion,
    /// Version of US Core in profiles.
    pub us_core: UsCoreVersion,
    /// How a record can be had.
    pub offers: Vec<SandboxOffer>,
    /// Whether client certificates are asked for.
    pub mtls: ClientCertificates,
    /// PEM file of the authorities of client certificates; without it, the authority that is made at start.
    pub client_ca: Option<std::path::PathBuf>,
    /// The same as text, for scripts that are made in code.
    pub client_ca_pem: Option<String>,
    /// Files of the server certificate; without them one is made at start.
    pub server: Option<ServerFiles>,
    /// Whether what breaks a SHALL of HRex is refused with 422; otherwise it is only noted as a complaint.
    pub strict: bool,
    /// What an `Idempotency-Key` does.
    pub idempotency: KeyHandling,
    /// Whether data needs a token that was issued after the match.
    pub second_token: bool,
    /// Life of a token in seconds.
    pub token_seconds: u32,
    /// Resources of a page of a search.
    pub page_size: u64,
    /// Resources of a page of `$everything`; without it the whole record is one Bundle.
    pub everything_page_size: Option<u64>,
    /// The time at start, RFC 3339; without it the time of this machine.
    pub clock: Option<String>,
    /// Seconds by which the clock is wrong, in answers and in judging assertions.
    pub clock_skew_s: i64,
    /// The day at which the records end, YYYY-MM-DD; without it the day of the start.
    pub as_of: Option<String>,
    /// Bytes of each request body that are kept for inspection.
    pub keep_body_bytes: usize,
    /// Who this payer is.
    pub payer: SandboxPayer,
    /// The clients that are registered.
    pub client: Vec<SandboxClient>,
    /// Members that are made up.
    pub members: SandboxRoster,
    /// Members that are described.
    pub member: Vec<SandboxMemberSpec>,
    /// What goes wrong.
    pub rule: Vec<SandboxRule>,
}

impl Default for SandboxScript {
    fn default() -> Self {
        SandboxScript {
            listen: "127.0.0.1:0".into(),
            control: "127.0.0.1:0".into(),
            host: "localhost".into(),
            seed: 1,
            hrex: HrexVersion::V1_1,
            pdex: PdexVersion::V2_2,
            us_core: UsCoreVersion::V6_1_0,
            offers: vec![SandboxOffer::Everything, SandboxOffer::Search],
            mtls: ClientCertificates::Optional,
            client_ca: None,
            client_ca_pem: None,
            server: None,
            strict: true,
            idempotency: KeyHandling::Ignored,
            second_token: false,
            token_seconds: 300,
            page_size: 100,
            everything_page_size: None,
            clock: None,
            clock_skew_s: 0,
            as_of: None,
            keep_body_bytes: 64 * 1024,
            payer: SandboxPayer::default(),
            client: Vec::new(),
            members: SandboxRoster::default(),
            member: Vec::new(),
            rule: Vec::new(),
        }
    }
}

impl SandboxScript {
    /// Reads and checks the file at `path`: JSON when its name ends so, TOML otherwise. Paths in it are relative to its folder.
    ///
    /// # Errors
    /// [`SandboxError::Unreadable`] when a file cannot be read, [`SandboxError::Script`] for what cannot be played.
    pub fn read(path: &Path) -> Result<SandboxScript, SandboxError> {
        let text = std::fs::read_to_string(path).map_err(|error| SandboxError::unreadable(path, &error))?;
        let mut script = if path.extension().is_some_and(|end| end.eq_ignore_ascii_case("json")) {
            SandboxScript::from_json(&text)?
        } else {
            SandboxScript::from_toml(&text)?
        };
        let folder = path.parent().unwrap_or(Path::new(""));
        let paths = [&mut script.client_ca].into_iter().flatten();
        let server = script.server.iter_mut().flat_map(ServerFiles::paths);
        let keys = script.client.iter_mut().filter_map(|client| client.jwks_file.as_mut());
        for relative in paths.chain(server).chain(keys) {
            *relative = folder.join(&relative);
        }
        Ok(script)
    }

    /// Parses and checks TOML.
    ///
    /// # Errors
    /// [`SandboxError::Script`].
    pub fn from_toml(text: &str) -> Result<SandboxScript, SandboxError> {
        let script: SandboxScript = toml::from_str(text).map_err(|error| SandboxError::script("", error))?;
        script.check()?;
        Ok(script)
    }

    /// Parses and checks JSON.
    ///
    /// # Errors
    /// [`SandboxError::Script`].
    pub fn from_json(text: &str) -> Result<SandboxScript, SandboxError> {
        let script: SandboxScript = serde_json::from_str(text).map_err(|error| SandboxError::script("", error))?;
        script.check()?;
        Ok(script)
    }

    /// Adds a rule that is given as TOML, such as `route = "token"\nacts = ["lost-reply"]`.
    ///
    /// # Errors
    /// [`SandboxError::Script`].
    pub fn with_rule(mut self, toml: &str) -> Result<SandboxScript, SandboxError> {
        self.rule.push(SandboxRule::from_toml(toml)?);
        Ok(self)
    }

    /// Registers a client with its JWK set.
    pub fn with_client(mut self, id: &str, jwks: serde_json::Value) -> SandboxScript {
        self.client.push(SandboxClient {
            id: id.to_owned(),
            jwks: Some(jwks),
            ..SandboxClient::default()
        });
        self
    }
}
