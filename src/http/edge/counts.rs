//! The counts of the edge, and which connection is closed when there is no room. A plain value, which the table locks.

use super::addresses::Addresses;
use super::guests::{Guest, Guests, PartnerShare};
use super::queue::ByteCount;
use super::rate::UsedRate;
use super::sites::Sites;
use super::stages::ConnectionStage;
use crate::config::LimitsConfig;
use crate::security::ClientNetwork;
use crate::telemetry::metrics as families;
use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::sync::Notify;

/// Time in which a real client's ClientHello arrives: it is sent with the end of the TCP handshake. A connection that has been silent for
/// longer is the first to close at a proven address.
const GREETING: Duration = Duration::from_millis(200);

/// Why a connection is turned away; the labels of the metric.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reason {
    /// Its address opens connections too fast.
    Rate,
    /// Its address has too many connections.
    Address,
    /// There is no room for another stranger, or for any connection.
    Full,
    /// Its handshake did not begin or end in time, or failed.
    Handshake,
    /// The balancer's header was missing or malformed.
    Proxy,
}

impl Reason {
    /// The label of the metric.
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

/// The kinds of connections, as labels of the metric.
const DOORS: [&str; 3] = ["setting-up", "stranger", "partner"];

/// What a stranger's request in flight is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Errand {
    /// It is being worked on.
    Work,
    /// Its token is being checked, which soon shows whose request it is.
    Token,
}

/// Which handshakes wait for their turns together.
#[derive(Clone, Copy, Debug)]
pub enum HandshakeQueue {
    /// Those of addresses that had one lately.
    Greeted,
    /// Those of addresses that had none lately.
    Fresh,
    /// Those of this address, where a partner was seen.
    Proven(ClientNetwork),
}

/// The bytes that wait in memory for one partner. Clones share the counts.
#[derive(Clone, Debug, Default)]
pub struct PartnerBytes {
    /// On its own connections.
    pub own: ByteCount,
    /// For strangers at its addresses, in its share.
    pub at_addresses: ByteCount,
}

/// The counts of all worker threads together.
pub struct Counts {
    /// Connections that are not known to be a partner's.
    pub guests: Guests,
    /// How many connections are partners'.
    pub partners: usize,
    /// Strangers' requests in flight, indexed by [`Errand`].
    pub in_flight: [usize; 2],
    /// What is used of the rate of requests of all addresses together at which no partner was seen.
    pub requests: UsedRate,
    /// The same for handshakes: of addresses that had some lately, and of those that had none.
    handshakes: [UsedRate; 2],
    /// The state of each address.
    pub addresses: Addresses,
    /// The sites of addresses of IPv6, and the networks of IPv4.
    pub sites: Sites,
    /// The bytes of each partner; there are as many partners as are registered.
    bytes: HashMap<String, PartnerBytes>,
}

impl Counts {
    /// Starts with no connections and with these addresses.
    pub fn new(addresses: Addresses, sites: Sites, limits: &LimitsConfig) -> Counts {
        let now = Instant::now();
        Counts {
            requests: UsedRate::none(now),
            handshakes: [UsedRate::none(now); 2],
            guests: Guests::new(PartnerShare {
                setting_up: setting_up_share(limits),
                open: limits.connections_per_partner,
            }),
            partners: 0,
            in_flight: [0; 2],
            addresses,
            sites,
            bytes: HashMap::new(),
        }
    }

    /// The bytes of this partner.
    pub fn bytes_of(&mut self, partner: &str) -> PartnerBytes {
        match self.bytes.get(partner) {
            Some(bytes) => bytes.clone(),
            None => self.bytes.entry(partner.to_owned()).or_default().clone(),
        }
    }

    /// What is used of the rate of these handshakes; `None` when the address is no longer known.
    pub fn handshakes(&mut self, queue: HandshakeQueue) -> Option<&mut UsedRate> {
        match queue {
            HandshakeQueue::Greeted => Some(&mut self.handshakes[0]),
            HandshakeQueue::Fresh => Some(&mut self.handshakes[1]),
            HandshakeQueue::Proven(network) => {
                let known = self.addresses.get(&network)?;
                Some(&mut known.proven_handshakes)
            }
        }
    }

    /// The number of open connections.
    pub fn in_all(&self) -> usize {
        self.guests.in_all() + self.partners
    }

    /// Adds a connection of this address; `None` while a balancer has not told the client's.
    pub fn add(
        &mut self,
        id: u64,
        network: Option<ClientNetwork>,
        stage: ConnectionStage,
        gone: &Arc<Notify>,
        now: Instant,
    ) {
        self.guests.add(id, network, stage, gone, now);
        let Some(network) = network else { return };
        self.sites.adds(&network, now);
        if let Some(known) = self.addresses.get(&network) {
            known.guests.insert(id, stage);
        }
    }

    /// Removes a connection; returns false when it is no longer counted.
    pub fn remove(&mut self, id: u64) -> bool {
        let Some(guest) = self.guests.remove(id) else {
            return false;
        };
        self.leaves(id, &guest);
        true
    }

    /// Counts a connection that was removed no longer for its address and site.
    fn leaves(&mut self, id: u64, guest: &Guest) {
        let Some(network) = guest.network else { return };
        self.sites.removes(&network);
        if let Some(known) = self.addresses.get(&network) {
            known.guests.remove(id, guest.stage);
        }
    }

    /// Moves a connection of this address to a later stage, in the share of a partner that was seen there if it has room. Returns false when
    /// the connection is no longer counted.
    pub fn comes_to(&mut self, id: u64, network: &ClientNetwork, stage: ConnectionStage, now: Instant) -> bool {
        let Some(before) = self.guests.comes_to(id, stage) else {
            return false;
        };
        if let Some(known) = self.addresses.get(network) {
            known.guests.remove(id, before);
            known.guests.insert(id, stage);
        }
        let partners = self.addresses.proven_by(network, now);
        self.guests.sponsor(id, &partners);
        true
    }

    /// Removes a connection from the counts and signals it to close, because of `why`.
    fn dismiss(&mut self, id: u64, why: Reason) {
        let Some(guest) = self.guests.dismiss(id) else { return };
        self.leaves(id, &guest);
        why.count();
    }

    /// Closes the oldest connection of the first of these stages that has one. A connection in a partner's share is closed after all others: a
    /// silent one first, then one of the largest share. Returns false when no connection can be closed.
    pub fn makes_room(&mut self, stages: &[ConnectionStage]) -> bool {
        let guests = &self.guests;
        let oldest = stages
            .iter()
            .find_map(|stage| guests.oldest(*stage, |guest| !guest.is_sponsored()))
            .or_else(|| {
                let silent = stages.iter().find(|stage| **stage == ConnectionStage::Silent)?;
                guests.oldest(*silent, |_| true)
            })
            .or_else(|| guests.oldest_of_largest_share(stages));
        oldest.inspect(|id| self.dismiss(*id, Reason::Full)).is_some()
    }

    /// Marks this address as one where this partner was seen; its connections come into the partner's share.
    pub fn prove(&mut self, network: &ClientNetwork, partner: &str, now: Instant) {
        self.addresses.prove(network, partner, now);
        let partners = self.addresses.proven_by(network, now);
        let Counts { guests, addresses, .. } = self;
        if let Some(known) = addresses.get(network) {
            for id in known.guests.iter() {
                guests.sponsor(id, &partners);
            }
        }
    }

    /// Forgets where this partner was seen: it may do nothing any more.
    pub fn forget_partner(&mut self, partner: &str) {
        self.addresses.forget_partner(partner);
        self.guests.ends_share(partner);
    }

    /// Whether the address has room for one more connection, closing its oldest silent connection if needed.
    ///
    /// At a proven address nobody can tell a partner's new connection from a stranger's. There the connections that are being set up have room
    /// of their own, large enough that a real client's handshake ends before hundreds of newer ones close it, and every new one is accepted:
    /// the oldest that says nothing is closed, or else the oldest.
    pub fn makes_room_at(&mut self, network: &ClientNetwork, limits: &LimitsConfig, now: Instant) -> bool {
        let Some(known) = self.addresses.get(network) else {
            return false;
        };
        let is_proven = known.is_proven(now);
        let has_room = match is_proven {
            true => known.guests.setting_up() < setting_up_share(limits),
            false => known.guests.in_all() < limits.stranger_connections_per_address,
        };
        if has_room {
            return is_proven || self.sites.has_room(network);
        }
        let [silent, handshake] =
            [ConnectionStage::Silent, ConnectionStage::Handshake].map(|stage| known.guests.at(stage).first().copied());
        let is_late = |id: &u64| {
            let since = self.guests.since(*id);
            since.is_some_and(|since| now.saturating_duration_since(since) >= GREETING)
        };
        let oldest = match is_proven {
            true => silent
                .filter(is_late)
                .or_else(|| silent.into_iter().chain(handshake).min()),
            false => silent,
        };
        oldest.inspect(|id| self.dismiss(*id, Reason::Address)).is_some()
    }

    /// Moves a connection whose handshake is over to the open ones of strangers. When there are too many of them at its proven address, the
    /// oldest of that address is closed, and when there are too many in all, the oldest of all.
    ///
    /// # Errors
    /// The reason why the connection must be closed.
    pub fn opens(
        &mut self,
        id: u64,
        network: &ClientNetwork,
        limits: &LimitsConfig,
        now: Instant,
    ) -> Result<(), Reason> {
        let stage = ConnectionStage::Stranger;
        if let Some(known) = self.addresses.get(network)
            && known.is_proven(now)
            && known.guests.at(stage).len() >= limits.stranger_connections_per_address
        {
            let oldest = self.guests.oldest_of(&known.guests, stage).ok_or(Reason::Address)?;
            self.dismiss(oldest, Reason::Address);
        }
        let most = limits.stranger_connections.min(limits.connections / 2);
        let partners = self.addresses.proven_by(network, now);
        let is_sponsored = self.guests.share_left(&partners, stage).is_some();
        if self.guests.at(stage) >= most && !is_sponsored && !self.makes_room(&[stage]) {
            return Err(Reason::Full);
        }
        match self.comes_to(id, network, stage, now) {
            true => Ok(()),
            false => Err(Reason::Full),
        }
    }

    /// Whether there is room for one more new connection, closing others for it if needed. `is_sponsored`: it comes into a partner's share.
    pub fn makes_room_in_all(&mut self, limits: &LimitsConfig, is_sponsored: bool) -> bool {
        let all = [
            ConnectionStage::Silent,
            ConnectionStage::Handshake,
            ConnectionStage::Stranger,
        ];
        if self.in_all() >= limits.connections && !self.makes_room(&all) {
            return false;
        }
        let setting_up = (limits.connections / 4).max(1);
        self.guests.setting_up() < setting_up || self.makes_room(&all[..2]) || is_sponsored
    }

    /// Sets the gauges of the metrics.
    pub fn tell(&self) {
        let counts = [
            self.guests.setting_up(),
            self.guests.at(ConnectionStage::Stranger),
            self.partners,
        ];
        for (door, count) in DOORS.iter().zip(counts) {
            metrics::gauge!(families::CONNECTIONS, "door" => *door).set(count as f64);
        }
    }
}

/// Most connections that are being set up at the addresses of one partner.
fn setting_up_share(limits: &LimitsConfig) -> usize {
    (limits.connections / 8).max(1)
}
