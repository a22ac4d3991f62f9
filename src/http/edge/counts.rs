//! The counts of the edge, and which connection is closed when there is no room. A plain value, which the table locks.

use super::addresses::Addresses;
use super::guests::{ConnectionStage, Guests};
use super::queue::ByteCount;
use super::rate::UsedRate;
use crate::config::LimitsConfig;
use crate::security::ClientNetwork;
use crate::telemetry::metrics as families;
use std::collections::HashMap;
use std::time::Instant;

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
    /// The bytes of each partner; there are as many partners as are registered.
    bytes: HashMap<String, PartnerBytes>,
}

impl Counts {
    /// Starts with no connections and with these addresses.
    pub fn new(addresses: Addresses) -> Counts {
        let now = Instant::now();
        Counts {
            requests: UsedRate::none(now),
            handshakes: [UsedRate::none(now); 2],
            guests: Guests::default(),
            partners: 0,
            in_flight: [0; 2],
            addresses,
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

    /// What is used of the rate of handshakes. `is_first`: of addresses that had none lately.
    pub fn handshakes(&mut self, is_first: bool) -> &mut UsedRate {
        &mut self.handshakes[usize::from(is_first)]
    }

    /// The number of open connections.
    pub fn in_all(&self) -> usize {
        self.guests.in_all() + self.partners
    }

    fn setting_up(&self) -> usize {
        self.guests.at(ConnectionStage::Silent) + self.guests.at(ConnectionStage::Handshake)
    }

    /// Removes a connection from the counts and signals it to close, because of `why`.
    fn dismiss(&mut self, id: u64, why: Reason) {
        let Some(guest) = self.guests.dismiss(id) else { return };
        if let Some(known) = guest.network.and_then(|network| self.addresses.get(&network)) {
            known.guests.remove(&id);
        }
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

    /// Marks this address as one where this partner was seen; its connections come into the partner's share, of at most `most`.
    pub fn prove(&mut self, network: &ClientNetwork, partner: &str, most: usize, now: Instant) {
        self.addresses.prove(network, partner, now);
        let partners = self.addresses.proven_by(network, now);
        let Counts { guests, addresses, .. } = self;
        if let Some(known) = addresses.get(network) {
            for id in &known.guests {
                if !guests.sponsor(*id, &partners, most) {
                    break;
                }
            }
        }
    }

    /// Forgets where this partner was seen: it may do nothing any more.
    pub fn forget_partner(&mut self, partner: &str) {
        self.addresses.forget_partner(partner);
        self.guests.ends_share(partner);
    }

    /// Whether the address has room for one more connection, closing its oldest silent connection if needed. At a proven address the oldest
    /// stranger's connection may be closed as well.
    pub fn makes_room_at(&mut self, network: &ClientNetwork, most: usize, now: Instant) -> bool {
        let Some(known) = self.addresses.get(network) else {
            return false;
        };
        if known.guests.len() < most {
            return true;
        }
        let stages: &[ConnectionStage] = match known.is_proven(now) {
            true => &[
                ConnectionStage::Silent,
                ConnectionStage::Handshake,
                ConnectionStage::Stranger,
            ],
            false => &[ConnectionStage::Silent],
        };
        let oldest = stages
            .iter()
            .find_map(|stage| self.guests.oldest_of(&known.guests, *stage));
        oldest.inspect(|id| self.dismiss(*id, Reason::Address)).is_some()
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
        self.setting_up() < setting_up || self.makes_room(&all[..2]) || is_sponsored
    }

    /// Sets the gauges of the metrics.
    pub fn tell(&self) {
        let counts = [
            self.setting_up(),
            self.guests.at(ConnectionStage::Stranger),
            self.partners,
        ];
        for (door, count) in DOORS.iter().zip(counts) {
            metrics::gauge!(families::CONNECTIONS, "door" => *door).set(count as f64);
        }
    }
}
