//! The client file: the identity of the runner, and the request bodies and patients that it may use. Paths are relative to the file.

use super::unusable::Unusable;
use causeway_jose::SigningKey;
use serde::Deserialize;
use serde_json::Value;
use std::fs;
use std::path::{Path, PathBuf};

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    client_id: String,
    /// Private JWK or JWK set; each key has `kid` and `alg`.
    jwks: PathBuf,
    certificate: Option<PathBuf>,
    key: Option<PathBuf>,
    ca: Option<PathBuf>,
    #[serde(default = "read_scope")]
    scope: String,
    #[serde(default = "match_scope")]
    match_scope: String,
    bulk_match_scope: Option<String>,
    #[serde(default)]
    bulk_match_envelope: bool,
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

/// The settings of the runner as a client.
pub struct ClientSettings {
    /// The client id that is registered at the server.
    pub client_id: String,
    /// The key for signing assertions.
    pub key: SigningKey,
    /// The client certificate followed by its key, PEM.
    pub identity_pem: Option<String>,
    /// The certificate authorities to trust, PEM; `None` for those of the system.
    pub ca_pem: Option<String>,
    /// Scope for reading and searching.
    pub scope: String,
    /// Scope for `$member-match`.
    pub match_scope: String,
    /// Scope for `$bulk-member-match`; without it, bulk matches are not tested.
    pub bulk_match_scope: Option<String>,
    /// Whether the client is registered with PDex 2.1, and results of bulk matches have the envelope of that version.
    pub wants_envelope: bool,
    /// Patients that may be read; when empty, the matched patient.
    pub patients: Vec<String>,
    /// Patients that exist and must not be accessible to this client.
    pub other_patients: Vec<String>,
    /// A `$member-match` body that must match.
    pub matching: Option<Value>,
    /// A `$member-match` body that must match no member.
    pub no_match: Option<Value>,
    /// A `$member-match` body that fits several members.
    pub ambiguous: Option<Value>,
    /// A `$member-match` body with a unique member and a consent that cannot be honored.
    pub consent: Option<Value>,
}

impl ClientSettings {
    /// Reads a client file and the files that it names.
    ///
    /// # Errors
    /// [`Unusable`] for a file that cannot be read, and for invalid contents.
    pub fn read(path: &Path) -> Result<ClientSettings, Unusable> {
        let invalid = |cause: String| Unusable::invalid(cause);
        let file: File = toml::from_str(&text(path)?).map_err(|error| invalid(error.message().to_owned()))?;
        let folder = path.parent().unwrap_or(Path::new("."));
        let read = |name: &PathBuf| text(&folder.join(name));
        let body = |name: &Option<PathBuf>| -> Result<Option<Value>, Unusable> {
            let Some(name) = name else { return Ok(None) };
            let body: Value = serde_json::from_str(&read(name)?).map_err(|error| invalid(error.to_string()))?;
            Ok(Some(body))
        };
        let keys: Value = serde_json::from_str(&read(&file.jwks)?).map_err(|error| invalid(error.to_string()))?;
        let key = SigningKey::from_jwk(keys.get("keys").and_then(|keys| keys.get(0)).unwrap_or(&keys))
            .map_err(Unusable::invalid)?;
        let identity_pem = match (&file.certificate, &file.key) {
            (Some(certificate), Some(key)) => Some(format!("{}\n{}", read(certificate)?, read(key)?)),
            (None, None) => None,
            _ => return Err(invalid("certificate and key belong together".to_owned())),
        };
        Ok(ClientSettings {
            client_id: file.client_id,
            key,
            identity_pem,
            ca_pem: file.ca.as_ref().map(read).transpose()?,
            scope: file.scope,
            match_scope: file.match_scope,
            bulk_match_scope: file.bulk_match_scope,
            wants_envelope: file.bulk_match_envelope,
            patients: file.patients,
            other_patients: file.other_patients,
            matching: body(&file.bodies.matching)?,
            no_match: body(&file.bodies.no_match)?,
            ambiguous: body(&file.bodies.ambiguous)?,
            consent: body(&file.bodies.consent)?,
        })
    }
}

fn text(path: &Path) -> Result<String, Unusable> {
    fs::read_to_string(path).map_err(|cause| Unusable::Unreadable {
        file: path.display().to_string(),
        cause,
    })
}
