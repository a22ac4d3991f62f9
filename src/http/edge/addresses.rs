//! What is known of each client address: its open connections, its rates, and whether a partner was seen there lately.
//!
//! A value with bounded memory; whoever holds it locks it. IPv6 addresses are counted by their /64.

use crate::security::Network;
use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::sync::Semaphore;

/// How long an address counts as a partner's after one showed its certificate or a token there.
pub const PROVEN: Duration = Duration::from_secs(600);

/// A rate: one each `each`, and `burst` at once.
#[derive(Clone, Copy, Debug)]
pub struct Rate {
    each: Duration,
    burst: u32,
}

impl Rate {
    /// `per_second` (at least 1), and `burst` at once.
    pub fn new(per_second: u32, burst: u32) -> Rate {
        Rate {
            each: Duration::from_secs(1) / per_second.max(1),
            burst: burst.max(1),
        }
    }
}

/// What has been taken of a [`Rate`], as the time until all of it is given back.
#[derive(Clone, Copy, Debug)]
struct Taken {
    until: Instant,
}

impl Taken {
    fn debt(&self, now: Instant) -> Duration {
        self.until.saturating_duration_since(now)
    }

    /// Takes one when there is one; `times` bursts may be open at once.
    fn take(&mut self, rate: Rate, times: u32, now: Instant) -> bool {
        let debt = self.debt(now);
        if debt + rate.each > rate.each * rate.burst * times {
            return false;
        }
        self.until = now + debt + rate.each;
        true
    }

    /// The same; who is refused has all of it taken, and must pause before there is one again.
    fn take_or_lose(&mut self, rate: Rate, now: Instant) -> bool {
        let is_given = self.take(rate, 1, now);
        if !is_given {
            self.until = now + rate.each * rate.burst;
        }
        is_given
    }

    /// Whether there is one to take.
    fn has_one(&self, rate: Rate, now: Instant) -> bool {
        self.debt(now) + rate.each <= rate.each * rate.burst
    }

    fn give_back(&mut self, rate: Rate) {
        // An Instant cannot go below its own beginning, which is long before any that is kept here.
        self.until = self.until.checked_sub(rate.each).unwrap_or(self.until);
    }
}

/// One address.
#[derive(Debug)]
pub struct Address {
    /// Open connections that are no partner's: being set up, or strangers'.
    pub strangers: usize,
    /// Requests of strangers that are worked on.
    pub in_flight: usize,
    /// Places for handshakes.
    pub handshakes: Arc<Semaphore>,
    connections: Taken,
    requests: Taken,
    proven_until: Option<Instant>,
    heard: Instant,
}

impl Address {
    fn new(handshakes: usize, now: Instant) -> Address {
        Address {
            strangers: 0,
            in_flight: 0,
            handshakes: Arc::new(Semaphore::new(handshakes)),
            connections: Taken { until: now },
            requests: Taken { until: now },
            proven_until: None,
            heard: now,
        }
    }

    /// Whether a partner was seen here lately.
    pub fn is_proven(&self, now: Instant) -> bool {
        self.proven_until.is_some_and(|until| until > now)
    }

    /// A partner was seen here.
    pub fn prove(&mut self, now: Instant) {
        self.proven_until = Some(now + PROVEN);
    }

    /// Takes a new connection of its rate, unless its next request would be refused anyhow; always, for an address that is
    /// proven. An address that goes on without a pause gets no further one.
    pub fn connects(&mut self, rate: Rate, requests: Rate, now: Instant) -> bool {
        self.is_proven(now) || (self.connections.take_or_lose(rate, now) && self.requests.has_one(requests, now))
    }

    /// Takes a stranger's request of its rate. One with a token, that may turn out to be a partner's, is let in up to twice the
    /// burst, so that a neighbour's flood of other requests does not keep it out.
    pub fn asks(&mut self, rate: Rate, has_token: bool, now: Instant) -> bool {
        self.requests.take(rate, if has_token { 2 } else { 1 }, now)
    }

    /// The request was a partner's after all.
    pub fn unasks(&mut self, rate: Rate) {
        self.requests.give_back(rate);
    }

    fn is_idle(&self, now: Instant) -> bool {
        self.strangers == 0 && self.in_flight == 0 && !self.is_proven(now)
    }
}

/// All addresses heard of lately.
#[derive(Debug)]
pub struct Addresses {
    known: HashMap<Network, Address>,
    places: usize,
    handshakes: usize,
}

impl Addresses {
    /// Room for `places` addresses, each with so many handshakes at once.
    pub fn new(places: usize, handshakes: usize) -> Addresses {
        Addresses {
            known: HashMap::new(),
            places,
            handshakes,
        }
    }

    /// The address, made when it is not there; `None` when there is no room for another.
    pub fn at(&mut self, network: Network, now: Instant) -> Option<&mut Address> {
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
            .or_insert_with(|| Address::new(handshakes, now));
        address.heard = now;
        Some(address)
    }

    /// The address, if it is there.
    pub fn get(&mut self, network: &Network) -> Option<&mut Address> {
        self.known.get_mut(network)
    }

    /// Forgets the half of the idle addresses that was silent longest.
    fn forget(&mut self, now: Instant) {
        let mut heard: Vec<Instant> = self
            .known
            .values()
            .filter(|address| address.is_idle(now))
            .map(|address| address.heard)
            .collect();
        if heard.is_empty() {
            return;
        }
        let half = heard.len() / 2;
        let (_, limit, _) = heard.select_nth_unstable(half);
        let limit = *limit;
        self.known
            .retain(|_, address| !address.is_idle(now) || address.heard > limit);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn network(n: u32) -> Network {
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
        // Who goes on without a pause gets none; after one it has them again.
        let at = |ms: u64| later + Duration::from_millis(ms);
        assert!(!(0..100).any(|n| address.connects(rate, rate, at(n * 3))));
        assert!((0..100).all(|n| address.connects(rate, rate, at(3000 + n * 20))));
        let later = later + Duration::from_secs(6);
        while address.asks(rate, false, later) {}
        assert!(!address.connects(rate, rate, later), "its request would be refused");
        address.prove(later);
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
        // What turns out to be a partner's takes nothing.
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
        addresses.at(network(1), now).expect("room").strangers = 1;
        addresses.at(network(2), now).expect("room").prove(now);
        for n in 0..10_000 {
            assert!(addresses.at(network(1000 + n), now).is_some());
        }
        assert!(addresses.known.len() <= 100);
        assert!(addresses.get(&network(1)).is_some() && addresses.get(&network(2)).is_some());
        // Room for nobody: every address is connected.
        let mut full = Addresses::new(2, 1);
        for n in 0..2 {
            full.at(network(n), now).expect("room").strangers = 1;
        }
        assert!(full.at(network(3), now).is_none());
    }
}
