//! Tests in which order, and how fast, the edge does the handshakes of strangers, without sockets.

use super::tests::{address, apart, edge, opened, shown};
use super::*;
use futures_util::FutureExt as _;

/// How often a test is tried whose figures hold only while the machine does not stand still: meanwhile the rates give turns that nobody asked for.
const TRIES: usize = 20;

/// Asks for handshakes at once, one for each of these addresses, until one has to wait; returns whether one had to.
async fn waits(edge: &Edge, addresses: impl Iterator<Item = Option<IpAddr>>) -> bool {
    for address in addresses {
        let place = edge.admit(address).expect("room");
        if place.handshake(Duration::from_millis(1)).await.is_none() {
            return true;
        }
    }
    false
}

#[tokio::test]
async fn t_b06_at_a_partners_address_a_handshake_outlives_hundreds_of_newer_ones() {
    for _ in 0..TRIES {
        if outlives().await {
            return;
        }
    }
    panic!("each time it took longer than a connection may be silent");
}

/// Returns false when it took so long that the young ones were no longer young.
async fn outlives() -> bool {
    let edge = edge(|limits| limits.connection_rate = 1_000_000);
    let partner = edge.admit(address(1)).expect("room");
    assert!(partner.prove("partner"));
    let short = Duration::from_millis(1);
    let fresh = edge.admit(address(1)).expect("room");
    assert!(fresh.handshake(short).await.is_some());
    // A stranger behind the same router begins handshakes and ends none.
    let mut stalled = Vec::new();
    for n in 0..240 {
        let place = edge.admit(address(1)).expect("room");
        let handshake = place.handshake(short).await;
        assert!(handshake.is_some(), "each one has its place: {n}");
        stalled.push((place, handshake));
    }
    let next = edge.admit(address(1)).expect("room");
    assert!(next.handshake(short).await.is_some() && fresh.is_in() && next.is_in());
    // Silent ones that had their time go first, and a young one does not go for older handshakes.
    let begun = Instant::now();
    let silent = opened(&edge, 1, 270);
    assert_eq!(silent.len(), 270);
    let late = edge.admit(address(1)).expect("room");
    if begun.elapsed() >= Duration::from_millis(190) {
        return false;
    }
    assert!(!fresh.is_in() && silent[0].is_in() && late.is_in(), "the oldest went");
    tokio::time::sleep(Duration::from_millis(250)).await;
    let later = edge.admit(address(1)).expect("room");
    assert!(later.is_in() && !silent[0].is_in() && silent[1].is_in() && stalled[0].0.is_in());
    true
}

#[tokio::test]
async fn t_b06_handshakes_at_one_partners_address_have_a_rate_that_is_its_own() {
    let (mut done, mut edge) = (0, edge(|limits| limits.handshake_rate = 10));
    for tries in 0..TRIES {
        if tries > 0 {
            edge = super::tests::edge(|limits| limits.handshake_rate = 10);
        }
        shown(&edge, "partner", 1..=1);
        shown(&edge, "other", 2..=2);
        let wait = Duration::from_secs(3);
        let places: Vec<ConnectionPlace> = (0..40).map(|_| edge.admit(address(1)).expect("room")).collect();
        let begun = Instant::now();
        let all = futures_util::future::join_all(places.iter().map(|place| place.handshake(wait))).await;
        done = all.into_iter().flatten().count();
        if begun.elapsed() < Duration::from_millis(320) {
            break;
        }
    }
    assert!(
        (20..=23).contains(&done),
        "ten at once, and what comes in a quarter of a second, for which the others wait: {done}"
    );
    let other = edge.admit(address(2)).expect("room");
    assert!(other.handshake(Duration::from_millis(1)).await.is_some());
}

#[tokio::test]
async fn t_b06_first_handshakes_of_one_sites_networks_are_few() {
    let edge = edge(|limits| limits.handshake_rate = 10);
    let at = |site: u16, n: u16| Some(IpAddr::from([0x2001, 0xdb8, site, n, 0, 0, 0, 1]));
    // More networks than there are turns of those that had none lately.
    for n in 0..52 {
        let place = edge.admit(at(1, n)).expect("room");
        assert!(place.handshake(Duration::from_millis(500)).await.is_some(), "{n}");
    }
    let short = Duration::from_millis(1);
    assert!(
        waits(&edge, (100..400).map(|n| at(1, n))).await,
        "they wait with those of their site"
    );
    let fresh = edge.admit(at(2, 1)).expect("room");
    assert!(fresh.handshake(short).await.is_some(), "another site");
}

#[tokio::test]
async fn t_b06_first_handshakes_of_one_ipv4_network_leave_other_networks_their_turn() {
    let edge = edge(|limits| limits.handshake_rate = 10);
    // More new addresses than there are turns of those that had none lately.
    for n in 0..52 {
        let place = edge.admit(address(n)).expect("room");
        assert!(place.handshake(Duration::from_millis(500)).await.is_some(), "{n}");
    }
    let short = Duration::from_millis(1);
    assert!(
        waits(&edge, (60..256).map(address)).await,
        "they wait with those of their network"
    );
    let fresh = edge.admit(apart(1)).expect("room");
    assert!(fresh.handshake(short).await.is_some(), "another network");
}

#[tokio::test]
async fn t_b06_handshakes_of_all_fresh_addresses_have_a_rate_and_wait_for_their_turn() {
    let (mut done, mut edge) = (0, edge(|limits| limits.handshake_rate = 10));
    for tries in 0..TRIES {
        if tries > 0 {
            edge = super::tests::edge(|limits| limits.handshake_rate = 10);
        }
        let places: Vec<ConnectionPlace> = (0..60).map(|n| edge.admit(apart(n)).expect("room")).collect();
        let (begun, wait) = (Instant::now(), Duration::from_secs(1));
        let all = futures_util::future::join_all(places.iter().map(|place| place.handshake(wait))).await;
        done = all.into_iter().flatten().count();
        assert!(begun.elapsed() >= Duration::from_millis(900));
        if begun.elapsed() < Duration::from_millis(1_200) {
            break;
        }
    }
    assert!(
        (49..=52).contains(&done),
        "four times the rate at once, and what comes in a second: {done}"
    );
    let proven = edge.admit(apart(200)).expect("room");
    proven.prove_address("partner");
    assert!(
        proven.handshake(Duration::from_millis(1)).await.is_some(),
        "where a partner was seen"
    );
}

#[tokio::test]
async fn t_b06_an_address_without_a_handshake_waits_for_no_flood_of_those_that_had_some() {
    let edge = edge(|limits| limits.handshake_rate = 10);
    // The first handshake of each, and then more than may come at once.
    for n in (0..10).chain((0..10).cycle().take(45)) {
        let place = edge.admit(apart(n)).expect("room");
        let wait = Duration::from_millis(500);
        assert!(place.handshake(wait).await.is_some(), "{n}");
    }
    let fresh = edge.admit(apart(90)).expect("room");
    let again = (0..10).cycle().take(200).map(apart);
    assert!(waits(&edge, again).await, "they wait");
    let short = Duration::from_millis(1);
    assert!(fresh.handshake(short).await.is_some(), "it does not");
    assert!(waits(&edge, (0..50).map(|_| apart(90))).await, "its next ones");
}

#[tokio::test]
async fn t_b06_who_goes_while_it_waits_for_its_handshake_gives_its_turn_back() {
    let edge = edge(|limits| limits.handshake_rate = 10);
    let wait = Duration::from_secs(3);
    let used: Vec<ConnectionPlace> = (0..40).map(|n| edge.admit(apart(n)).expect("room")).collect();
    for place in &used {
        assert!(place.handshake(wait).await.is_some(), "at once");
    }
    // Thirty turns are all that come within the time that a client is waited for. All of these wait at once and go at once, so that a busy
    // machine gives a turn to few of them; there are more, so that some wait whatever it gives.
    let gone: Vec<ConnectionPlace> = (50..150).map(|n| edge.admit(apart(n)).expect("room")).collect();
    let waiting = futures_util::future::join_all(gone.iter().map(|place| place.handshake(wait)));
    assert!(waiting.now_or_never().is_none(), "they wait for their turns, and go");
    let late = edge.admit(apart(200)).expect("room");
    let soon = late.handshake(Duration::from_secs(1)).await;
    assert!(soon.is_some(), "a turn that comes within a second");
}

#[tokio::test]
async fn t_b06_one_address_never_has_more_than_its_share_of_handshakes() {
    let edge = edge(|limits| {
        limits.handshakes = 24;
        limits.handshakes_per_address = 16;
    });
    let silent = opened(&edge, 1, 64);
    let wait = Duration::from_millis(5);
    let mut held = Vec::new();
    for place in &silent {
        held.extend(place.handshake(wait).await);
    }
    assert_eq!(held.len(), 16);
    let fresh = edge.admit(address(2)).expect("room");
    assert!(fresh.handshake(wait).await.is_some());
    // When all places are taken, a proven address still has its own.
    let others = opened(&edge, 3, 16);
    for place in &others {
        held.extend(place.handshake(wait).await);
    }
    assert_eq!(held.len(), 24);
    assert!(fresh.handshake(wait).await.is_none());
    fresh.prove_address("partner");
    assert!(fresh.handshake(wait).await.is_some());
}

#[tokio::test]
async fn t_b06_handshakes_at_all_addresses_of_a_partner_keep_no_fresh_address_out() {
    let edge = edge(|limits| {
        limits.connections = 400;
        limits.connections_per_partner = 20;
        limits.connection_rate = 1_000_000;
    });
    shown(&edge, "hostile", 1..=10);
    let mut busy = Vec::new();
    for n in 1..=10 {
        for place in opened(&edge, n, 16) {
            let handshake = place.handshake(Duration::from_millis(1)).await;
            busy.push((place, handshake));
        }
    }
    for n in 50..90 {
        let fresh = edge.admit(address(n)).expect("room for a fresh address");
        assert!(fresh.is_in());
        fresh.settle(None).expect("room");
    }
}
