//! A throw-away certificate authority with the good and the bad certificates that tests present.

use rcgen::{
    BasicConstraints, CertificateParams, CertificateRevocationListParams, CertifiedIssuer, DnType,
    ExtendedKeyUsagePurpose, IsCa, KeyIdMethod, KeyPair, KeyUsagePurpose, RevocationReason, RevokedCertParams, SanType,
    SerialNumber, date_time_ymd,
};
use std::path::Path;

/// A certificate and its key, PEM.
#[derive(Clone)]
pub struct Pair {
    pub certificate: String,
    pub key: String,
}

/// What a client certificate is like.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    Good,
    Expired,
    Revoked,
}

/// The authority; its files are written where a server's configuration can name them.
pub struct Pki {
    issuer: CertifiedIssuer<'static, KeyPair>,
    pub ca: String,
}

const REVOKED_SERIAL: u64 = 666;

impl Pki {
    pub fn new(name: &str) -> Pki {
        let mut params = CertificateParams::new(Vec::new()).expect("no names");
        params.distinguished_name.push(DnType::CommonName, name);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        let issuer = CertifiedIssuer::self_signed(params, KeyPair::generate().expect("a key")).expect("an authority");
        let ca = issuer.pem();
        Pki { issuer, ca }
    }

    /// A server certificate for this machine.
    pub fn server(&self) -> Pair {
        let mut params = CertificateParams::new(vec!["localhost".to_owned(), "127.0.0.1".to_owned()]).expect("names");
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        self.sign(params)
    }

    /// A client certificate whose URI name is `uri`.
    pub fn client(&self, uri: &str, kind: Kind) -> Pair {
        let mut params = CertificateParams::new(Vec::new()).expect("no names");
        params.distinguished_name.push(DnType::CommonName, "a partner");
        params.subject_alt_names = vec![SanType::URI(uri.try_into().expect("an ASCII URI"))];
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
        match kind {
            Kind::Good => {}
            Kind::Expired => {
                params.not_before = date_time_ymd(2020, 1, 1);
                params.not_after = date_time_ymd(2021, 1, 1);
            }
            Kind::Revoked => params.serial_number = Some(SerialNumber::from(REVOKED_SERIAL)),
        }
        self.sign(params)
    }

    fn sign(&self, params: CertificateParams) -> Pair {
        let key = KeyPair::generate().expect("a key");
        let certificate = params.signed_by(&key, &self.issuer).expect("a certificate");
        Pair {
            certificate: certificate.pem(),
            key: key.serialize_pem(),
        }
    }

    /// The revocation list: one certificate is on it.
    pub fn crl(&self) -> String {
        self.crl_of(vec![RevokedCertParams {
            serial_number: SerialNumber::from(REVOKED_SERIAL),
            revocation_time: date_time_ymd(2024, 1, 1),
            reason_code: Some(RevocationReason::KeyCompromise),
            invalidity_date: None,
        }])
    }

    /// The list before anything was revoked.
    pub fn empty_crl(&self) -> String {
        self.crl_of(Vec::new())
    }

    fn crl_of(&self, revoked_certs: Vec<RevokedCertParams>) -> String {
        let params = CertificateRevocationListParams {
            this_update: date_time_ymd(2024, 1, 1),
            next_update: date_time_ymd(2095, 1, 1),
            crl_number: SerialNumber::from(1),
            issuing_distribution_point: None,
            revoked_certs,
            key_identifier_method: KeyIdMethod::Sha256,
        };
        params.signed_by(&self.issuer).expect("a list").pem().expect("PEM")
    }

    /// Writes authority, list and server certificate into `folder`.
    pub fn write(&self, folder: &Path) {
        let server = self.server();
        for (name, text) in [
            ("ca.pem", &self.ca),
            ("ca.crl", &self.crl()),
            ("server.pem", &server.certificate),
            ("server.key", &server.key),
        ] {
            std::fs::write(folder.join(name), text).expect("a file");
        }
    }
}
