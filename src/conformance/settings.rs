//! The client file: as whom the runner appears, and which bodies and members it may use. Paths are relative to the file.

use crate::error::{Failure, Fault};
use crate::security::signing::SigningKey;
use serde::Deserialize;
use serde_json::Value;
use std::fs;
use std::path::{Path, PathBuf};

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    client_id: String,
    /// Private JWK or JWKS; each key with `kid` and `alg`.
    jwks: PathBuf,
    certificate: Option<PathBuf>,
    key: Option<PathBuf>,
    ca: Option<PathBuf>,
    #[serde(default = "read_scope")]
    scope: String,
    #[serde(default = "match_scope")]
    match_scope: String,
    #[serde(default)]
    patients: Vec<String>,
    #[serde(default)]
    other_patients: Vec<String>,
    #[serde(default)]
    bodies: Bodies,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct Bodies {
    #[serde(rename = "match")]
    matching: Option<PathBuf>,
    no_match: Option<PathBuf>,
    ambiguous: Option<PathBuf>,
    consent: Option<PathBuf>,
}

fn read_scope() -> String {
    "system/*.rs".to_owned()
}

fn match_scope() -> String {
    "http://hl7.org/fhir/us/davinci-hrex/OperationDefinition/member-match".to_owned()
}

/// What the runner needs of a client.
pub struct Settings {
    /// Client id the server knows.
    pub client_id: String,
    /// Signs assertions.
    pub key: SigningKey,
    /// PEM of the client certificate and of its key, one after the other.
    pub identity_pem: Option<String>,
    /// PEM of the authorities to trust; those of the system when there is none.
    pub ca_pem: Option<String>,
    /// Scope for reading and searching.
    pub scope: String,
    /// Scope for `$member-match`.
    pub match_scope: String,
    /// Patients that may be read; those that a match gives when there is none.
    pub patients: Vec<String>,
    /// Patients that are there and must not be shown to this client.
    pub other_patients: Vec<String>,
    /// A `$member-match` body that must match.
    pub matching: Option<Value>,
    /// One that must match nobody.
    pub no_match: Option<Value>,
    /// One that fits several members.
    pub ambiguous: Option<Value>,
    /// One whose member is unique and whose consent cannot be honoured.
    pub consent: Option<Value>,
}

impl Settings {
    /// Reads a client file and what it names.
    ///
    /// # Errors
    /// [`Fault::InputUnreadable`] for a file that cannot be read, [`Fault::ConfigInvalid`] for what is in it.
    pub fn read(path: &Path) -> Result<Settings, Failure> {
        let invalid = |cause: String| {
            Failure::new(Fault::ConfigInvalid)
                .at("--client")
                .remedy("Correct the client file; conformance/README.md shows one.")
                .because(cause)
        };
        let file: File = toml::from_str(&text(path)?).map_err(|error| invalid(error.message().to_owned()))?;
        let folder = path.parent().unwrap_or(Path::new("."));
        let read = |name: &PathBuf| text(&folder.join(name));
        let body = |name: &Option<PathBuf>| -> Result<Option<Value>, Failure> {
            let Some(name) = name else { return Ok(None) };
            let body: Value = serde_json::from_str(&read(name)?).map_err(|error| invalid(error.to_string()))?;
            Ok(Some(body))
        };
        let keys: Value = serde_json::from_str(&read(&file.jwks)?).map_err(|error| invalid(error.to_string()))?;
        let key = SigningKey::from_jwk(keys.get("keys").and_then(|keys| keys.get(0)).unwrap_or(&keys))?;
        let identity_pem = match (&file.certificate, &file.key) {
            (Some(certificate), Some(key)) => Some(format!("{}\n{}", read(certificate)?, read(key)?)),
            (None, None) => None,
            _ => return Err(invalid("certificate and key belong together".to_owned())),
        };
        Ok(Settings {
            client_id: file.client_id,
            key,
            identity_pem,
            ca_pem: file.ca.as_ref().map(read).transpose()?,
            scope: file.scope,
            match_scope: file.match_scope,
            patients: file.patients,
            other_patients: file.other_patients,
            matching: body(&file.bodies.matching)?,
            no_match: body(&file.bodies.no_match)?,
            ambiguous: body(&file.bodies.ambiguous)?,
            consent: body(&file.bodies.consent)?,
        })
    }
}

fn text(path: &Path) -> Result<String, Failure> {
    fs::read_to_string(path).map_err(|error| {
        Failure::new(Fault::InputUnreadable)
            .at(path.display().to_string())
            .because(error)
    })
}
