//! Counts failed requests to the OAuth endpoints for each client, so that a flood of them is refused before any signature is checked.
//!
//! A client with a certificate is counted by that certificate, whose key the TLS handshake has proven. Any other client is counted by its
//! network together with the client id that it gives: client ids are public, and a stranger must not be able to lock out the real client.
//! The counts are kept in the memory of this process, are bounded, and reveal nothing: known and unknown client ids are counted alike.

use super::oauth_request::{OauthRequest, given_id};
use crate::context::Context;
use crate::error::{Failure, Fault};
use crate::secret::sha256;
use crate::telemetry::metrics as families;
use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

/// Most clients that are counted; beyond this, the quarter that was idle longest is forgotten.
const CLIENTS: usize = 16_384;
/// Client ids that are counted separately for one network; all others of that network are counted together.
const IDS_OF_NETWORK: usize = 64;

/// The network of an address: the whole IPv4 address, or the /64 of an IPv6 address, which one subscriber gets.
pub type ClientNetwork = [u8; 8];

/// The client for which failures are counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Origin {
    /// A certificate, by its SHA-256.
    Certificate([u8; 32]),
    /// A network, and SHA-256 of the client id that was given.
    Client(ClientNetwork, [u8; 32]),
    /// All other client ids of a network.
    Network(ClientNetwork),
}

impl Origin {
    fn of(request: &OauthRequest<'_>) -> Origin {
        match request.certificate {
            Some(certificate) => Origin::Certificate(certificate.sha256),
            None => Origin::Client(network(request.address), sha256(given_id(request).as_bytes())),
        }
    }
}

/// The network of an address, by which clients without a proven identity are counted.
pub fn network(address: Option<IpAddr>) -> ClientNetwork {
    let mut network = ClientNetwork::default();
    match address.map(|address| address.to_canonical()) {
        None => {}
        Some(IpAddr::V4(address)) => network[4..].copy_from_slice(&address.octets()),
        Some(IpAddr::V6(address)) => network.copy_from_slice(&address.octets()[..8]),
    }
    network
}

/// The failures of one client, as a bucket that drains evenly.
#[derive(Clone, Copy, Default)]
struct Count {
    /// When the last failure will be forgotten.
    empty_ms: i64,
    /// When the client last sent a request.
    heard_ms: i64,
    /// Whether the client has proven who it is. It then keeps a count of its own, however many unproven ids its network has.
    proven: bool,
}

#[derive(Default)]
struct Counts {
    clients: HashMap<Origin, Count>,
    /// The number of unproven client ids of each network.
    strange: HashMap<ClientNetwork, usize>,
}

impl Counts {
    /// The key under which `origin` is counted: its own, or that of its network when the network has too many unproven ids.
    fn place(&self, origin: Origin) -> Origin {
        match origin {
            Origin::Client(network, _) if !self.clients.contains_key(&origin) => {
                match self.strange.get(&network).is_some_and(|ids| *ids >= IDS_OF_NETWORK) {
                    true => Origin::Network(network),
                    false => origin,
                }
            }
            _ => origin,
        }
    }

    fn put(&mut self, origin: Origin, count: Count) {
        if self.clients.len() >= CLIENTS && !self.clients.contains_key(&origin) {
            self.forget();
        }
        let before = self.clients.insert(origin, count);
        if let Origin::Client(network, _) = origin {
            let is_strange = |count: &Count| usize::from(!count.proven);
            let ids = self.strange.entry(network).or_default();
            *ids = (*ids + is_strange(&count)).saturating_sub(before.as_ref().map_or(0, is_strange));
            if *ids == 0 {
                self.strange.remove(&network);
            }
        }
    }

    /// Forgets the quarter of the clients that was idle longest.
    fn forget(&mut self) {
        let mut heard: Vec<i64> = self.clients.values().map(|count| count.heard_ms).collect();
        let quarter = heard.len() / 4;
        let (_, limit, _) = heard.select_nth_unstable(quarter);
        let (limit, mut left) = (*limit, quarter + 1);
        self.clients.retain(|_, count| {
            let stays = count.heard_ms > limit || left == 0;
            left -= usize::from(!stays);
            stays
        });
        self.strange.clear();
        for (origin, count) in &self.clients {
            if let (Origin::Client(network, _), false) = (origin, count.proven) {
                *self.strange.entry(*network).or_default() += 1;
            }
        }
    }
}

/// The counts of this process. Clones share them.
#[derive(Clone)]
pub struct Throttle {
    counts: Arc<Mutex<Counts>>,
    /// How many failures may come at once.
    most: i64,
    /// Time after which one failure is forgotten, in milliseconds.
    each_ms: i64,
}

impl Throttle {
    /// Allows `most` failures of one client at once, and as many again in each `window`. With 0 nothing is counted.
    pub fn new(most: u32, window: Duration) -> Throttle {
        let window_ms = i64::try_from(window.as_millis()).unwrap_or(i64::MAX / 4);
        Throttle {
            counts: Arc::default(),
            most: i64::from(most),
            each_ms: (window_ms / i64::from(most.max(1))).max(1),
        }
    }

    /// Returns whether a request of `origin` may be judged; if not, the error is the milliseconds until it may.
    fn admit(&self, origin: Origin, now_ms: i64) -> Result<(), i64> {
        if self.most == 0 {
            return Ok(());
        }
        let mut counts = self.counts.lock().unwrap_or_else(PoisonError::into_inner);
        let place = counts.place(origin);
        let Some(count) = counts.clients.get_mut(&place) else {
            return Ok(());
        };
        let filled_ms = self.filled_ms(count, now_ms);
        count.empty_ms = now_ms + filled_ms;
        match filled_ms - (self.most - 1) * self.each_ms {
            wait_ms if wait_ms > 0 => Err(wait_ms),
            _ => Ok(()),
        }
    }

    /// Milliseconds until the bucket is empty, at most the time that a full one takes, even when the clock was set back.
    fn filled_ms(&self, count: &Count, now_ms: i64) -> i64 {
        (count.empty_ms - now_ms).clamp(0, self.most * self.each_ms)
    }

    fn failed(&self, origin: Origin, now_ms: i64) {
        if self.most == 0 {
            return;
        }
        let mut counts = self.counts.lock().unwrap_or_else(PoisonError::into_inner);
        let place = counts.place(origin);
        let mut count = counts.clients.get(&place).copied().unwrap_or_default();
        count.empty_ms = now_ms + self.filled_ms(&count, now_ms) + self.each_ms;
        count.heard_ms = now_ms;
        counts.put(place, count);
    }

    /// Resets the count of a client that has proven who it is.
    fn succeeded(&self, origin: Origin, now_ms: i64) {
        if self.most == 0 {
            return;
        }
        let mut counts = self.counts.lock().unwrap_or_else(PoisonError::into_inner);
        let fresh = Count {
            empty_ms: 0,
            heard_ms: now_ms,
            proven: true,
        };
        counts.put(origin, fresh);
    }
}

/// Runs `judge` unless too many requests of this client have failed, and counts its result. Faults of this server are not counted.
///
/// # Errors
/// [`Fault::OauthThrottled`] with the seconds to wait; those of `judge`.
pub(super) async fn judged<T>(
    ctx: &Context,
    throttle: &Throttle,
    request: &OauthRequest<'_>,
    judge: impl Future<Output = Result<T, Failure>>,
) -> Result<T, Failure> {
    let origin = Origin::of(request);
    let count = |outcome: &'static str| metrics::counter!(families::OAUTH, "outcome" => outcome).increment(1);
    if let Err(wait_ms) = throttle.admit(origin, ctx.clock.lasting_ms()) {
        count("throttled");
        let wait_s = u32::try_from(wait_ms.saturating_add(999) / 1000).unwrap_or(u32::MAX);
        return Err(Failure::new(Fault::OauthThrottled).retry_after_s(wait_s.max(1)));
    }
    let done = judge.await;
    let now_ms = ctx.clock.lasting_ms();
    match &done {
        Ok(_) => {
            count("accepted");
            throttle.succeeded(origin, now_ms);
        }
        Err(failure) if failure.fault().row().http < 500 => {
            count("refused");
            throttle.failed(origin, now_ms);
        }
        Err(_) => count("failed"),
    }
    done
}

#[cfg(test)]
mod tests {
    use super::*;

    fn client(address: &str, id: &str) -> Origin {
        let address = address.parse().expect("an address");
        Origin::Client(network(Some(address)), sha256(id.as_bytes()))
    }

    /// How many of these requests were judged, when one fails at each of these milliseconds.
    fn judged_of(throttle: &Throttle, origin: Origin, times: impl Iterator<Item = i64>) -> usize {
        times
            .filter(|now_ms| {
                let admitted = throttle.admit(origin, *now_ms).is_ok();
                if admitted {
                    throttle.failed(origin, *now_ms);
                }
                admitted
            })
            .count()
    }

    fn ten_a_minute() -> Throttle {
        Throttle::new(10, Duration::from_secs(60))
    }

    #[test]
    fn t_a22_a_flood_is_judged_at_its_rate_only() {
        let flood = (0..1041).map(|n| n * 360_000 / 1041);
        let judged = judged_of(
            &Throttle::new(60, Duration::from_secs(300)),
            client("192.0.2.1", "a"),
            flood,
        );
        assert!(
            (120..=132).contains(&judged),
            "{judged} of 1041 in six minutes: 60 and one in 5 s"
        );
    }

    #[test]
    fn t_a22_the_wait_that_is_told_is_enough_and_not_more_than_one_failure_takes() {
        let (throttle, origin) = (ten_a_minute(), Origin::Certificate([7; 32]));
        assert_eq!(judged_of(&throttle, origin, [1000; 50].into_iter()), 10);
        let wait_ms = throttle.admit(origin, 1000).expect_err("throttled");
        assert_eq!(wait_ms, 6000);
        assert!(throttle.admit(origin, 1000 + wait_ms - 1).is_err());
        assert!(throttle.admit(origin, 1000 + wait_ms).is_ok());
        throttle.succeeded(origin, 8000);
        assert_eq!(
            judged_of(&throttle, origin, [8000; 50].into_iter()),
            10,
            "a success starts anew"
        );
        assert_eq!(
            judged_of(&throttle, origin, [100_000; 50].into_iter()),
            10,
            "time does as well"
        );
    }

    #[test]
    fn t_a22_a_clock_that_is_set_back_locks_nobody_out_for_longer_than_the_window() {
        let (throttle, origin) = (ten_a_minute(), client("192.0.2.1", "a"));
        judged_of(&throttle, origin, [900_000_000; 50].into_iter());
        assert_eq!(throttle.admit(origin, 0), Err(6000));
        assert!(throttle.admit(origin, 6000).is_ok());
    }

    #[test]
    fn t_a22_a_client_id_alone_is_never_counted() {
        let throttle = ten_a_minute();
        judged_of(&throttle, client("192.0.2.1", "partner"), [0; 500].into_iter());
        judged_of(&throttle, Origin::Certificate([1; 32]), [0; 500].into_iter());
        assert!(throttle.admit(client("192.0.2.1", "partner"), 0).is_err());
        for other in [
            client("192.0.2.2", "partner"),
            client("192.0.2.1", "other"),
            client("2001:db8::1", "partner"),
            Origin::Certificate([2; 32]),
        ] {
            assert!(throttle.admit(other, 0).is_ok(), "{other:?}");
        }
    }

    #[test]
    fn t_a22_ipv6_counts_by_the_64_and_mapped_ipv4_as_ipv4() {
        let throttle = ten_a_minute();
        let flood = (0..500u32).map(|n| client(&format!("2001:db8:0:1::{n:x}"), "partner"));
        let judged: usize = flood
            .map(|origin| judged_of(&throttle, origin, std::iter::once(0)))
            .sum();
        assert_eq!(judged, 10);
        assert!(throttle.admit(client("2001:db8:0:2::1", "partner"), 0).is_ok());
        assert_eq!(client("::ffff:192.0.2.1", "a"), client("192.0.2.1", "a"));
        assert_ne!(client("::192.0.2.1", "a"), client("0.0.0.1", "a"));
    }

    #[test]
    fn t_a22_guessing_other_ids_in_turn_gains_nothing_and_spares_who_has_proved_itself() {
        let throttle = ten_a_minute();
        let neighbour = client("192.0.2.1", "neighbour");
        throttle.succeeded(neighbour, 0);
        let ids = (0..100_000).map(|n| client("192.0.2.1", &format!("id-{n}")));
        let judged: usize = ids.map(|origin| judged_of(&throttle, origin, std::iter::once(0))).sum();
        assert_eq!(judged, IDS_OF_NETWORK + 10);
        assert!(throttle.admit(neighbour, 0).is_ok());
        assert!(throttle.admit(client("192.0.2.2", "id-1"), 0).is_ok());
    }

    #[test]
    fn t_a22_memory_is_bounded_and_who_fails_now_is_not_forgotten() {
        let (throttle, active) = (ten_a_minute(), client("192.0.2.1", "active"));
        for n in 0..100_000u32 {
            let address = IpAddr::from(n.to_be_bytes()).to_string();
            throttle.failed(client(&address, "x"), i64::from(n) / 1000);
            if n % 1000 == 0 {
                judged_of(&throttle, active, [i64::from(n) / 1000; 20].into_iter());
            }
        }
        let counts = throttle.counts.lock().expect("counts");
        assert!(counts.clients.len() <= CLIENTS && counts.strange.len() <= CLIENTS);
        let strange: usize = counts.strange.values().sum();
        assert_eq!(strange, counts.clients.len());
        drop(counts);
        assert!(throttle.admit(active, 100).is_err());
    }

    #[test]
    fn with_no_limit_nothing_is_counted() {
        let throttle = Throttle::new(0, Duration::from_secs(60));
        assert_eq!(
            judged_of(&throttle, client("192.0.2.1", "a"), [0; 500].into_iter()),
            500
        );
        assert!(throttle.counts.lock().expect("counts").clients.is_empty());
    }
}
