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
    tell_tls_ends(ends(certificate, authorities, lists));
}

/// The first end of each kind that has a file which can be read.
fn ends(certificate: &Path, authorities: &[PathBuf], lists: &[PathBuf]) -> Vec<TlsEnd> {
    let ends: [Option<TlsEnd>; 3] = [
        certificates_end(certificate).map(|end| ("certificate", end)),
        authorities
            .iter()
            .filter_map(|path| certificates_end(path))
            .min()
            .map(|end| ("authority", end)),
        lists_end(lists).map(|end| ("list", end)),
    ];
    ends.into_iter().flatten().collect()
}

/// When the first certificate of this file ends, in seconds since 1970.
fn certificates_end(path: &Path) -> Option<i64> {
    // Collecting stops at what cannot be read.
    let chain: Vec<CertificateDer<'static>> = CertificateDer::pem_file_iter(path).and_then(Iterator::collect).ok()?;
    let ends = chain.iter().filter_map(|certificate| {
        let (_, parsed) = x509_parser::parse_x509_certificate(certificate).ok()?;
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
    each.map(|list| list.map(|list| list.as_ref().to_vec()))
        .collect::<Result<_, _>>()
        .unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::security::dev_pki::{DevCa, Leaf, issue_ca};

    const NOW_MS: i64 = 1_800_000_000_000;
    const DAY_S: i64 = 86_400;
    const DAY_MS: i64 = DAY_S * 1_000;

    fn list(ca: &DevCa, days: i64) -> String {
        ca.revoke(&[], NOW_MS, NOW_MS + days * DAY_MS).expect("a list")
    }

    #[test]
    fn the_first_end_of_each_kind_counts_and_of_an_authority_its_last_list() {
        let folder = tempfile::tempdir().expect("a folder");
        let put = |name: &str, text: &str| {
            let path = folder.path().join(name);
            std::fs::write(&path, text).expect("a file");
            path
        };
        let (one, other) = (
            issue_ca("One", NOW_MS).expect("CA"),
            issue_ca("Other", NOW_MS).expect("CA"),
        );
        let short = Leaf {
            to_ms: NOW_MS + 10 * DAY_MS,
            ..Leaf::server(&["localhost"], NOW_MS)
        };
        let short = one.issue(&short).expect("issued").certificate_pem;
        let chain = put("server.pem", &format!("{short}{}", one.certificate_pem()));
        let authorities = [
            put("one.pem", one.certificate_pem()),
            put("other.pem", other.certificate_pem()),
        ];
        let lists = [
            put("old.crl", &list(&one, 1)),
            put("new.crl", &list(&one, 7)),
            put("other.crl", &list(&other, 3)),
            put("none.crl", "no list"),
            folder.path().join("gone.crl"),
        ];
        let found = ends(&chain, &authorities, &lists);
        let kinds: Vec<&str> = found.iter().map(|(kind, _)| *kind).collect();
        assert_eq!(kinds, crate::telemetry::signs::TLS_FILES);
        assert_eq!(found[0].1, NOW_MS / 1_000 + 10 * DAY_S);
        assert_eq!(found[2].1, NOW_MS / 1_000 + 3 * DAY_S);
        assert!(found[1].1 > NOW_MS / 1_000);
        assert_eq!(
            ends(folder.path(), &[], &[]),
            Vec::<TlsEnd>::new(),
            "a folder is no certificate"
        );
    }
}
