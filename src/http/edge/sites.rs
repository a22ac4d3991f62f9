//! The strangers of each site: of an IPv6 /48, which is what one subscriber may get, with its 65,536 networks of the size that is counted
//! as an address. A site has a few times what an address has, so that one with many networks is not as many strangers.
//!
//! First handshakes are also counted by the /24 of IPv4, the smallest network that is routed by itself. Its addresses have their limits
//! each, and share only how many of them are new at once.
//!
//! A plain value with bounded memory; its owner locks it. Addresses at which a partner was seen are not counted here.

use super::rate::{Rate, UsedRate};
use crate::config::LimitsConfig;
use crate::security::ClientNetwork;
use std::collections::HashMap;
use std::time::{Duration, Instant};

/// How many times what one address may have a site may have.
const ADDRESSES_OF_SITE: u32 = 8;
/// First handshakes of its addresses that a site has for itself at once, and the time in which each comes back.
const FIRST_HANDSHAKES: u32 = 8;
const FIRST_HANDSHAKE: Duration = Duration::from_secs(30);

/// The first 48 bits of an address of IPv6.
type SitePrefix = [u8; 6];
/// The first 24 bits of an address of IPv4.
type OldPrefix = [u8; 3];

/// The site of a network; `None` for IPv4 and for no address.
fn prefix(network: &ClientNetwork) -> Option<SitePrefix> {
    let (prefix, _) = network.split_first_chunk::<6>()?;
    // Four bytes of zero stand before an address of IPv4; no client of IPv6 has them.
    (prefix[..4] != [0; 4]).then_some(*prefix)
}

/// The /24 of an address of IPv4; `None` for IPv6 and for no address.
fn old_prefix(network: &ClientNetwork) -> Option<OldPrefix> {
    let [0, 0, 0, 0, address @ ..] = *network else {
        return None;
    };
    (address != [0; 4]).then_some([address[0], address[1], address[2]])
}

/// What a site may have.
#[derive(Clone, Copy, Debug)]
struct SiteLimits {
    connections: usize,
    in_flight: usize,
    connection_rate: Rate,
    request_rate: Rate,
}

/// What a site has.
#[derive(Debug)]
struct Site {
    connections: usize,
    /// Requests that are worked on, and those whose token is being checked.
    in_flight: [usize; 2],
    connected: UsedRate,
    asked: UsedRate,
    greeted: UsedRate,
    heard: Instant,
}

/// All sites that were seen recently.
#[derive(Debug)]
pub struct Sites {
    known: HashMap<SitePrefix, Site>,
    /// What the networks of IPv4 used of their first handshakes.
    greeted: HashMap<OldPrefix, UsedRate>,
    limits: SiteLimits,
    places: usize,
}

impl Sites {
    /// Makes room for `places` sites beside those that are connected.
    pub fn new(limits: &LimitsConfig, places: usize) -> Sites {
        let times = ADDRESSES_OF_SITE;
        let rate = |each: u32, burst: u32| {
            let each = each.saturating_mul(times);
            Rate::new(each, each.saturating_mul(burst))
        };
        Sites {
            known: HashMap::new(),
            greeted: HashMap::new(),
            limits: SiteLimits {
                connections: limits.stranger_connections_per_address.saturating_mul(times as usize),
                // Half of all places, or those of one address where that is more.
                in_flight: (limits.stranger_in_flight / 2).max(limits.stranger_in_flight_per_address),
                connection_rate: rate(limits.connection_rate, 2),
                request_rate: rate(limits.stranger_request_rate, 4),
            },
            places: limits.connections + places,
        }
    }

    fn at(&mut self, network: &ClientNetwork, now: Instant) -> Option<&mut Site> {
        let prefix = prefix(network)?;
        if self.known.len() >= self.places && !self.known.contains_key(&prefix) {
            self.forget();
        }
        let site = self.known.entry(prefix).or_insert_with(|| Site {
            connections: 0,
            in_flight: [0; 2],
            connected: UsedRate::none(now),
            asked: UsedRate::none(now),
            greeted: UsedRate::none(now),
            heard: now,
        });
        site.heard = now;
        Some(site)
    }

    fn get(&mut self, network: &ClientNetwork) -> Option<&mut Site> {
        self.known.get_mut(&prefix(network)?)
    }

    /// Takes a new connection from the rate of its site.
    pub fn connects(&mut self, network: &ClientNetwork, now: Instant) -> bool {
        let rate = self.limits.connection_rate;
        self.at(network, now)
            .is_none_or(|site| site.connected.take(rate, 1, now))
    }

    /// Whether the site has room for one more connection of strangers.
    pub fn has_room(&mut self, network: &ClientNetwork) -> bool {
        let most = self.limits.connections;
        self.get(network).is_none_or(|site| site.connections < most)
    }

    /// Counts a connection of this network.
    pub fn adds(&mut self, network: &ClientNetwork, now: Instant) {
        if let Some(site) = self.at(network, now) {
            site.connections += 1;
        }
    }

    /// Counts a connection of this network no longer.
    pub fn removes(&mut self, network: &ClientNetwork) {
        if let Some(site) = self.get(network) {
            site.connections = site.connections.saturating_sub(1);
        }
    }

    /// Takes the first handshake of an address from those that its site, or its /24 of IPv4, has for itself.
    pub fn greets(&mut self, network: &ClientNetwork, now: Instant) -> bool {
        let rate = Rate::every(FIRST_HANDSHAKE, FIRST_HANDSHAKES);
        match old_prefix(network) {
            Some(prefix) => self.greeted_at(prefix, now).take(rate, 1, now),
            None => self.at(network, now).is_none_or(|site| site.greeted.take(rate, 1, now)),
        }
    }

    /// What this network of IPv4 used of its first handshakes. When there are too many networks, the half that used least is forgotten.
    fn greeted_at(&mut self, prefix: OldPrefix, now: Instant) -> &mut UsedRate {
        if self.greeted.len() >= self.places.max(1) && !self.greeted.contains_key(&prefix) {
            let mut debts: Vec<Duration> = self.greeted.values().map(|used| used.debt(now)).collect();
            let half = debts.len() / 2;
            let (_, limit, _) = debts.select_nth_unstable(half);
            let limit = *limit;
            self.greeted.retain(|_, used| used.debt(now) > limit);
        }
        self.greeted.entry(prefix).or_insert_with(|| UsedRate::none(now))
    }

    /// Takes a request from the rate of its site; `times` bursts may be used at once.
    pub fn asks(&mut self, network: &ClientNetwork, times: u32, now: Instant) -> bool {
        let rate = self.limits.request_rate;
        self.at(network, now)
            .is_none_or(|site| site.asked.take(rate, times, now))
    }

    /// Gives the request back.
    pub fn unasks(&mut self, network: &ClientNetwork) {
        let rate = self.limits.request_rate;
        if let Some(site) = self.get(network) {
            site.asked.give_back(rate);
        }
    }

    /// Takes a place for a request in flight of this kind.
    pub fn enters(&mut self, network: &ClientNetwork, kind: usize, now: Instant) -> bool {
        let most = self.limits.in_flight;
        let Some(site) = self.at(network, now) else { return true };
        let has_place = site.in_flight[kind] < most;
        site.in_flight[kind] += usize::from(has_place);
        has_place
    }

    /// Gives the place back.
    pub fn leaves(&mut self, network: &ClientNetwork, kind: usize) {
        if let Some(site) = self.get(network) {
            site.in_flight[kind] = site.in_flight[kind].saturating_sub(1);
        }
    }

    /// Forgets the half of the idle sites that was silent longest. There are never more that are not idle than connections.
    fn forget(&mut self) {
        let is_idle = |site: &Site| site.connections == 0 && site.in_flight == [0; 2];
        let idle = self.known.values().filter(|site| is_idle(site));
        let mut heard: Vec<Instant> = idle.map(|site| site.heard).collect();
        if heard.is_empty() {
            return;
        }
        let half = heard.len() / 2;
        let (_, limit, _) = heard.select_nth_unstable(half);
        let limit = *limit;
        self.known.retain(|_, site| !is_idle(site) || site.heard > limit);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Config;
    use std::net::{IpAddr, Ipv6Addr};

    fn sites(places: usize) -> Sites {
        let mut limits = Config::load(None, []).expect("defaults").limits;
        limits.connections = 16;
        Sites::new(&limits, places)
    }

    fn network(site: u16, n: u16) -> ClientNetwork {
        crate::security::network(Some(IpAddr::V6(Ipv6Addr::new(0x2001, 0xdb8, site, n, 0, 0, 0, 1))))
    }

    fn old(net: u8, n: u8) -> ClientNetwork {
        crate::security::network(Some(IpAddr::from([10, 0, net, n])))
    }

    #[test]
    fn t_b07_all_networks_of_a_site_have_its_rates_and_places_together() {
        let (mut sites, now) = (sites(100), Instant::now());
        let connected = |sites: &mut Sites, site| (0..5000).filter(|n| sites.connects(&network(site, *n), now)).count();
        assert_eq!(connected(&mut sites, 1), 800, "eight times a hundred");
        let asked = (0..5000).filter(|n| sites.asks(&network(1, *n), 1, now)).count();
        assert_eq!(asked, 1600, "eight times two hundred");
        sites.unasks(&network(1, 7));
        assert!(sites.asks(&network(1, 9), 1, now));
        let greeted = (0..5000).filter(|n| sites.greets(&network(1, *n), now)).count();
        assert_eq!(greeted, 8);
        let entered = (0..100).filter(|n| sites.enters(&network(1, *n), 0, now)).count();
        assert_eq!(entered, 32, "half of all");
        sites.leaves(&network(1, 3), 0);
        assert!(sites.enters(&network(1, 4), 0, now));
        for n in 0..512 {
            assert!(sites.has_room(&network(1, n)));
            sites.adds(&network(1, n), now);
        }
        assert!(!sites.has_room(&network(1, 600)) && sites.has_room(&network(2, 600)));
        sites.removes(&network(1, 5));
        assert!(sites.has_room(&network(1, 600)));
        // Another site is not concerned, and addresses of IPv4 have their own rates of connections.
        assert_eq!(connected(&mut sites, 2), 800);
        assert!((0..5000).all(|_| sites.connects(&old(1, 1), now)));
        // Without an address nothing is counted.
        let none = crate::security::network(None);
        assert!((0..5000).all(|_| sites.connects(&none, now) && sites.greets(&none, now)));
    }

    #[test]
    fn t_b06_the_addresses_of_one_ipv4_network_have_few_first_handshakes() {
        let (mut sites, now) = (sites(100), Instant::now());
        let greeted = |sites: &mut Sites, net, at| (0..=255).filter(|n| sites.greets(&old(net, *n), at)).count();
        assert_eq!(greeted(&mut sites, 1, now), 8, "of one /24");
        assert_eq!(greeted(&mut sites, 2, now), 8, "of another");
        assert_eq!(
            greeted(&mut sites, 1, now + 2 * FIRST_HANDSHAKE),
            2,
            "one more each time"
        );
    }

    #[test]
    fn t_b06_the_ipv4_networks_that_are_remembered_have_a_bound() {
        let (mut sites, now) = (sites(100), Instant::now());
        assert!((0..8).all(|n| sites.greets(&old(0, n), now)));
        for net in 1..200 {
            assert!(sites.greets(&old(net, 1), now));
            assert!(sites.greeted.len() <= 116, "{}", sites.greeted.len());
        }
        assert!(!sites.greets(&old(0, 99), now), "the one that used most is remembered");
    }

    #[test]
    fn t_b07_the_sites_that_are_remembered_have_a_bound() {
        let (mut sites, now) = (sites(100), Instant::now());
        sites.adds(&network(1, 1), now);
        for n in 0..10_000u16 {
            let later = now + Duration::from_millis(n.into());
            assert!(sites.connects(&network(n, 1), later));
        }
        assert!(sites.known.len() <= 116, "{}", sites.known.len());
        assert_eq!(sites.get(&network(1, 2)).map(|site| site.connections), Some(1));
    }
}
