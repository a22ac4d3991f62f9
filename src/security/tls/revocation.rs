//! The contents of the revocation lists, checked for each request, because a kept-alive connection must not outlive its certificate.

use crate::secret::sha256;
use crate::security::certificate::{PeerCertificate, plain};
use arc_swap::ArcSwap;
use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use x509_parser::prelude::{CertificateRevocationList, FromDer};

/// The lists in force. Clones share them; the TLS layer replaces the contents.
#[derive(Clone, Default)]
pub struct Revocations(Arc<ArcSwap<Lists>>);

#[derive(Default)]
pub(super) struct Lists {
    revoked: HashSet<([u8; 32], Vec<u8>)>,
    /// Until when the list of each issuer is valid, in seconds since 1970.
    until: HashMap<[u8; 32], i64>,
}

impl Lists {
    /// Reads DER lists; `None` when one of them is malformed.
    pub(super) fn read(ders: &[Vec<u8>]) -> Option<Lists> {
        let mut lists = Lists::default();
        for der in ders {
            let (_, list) = CertificateRevocationList::from_der(der).ok()?;
            let issuer = sha256(list.issuer().as_raw());
            let until = list.next_update().map_or(i64::MAX, |time| time.timestamp());
            lists
                .until
                .entry(issuer)
                .and_modify(|known| *known = until.max(*known))
                .or_insert(until);
            lists.revoked.extend(
                list.iter_revoked_certificates()
                    .map(|entry| (issuer, plain(entry.raw_serial()))),
            );
        }
        Some(lists)
    }

    pub(super) fn is_outdated(&self, issuer: &[u8; 32], now_s: i64, grace_s: i64) -> bool {
        self.until
            .get(issuer)
            .is_some_and(|until| until.saturating_add(grace_s) < now_s)
    }
}

impl Revocations {
    /// Whether this certificate is on a list of its issuer.
    pub fn is_revoked(&self, certificate: &PeerCertificate) -> bool {
        let lists = self.0.load();
        !lists.revoked.is_empty()
            && lists
                .revoked
                .contains(&(certificate.issuer_sha256, certificate.serial.clone()))
    }

    pub(super) fn replace(&self, lists: Lists) {
        self.0.store(Arc::new(lists));
    }

    pub(super) fn is_outdated(&self, issuer: &[u8; 32], now_s: i64, grace_s: i64) -> bool {
        self.0.load().is_outdated(issuer, now_s, grace_s)
    }
}
