//! What the table of doors lets in and turns away, without a socket.

use super::*;
use crate::config::Config;

fn edge(change: impl FnOnce(&mut Limits)) -> Edge {
    let mut limits = Config::load(None, []).expect("defaults").limits;
    change(&mut limits);
    Edge::new(limits)
}

fn address(n: u32) -> Option<IpAddr> {
    Some(IpAddr::from((0x0a00_0000 + n).to_be_bytes()))
}

/// Connections of one address that are let in, of many.
fn opened(edge: &Edge, n: u32, many: usize) -> Vec<Place> {
    (0..many).filter_map(|_| edge.admit(address(n)).ok()).collect()
}

#[test]
fn t_b07_one_address_has_its_share_of_strangers_connections_and_partners_room_is_theirs() {
    let edge = edge(|limits| {
        limits.connections = 400;
        limits.connections_per_partner = 200;
        limits.connection_rate = 1_000_000;
    });
    let mut held = opened(&edge, 1, 1000);
    assert_eq!(held.len(), 64, "of one address");
    // Many addresses fill what is for strangers, never what is for partners.
    let strangers = |places: &[Place]| places.iter().filter(|place| place.settle(None).is_ok()).count();
    let mut settled = strangers(&held);
    for n in 2..20 {
        let more = opened(&edge, n, 64);
        settled += strangers(&more);
        held.extend(more);
    }
    assert_eq!(settled, 200);
    let partner = edge.admit(address(99)).err();
    // Those that are turned away close: here they are held, as if they did not.
    assert_eq!(partner, Some(Reason::Full));
    held.retain(|place| place.door.get() == Door::Stranger);
    for _ in 0..100 {
        let place = edge.admit(address(99)).expect("room for a partner");
        place.settle(Some("partner")).expect("room");
        held.push(place);
    }
    let refused = edge.admit(address(98)).expect("a place to be set up").settle(None);
    assert_eq!(refused, Err(Reason::Full));
    // At a partner's address a stranger, who may be the next partner, finds room.
    edge.admit(address(99)).expect("room").settle(None).expect("room");
}

#[test]
fn t_b07_who_shows_a_token_is_a_partner_until_it_is_refused() {
    let edge = edge(|limits| limits.connections_per_partner = 1);
    let place = edge.admit(address(1)).expect("room");
    place.settle(None).expect("room");
    assert!(!place.is_partner() && place.prove("plain") && place.is_partner());
    let second = edge.admit(address(2)).expect("room");
    second.settle(None).expect("room");
    assert!(!second.prove("plain"), "its share is full");
    place.disprove();
    assert!(!place.is_partner() && second.prove("plain"));
    drop((place, second));
    assert_eq!(edge.counts().in_all(), 0);
    let mut counts = edge.counts();
    for n in [1, 2] {
        let known = counts.addresses.get(&network(address(n))).expect("remembered");
        assert!(known.strangers == 0 && known.is_proven(Instant::now()));
    }
}

#[test]
fn t_b07_strangers_requests_have_places_of_their_own() {
    let edge = edge(|limits| {
        limits.stranger_in_flight = 20;
        limits.stranger_in_flight_per_address = 16;
    });
    let places = [1, 2].map(|n| edge.admit(address(n)).expect("room"));
    let mut held: Vec<StrangerInFlight> = (0..100).filter_map(|_| places[0].enter().ok()).collect();
    assert_eq!(held.len(), 16);
    assert_eq!(places[0].enter().err(), Some(Fault::AddressLimited));
    held.extend((0..100).filter_map(|_| places[1].enter().ok()));
    assert_eq!((held.len(), places[1].enter().err()), (20, Some(Fault::Overloaded)));
    held.clear();
    assert!(places[0].enter().is_ok());
    let asked = (0..1000).filter(|_| places[0].asks(false).is_ok()).count();
    assert!((200..=205).contains(&asked), "{asked}");
    assert!(places[1].asks(false).is_ok(), "another address has a rate of its own");
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
    // When all are taken, a partner's address still has its own.
    let others = opened(&edge, 3, 16);
    for place in &others {
        held.extend(place.handshake(wait).await);
    }
    assert_eq!(held.len(), 24);
    assert!(fresh.handshake(wait).await.is_none());
    fresh.prove_address();
    assert!(fresh.handshake(wait).await.is_some());
}
