//! The counts of the edge, shared by all worker threads: connections and requests in flight, for strangers, for partners, and for each
//! address.
//!
//! Strangers hold at most half of all connections, and connections that are being set up at most a quarter, so that strangers never take
//! the partners' room. When there is no room, the oldest connection that has shown nothing is closed, and the new one is accepted.

mod requests;
mod turn;

use super::addresses::Addresses;
use super::counts::Counts;
pub use super::counts::{Errand, Reason};
use super::queue::{ByteCount, ByteQueue};
use super::rate::Rate;
use super::sites::Sites;
use super::stages::ConnectionStage;
use super::turnstile::{Handshake, Turnstile};
use crate::config::LimitsConfig;
use crate::http::limits::{HeldShare, ShareCounts};
use crate::security::{ClientNetwork, network};
pub use requests::{Charged, StrangerInFlight};
use std::cell::{Cell, RefCell};
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};
use tokio::sync::Notify;
use turn::HandshakeTurn;

/// How many addresses are remembered in addition to those that are connected.
const ADDRESSES: usize = 16_384;
/// The same for sites.
const SITES: usize = 4_096;

/// Longest wait for the turn of a handshake at an address where a partner was seen. A handshake there must end within a second.
const PROVEN_WAIT: Duration = Duration::from_millis(250);

/// The shared state of the edge. Clones share it.
#[derive(Clone)]
pub struct Edge(Arc<Inner>);

struct Inner {
    limits: LimitsConfig,
    connection_rate: Rate,
    request_rate: Rate,
    /// The rates of all addresses together at which no partner was seen.
    requests_in_all: Rate,
    handshakes_in_all: Rate,
    /// The rate of handshakes of one address at which a partner was seen.
    handshakes_at_proven: Rate,
    handshakes: Arc<Turnstile>,
    shares: ShareCounts,
    partners_queue: ByteQueue,
    strangers_queue: ByteQueue,
    counts: Mutex<Counts>,
}

/// A rate with four times as many at once.
fn bursts(per_second: u32) -> Rate {
    Rate::new(per_second, per_second.saturating_mul(4))
}

impl Edge {
    /// An edge with these limits.
    pub fn new(limits: LimitsConfig) -> Edge {
        let addresses = Addresses::new(limits.connections + ADDRESSES, limits.handshakes_per_address);
        let counts = Counts::new(addresses, Sites::new(&limits, SITES), &limits);
        counts.tell();
        Edge(Arc::new(Inner {
            connection_rate: Rate::new(limits.connection_rate, limits.connection_rate.saturating_mul(2)),
            request_rate: bursts(limits.stranger_request_rate),
            requests_in_all: bursts(limits.stranger_request_rate_in_all),
            handshakes_in_all: bursts(limits.handshake_rate),
            handshakes_at_proven: Rate::new(limits.handshake_rate.saturating_mul(4), limits.handshake_rate),
            handshakes: Arc::new(Turnstile::new(limits.handshakes)),
            shares: ShareCounts::new(limits.connections_per_partner),
            partners_queue: ByteQueue::new(limits.queued_bytes),
            strangers_queue: ByteQueue::new(limits.stranger_queued_bytes),
            counts: Mutex::new(counts),
            limits,
        }))
    }

    /// The limits in force.
    pub fn limits(&self) -> &LimitsConfig {
        &self.0.limits
    }

    fn counts(&self) -> MutexGuard<'_, Counts> {
        self.0.counts.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes a place for a new connection from `address`, before any byte of it is read.
    ///
    /// # Errors
    /// The reason why the connection must be closed.
    pub fn admit(&self, address: Option<IpAddr>) -> Result<ConnectionPlace, Reason> {
        self.admit_as(address, Arc::default())
    }

    fn admit_as(&self, address: Option<IpAddr>, gone: Arc<Notify>) -> Result<ConnectionPlace, Reason> {
        let (now, limits) = (Instant::now(), &self.0.limits);
        let network = network(address);
        let mut counts = self.counts();
        let known = counts.addresses.at(network, now).ok_or(Reason::Full)?;
        if !known.connects(self.0.connection_rate, self.0.request_rate, now) {
            return Err(Reason::Rate);
        }
        if !known.is_proven(now) && !counts.sites.connects(&network, now) {
            return Err(Reason::Rate);
        }
        if !counts.makes_room_at(&network, limits, now) {
            return Err(Reason::Address);
        }
        let partners = counts.addresses.proven_by(&network, now);
        let is_sponsored = counts.guests.share_left(&partners, ConnectionStage::Silent).is_some();
        if !counts.makes_room_in_all(limits, is_sponsored) {
            return Err(Reason::Full);
        }
        let id = counts.guests.number();
        counts.add(id, Some(network), ConnectionStage::Silent, &gone, now);
        counts.guests.sponsor(id, &partners);
        counts.tell();
        drop(counts);
        Ok(ConnectionPlace {
            edge: self.clone(),
            id,
            network,
            gone,
            is_partner: Cell::new(false),
            share: RefCell::new(None),
        })
    }

    /// Forgets where this partner was seen, because it is suspended: its addresses are as any other.
    pub fn forget_partner(&self, partner: &str) {
        self.counts().forget_partner(partner);
    }

    /// Takes a place for a balancer's connection until its client's address is known.
    ///
    /// # Errors
    /// `Reason::Full`.
    pub fn admit_unnamed(&self) -> Result<Unnamed, Reason> {
        let gone = Arc::default();
        let mut counts = self.counts();
        if !counts.makes_room_in_all(&self.0.limits, false) {
            return Err(Reason::Full);
        }
        let id = counts.guests.number();
        counts.add(id, None, ConnectionStage::Silent, &gone, Instant::now());
        counts.tell();
        drop(counts);
        Ok(Unnamed {
            edge: self.clone(),
            id,
            gone,
        })
    }
}

/// The place of a balancer's connection whose client address is not known yet.
pub struct Unnamed {
    edge: Edge,
    id: u64,
    gone: Arc<Notify>,
}

impl Unnamed {
    /// Notified when the connection must close.
    pub fn gone(&self) -> Arc<Notify> {
        Arc::clone(&self.gone)
    }

    /// Replaces this place by the place of the balancer's client.
    ///
    /// # Errors
    /// As [`Edge::admit`].
    pub fn named(self, client: Option<IpAddr>) -> Result<ConnectionPlace, Reason> {
        self.edge.admit_as(client, self.gone())
    }
}

impl Drop for Unnamed {
    fn drop(&mut self) {
        let mut counts = self.edge.counts();
        counts.remove(self.id);
        counts.tell();
    }
}

/// A partner whose connection one is.
struct ProvenPartner {
    id: String,
    /// The bytes that wait for it.
    bytes: ByteCount,
    /// The share of its connections that this one holds.
    _held: HeldShare,
}

/// The place of one open connection; it is released when this is dropped.
pub struct ConnectionPlace {
    edge: Edge,
    id: u64,
    network: ClientNetwork,
    gone: Arc<Notify>,
    is_partner: Cell<bool>,
    /// The partner whose connection this is.
    share: RefCell<Option<ProvenPartner>>,
}

impl ConnectionPlace {
    /// Notified when the connection must close because a newer one needs its room.
    pub fn gone(&self) -> Arc<Notify> {
        Arc::clone(&self.gone)
    }

    /// Called when the ClientHello has arrived: waits at most `wait` for a place among the handshakes, and for its turn at the rate of all of
    /// them. A connection in a partner's share waits only for its turn at the rate of its address, and not long.
    pub async fn handshake(&self, wait: Duration) -> Option<Handshake> {
        let (own, is_sponsored) = {
            let mut counts = self.edge.counts();
            if !counts.comes_to(self.id, &self.network, ConnectionStage::Handshake, Instant::now()) {
                return None;
            }
            let is_sponsored = counts.guests.is_sponsored(self.id);
            let known = counts.addresses.get(&self.network)?;
            (Arc::clone(&known.handshakes), is_sponsored)
        };
        let all = &self.edge.0;
        let begin = async {
            if is_sponsored {
                let wait = wait.min(PROVEN_WAIT);
                let turn = HandshakeTurn::take_at(&all.counts, all.handshakes_at_proven, self.network, wait)?;
                turn.comes().await;
                turn.uses();
                return Some(Handshake::default());
            }
            let mut handshake = Handshake::begin(own).await?;
            let turn = HandshakeTurn::take(&all.counts, all.handshakes_in_all, &self.network, wait)?;
            turn.comes().await;
            handshake.enter(Arc::clone(&all.handshakes)).await?;
            turn.uses();
            Some(handshake)
        };
        tokio::time::timeout(wait, begin).await.ok().flatten()
    }

    /// Called when the handshake is over: the connection becomes a stranger's, unless it showed the certificate of a partner with room in
    /// its share.
    ///
    /// # Errors
    /// The reason why the connection must be closed: there is no room for another stranger.
    pub fn settle(&self, partner: Option<&str>) -> Result<(), Reason> {
        if partner.is_some_and(|id| self.prove(id)) {
            return Ok(());
        }
        let mut counts = self.edge.counts();
        let opened = counts.opens(self.id, &self.network, &self.edge.0.limits, Instant::now());
        counts.tell();
        opened
    }

    /// Marks the connection as this partner's, by certificate or token. Returns false when the partner's share of connections is full.
    pub fn prove(&self, partner: &str) -> bool {
        if self.is_partner() {
            return true;
        }
        let Some(held) = self.edge.0.shares.enter(partner) else {
            return false;
        };
        let mut counts = self.edge.counts();
        if !counts.remove(self.id) {
            // It was signaled to close already.
            return false;
        }
        counts.partners += 1;
        counts.prove(&self.network, partner, Instant::now());
        counts.tell();
        *self.share.borrow_mut() = Some(ProvenPartner {
            id: partner.to_owned(),
            bytes: counts.bytes_of(partner).own,
            _held: held,
        });
        self.is_partner.set(true);
        true
    }

    /// Marks the connection as a stranger's again, because what it showed is no longer valid.
    pub fn disprove(&self) {
        if !self.is_partner.replace(false) {
            return;
        }
        *self.share.borrow_mut() = None;
        let mut counts = self.edge.counts();
        counts.partners -= 1;
        let network = Some(self.network);
        counts.add(self.id, network, ConnectionStage::Stranger, &self.gone, Instant::now());
        counts.tell();
    }

    /// Marks the address as proven for this partner, which has got a new token.
    pub fn prove_address(&self, partner: &str) {
        let mut counts = self.edge.counts();
        counts.prove(&self.network, partner, Instant::now());
    }

    /// Notes that the partner whose connection this is was suspended. It is then known nowhere.
    pub fn is_suspended(&self) {
        let partner = self.partner();
        self.disprove();
        if let Some(partner) = partner {
            self.edge.forget_partner(&partner);
        }
    }

    /// The partner whose connection this is.
    pub fn partner(&self) -> Option<String> {
        self.share.borrow().as_ref().map(|partner| partner.id.clone())
    }

    /// Whether the connection is a partner's.
    pub fn is_partner(&self) -> bool {
        self.is_partner.get()
    }

    /// Whether the connection is still counted.
    #[cfg(test)]
    fn is_in(&self) -> bool {
        self.is_partner() || self.edge.counts().guests.get(self.id).is_some()
    }
}

impl Drop for ConnectionPlace {
    fn drop(&mut self) {
        let mut counts = self.edge.counts();
        match self.share.borrow_mut().take() {
            Some(partner) => {
                counts.partners -= 1;
                counts.prove(&self.network, &partner.id, Instant::now());
            }
            None => {
                counts.remove(self.id);
            }
        }
        counts.tell();
    }
}

#[cfg(test)]
#[path = "table_handshake_tests.rs"]
mod handshake_tests;
#[cfg(test)]
#[path = "table_tests.rs"]
mod tests;
