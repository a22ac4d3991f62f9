//! A small certificate authority for development, the demonstration and tests. Nothing else trusts its certificates.
//!
//! Keys are ECDSA P-256. The validity is computed from the given `now`, so that tests need not wait for a certificate to expire.

use crate::error::{Failure, Fault};
use crate::secret::random;
use rcgen::{
    BasicConstraints, CertificateParams, CertificateRevocationListParams, DistinguishedName, DnType,
    ExtendedKeyUsagePurpose, IsCa, Issuer, KeyIdMethod, KeyPair, KeyUsagePurpose, PKCS_ECDSA_P256_SHA256,
    RevokedCertParams, SanType, SerialNumber,
};
use std::time::Duration;

/// Validity of a certificate authority in days.
const CA_DAYS: i64 = 3650;
/// Validity of the certificates that it issues, in days.
const LEAF_DAYS: i64 = 397;
const DAY_MS: i64 = 86_400_000;

/// A certificate with its key, in PEM and DER.
#[derive(Clone)]
pub struct Issued {
    /// The certificate, PEM.
    pub certificate_pem: String,
    /// The key, PEM (PKCS#8). A secret: only for files of mode 0600.
    pub key_pem: String,
    /// The certificate, DER.
    pub certificate_der: Vec<u8>,
    /// The key, DER (PKCS#8).
    pub key_der: Vec<u8>,
    /// Its serial number.
    pub serial: Vec<u8>,
}

/// The contents of a certificate to be issued; tests change the field that they are about.
#[derive(Clone, Debug)]
pub struct Leaf {
    /// URI subject alternative names.
    pub uris: Vec<String>,
    /// DNS names and IP addresses.
    pub hosts: Vec<String>,
    /// Common name; it does not identify anybody.
    pub name: String,
    /// Start of validity, UTC milliseconds.
    pub from_ms: i64,
    /// End of validity, UTC milliseconds.
    pub to_ms: i64,
    /// Whether it is a server certificate and not a client certificate.
    pub server: bool,
}

impl Leaf {
    /// A client certificate with this URI name.
    pub fn client(uri: &str, now_ms: i64) -> Leaf {
        Leaf {
            uris: vec![uri.to_owned()],
            hosts: Vec::new(),
            name: "client".into(),
            from_ms: now_ms - DAY_MS,
            to_ms: now_ms + LEAF_DAYS * DAY_MS,
            server: false,
        }
    }

    /// A server certificate for these DNS names and IP addresses.
    pub fn server(hosts: &[&str], now_ms: i64) -> Leaf {
        Leaf {
            hosts: hosts.iter().map(|host| (*host).to_owned()).collect(),
            uris: Vec::new(),
            name: "server".into(),
            server: true,
            ..Leaf::client("", now_ms)
        }
    }
}

/// A development certificate authority.
pub struct DevCa {
    issuer: Issuer<'static, KeyPair>,
    certificate_pem: String,
    certificate_der: Vec<u8>,
    key_pem: String,
}

fn broken(error: rcgen::Error) -> Failure {
    Failure::new(Fault::Internal).because(error)
}

fn key() -> Result<KeyPair, Failure> {
    KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).map_err(broken)
}

fn serial() -> SerialNumber {
    let mut bytes: [u8; 16] = random();
    bytes[0] = bytes[0] & 0x7f | 0x40; // positive and never shorter
    SerialNumber::from_slice(&bytes)
}

fn named(name: &str) -> DistinguishedName {
    let mut distinguished = DistinguishedName::new();
    distinguished.push(DnType::OrganizationName, "Causeway development");
    distinguished.push(DnType::CommonName, name);
    distinguished
}

/// Makes a certificate authority with this name.
///
/// # Errors
/// [`Fault::Internal`] when the cryptography library fails.
pub fn issue_ca(name: &str, now_ms: i64) -> Result<DevCa, Failure> {
    let key = key()?;
    let mut params = CertificateParams::default();
    within(&mut params, now_ms - DAY_MS, now_ms + CA_DAYS * DAY_MS);
    params.distinguished_name = named(name);
    params.serial_number = Some(serial());
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    let certificate = params.self_signed(&key).map_err(broken)?;
    let (certificate_pem, certificate_der, key_pem) =
        (certificate.pem(), certificate.der().to_vec(), key.serialize_pem());
    Ok(DevCa {
        issuer: Issuer::new(params, key),
        certificate_pem,
        certificate_der,
        key_pem,
    })
}

fn within(params: &mut CertificateParams, from_ms: i64, to_ms: i64) {
    let epoch = rcgen::date_time_ymd(1970, 1, 1);
    let after = |ms: i64| epoch + Duration::from_secs(u64::try_from(ms / 1000).unwrap_or(0));
    params.not_before = after(from_ms);
    params.not_after = after(to_ms);
}

impl DevCa {
    /// Loads an authority from its certificate and key.
    ///
    /// # Errors
    /// [`Fault::InputUnreadable`] when the texts are not a certificate and its key.
    pub fn from_pem(certificate_pem: &str, key_pem: &str) -> Result<DevCa, Failure> {
        let unreadable = |error: rcgen::Error| Failure::new(Fault::InputUnreadable).because(error);
        let key = KeyPair::from_pem(key_pem).map_err(unreadable)?;
        let issuer = Issuer::from_ca_cert_pem(certificate_pem, key).map_err(unreadable)?;
        let certificate_der = rustls::pki_types::pem::PemObject::from_pem_slice(certificate_pem.as_bytes())
            .map(|der: rustls::pki_types::CertificateDer<'static>| der.to_vec())
            .map_err(|error| Failure::new(Fault::InputUnreadable).because(error.to_string()))?;
        Ok(DevCa {
            issuer,
            certificate_pem: certificate_pem.to_owned(),
            certificate_der,
            key_pem: key_pem.to_owned(),
        })
    }

    /// Its certificate, PEM.
    pub fn certificate_pem(&self) -> &str {
        &self.certificate_pem
    }

    /// Its certificate, DER.
    pub fn certificate_der(&self) -> &[u8] {
        &self.certificate_der
    }

    /// Its key, PEM. A secret: only for files of mode 0600.
    pub fn key_pem(&self) -> &str {
        &self.key_pem
    }

    /// A server certificate for `localhost`, `127.0.0.1` and `::1`.
    ///
    /// # Errors
    /// As [`issue_ca`].
    pub fn server(&self, now_ms: i64) -> Result<Issued, Failure> {
        self.issue(&Leaf::server(&["localhost", "127.0.0.1", "::1"], now_ms))
    }

    /// A client certificate with this URI name.
    ///
    /// # Errors
    /// As [`issue_ca`].
    pub fn client(&self, uri: &str, now_ms: i64) -> Result<Issued, Failure> {
        self.issue(&Leaf::client(uri, now_ms))
    }

    /// Issues a certificate with these contents.
    ///
    /// # Errors
    /// As [`issue_ca`].
    pub fn issue(&self, leaf: &Leaf) -> Result<Issued, Failure> {
        let key = key()?;
        let params = params_of(leaf)?;
        let certificate = params.signed_by(&key, &self.issuer).map_err(broken)?;
        Ok(issued(&certificate, &key, &params))
    }

    /// Makes a revocation list of these serial numbers, PEM, whose next update is due at `next_ms`.
    ///
    /// # Errors
    /// As [`issue_ca`].
    pub fn revoke(&self, serials: &[&[u8]], now_ms: i64, next_ms: i64) -> Result<String, Failure> {
        let mut times = CertificateParams::default();
        within(&mut times, now_ms, next_ms);
        let revoked = |serial: &&[u8]| RevokedCertParams {
            serial_number: SerialNumber::from_slice(serial),
            revocation_time: times.not_before,
            reason_code: None,
            invalidity_date: None,
        };
        let list = CertificateRevocationListParams {
            this_update: times.not_before,
            next_update: times.not_after,
            crl_number: SerialNumber::from(u64::try_from(now_ms).unwrap_or(1)),
            issuing_distribution_point: None,
            revoked_certs: serials.iter().map(revoked).collect(),
            key_identifier_method: KeyIdMethod::Sha256,
        };
        list.signed_by(&self.issuer).and_then(|list| list.pem()).map_err(broken)
    }
}

/// Makes a self-signed certificate, which must be refused everywhere.
///
/// # Errors
/// As [`issue_ca`].
pub fn self_signed(leaf: &Leaf) -> Result<Issued, Failure> {
    let key = key()?;
    let params = params_of(leaf)?;
    let certificate = params.self_signed(&key).map_err(broken)?;
    Ok(issued(&certificate, &key, &params))
}

fn params_of(leaf: &Leaf) -> Result<CertificateParams, Failure> {
    let mut params = CertificateParams::new(leaf.hosts.clone()).map_err(broken)?;
    for uri in &leaf.uris {
        params
            .subject_alt_names
            .push(SanType::URI(uri.as_str().try_into().map_err(broken)?));
    }
    within(&mut params, leaf.from_ms, leaf.to_ms);
    params.distinguished_name = named(&leaf.name);
    params.serial_number = Some(serial());
    params.is_ca = IsCa::ExplicitNoCa;
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.extended_key_usages = vec![if leaf.server {
        ExtendedKeyUsagePurpose::ServerAuth
    } else {
        ExtendedKeyUsagePurpose::ClientAuth
    }];
    params.use_authority_key_identifier_extension = true;
    Ok(params)
}

fn issued(certificate: &rcgen::Certificate, key: &KeyPair, params: &CertificateParams) -> Issued {
    Issued {
        certificate_pem: certificate.pem(),
        key_pem: key.serialize_pem(),
        certificate_der: certificate.der().to_vec(),
        key_der: key.serialize_der(),
        serial: params
            .serial_number
            .as_ref()
            .map(SerialNumber::to_bytes)
            .unwrap_or_default(),
    }
}
