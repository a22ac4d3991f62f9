//! The client certificate of one connection. Only its URI names identify the partner (HRex sec-15).

use crate::secret::sha256;
use x509_parser::prelude::{FromDer, GeneralName, X509Certificate};

/// The certificate of a peer, stored with its connection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PeerCertificate {
    /// SHA-256 of its DER form: the `x5t#S256` to which tokens are bound.
    pub sha256: [u8; 32],
    /// Its URI subject alternative names; empty for a certificate that must not be accepted.
    pub uris: Vec<String>,
    /// SHA-256 of the DER form of its issuer's name.
    pub issuer_sha256: [u8; 32],
    /// Its serial number, big-endian without leading zeros.
    pub serial: Vec<u8>,
    /// Start of its validity, in seconds since 1970.
    pub not_before_s: i64,
    /// End of its validity, in seconds since 1970.
    pub not_after_s: i64,
}

impl PeerCertificate {
    /// Reads a DER certificate. One that cannot be read, is self-signed or is a certificate authority's gets no names and so belongs to no
    /// partner. It must still count as presented, not as missing.
    pub fn of(der: &[u8]) -> PeerCertificate {
        let nobody = PeerCertificate {
            sha256: sha256(der),
            uris: Vec::new(),
            issuer_sha256: [0; 32],
            serial: Vec::new(),
            not_before_s: i64::MAX,
            not_after_s: i64::MIN,
        };
        let Ok(([], certificate)) = X509Certificate::from_der(der) else {
            return nobody;
        };
        if certificate.subject().as_raw() == certificate.issuer().as_raw() || certificate.is_ca() {
            return nobody;
        }
        let names = certificate.subject_alternative_name().ok().flatten();
        let uris = names.map(|names| {
            let uri = |name: &GeneralName<'_>| match name {
                GeneralName::URI(uri) => Some((*uri).to_owned()),
                _ => None,
            };
            names.value.general_names.iter().filter_map(uri).collect()
        });
        PeerCertificate {
            uris: uris.unwrap_or_default(),
            issuer_sha256: sha256(certificate.issuer().as_raw()),
            serial: plain(certificate.raw_serial()),
            not_before_s: certificate.validity().not_before.timestamp(),
            not_after_s: certificate.validity().not_after.timestamp(),
            ..nobody
        }
    }

    /// Whether `now_s` is within its validity.
    pub fn is_current(&self, now_s: i64) -> bool {
        (self.not_before_s..=self.not_after_s).contains(&now_s)
    }
}

/// A serial number without its leading zeros.
pub(super) fn plain(serial: &[u8]) -> Vec<u8> {
    serial.iter().copied().skip_while(|byte| *byte == 0).collect()
}
