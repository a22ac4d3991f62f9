//! The state of each client address: its open connections, its rates, and whether a partner was seen there recently.
//!
//! A plain value with bounded memory; its owner locks it. IPv6 addresses are counted by their /64 network.

use super::queue::ByteCount;
use super::rate::{Rate, UsedRate};
use super::stages::StagedConnections;
use super::turnstile::Turnstile;
use crate::security::ClientNetwork;
use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// How long an address counts as a partner's ("proven") after a partner showed its certificate or token there.
pub const PROVEN: Duration = Duration::from_secs(24 * 3600);
/// Most proven addresses of one partner; beyond this, the one that was proven longest ago no longer counts.
const PROVEN_OF_PARTNER: usize = 64;
/// Most partners that are remembered for one address.
const PARTNERS_OF_ADDRESS: usize = 4;

/// How long after a handshake further ones of the address wait with those of all that had one.
const GREETED: Duration = Duration::from_secs(300);

/// The state of one address.
#[derive(Debug)]
pub struct ClientAddress {
    /// Connections that are not known to be a partner's: those being set up, and strangers'.
    pub guests: StagedConnections,
    /// Strangers' requests in flight: those that are worked on, and those whose token is being checked.
    pub in_flight: [usize; 2],
    /// The places for handshakes.
    pub handshakes: Arc<Turnstile>,
    /// Bytes of strangers' requests and answers that wait in memory.
    pub queued: ByteCount,
    /// When it last asked for the turn of a handshake.
    greeted: Option<Instant>,
    /// What is used of the rate of handshakes that it has while a partner was seen here recently.
    pub proven_handshakes: UsedRate,
    connections: UsedRate,
    requests: UsedRate,
    /// The partners that were seen here, and until when each makes the address count as proven.
    proven: Vec<(Arc<str>, Instant)>,
    heard: Instant,
}

impl ClientAddress {
    fn new(handshakes: usize, now: Instant) -> ClientAddress {
        ClientAddress {
            guests: StagedConnections::default(),
            in_flight: [0; 2],
            handshakes: Arc::new(Turnstile::new(handshakes)),
            queued: ByteCount::default(),
            greeted: None,
            proven_handshakes: UsedRate::none(now),
            connections: UsedRate::none(now),
            requests: UsedRate::none(now),
            proven: Vec::new(),
            heard: now,
        }
    }

    /// Notes that it asks for the turn of a handshake; returns whether it had none for a while.
    pub fn greets(&mut self, now: Instant) -> bool {
        let before = self.greeted.replace(now);
        before.is_none_or(|before| now.saturating_duration_since(before) > GREETED)
    }

    /// Whether a partner was seen here recently.
    pub fn is_proven(&self, now: Instant) -> bool {
        self.proven.iter().any(|(_, until)| *until > now)
    }

    fn prove(&mut self, partner: &Arc<str>, now: Instant) {
        self.disprove(partner);
        if self.proven.len() >= PARTNERS_OF_ADDRESS {
            self.proven.remove(0);
        }
        self.proven.push((Arc::clone(partner), now + PROVEN));
    }

    fn disprove(&mut self, partner: &Arc<str>) {
        self.proven.retain(|(by, _)| by != partner);
    }

    /// Takes a new connection from the address's rate. Refuses it also when its first request would be refused by the request rate. A
    /// proven address may always connect. An address that keeps connecting without a pause gets no further connection.
    pub fn connects(&mut self, rate: Rate, requests: Rate, now: Instant) -> bool {
        self.is_proven(now) || (self.connections.take_or_lose(rate, now) && self.requests.has_one(requests, now))
    }

    /// Takes a stranger's request from the address's rate. A request with a token, which may be a partner's, may use twice the burst, so
    /// that a neighbor's flood of other requests does not keep it out.
    pub fn asks(&mut self, rate: Rate, has_token: bool, now: Instant) -> bool {
        self.requests.take(rate, if has_token { 2 } else { 1 }, now)
    }

    /// Gives the request back to the rate, because it was a partner's.
    pub fn unasks(&mut self, rate: Rate) {
        self.requests.give_back(rate);
    }

    fn is_idle(&self) -> bool {
        self.guests.in_all() == 0 && self.in_flight == [0; 2]
    }
}

/// All addresses that were seen recently.
#[derive(Debug)]
pub struct Addresses {
    known: HashMap<ClientNetwork, ClientAddress>,
    /// The proven addresses of each partner, the most recent last.
    of_partner: HashMap<Arc<str>, VecDeque<ClientNetwork>>,
    places: usize,
    handshakes: usize,
}

impl Addresses {
    /// Makes room for `places` addresses, each with `handshakes` handshakes at once.
    pub fn new(places: usize, handshakes: usize) -> Addresses {
        Addresses {
            known: HashMap::new(),
            of_partner: HashMap::new(),
            places,
            handshakes,
        }
    }

    /// The state of this address, added if it is missing; `None` when there is no room for another address.
    pub fn at(&mut self, network: ClientNetwork, now: Instant) -> Option<&mut ClientAddress> {
        if !self.known.contains_key(&network) && self.known.len() >= self.places {
            self.forget(now);
            if self.known.len() >= self.places {
                return None;
            }
        }
        let handshakes = self.handshakes;
        let address = self
            .known
            .entry(network)
            .or_insert_with(|| ClientAddress::new(handshakes, now));
        address.heard = now;
        Some(address)
    }

    /// The state of this address, if it is known.
    pub fn get(&mut self, network: &ClientNetwork) -> Option<&mut ClientAddress> {
        self.known.get_mut(network)
    }

    /// The partners that were seen at this address recently, the latest first.
    pub fn proven_by(&self, network: &ClientNetwork, now: Instant) -> Vec<Arc<str>> {
        let proven = self.known.get(network).into_iter().flat_map(|address| &address.proven);
        let recent = proven.rev().filter(|(_, until)| *until > now);
        recent.map(|(partner, _)| Arc::clone(partner)).collect()
    }

    /// Whether a partner was seen at this address recently.
    #[cfg(test)]
    pub fn is_proven(&self, network: &ClientNetwork, now: Instant) -> bool {
        self.known.get(network).is_some_and(|address| address.is_proven(now))
    }

    /// Marks this address as one where this partner was seen.
    pub fn prove(&mut self, network: &ClientNetwork, partner: &str, now: Instant) {
        let Some(address) = self.known.get_mut(network) else {
            return;
        };
        let partner = match self.of_partner.get_key_value(partner) {
            Some((partner, _)) => Arc::clone(partner),
            None => Arc::from(partner),
        };
        address.prove(&partner, now);
        let proved = self.of_partner.entry(Arc::clone(&partner)).or_default();
        if let Some(at) = proved.iter().rposition(|proved| proved == network) {
            proved.remove(at);
        }
        proved.push_back(*network);
        if proved.len() > PROVEN_OF_PARTNER
            && let Some(first) = proved.pop_front()
            && let Some(address) = self.known.get_mut(&first)
        {
            address.disprove(&partner);
        }
    }

    /// Forgets where this partner was seen.
    pub fn forget_partner(&mut self, partner: &str) {
        let Some((partner, networks)) = self.of_partner.remove_entry(partner) else {
            return;
        };
        for network in networks {
            if let Some(address) = self.known.get_mut(&network) {
                address.disprove(&partner);
            }
        }
    }

    /// Forgets the half of the idle addresses that was silent longest. Proven addresses are forgotten only when there are no others.
    fn forget(&mut self, now: Instant) {
        if !self.forget_half(|address| address.is_idle() && !address.is_proven(now)) {
            self.forget_half(ClientAddress::is_idle);
        }
    }

    fn forget_half(&mut self, may: impl Fn(&ClientAddress) -> bool) -> bool {
        let heard = self.known.values().filter(|address| may(address));
        let mut heard: Vec<Instant> = heard.map(|address| address.heard).collect();
        if heard.is_empty() {
            return false;
        }
        let half = heard.len() / 2;
        let (_, limit, _) = heard.select_nth_unstable(half);
        let limit = *limit;
        self.known.retain(|_, address| !may(address) || address.heard > limit);
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::edge::stages::ConnectionStage::Silent;

    fn network(n: u32) -> ClientNetwork {
        crate::security::network(Some(std::net::IpAddr::from(n.to_be_bytes())))
    }

    #[test]
    fn t_b07_a_rate_gives_its_burst_and_then_its_pace() {
        let (now, rate) = (Instant::now(), Rate::new(50, 100));
        let mut addresses = Addresses::new(10, 1);
        let address = addresses.at(network(1), now).expect("room");
        let at_once = (0..100).filter(|_| address.connects(rate, rate, now)).count();
        assert_eq!(at_once, 100);
        let later = now + Duration::from_secs(1);
        let after = (0..1000).filter(|_| address.connects(rate, rate, later)).count();
        assert_eq!(after, 50);
        // An address that keeps connecting gets nothing; after a pause it may connect again.
        let at = |ms: u64| later + Duration::from_millis(ms);
        assert!(!(0..100).any(|n| address.connects(rate, rate, at(n * 3))));
        assert!((0..100).all(|n| address.connects(rate, rate, at(3000 + n * 20))));
        let later = later + Duration::from_secs(6);
        while address.asks(rate, false, later) {}
        assert!(!address.connects(rate, rate, later), "its request would be refused");
        addresses.prove(&network(1), "partner", later);
        let address = addresses.at(network(1), later).expect("there");
        assert!(
            (0..1000).all(|_| address.connects(rate, rate, later)),
            "a partner's address has no such rate"
        );
        assert!(!address.is_proven(later + PROVEN));
    }

    #[test]
    fn t_b07_a_flood_of_requests_leaves_room_for_who_brings_a_token() {
        let (now, rate) = (Instant::now(), Rate::new(50, 200));
        let mut addresses = Addresses::new(10, 1);
        let address = addresses.at(network(1), now).expect("room");
        assert_eq!((0..1000).filter(|_| address.asks(rate, false, now)).count(), 200);
        // Requests that turn out to be a partner's use up nothing.
        for _ in 0..1000 {
            assert!(address.asks(rate, true, now));
            address.unasks(rate);
        }
        assert_eq!((0..1000).filter(|_| address.asks(rate, true, now)).count(), 200);
        assert!(!address.asks(rate, false, now + Duration::from_secs(2)));
        assert!(address.asks(rate, false, now + Duration::from_secs(5)));
    }

    #[test]
    fn t_b07_memory_is_bounded_and_who_is_connected_or_proven_is_not_forgotten() {
        let now = Instant::now();
        let mut addresses = Addresses::new(100, 1);
        addresses.at(network(1), now).expect("room").guests.insert(1, Silent);
        addresses.at(network(2), now).expect("room");
        addresses.prove(&network(2), "partner", now);
        for n in 0..10_000 {
            assert!(addresses.at(network(1000 + n), now).is_some());
        }
        assert!(addresses.known.len() <= 100);
        assert!(addresses.get(&network(1)).is_some() && addresses.get(&network(2)).is_some());
        // No room is left when every remembered address is connected.
        let mut full = Addresses::new(2, 1);
        for n in 0..2 {
            full.at(network(n), now).expect("room").guests.insert(1, Silent);
        }
        assert!(full.at(network(3), now).is_none());
    }

    #[test]
    fn t_b07_a_partner_that_shows_itself_everywhere_fills_nothing() {
        let now = Instant::now();
        let mut addresses = Addresses::new(1000, 1);
        addresses.at(network(1), now).expect("room");
        addresses.prove(&network(1), "victim", now);
        // Nor by being seen at another partner's address.
        for n in 1..20_000 {
            assert!(addresses.at(network(n), now).is_some(), "{n}");
            addresses.prove(&network(n), "hostile", now);
        }
        let proven = addresses.known.values().filter(|address| address.is_proven(now));
        assert_eq!(proven.count(), PROVEN_OF_PARTNER + 1);
        assert!(addresses.is_proven(&network(1), now), "another partner's address");
        // When all remembered addresses are partners', the one that was silent longest is forgotten, and no connection is refused.
        let mut full = Addresses::new(100, 1);
        for n in 0..1000 {
            let later = now + Duration::from_secs(n.into());
            assert!(full.at(network(n), later).is_some(), "{n}");
            full.prove(&network(n), &format!("partner {n}"), later);
        }
        assert!(full.known.len() <= 100 && full.is_proven(&network(999), now));
    }
}
