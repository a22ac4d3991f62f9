//! The TLS configuration of a listener, read from files that may change while the server runs.

use super::revocation::{Lists, Revocations};
use super::{ends, provider};
use crate::config::Tls;
use crate::error::{Failure, Fault};
use crate::secret::{hex, sha256};
use arc_swap::ArcSwap;
use rustls::client::danger::HandshakeSignatureValid;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, CertificateRevocationListDer, PrivateKeyDer, UnixTime};
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::server::{ClientHello, NoServerSessionStorage, ResolvesServerCert, WebPkiClientVerifier};
use rustls::sign::CertifiedKey;
use rustls::{
    CertificateError, DigitallySignedStruct, DistinguishedName, Error, RootCertStore, ServerConfig, SignatureScheme,
};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime};

/// How often the files are checked for changes.
const LOOK: Duration = Duration::from_millis(500);
/// The key of the configuration under which the operations side has its certificate.
const OF_OPERATIONS: &str = "server.ops_certificate";

/// Most certificates that a client may send besides its own. Each may cost several signature checks, before anything is known of the client.
const INTERMEDIATES_MAX: usize = 4;

/// The files of a TLS listener.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TlsFiles {
    /// Certificate chain of the server, PEM, leaf first.
    pub certificate: PathBuf,
    /// Private key of the server, PEM.
    pub key: PathBuf,
    /// Certificate authorities of client certificates, PEM. When empty, client certificates are not requested.
    pub client_ca: Vec<PathBuf>,
    /// Revocation lists of those authorities, PEM or DER.
    pub client_crl: Vec<PathBuf>,
    /// How long a list remains valid after its nextUpdate, in seconds.
    pub crl_grace_seconds: i64,
}

impl TlsFiles {
    /// The files that the configuration names.
    ///
    /// # Errors
    /// [`Fault::ConfigInvalid`] when a setting or its file is missing.
    pub fn of(tls: &Tls) -> Result<TlsFiles, Failure> {
        let (certificate, key) = tls.demand_files()?;
        Ok(TlsFiles {
            certificate: certificate.to_path_buf(),
            key: key.to_path_buf(),
            client_ca: tls.client_ca.clone(),
            client_crl: tls.client_crl.clone(),
            crl_grace_seconds: tls.crl_grace_seconds,
        })
    }

    fn all(&self) -> impl Iterator<Item = &PathBuf> {
        [&self.certificate, &self.key]
            .into_iter()
            .chain(&self.client_ca)
            .chain(&self.client_crl)
    }

    fn tell_ends(&self) {
        ends::tell(&self.certificate, &self.client_ca, &self.client_crl);
    }

    /// The modification times and sizes of the files, by which a change is noticed without reading them.
    fn stamp(&self) -> Vec<Option<(SystemTime, u64)>> {
        let of = |path: &PathBuf| {
            std::fs::metadata(path)
                .ok()
                .and_then(|meta| Some((meta.modified().ok()?, meta.len())))
        };
        self.all().map(of).collect()
    }
}

/// The TLS side of a listener. Clones share it.
#[derive(Clone)]
pub struct ServerTls(Arc<Inner>);

struct Inner {
    files: TlsFiles,
    /// Whether metrics and alerts are told when the files end: those of the partners' listener.
    tells: bool,
    identity: Arc<Identity>,
    verifier: Option<Arc<Verifier>>,
    revocations: Revocations,
    stamp: Mutex<Vec<Option<(SystemTime, u64)>>>,
}

impl ServerTls {
    /// Reads the files.
    ///
    /// # Errors
    /// [`Fault::ConfigInvalid`] that names the file that cannot be used.
    pub fn open(files: TlsFiles) -> Result<ServerTls, Failure> {
        ServerTls::reading(files, true)
    }

    /// The operations listener with this certificate chain and key, which asks for no client certificates.
    ///
    /// # Errors
    /// As [`ServerTls::open`], at `server.ops_certificate`.
    pub fn of_operations(certificate: &Path, key: &Path) -> Result<ServerTls, Failure> {
        let files = TlsFiles {
            certificate: certificate.to_path_buf(),
            key: key.to_path_buf(),
            ..TlsFiles::default()
        };
        ServerTls::reading(files, false).map_err(|failure| {
            let remedy = failure.remedy_text().to_owned();
            Failure::new(Fault::ConfigInvalid)
                .at(OF_OPERATIONS)
                .remedy(remedy)
                .because(failure)
        })
    }

    fn reading(files: TlsFiles, tells: bool) -> Result<ServerTls, Failure> {
        let stamp = files.stamp();
        let identity = Arc::new(Identity(ArcSwap::from(Arc::new(certified(&files)?))));
        let revocations = Revocations::default();
        let verifier = if files.client_ca.is_empty() {
            None
        } else {
            let (inner, lists) = client_verifier(&files)?;
            revocations.replace(lists);
            let grace_s = files.crl_grace_seconds;
            Some(Arc::new(Verifier {
                inner: ArcSwap::from_pointee(inner),
                revocations: revocations.clone(),
                grace_s,
            }))
        };
        if tells {
            files.tell_ends();
        }
        Ok(ServerTls(Arc::new(Inner {
            files,
            tells,
            identity,
            verifier,
            revocations,
            stamp: Mutex::new(stamp),
        })))
    }

    /// A configuration for a listener, which follows changes of the files.
    ///
    /// # Errors
    /// [`Fault::Internal`] when the library refuses it.
    pub fn config(&self) -> Result<ServerConfig, Failure> {
        let builder = ServerConfig::builder_with_provider(provider())
            .with_protocol_versions(&[&rustls::version::TLS13, &rustls::version::TLS12])
            .map_err(|error| Failure::new(Fault::Internal).because(error))?;
        let builder = match &self.0.verifier {
            Some(verifier) => builder.with_client_cert_verifier(Arc::clone(verifier) as Arc<dyn ClientCertVerifier>),
            None => builder.with_no_client_auth(),
        };
        let mut config = builder.with_cert_resolver(Arc::clone(&self.0.identity) as Arc<dyn ResolvesServerCert>);
        // HTTP/1.1 only: docs/adr/0009-http-1.1-only-for-now.md.
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        config.session_storage = Arc::new(NoServerSessionStorage {});
        config.send_tls13_tickets = 0;
        config.max_early_data_size = 0;
        Ok(config)
    }

    /// The revocation lists in force, for the check of each request.
    pub fn revocations(&self) -> Revocations {
        self.0.revocations.clone()
    }

    /// Reloads the files if they have changed since the last check, and returns whether they had. A file that cannot be used is logged, and
    /// the old contents stay in force.
    pub fn reload_if_changed(&self) -> bool {
        let stamp = self.0.files.stamp();
        {
            let mut known = self.0.stamp.lock().unwrap_or_else(PoisonError::into_inner);
            if *known == stamp {
                return false;
            }
            *known = stamp;
        }
        self.reload();
        true
    }

    /// Reads the files again. A file that cannot be used is logged, and the old contents stay in force.
    pub fn reload(&self) {
        // What ends is told of the contents in force, so not of files that were kept out.
        if self.takes_over() && self.0.tells {
            self.0.files.tell_ends();
        }
        tracing::info!("the TLS files were read again");
    }

    /// Puts the files in force, and returns whether all of them were.
    pub(super) fn takes_over(&self) -> bool {
        let identity = certified(&self.0.files).map(|identity| self.0.identity.0.store(Arc::new(identity)));
        let verifier = match &self.0.verifier {
            Some(verifier) => client_verifier(&self.0.files).map(|(inner, lists)| {
                verifier.inner.store(Arc::new(inner));
                self.0.revocations.replace(lists);
            }),
            None => Ok(()),
        };
        let failures: Vec<Failure> = [identity, verifier].into_iter().filter_map(Result::err).collect();
        failures.iter().for_each(|failure| self.kept(failure));
        failures.is_empty()
    }

    fn kept(&self, failure: &Failure) {
        let at = match self.0.tells {
            true => failure.expressions().join(", "),
            false => OF_OPERATIONS.to_owned(),
        };
        tracing::error!(
            fault = failure.fault().code(),
            at = at.as_str(),
            cause = failure.cause().map(tracing::field::display),
            "a changed TLS file cannot be used; the former content stays in force"
        );
    }

    /// Checks the files regularly until the task is aborted.
    pub async fn watch(self) {
        let mut ticks = tokio::time::interval(LOOK);
        loop {
            ticks.tick().await;
            let this = self.clone();
            let _ = tokio::task::spawn_blocking(move || this.reload_if_changed()).await;
        }
    }
}

fn refuse(name: &str, path: &Path, cause: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Failure {
    Failure::new(Fault::ConfigInvalid)
        .at(name)
        .remedy(format!("Correct the file {}.", path.display()))
        .because(cause)
}

fn certified(files: &TlsFiles) -> Result<CertifiedKey, Failure> {
    let wrong = |error: Box<dyn std::error::Error + Send + Sync>| refuse("tls.certificate", &files.certificate, error);
    let chain: Vec<CertificateDer<'static>> = CertificateDer::pem_file_iter(&files.certificate)
        .and_then(Iterator::collect)
        .map_err(|error| wrong(error.to_string().into()))?;
    if chain.is_empty() {
        return Err(wrong("no certificate in it".into()));
    }
    let key =
        PrivateKeyDer::from_pem_file(&files.key).map_err(|error| refuse("tls.key", &files.key, error.to_string()))?;
    CertifiedKey::from_der(chain, key, &provider()).map_err(|error| refuse("tls.key", &files.key, error))
}

fn client_verifier(files: &TlsFiles) -> Result<(Arc<dyn ClientCertVerifier>, Lists), Failure> {
    let mut roots = RootCertStore::empty();
    for path in &files.client_ca {
        let before = roots.len();
        let found =
            CertificateDer::pem_file_iter(path).map_err(|error| refuse("tls.client_ca", path, error.to_string()))?;
        for certificate in found {
            let certificate = certificate.map_err(|error| refuse("tls.client_ca", path, error.to_string()))?;
            roots
                .add(certificate)
                .map_err(|error| refuse("tls.client_ca", path, error))?;
        }
        if roots.len() == before {
            return Err(refuse("tls.client_ca", path, "no certificate in it"));
        }
    }
    let mut ders = Vec::new();
    for path in &files.client_crl {
        ders.extend(read_lists(path)?);
    }
    let first = files.client_crl.first().map_or(Path::new(""), PathBuf::as_path);
    let lists = Lists::read(&ders).ok_or_else(|| refuse("tls.client_crl", first, "not a revocation list"))?;
    // An authority without a list is allowed, because its operator may keep none. Expired lists are refused by `Verifier`, after the
    // grace period.
    let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider())
        .with_crls(ders.into_iter().map(CertificateRevocationListDer::from))
        .allow_unknown_revocation_status()
        .allow_unauthenticated()
        .build()
        .map_err(|error| refuse("tls.client_crl", first, error))?;
    Ok((verifier, lists))
}

fn read_lists(path: &Path) -> Result<Vec<Vec<u8>>, Failure> {
    let bytes = std::fs::read(path).map_err(|error| refuse("tls.client_crl", path, error))?;
    if !bytes.starts_with(b"-----") {
        return Ok(vec![bytes]);
    }
    CertificateRevocationListDer::pem_slice_iter(&bytes)
        .map(|list| {
            list.map(|list| list.as_ref().to_vec())
                .map_err(|error| refuse("tls.client_crl", path, error.to_string()))
        })
        .collect()
}

/// The current certificate of the server.
#[derive(Debug)]
struct Identity(ArcSwap<CertifiedKey>);

impl ResolvesServerCert for Identity {
    fn resolve(&self, _hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(self.0.load_full())
    }
}

/// The current verifier of client certificates, with further rules of this server.
struct Verifier {
    inner: ArcSwap<Arc<dyn ClientCertVerifier>>,
    revocations: Revocations,
    grace_s: i64,
}

impl std::fmt::Debug for Verifier {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Verifier")
    }
}

impl Verifier {
    fn judge(
        &self,
        leaf: &CertificateDer<'_>,
        chain: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        if chain.len() > INTERMEDIATES_MAX {
            return Err(CertificateError::BadEncoding.into());
        }
        let verified = self.inner.load().verify_client_cert(leaf, chain, now)?;
        let (_, parsed) = x509_parser::parse_x509_certificate(leaf).map_err(|_| CertificateError::BadEncoding)?;
        let now_s = i64::try_from(now.as_secs()).unwrap_or(i64::MAX);
        if self
            .revocations
            .is_outdated(&sha256(parsed.issuer().as_raw()), now_s, self.grace_s)
        {
            return Err(CertificateError::UnknownRevocationStatus.into());
        }
        Ok(verified)
    }
}

impl ClientCertVerifier for Verifier {
    fn client_auth_mandatory(&self) -> bool {
        false
    }

    /// Empty: a list that may be replaced cannot be returned by reference, and an empty list allows any authority.
    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        &[]
    }

    fn verify_client_cert(
        &self,
        leaf: &CertificateDer<'_>,
        chain: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        self.judge(leaf, chain, now).inspect_err(|error| {
            let thumbprint = hex(&sha256(leaf));
            tracing::warn!(cause = %error, certificate.sha256 = %thumbprint, "a client certificate was refused in the handshake");
        })
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        leaf: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.inner.load().verify_tls12_signature(message, leaf, signed)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        leaf: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.inner.load().verify_tls13_signature(message, leaf, signed)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.inner.load().supported_verify_schemes()
    }
}
