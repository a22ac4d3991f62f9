//! What one process has of all its partners: connections, what they offer, and the means to ask them.

use crate::error::Failure;
use crate::partner::peer::{Peer, PeerEndpoint, PeerMeans, PeerOffer, SmartDocument};
use crate::security::vault::Vault;
use crate::store::partners::PartnerRow;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

/// How long what a partner says of itself is believed, milliseconds.
const BELIEVED_MS: i64 = 300_000;
/// Most partners that are remembered.
const REMEMBERED: usize = 1_000;

/// What is known of a partner's server.
#[derive(Clone)]
pub struct Acquaintance {
    /// Its server.
    pub peer: Peer,
    /// Its SMART document.
    pub smart: SmartDocument,
    /// What it offers.
    pub offer: PeerOffer,
    /// Until when that is believed, UTC milliseconds.
    pub until_ms: i64,
}

/// The partners, as one process calls them. Clones share connections.
#[derive(Clone)]
pub struct PartnerAccess(Arc<Inner>);

struct Inner {
    means: PeerMeans,
    vault: Vault,
    peers: Mutex<HashMap<(String, i64), Peer>>,
    known: Mutex<HashMap<(String, i64), Acquaintance>>,
}

impl PartnerAccess {
    /// Access with these means; what comes is sealed under the keys of `vault`.
    pub fn new(means: PeerMeans, vault: Vault) -> PartnerAccess {
        PartnerAccess(Arc::new(Inner {
            means,
            vault,
            peers: Mutex::default(),
            known: Mutex::default(),
        }))
    }

    /// The keys under which what comes is sealed.
    pub fn vault(&self) -> &Vault {
        &self.0.vault
    }

    /// How long one attempt works on a large record.
    pub(super) fn turn(&self) -> Duration {
        self.0.means.limits.turn
    }

    /// The client of a partner by its registration; each version of a registration has its own.
    pub(super) fn peer(&self, partner: &PartnerRow) -> Result<Peer, Failure> {
        let key = (partner.id.clone(), partner.version);
        let mut peers = self.0.peers.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(peer) = peers.get(&key) {
            return Ok(peer.clone());
        }
        let peer = Peer::new(&PeerEndpoint::read(partner.endpoint.as_deref())?, &self.0.means)?;
        peers.retain(|(id, _), _| *id != partner.id);
        if peers.len() >= REMEMBERED {
            peers.clear();
        }
        peers.insert(key, peer.clone());
        Ok(peer)
    }

    /// What is known of a partner, if it was asked lately.
    pub(super) fn known(&self, partner: &PartnerRow, now_ms: i64) -> Option<Acquaintance> {
        let known = self.0.known.lock().unwrap_or_else(PoisonError::into_inner);
        let found = known.get(&(partner.id.clone(), partner.version))?;
        (now_ms < found.until_ms && now_ms >= found.until_ms - BELIEVED_MS).then(|| found.clone())
    }

    /// Remembers what a partner says of itself.
    pub(super) fn remember(&self, partner: &PartnerRow, found: &Acquaintance) {
        let mut known = self.0.known.lock().unwrap_or_else(PoisonError::into_inner);
        known.retain(|(id, _), _| *id != partner.id);
        if known.len() >= REMEMBERED {
            known.clear();
        }
        known.insert((partner.id.clone(), partner.version), found.clone());
    }

    /// Until when something learnt now is believed, UTC milliseconds.
    pub(super) fn believed_until(now_ms: i64) -> i64 {
        now_ms + BELIEVED_MS
    }
}
