//! The counts of the edge, shared by all workers: connections and requests in flight by door, and for each address.
//!
//! Partners have room that strangers cannot take: strangers hold at most half of all connections, connections that are being set
//! up a quarter.

use super::addresses::{Addresses, Rate};
use super::queue::Queue;
use crate::config::Limits;
use crate::error::Fault;
use crate::http::limits::{Held, Shares};
use crate::security::{Network, network};
use crate::telemetry::metrics as families;
use std::cell::{Cell, RefCell};
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// Addresses remembered beside those that are connected.
const ADDRESSES: usize = 16_384;

/// Why a connection is turned away; the words of the metric.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reason {
    /// Its address opens them too fast.
    Rate,
    /// Its address has too many.
    Address,
    /// There is no room for strangers, or for anybody.
    Full,
    /// Its handshake did not begin or end in time, or failed.
    Handshake,
    /// A balancer's header was missing or malformed.
    Proxy,
}

impl Reason {
    /// The word of the metric.
    pub const fn word(self) -> &'static str {
        match self {
            Reason::Rate => "rate",
            Reason::Address => "address",
            Reason::Full => "full",
            Reason::Handshake => "handshake",
            Reason::Proxy => "proxy",
        }
    }

    /// Counts a connection that is turned away.
    pub fn count(self) {
        metrics::counter!(families::TURNED_AWAY, "reason" => self.word()).increment(1);
    }
}

/// By which door a connection came in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Door {
    SettingUp,
    Stranger,
    Partner,
}

impl Door {
    const ALL: [Door; 3] = [Door::SettingUp, Door::Stranger, Door::Partner];

    const fn word(self) -> &'static str {
        match self {
            Door::SettingUp => "setting-up",
            Door::Stranger => "stranger",
            Door::Partner => "partner",
        }
    }
}

struct Counts {
    connections: [usize; 3],
    in_flight: usize,
    addresses: Addresses,
}

impl Counts {
    fn of(&mut self, door: Door) -> &mut usize {
        &mut self.connections[door as usize]
    }

    fn in_all(&self) -> usize {
        self.connections.iter().sum()
    }
}

/// The shared state. Clones share it.
#[derive(Clone)]
pub struct Edge(Arc<Inner>);

struct Inner {
    limits: Limits,
    connection_rate: Rate,
    request_rate: Rate,
    handshakes: Arc<Semaphore>,
    shares: Shares,
    partners_queue: Queue,
    strangers_queue: Queue,
    counts: Mutex<Counts>,
}

impl Edge {
    /// An edge with these limits.
    pub fn new(limits: Limits) -> Edge {
        for door in Door::ALL {
            metrics::gauge!(families::CONNECTIONS, "door" => door.word()).set(0.0);
        }
        Edge(Arc::new(Inner {
            connection_rate: Rate::new(limits.connection_rate, limits.connection_rate.saturating_mul(2)),
            request_rate: Rate::new(
                limits.stranger_request_rate,
                limits.stranger_request_rate.saturating_mul(4),
            ),
            handshakes: Arc::new(Semaphore::new(limits.handshakes)),
            shares: Shares::new(limits.connections_per_partner),
            partners_queue: Queue::new(limits.queued_bytes),
            strangers_queue: Queue::new(limits.stranger_queued_bytes),
            counts: Mutex::new(Counts {
                connections: [0; 3],
                in_flight: 0,
                addresses: Addresses::new(limits.connections + ADDRESSES, limits.handshakes_per_address),
            }),
            limits,
        }))
    }

    /// The limits in force.
    pub fn limits(&self) -> &Limits {
        &self.0.limits
    }

    fn counts(&self) -> MutexGuard<'_, Counts> {
        self.0.counts.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A place for a new connection from `address`, before a byte of it is read.
    ///
    /// # Errors
    /// Why it must be closed.
    pub fn admit(&self, address: Option<IpAddr>) -> Result<Place, Reason> {
        let (now, limits) = (Instant::now(), &self.0.limits);
        let network = network(address);
        let mut counts = self.counts();
        let (in_all, setting_up) = (counts.in_all(), *counts.of(Door::SettingUp));
        let known = counts.addresses.at(network, now).ok_or(Reason::Full)?;
        if !known.connects(self.0.connection_rate, self.0.request_rate, now) {
            return Err(Reason::Rate);
        }
        if known.strangers >= limits.stranger_connections_per_address {
            return Err(Reason::Address);
        }
        let has_room = known.is_proven(now) || setting_up < (limits.connections / 4).max(1);
        if in_all >= limits.connections || !has_room {
            return Err(Reason::Full);
        }
        known.strangers += 1;
        *counts.of(Door::SettingUp) += 1;
        drop(counts);
        metrics::gauge!(families::CONNECTIONS, "door" => Door::SettingUp.word()).increment(1.0);
        Ok(Place {
            edge: self.clone(),
            network,
            door: Cell::new(Door::SettingUp),
            share: RefCell::new(None),
        })
    }
}

/// The place of one open connection; it is given back when this is dropped.
pub struct Place {
    edge: Edge,
    network: Network,
    door: Cell<Door>,
    share: RefCell<Option<Held>>,
}

impl Place {
    /// Waits for a place among the handshakes, at most for `wait`. A proven address waits for its own handshakes only.
    pub async fn handshake(&self, wait: Duration) -> Option<[Option<OwnedSemaphorePermit>; 2]> {
        let (own, is_proven) = {
            let mut counts = self.edge.counts();
            let known = counts.addresses.get(&self.network)?;
            (Arc::clone(&known.handshakes), known.is_proven(Instant::now()))
        };
        let both = async {
            let own = own.acquire_owned().await.ok()?;
            let all = match is_proven {
                true => None,
                false => Some(Arc::clone(&self.edge.0.handshakes).acquire_owned().await.ok()?),
            };
            Some([Some(own), all])
        };
        tokio::time::timeout(wait, both).await.ok().flatten()
    }

    /// The handshake is over: a stranger from now on, unless it showed the certificate of a partner that has room in its share.
    ///
    /// # Errors
    /// [`Reason::Full`] when there is no room for a stranger.
    pub fn settle(&self, partner: Option<&str>) -> Result<(), Reason> {
        if partner.is_some_and(|id| self.prove(id)) {
            return Ok(());
        }
        let limits = &self.edge.0.limits;
        let most = limits.stranger_connections.min(limits.connections / 2);
        let mut counts = self.edge.counts();
        let is_full = *counts.of(Door::Stranger) >= most;
        let known = counts.addresses.get(&self.network);
        if is_full && !known.is_some_and(|known| known.is_proven(Instant::now())) {
            return Err(Reason::Full);
        }
        self.moves(&mut counts, Door::Stranger);
        Ok(())
    }

    fn moves(&self, counts: &mut Counts, to: Door) {
        let from = self.door.replace(to);
        *counts.of(from) -= 1;
        *counts.of(to) += 1;
        for (door, step) in [(from, -1.0), (to, 1.0)] {
            metrics::gauge!(families::CONNECTIONS, "door" => door.word()).increment(step);
        }
        let Some(known) = counts.addresses.get(&self.network) else {
            return;
        };
        match (from == Door::Partner, to == Door::Partner) {
            (false, true) => known.strangers -= 1,
            (true, false) => known.strangers += 1,
            _ => {}
        }
    }

    /// The connection is this partner's, by certificate or token. False when the partner's share of connections is full.
    pub fn prove(&self, partner: &str) -> bool {
        if self.is_partner() {
            return true;
        }
        let Some(held) = self.edge.0.shares.enter(partner) else {
            return false;
        };
        *self.share.borrow_mut() = Some(held);
        let mut counts = self.edge.counts();
        self.moves(&mut counts, Door::Partner);
        if let Some(known) = counts.addresses.get(&self.network) {
            known.prove(Instant::now());
        }
        true
    }

    /// The connection is a stranger's again: what it showed is no longer valid.
    pub fn disprove(&self) {
        if self.is_partner() {
            *self.share.borrow_mut() = None;
            self.moves(&mut self.edge.counts(), Door::Stranger);
        }
    }

    /// A partner proved itself at this address, by a new token.
    pub fn prove_address(&self) {
        if let Some(known) = self.edge.counts().addresses.get(&self.network) {
            known.prove(Instant::now());
        }
    }

    /// Whether the connection is a partner's.
    pub fn is_partner(&self) -> bool {
        self.door.get() == Door::Partner
    }

    /// The bytes of requests and answers that wait, by the connection's door.
    pub fn queue(&self) -> &Queue {
        match self.is_partner() {
            true => &self.edge.0.partners_queue,
            false => &self.edge.0.strangers_queue,
        }
    }

    /// Takes a request of the address's rate.
    ///
    /// # Errors
    /// [`Fault::AddressLimited`].
    pub fn asks(&self, has_token: bool) -> Result<(), Fault> {
        let rate = self.edge.0.request_rate;
        let mut counts = self.edge.counts();
        let Some(known) = counts.addresses.get(&self.network) else {
            return Ok(());
        };
        match known.asks(rate, has_token, Instant::now()) {
            true => Ok(()),
            false => Err(Fault::AddressLimited),
        }
    }

    /// Gives back what [`Self::asks`] took.
    pub fn unasks(&self) {
        if let Some(known) = self.edge.counts().addresses.get(&self.network) {
            known.unasks(self.edge.0.request_rate);
        }
    }

    /// A place among strangers' requests in flight.
    ///
    /// # Errors
    /// [`Fault::AddressLimited`] when the address has too many, [`Fault::Overloaded`] when all together have.
    pub fn enter(&self) -> Result<StrangerInFlight, Fault> {
        let limits = &self.edge.0.limits;
        let mut counts = self.edge.counts();
        if counts.in_flight >= limits.stranger_in_flight {
            return Err(Fault::Overloaded);
        }
        let known = counts.addresses.get(&self.network).ok_or(Fault::Overloaded)?;
        if known.in_flight >= limits.stranger_in_flight_per_address {
            return Err(Fault::AddressLimited);
        }
        known.in_flight += 1;
        counts.in_flight += 1;
        Ok(StrangerInFlight {
            edge: self.edge.clone(),
            network: self.network,
        })
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let door = self.door.get();
        let mut counts = self.edge.counts();
        *counts.of(door) -= 1;
        if let Some(known) = counts.addresses.get(&self.network) {
            match door {
                Door::Partner => known.prove(Instant::now()),
                _ => known.strangers -= 1,
            }
        }
        drop(counts);
        metrics::gauge!(families::CONNECTIONS, "door" => door.word()).decrement(1.0);
    }
}

/// A stranger's request in flight; it ends when this is dropped.
pub struct StrangerInFlight {
    edge: Edge,
    network: Network,
}

impl Drop for StrangerInFlight {
    fn drop(&mut self) {
        let mut counts = self.edge.counts();
        counts.in_flight -= 1;
        if let Some(known) = counts.addresses.get(&self.network) {
            known.in_flight -= 1;
        }
    }
}

#[cfg(test)]
#[path = "table_tests.rs"]
mod tests;
