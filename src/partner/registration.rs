//! Reads and checks `partner.toml`. Relative paths in it are relative to its folder; the
//! content of the files is copied into the registration.
//!
//! Its URLs are checked as text by the rule that applies when they are called later (`security::address`); no name is looked up.

use super::contacts::PartnerContacts;
use super::npi::has_valid_check_digit;
use crate::error::{Failure, Fault};
use crate::ids::is_fhir_id;
use crate::security::Dialect;
use crate::security::address::check_registered;
use crate::security::scopes::Scopes;
use crate::store::activations::AS_REGISTERED;
use crate::store::partners::PartnerRow;
use causeway_jose::{KeySet, PublicKey};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use serde::Deserialize;
use serde_json::json;
use std::path::{Path, PathBuf};

const DIALECTS: [(&str, &[&str]); 3] = [
    ("hrex", &["1.0", "1.1", "1.2"]),
    ("pdex", &["2.0", "2.1", "2.2"]),
    ("us_core", &["3.1.1", "6.1.0"]),
];

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    id: String,
    name: String,
    npi: String,
    client_id: String,
    jwks_file: Option<PathBuf>,
    jwks_url: Option<String>,
    certificate_uri: Option<String>,
    mtls: Option<String>,
    scopes: Vec<String>,
    #[serde(default)]
    dialect: DialectFile,
    endpoint: Option<EndpointFile>,
    contacts: Option<PartnerContacts>,
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct DialectFile {
    hrex: Option<String>,
    pdex: Option<String>,
    us_core: Option<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct EndpointFile {
    fhir: String,
    trust: Option<PathBuf>,
    client_id: Option<String>,
}

/// A checked registration.
#[derive(Clone, Debug)]
pub struct Registration {
    /// The row to store; times and version are set when it is written.
    pub row: PartnerRow,
    /// Thumbprints of the keys in an inline key set.
    pub thumbprints: Vec<String>,
    /// Warnings for the operator; they do not prevent the registration.
    pub warnings: Vec<String>,
}

fn refuse(field: &str, remedy: impl Into<String>) -> Failure {
    Failure::new(Fault::PartnerInvalid).at(field).remedy(remedy)
}

fn read(path: &Path) -> Result<String, Failure> {
    std::fs::read_to_string(path).map_err(|error| {
        let remedy = format!("Check the path {} and its permissions.", path.display());
        Failure::new(Fault::InputUnreadable).remedy(remedy).because(error)
    })
}

impl Registration {
    /// Reads the file at `path`. With `loopback`, its URLs may lead to this machine; only for a server that no other machine can reach.
    ///
    /// # Errors
    /// [`Fault::InputUnreadable`] when it or a file that it names cannot be read; [`Fault::PartnerInvalid`], naming the field.
    pub fn read(path: &Path, loopback: bool) -> Result<Registration, Failure> {
        Registration::parse(&read(path)?, path.parent().unwrap_or(Path::new("")), loopback)
    }

    /// Reads the text of a `partner.toml` in `folder`.
    ///
    /// # Errors
    /// As [`Registration::read`].
    pub fn parse(text: &str, folder: &Path, loopback: bool) -> Result<Registration, Failure> {
        let file: File = toml::from_str(text).map_err(|error| {
            let line = error
                .span()
                .map_or(1, |span| text[..span.start.min(text.len())].matches('\n').count() + 1);
            refuse(
                &format!("line {line}"),
                format!("The file cannot be used: {}.", error.message().replace('\n', "; ")),
            )
        })?;
        let mut warnings = Vec::new();
        check_names(&file)?;
        if !has_valid_check_digit(&file.npi) {
            warnings.push(format!(
                "The NPI {} has a wrong check digit; it is compared as text all the same.",
                file.npi
            ));
        }
        let mtls = file.mtls.as_deref().unwrap_or("required");
        check_certificate(mtls, file.certificate_uri.as_deref(), &mut warnings)?;
        let (jwks, thumbprints) = match (&file.jwks_file, &file.jwks_url) {
            (Some(_), Some(_)) => return Err(refuse("jwks_url", "Give jwks_file or jwks_url, not both.")),
            (None, None) => return Err(refuse("jwks_file", "Give the partner's keys as jwks_file or jwks_url.")),
            (Some(path), None) => {
                let text = read(&folder.join(path))?;
                let keys = KeySet::parse(text.as_bytes())
                    .map_err(|refused| refuse("jwks_file", format!("Correct the key set: {refused}.")))?;
                (
                    Some(text),
                    keys.keys()
                        .iter()
                        .map(|key: &PublicKey| key.thumbprint.clone())
                        .collect(),
                )
            }
            (None, Some(url)) => {
                check_registered(url, loopback)
                    .map_err(|why| refuse("jwks_url", format!("Give a public https URL: {why}.")))?;
                (None, Vec::new())
            }
        };
        if let Some(at) = Scopes::first_unknown(&file.scopes) {
            return Err(refuse(
                &format!("scopes[{at}]"),
                "Give scopes such as system/*.rs, system/Patient.read, or an operation's URL.",
            ));
        }
        if file.scopes.is_empty() {
            return Err(refuse("scopes", "Give at least one scope."));
        }
        let dialect = dialect(&file.dialect)?;
        let row = PartnerRow {
            endpoint: file
                .endpoint
                .as_ref()
                .map(|endpoint| read_endpoint(endpoint, folder, loopback))
                .transpose()?,
            contacts: read_contacts(file.contacts.as_ref())?,
            dialect: serde_json::to_string(&dialect).map_err(|error| Failure::new(Fault::Internal).because(error))?,
            mtls: mtls.to_owned(),
            scopes: file.scopes.join(" "),
            id: file.id,
            name: file.name,
            npi: file.npi,
            client_id: file.client_id,
            status: "active".into(),
            status_reason: None,
            certificate_uri: file.certificate_uri,
            jwks,
            jwks_url: file.jwks_url,
            version: 1,
            created_ms: 0,
            updated_ms: 0,
        };
        Ok(Registration {
            row,
            thumbprints,
            warnings,
        })
    }
}

fn check_names(file: &File) -> Result<(), Failure> {
    if !is_fhir_id(&file.id) {
        return Err(refuse("id", "Give an id of 1 to 64 letters, digits, hyphens and dots."));
    }
    if file.name.trim().is_empty() || file.name.len() > 200 || file.name.chars().any(char::is_control) {
        return Err(refuse("name", "Give a name of 1 to 200 characters."));
    }
    if file.npi.is_empty() || file.npi.len() > 20 || !file.npi.bytes().all(|b| b.is_ascii_alphanumeric()) {
        return Err(refuse(
            "npi",
            "Give the National Provider Identifier, ten digits in quotes.",
        ));
    }
    check_client_id("client_id", &file.client_id)
}

fn check_client_id(field: &str, id: &str) -> Result<(), Failure> {
    match (1..=255).contains(&id.len()) && id.bytes().all(|byte| byte.is_ascii_graphic()) {
        true => Ok(()),
        false => Err(refuse(
            field,
            "Give an OAuth client id of 1 to 255 visible ASCII characters.",
        )),
    }
}

fn check_certificate(mtls: &str, uri: Option<&str>, warnings: &mut Vec<String>) -> Result<(), Failure> {
    if !["required", "optional", "off"].contains(&mtls) {
        return Err(refuse("mtls", "Write required, optional or off."));
    }
    match uri {
        None if mtls == "required" => {
            return Err(refuse(
                "certificate_uri",
                "Give the URI name of the partner's client certificate, or set mtls to off.",
            ));
        }
        Some(uri)
            if reqwest::Url::parse(uri).is_err() || uri.len() > 1024 || !uri.bytes().all(|b| b.is_ascii_graphic()) =>
        {
            return Err(refuse(
                "certificate_uri",
                "Give an absolute URI, exactly as it is in the certificate.",
            ));
        }
        _ => {}
    }
    if mtls == "off" {
        warnings.push("Without mTLS this partner's tokens are bound to no certificate.".into());
    }
    Ok(())
}

/// Checks the text of a dialect, JSON as in `partner show --json`, or `{}` for the one of the registration. Returns its canonical form.
///
/// # Errors
/// What is wrong, in words that complete "Correct the policy: ".
pub fn check_dialect(text: &str) -> Result<String, String> {
    if text.trim() == AS_REGISTERED.trim() {
        return Ok(AS_REGISTERED.to_owned());
    }
    let given: Dialect = serde_json::from_str(text)
        .map_err(|_| "write a JSON object with the three members hrex, pdex and us_core, and no other".to_owned())?;
    for ((name, known), value) in DIALECTS.iter().zip([&given.hrex, &given.pdex, &given.us_core]) {
        if !known.contains(&value.as_str()) {
            return Err(format!("{name} must be one of {}", known.join(", ")));
        }
    }
    let Dialect { hrex, pdex, us_core } = given;
    Ok(format!(
        "{{\n  \"hrex\": \"{hrex}\",\n  \"pdex\": \"{pdex}\",\n  \"us_core\": \"{us_core}\"\n}}\n"
    ))
}

fn dialect(file: &DialectFile) -> Result<Dialect, Failure> {
    let given = [&file.hrex, &file.pdex, &file.us_core];
    for ((name, known), value) in DIALECTS.iter().zip(given) {
        if let Some(value) = value
            && !known.contains(&value.as_str())
        {
            return Err(refuse(
                &format!("dialect.{name}"),
                format!("Write one of {}.", known.join(", ")),
            ));
        }
    }
    let or = |value: &Option<String>, default: &str| value.clone().unwrap_or_else(|| default.to_owned());
    Ok(Dialect {
        hrex: or(&file.hrex, "1.1"),
        pdex: or(&file.pdex, "2.2"),
        us_core: or(&file.us_core, "6.1.0"),
    })
}

fn read_endpoint(file: &EndpointFile, folder: &Path, loopback: bool) -> Result<String, Failure> {
    check_registered(&file.fhir, loopback)
        .map_err(|why| refuse("endpoint.fhir", format!("Give a public https URL: {why}.")))?;
    if file.fhir.ends_with('/') || file.fhir.contains('?') {
        return Err(refuse("endpoint.fhir", "Leave out the slash or query at its end."));
    }
    if let Some(id) = &file.client_id {
        check_client_id("endpoint.client_id", id)?;
    }
    let trust = match &file.trust {
        None => None,
        Some(path) => {
            let pem = read(&folder.join(path))?;
            let certificates = CertificateDer::pem_slice_iter(pem.as_bytes()).collect::<Result<Vec<_>, _>>();
            if certificates.map_or(0, |found| found.len()) == 0 {
                return Err(refuse(
                    "endpoint.trust",
                    "Give a PEM file with the authorities of the partner's server.",
                ));
            }
            Some(pem)
        }
    };
    Ok(json!({ "fhir": file.fhir, "trust": trust, "client_id": file.client_id }).to_string())
}

fn read_contacts(file: Option<&PartnerContacts>) -> Result<Option<String>, Failure> {
    let Some(contacts) = file.filter(|contacts| !contacts.is_empty()) else {
        return Ok(None);
    };
    contacts.check().map_err(|wrong| refuse(&wrong.field, wrong.remedy))?;
    let text = serde_json::to_string(contacts).map_err(|error| Failure::new(Fault::Internal).because(error))?;
    Ok(Some(text))
}
