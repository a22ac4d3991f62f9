//! The sandbox's own authority and the certificates that it issues, good ones and flawed ones. Nothing outside tests may trust them.
//!
//! Validity counts from the clock of this machine, not from the sandbox's clock, because that is what a client judges by.

use crate::error::SandboxError;
use crate::script::{CertificateFlaw, ClientCertificates, SandboxScript};
use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose, PKCS_ECDSA_P256_SHA256, SanType,
};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::WebPkiClientVerifier;
use rustls::{RootCertStore, ServerConfig};
use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

const DAY_S: i64 = 86_400;

/// A certificate and its key, PEM.
#[derive(Clone, Debug)]
pub struct SandboxCertificate {
    /// The certificate.
    pub certificate_pem: String,
    /// Its key (PKCS#8).
    pub key_pem: String,
}

struct Authority {
    issuer: Issuer<'static, KeyPair>,
    pem: String,
}

/// What a TLS handshake needs, for the good certificate and for every flawed one.
pub(crate) struct Certificates {
    authority: Authority,
    /// The authority that a client must trust.
    pub(crate) trust_pem: String,
    /// Whose client certificates are taken.
    client_roots: Option<(RootCertStore, bool)>,
    good: Arc<ServerConfig>,
    flawed: Mutex<HashMap<CertificateFlaw, Arc<ServerConfig>>>,
}

fn authority(name: &str) -> Result<Authority, SandboxError> {
    let key = key()?;
    let mut params = CertificateParams::default();
    valid(&mut params, -DAY_S, 3650 * DAY_S);
    params.distinguished_name = named(name);
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    let certificate = params.self_signed(&key).map_err(SandboxError::certificate)?;
    let pem = certificate.pem();
    Ok(Authority {
        issuer: Issuer::new(params, key),
        pem,
    })
}

fn key() -> Result<KeyPair, SandboxError> {
    KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).map_err(SandboxError::certificate)
}

fn named(name: &str) -> DistinguishedName {
    let mut distinguished = DistinguishedName::new();
    distinguished.push(DnType::OrganizationName, "Causeway sandbox partner");
    distinguished.push(DnType::CommonName, name);
    distinguished
}

/// Sets the validity, in seconds from now.
fn valid(params: &mut CertificateParams, from_s: i64, to_s: i64) {
    let now = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or(Duration::ZERO)
        .as_secs();
    let at = |offset: i64| {
        let seconds = now.saturating_add_signed(offset);
        rcgen::date_time_ymd(1970, 1, 1) + Duration::from_secs(seconds)
    };
    params.not_before = at(from_s);
    params.not_after = at(to_s);
}

fn leaf(hosts: &[&str], uri: Option<&str>) -> Result<CertificateParams, SandboxError> {
    let hosts: Vec<String> = hosts.iter().map(|&host| host.to_owned()).collect();
    let mut params = CertificateParams::new(hosts).map_err(SandboxError::certificate)?;
    valid(&mut params, -DAY_S, 90 * DAY_S);
    params.distinguished_name = named(if uri.is_some() { "client" } else { "server" });
    params.is_ca = IsCa::ExplicitNoCa;
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.extended_key_usages = vec![match uri {
        Some(_) => ExtendedKeyUsagePurpose::ClientAuth,
        None => ExtendedKeyUsagePurpose::ServerAuth,
    }];
    params.use_authority_key_identifier_extension = true;
    if let Some(uri) = uri {
        let uri = uri.try_into().map_err(SandboxError::certificate)?;
        params.subject_alt_names.push(SanType::URI(uri));
    }
    Ok(params)
}

const HOSTS: [&str; 3] = ["localhost", "127.0.0.1", "::1"];

impl Certificates {
    /// Makes the authority and the server certificate, or reads the files that the script names.
    pub(crate) fn of(script: &SandboxScript) -> Result<Certificates, SandboxError> {
        let authority = authority("sandbox authority")?;
        let client_roots = client_roots(script, &authority.pem)?;
        let (trust_pem, chain, key) = match &script.server {
            None => {
                let (chain, key) = issue(&authority, leaf(&HOSTS, None)?)?;
                (authority.pem.clone(), chain, key)
            }
            Some(files) => {
                let read = |path: &std::path::Path| {
                    std::fs::read_to_string(path).map_err(|error| SandboxError::unreadable(path, &error))
                };
                (read(&files.authority)?, read(&files.certificate)?, read(&files.key)?)
            }
        };
        Ok(Certificates {
            good: server(&chain, &key, client_roots.as_ref())?,
            authority,
            trust_pem,
            client_roots,
            flawed: Mutex::default(),
        })
    }

    /// The TLS settings of one connection.
    pub(crate) fn settings(&self, flaw: Option<CertificateFlaw>) -> Result<Arc<ServerConfig>, SandboxError> {
        let Some(flaw) = flaw else {
            return Ok(Arc::clone(&self.good));
        };
        let mut flawed = self.flawed.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(made) = flawed.get(&flaw) {
            return Ok(Arc::clone(made));
        }
        let (chain, key) = self.flawed(flaw)?;
        let made = server(&chain, &key, self.client_roots.as_ref())?;
        flawed.insert(flaw, Arc::clone(&made));
        Ok(made)
    }

    fn flawed(&self, flaw: CertificateFlaw) -> Result<(String, String), SandboxError> {
        let mut params = leaf(&HOSTS, None)?;
        match flaw {
            CertificateFlaw::Expired => valid(&mut params, -90 * DAY_S, -DAY_S),
            CertificateFlaw::NotYetValid => valid(&mut params, DAY_S, 90 * DAY_S),
            CertificateFlaw::WrongName => params = leaf(&["other-payer.example"], None)?,
            CertificateFlaw::OtherKey => {}
            CertificateFlaw::OtherAuthority => return issue(&authority("another authority")?, params),
            CertificateFlaw::SelfSigned => {
                let key = key()?;
                let certificate = params.self_signed(&key).map_err(SandboxError::certificate)?;
                return Ok((certificate.pem(), key.serialize_pem()));
            }
        }
        issue(&self.authority, params)
    }

    /// Issues a client certificate with this URI name.
    pub(crate) fn client(&self, uri: &str) -> Result<SandboxCertificate, SandboxError> {
        let (certificate_pem, key_pem) = issue(&self.authority, leaf(&[], Some(uri))?)?;
        Ok(SandboxCertificate {
            certificate_pem,
            key_pem,
        })
    }
}

fn issue(authority: &Authority, params: CertificateParams) -> Result<(String, String), SandboxError> {
    let key = key()?;
    let certificate = params
        .signed_by(&key, &authority.issuer)
        .map_err(SandboxError::certificate)?;
    Ok((certificate.pem(), key.serialize_pem()))
}

/// Whose client certificates are taken, and whether one is required.
fn client_roots(script: &SandboxScript, own: &str) -> Result<Option<(RootCertStore, bool)>, SandboxError> {
    let required = match script.mtls {
        ClientCertificates::Off => return Ok(None),
        ClientCertificates::Optional => false,
        ClientCertificates::Required => true,
    };
    let mut texts = vec![own.to_owned()];
    texts.extend(script.client_ca_pem.clone());
    if let Some(path) = &script.client_ca {
        texts.push(std::fs::read_to_string(path).map_err(|error| SandboxError::unreadable(path, &error))?);
    }
    let mut roots = RootCertStore::empty();
    for text in texts {
        for certificate in CertificateDer::pem_slice_iter(text.as_bytes()) {
            roots
                .add(certificate.map_err(SandboxError::certificate)?)
                .map_err(SandboxError::certificate)?;
        }
    }
    Ok(Some((roots, required)))
}

fn server(chain: &str, key: &str, clients: Option<&(RootCertStore, bool)>) -> Result<Arc<ServerConfig>, SandboxError> {
    let chain = CertificateDer::pem_slice_iter(chain.as_bytes())
        .collect::<Result<Vec<_>, _>>()
        .map_err(SandboxError::certificate)?;
    let key = PrivateKeyDer::from_pem_slice(key.as_bytes()).map_err(SandboxError::certificate)?;
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let builder = ServerConfig::builder_with_provider(Arc::clone(&provider))
        .with_safe_default_protocol_versions()
        .map_err(SandboxError::certificate)?;
    let builder = match clients {
        None => builder.with_no_client_auth(),
        Some((roots, required)) => {
            let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots.clone()), provider);
            let verifier = if *required {
                verifier
            } else {
                verifier.allow_unauthenticated()
            };
            builder.with_client_cert_verifier(verifier.build().map_err(SandboxError::certificate)?)
        }
    };
    let mut config = builder
        .with_single_cert(chain, key)
        .map_err(SandboxError::certificate)?;
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(Arc::new(config))
}
