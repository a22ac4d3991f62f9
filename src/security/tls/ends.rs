//! When the files of the TLS listener end: certificate chain, authorities of clients, and revocation lists. Told to `telemetry::signs`, where
//! metrics and alerts find it.
//!
//! It refuses nothing: a file that cannot be read is reported by whoever puts it in force.

use crate::telemetry::signs::{TlsEnd, tell_tls_ends};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, CertificateRevocationListDer};
use std::collections::HashMap;
use std::path::{Path, PathBuf};
use x509_parser::prelude::{CertificateRevocationList, FromDer};

/// Reads when these files end, and notes the first end of each kind.
pub(super) fn tell(certificate: &Path, authorities: &[PathBuf], lists: &[PathBuf]) {
    let ends: [Option<TlsEnd>; 3] = [
        certificates_end(certificate).map(|end| ("certificate", end)),
        authorities
            .iter()
            .filter_map(|path| certificates_end(path))
            .min()
            .map(|end| ("authority", end)),
        lists_end(lists).map(|end| ("list", end)),
    ];
    tell_tls_ends(ends.into_iter().flatten().collect());
}

/// When the first certificate of this file ends, in seconds since 1970.
fn certificates_end(path: &Path) -> Option<i64> {
    let chain = CertificateDer::pem_file_iter(path).ok()?;
    let ends = chain.filter_map(|certificate| {
        let certificate = certificate.ok()?;
        let (_, parsed) = x509_parser::parse_x509_certificate(&certificate).ok()?;
        Some(parsed.validity().not_after.timestamp())
    });
    ends.min()
}

/// When the first authority has no list that is in date any more, in seconds since 1970. Of an authority's lists the last one counts.
fn lists_end(paths: &[PathBuf]) -> Option<i64> {
    let mut ends: HashMap<Vec<u8>, i64> = HashMap::new();
    for der in paths.iter().flat_map(|path| lists(path)) {
        let Ok((_, list)) = CertificateRevocationList::from_der(&der) else {
            continue;
        };
        let Some(end) = list.next_update().map(|time| time.timestamp()) else {
            continue;
        };
        ends.entry(list.issuer().as_raw().to_vec())
            .and_modify(|known| *known = end.max(*known))
            .or_insert(end);
    }
    ends.into_values().min()
}

/// The lists of a file, PEM or DER.
fn lists(path: &Path) -> Vec<Vec<u8>> {
    let Ok(bytes) = std::fs::read(path) else {
        return Vec::new();
    };
    if !bytes.starts_with(b"-----") {
        return vec![bytes];
    }
    let each = CertificateRevocationListDer::pem_slice_iter(&bytes);
    each.filter_map(|list| list.ok().map(|list| list.as_ref().to_vec()))
        .collect()
}
