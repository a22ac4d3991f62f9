//! Tests which connections and requests the edge accepts and turns away, without sockets.

use super::*;
use crate::config::Config;
use crate::error::Fault;
use crate::http::edge::Queued;

pub(super) fn edge(change: impl FnOnce(&mut LimitsConfig)) -> Edge {
    let mut limits = Config::load(None, []).expect("defaults").limits;
    change(&mut limits);
    Edge::new(limits)
}

pub(super) fn address(n: u32) -> Option<IpAddr> {
    Some(IpAddr::from((0x0a00_0000 + n).to_be_bytes()))
}

/// Addresses that are each in a network (/24) of their own.
pub(super) fn apart(n: u32) -> Option<IpAddr> {
    address(n * 256)
}

/// How many more a rate gives meanwhile: on a busy machine that is a while.
fn gained(begun: Instant, per_second: f64) -> usize {
    (begun.elapsed().as_secs_f64() * per_second).ceil() as usize
}

/// Opens `many` connections from one address and returns those that were accepted and not closed for later ones.
pub(super) fn opened(edge: &Edge, n: u32, many: usize) -> Vec<ConnectionPlace> {
    let mut places: Vec<ConnectionPlace> = (0..many).filter_map(|_| edge.admit(address(n)).ok()).collect();
    places.retain(ConnectionPlace::is_in);
    places
}

/// Opens `many` connections from a new address, and settles each one as a stranger.
fn strangers(edge: &Edge, n: u32, many: usize) -> Vec<ConnectionPlace> {
    let settled = |_| {
        let place = edge.admit(address(n)).ok()?;
        place.settle(None).is_ok().then_some(place)
    };
    (0..many).filter_map(settled).collect()
}

#[test]
fn t_b07_one_address_has_its_share_of_strangers_connections_and_partners_room_is_theirs() {
    let edge = edge(|limits| {
        limits.connections = 400;
        limits.connections_per_partner = 200;
        limits.connection_rate = 1_000_000;
    });
    assert_eq!(strangers(&edge, 1, 1000).len(), 64, "of one address");
    assert_eq!(opened(&edge, 1, 1000).len(), 64, "of one address, silent");
    // Many addresses fill the places for strangers, never those for partners.
    let mut held = Vec::new();
    for n in 2..20 {
        held.extend(strangers(&edge, n, 64));
        held.retain(ConnectionPlace::is_in);
    }
    assert_eq!(held.len(), 200);
    for n in 0..200 {
        let place = edge.admit(address(99)).expect("room for a partner");
        place.settle(Some("partner")).expect("room");
        held.push(place);
        assert_eq!(edge.counts().in_all(), held.len(), "{n}");
    }
    // When all places are taken, the oldest stranger is closed for a new connection, also at a proven address, because the new one may be a
    // partner's.
    for n in [98, 99] {
        let place = edge.admit(address(n)).expect("a place to be set up");
        place.settle(None).expect("room");
        held.push(place);
        held.retain(ConnectionPlace::is_in);
        assert_eq!((held.len(), edge.counts().in_all()), (400, 400));
    }
    let partners = held.iter().filter(|place| place.is_partner()).count();
    assert_eq!(partners, 200, "no partner's connection ever goes");
}

#[test]
fn t_b06_silent_connections_give_way_to_newer_ones() {
    let edge = edge(|limits| {
        limits.connections = 400;
        limits.connection_rate = 1_000_000;
    });
    // Twenty addresses with sixty silent connections each: more than may be set up at the same time.
    let mut silent: Vec<ConnectionPlace> = (0..20).flat_map(|n| opened(&edge, n, 60)).collect();
    silent.retain(ConnectionPlace::is_in);
    assert_eq!(silent.len(), 100);
    let fresh: Vec<ConnectionPlace> = (50..90)
        .map(|n| edge.admit(address(n)).expect("a fresh address"))
        .collect();
    assert!(fresh.iter().all(ConnectionPlace::is_in), "the oldest silent ones went");
    for place in &fresh {
        place.settle(None).expect("room");
    }
    // A connection whose handshake is in progress is not closed as a silent one.
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.expect("a runtime");
    let busy = edge.admit(address(90)).expect("room");
    let handshake = runtime.block_on(busy.handshake(Duration::from_secs(1)));
    assert!(handshake.is_some());
    drop(opened(&edge, 91, 300));
    let more: Vec<ConnectionPlace> = (100..400).filter_map(|n| edge.admit(address(n)).ok()).collect();
    assert!(more.len() == 300 && busy.is_in());
}

#[test]
fn t_b06_at_a_partners_address_the_oldest_that_is_no_partners_goes() {
    let edge = edge(|limits| limits.connection_rate = 1_000_000);
    let partner = edge.admit(address(1)).expect("room");
    assert!(partner.prove("partner"));
    let silent = opened(&edge, 1, 512);
    assert_eq!(silent.len(), 512, "an eighth of all connections");
    let fresh = edge.admit(address(1)).expect("room beside silent ones");
    assert!(fresh.is_in() && !silent[0].is_in() && silent[1].is_in());
    fresh.settle(None).expect("room");
    drop(silent);
    // The same with open strangers' connections, one of which is being answered.
    let open = strangers(&edge, 1, 63);
    let answered = fresh.enter(Errand::Work).expect("a place");
    let next = edge.admit(address(1)).expect("room beside open ones");
    next.settle(None).expect("room");
    assert!(fresh.is_in() && next.is_in() && !open[0].is_in() && open[1].is_in() && partner.is_in());
    drop(answered);
    // At an address that is not proven, open connections stay.
    let others = strangers(&edge, 2, 64);
    assert_eq!(edge.admit(address(2)).err(), Some(Reason::Address));
    assert!(others.iter().all(ConnectionPlace::is_in));
}

#[test]
fn t_b06_b15_balancers_that_tell_no_client_are_counted() {
    let edge = edge(|limits| limits.connections = 400);
    let silent: Vec<Unnamed> = (0..1500)
        .map(|_| edge.admit_unnamed().expect("the oldest goes"))
        .collect();
    assert_eq!(edge.counts().in_all(), 100);
    let place = edge.admit_unnamed().expect("room").named(address(1)).expect("room");
    assert!(place.is_in());
    drop((silent, place));
    assert_eq!(edge.counts().in_all(), 0);
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
        assert!(known.guests.in_all() == 0 && known.is_proven(Instant::now()));
    }
}

#[test]
fn t_b07_strangers_requests_have_places_of_their_own() {
    let edge = edge(|limits| {
        limits.stranger_in_flight = 28;
        limits.stranger_in_flight_per_address = 16;
    });
    let places = [1, 2, 3].map(|n| edge.admit(address(n)).expect("room"));
    let enter = |place: &ConnectionPlace| place.enter(Errand::Work);
    let mut held: Vec<StrangerInFlight> = (0..100).filter_map(|_| enter(&places[0]).ok()).collect();
    assert_eq!(held.len(), 16);
    assert_eq!(enter(&places[0]).err(), Some(Fault::AddressLimited));
    held.extend((0..100).filter_map(|_| enter(&places[1]).ok()));
    assert_eq!((held.len(), enter(&places[1]).err()), (21, Some(Fault::Overloaded)));
    // A quarter of the places is for proven addresses, and checking a token takes none of these places.
    assert!(places[1].enter(Errand::Token).is_ok());
    places[2].prove_address("partner");
    held.extend((0..100).filter_map(|_| enter(&places[2]).ok()));
    assert_eq!(held.len(), 28);
    held.clear();
    assert!(enter(&places[0]).is_ok());
    let begun = Instant::now();
    let asked = (0..1000).filter(|_| places[0].asks(false).is_ok()).count();
    assert!((200..=201 + gained(begun, 50.0)).contains(&asked), "{asked}");
    assert!(places[1].asks(false).is_ok(), "another address has a rate of its own");
}

#[test]
fn t_b07_all_strangers_together_have_a_rate_of_requests_and_partners_addresses_none_of_it() {
    let edge = edge(|limits| limits.stranger_request_rate_in_all = 100);
    let places: Vec<ConnectionPlace> = (0..100).map(|n| edge.admit(address(n)).expect("room")).collect();
    let asked = |has_token| {
        let all = places
            .iter()
            .flat_map(|place| (0..20).map(move |_| place.asks(has_token)));
        let all: Vec<_> = all.collect();
        assert!(
            all.iter()
                .all(|asked| !matches!(asked, Err(fault) if *fault != Fault::Overloaded))
        );
        all.into_iter().flatten().count()
    };
    let begun = Instant::now();
    let first = asked(false);
    assert!((400..=401 + gained(begun, 100.0)).contains(&first), "{first}");
    let with_token = asked(true);
    assert!(
        (380..=401 + gained(begun, 100.0)).contains(&with_token),
        "as many again with a token: {with_token}"
    );
    let partners = edge.admit(address(200)).expect("room");
    partners.prove_address("partner");
    assert!(
        (0..100).all(|_| partners.asks(false).is_ok()),
        "where a partner was seen"
    );
    // What turns out to be a partner's is given back.
    let late = edge.admit(address(201)).expect("room");
    std::thread::sleep(Duration::from_millis(50));
    for _ in 0..200 {
        let charged = late.asks(true).expect("given back each time");
        late.unasks(charged);
    }
}

#[test]
fn t_b07_the_networks_of_one_site_are_not_as_many_strangers() {
    let edge = edge(|limits| limits.connection_rate = 1_000_000);
    let at = |site: u16, n: u16| Some(IpAddr::from([0x2001, 0xdb8, site, n, 0, 0, 0, 1]));
    let mut held: Vec<ConnectionPlace> = Vec::new();
    for n in 0..1_000 {
        let Ok(place) = edge.admit(at(1, n)) else { continue };
        place.settle(None).expect("room");
        held.push(place);
    }
    assert_eq!(held.len(), 512, "eight times what one address may have");
    let begun = Instant::now();
    let mut asked = held.iter().map(|place| place.asks(false));
    assert!((0..3).all(|_| asked.next().is_some_and(|asked| asked.is_ok())));
    let asked = (0..10).flat_map(|_| held.iter().map(|place| place.asks(false)));
    let asked = asked.filter(Result::is_ok).count();
    let most = 1_601 + gained(begun, 400.0);
    assert!((1_590..=most).contains(&asked), "eight times two hundred: {asked}");
    let in_flight: Vec<_> = held.iter().filter_map(|place| place.enter(Errand::Work).ok()).collect();
    assert_eq!(in_flight.len(), 32, "half of all");
    // Another site, and a partner's address in this one, are not concerned.
    let other = edge.admit(at(2, 1)).expect("room");
    assert!(other.asks(false).is_ok() && other.enter(Errand::Work).is_ok());
    assert_eq!(edge.admit(at(1, 2_000)).err(), Some(Reason::Address));
    held.clear();
    let partner = edge.admit(at(1, 2_000)).expect("room again");
    assert!(partner.prove("partner"));
    let held: Vec<_> = (0..600).filter_map(|n| edge.admit(at(1, n)).ok()).collect();
    assert_eq!(held.len(), 512);
    let next = edge.admit(at(1, 2_000)).expect("room at the partner's address");
    assert!(next.enter(Errand::Work).is_ok());
    drop((held, in_flight));
}

/// Shows a partner at each of these addresses.
pub(super) fn shown(edge: &Edge, partner: &str, addresses: std::ops::RangeInclusive<u32>) {
    for n in addresses {
        let place = edge.admit(address(n)).expect("room");
        assert!(place.prove(partner));
    }
}

#[test]
fn t_b07_all_addresses_of_a_partner_have_one_share_of_strangers_connections() {
    let edge = edge(|limits| {
        limits.connections = 400;
        limits.connections_per_partner = 20;
        limits.connection_rate = 1_000_000;
    });
    shown(&edge, "hostile", 1..=10);
    let mut held: Vec<ConnectionPlace> = (1..=10).flat_map(|n| strangers(&edge, n, 64)).collect();
    held.retain(ConnectionPlace::is_in);
    assert_eq!(held.len(), 200, "as many as other strangers may have");
    let fresh = edge.admit(address(50)).expect("room for a fresh address");
    fresh.settle(None).expect("room for another stranger");
    assert!(fresh.is_in());
    for n in 0..100 {
        let place = edge.admit(address(60)).expect("room for a partner");
        let partner = format!("victim {}", n / 20);
        assert!(place.settle(Some(&partner)).is_ok() && place.is_partner(), "{n}");
        held.push(place);
    }
    // A partner without a certificate, at its address, keeps its connection, whatever the other one does.
    shown(&edge, "plain", 70..=70);
    let plain = strangers(&edge, 70, 1);
    held.extend((1..=10).flat_map(|n| strangers(&edge, n, 64)));
    assert!(plain.len() == 1 && plain[0].is_in());
}

#[test]
fn t_b07_where_all_are_in_partners_shares_the_oldest_of_the_largest_share_goes() {
    let edge = edge(|limits| {
        limits.connections = 40;
        limits.connections_per_partner = 35;
        limits.connection_rate = 1_000_000;
    });
    shown(&edge, "plain", 9..=9);
    shown(&edge, "hostile", 1..=5);
    let plain = strangers(&edge, 9, 5);
    let held: Vec<ConnectionPlace> = (1..=5).flat_map(|n| strangers(&edge, n, 7)).collect();
    assert_eq!((plain.len(), held.len(), edge.counts().in_all()), (5, 35, 40));
    let fresh = edge.admit(address(20)).expect("room for a fresh address");
    assert!(fresh.is_in() && !held[0].is_in() && held[1].is_in());
    assert!(plain.iter().all(ConnectionPlace::is_in));
}

#[test]
fn t_a06_b07_a_suspended_partner_is_known_nowhere() {
    let edge = edge(|limits| limits.connections_per_partner = 20);
    shown(&edge, "suspended", 1..=3);
    let guests = strangers(&edge, 2, 5);
    assert!(guests.iter().all(|guest| edge.counts().guests.is_sponsored(guest.id)));
    let place = edge.admit(address(1)).expect("room");
    assert!(place.prove("suspended"));
    place.is_suspended();
    assert!(!place.is_partner());
    drop(place);
    let mut counts = edge.counts();
    assert!(!guests.iter().any(|guest| counts.guests.is_sponsored(guest.id)));
    for n in 1..=3 {
        let known = counts.addresses.get(&network(address(n))).expect("remembered");
        assert!(!known.is_proven(Instant::now()), "{n}");
    }
    drop(counts);
}

/// As many counts of so many bytes as the place gets.
fn queued(place: &ConnectionPlace, bytes: usize) -> Vec<Queued> {
    let one = || {
        let mut queued = place.queue();
        queued.grow(bytes).then_some(queued)
    };
    std::iter::from_fn(one).take(1000).collect()
}

#[test]
fn t_b07_bytes_are_counted_for_the_partner_whose_connection_or_address_it_is() {
    let edge = edge(|limits| {
        limits.queued_bytes = 8 << 20;
        limits.stranger_queued_bytes = 8 << 20;
    });
    let [one, two] = [1, 2].map(|n| edge.admit(address(n)).expect("room"));
    assert!(one.prove("hostile") && two.prove("victim"));
    let held = queued(&one, 256 << 10);
    assert_eq!(held.len(), 4, "an eighth");
    assert!(two.queue().grow(256 << 10));
    shown(&edge, "hostile", 10..=29);
    let mut bytes = Vec::new();
    let guests: Vec<ConnectionPlace> = (10..=29).flat_map(|n| strangers(&edge, n, 1)).collect();
    for guest in &guests {
        bytes.extend(queued(guest, 200_000));
    }
    assert!((20..=21).contains(&bytes.len()), "half of all: {}", bytes.len());
    // A partner without a certificate, at an address that nobody knows, gets its token; one at its own address even more.
    let fresh = strangers(&edge, 50, 1);
    assert!(fresh[0].queue().grow(4096));
    shown(&edge, "plain", 60..=60);
    assert_eq!(queued(&strangers(&edge, 60, 1)[0], 50_000).len(), 20);
}
