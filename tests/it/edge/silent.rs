//! Sockets that say nothing: they keep neither a fresh address out nor a partner whose address they share.

use super::attacker::{Attacker, status};
use super::victims::Scene;
use crate::support::payer::is_optimised;
use std::collections::VecDeque;
use std::io::Write as _;
use std::net::TcpStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

const GET: &[u8] = b"GET /.well-known/jwks.json HTTP/1.1\r\nhost: localhost\r\n\r\n";
/// Longest time for one request on a fresh connection, and longest for half of them: one second, and slack for a debug build on a machine with
/// other work, where a process may stand still for seconds.
const LONGEST: Duration = Duration::from_secs(20);
const MOST: Duration = Duration::from_secs(5);

/// How long one request takes on a connection of its own.
fn asked(client: &Attacker) -> Duration {
    let begun = Instant::now();
    let mut stream = client.open().expect("a handshake");
    stream.write_all(GET).expect("a request");
    assert_eq!(status(&mut stream).expect("an answer"), 200);
    begun.elapsed()
}

#[tokio::test]
async fn t_b06_silent_sockets_of_many_addresses_keep_no_fresh_address_out() {
    // Smaller numbers for a shorter test: the sockets are more than may be set up and more than there are handshakes.
    let limits = [
        ("CAUSEWAY_LIMITS__CONNECTIONS", "400"),
        ("CAUSEWAY_LIMITS__HANDSHAKES", "32"),
    ];
    let scene = Scene::open(&limits).await;
    let stop = Arc::<AtomicBool>::default();
    let attacker = Attacker::at(&scene.payer, 2, None, &[]);
    let partner = Attacker::at(&scene.payer, 150, Some(scene.pair()), &[]);
    let attack = {
        let stop = Arc::clone(&stop);
        std::thread::spawn(move || {
            let mut held: Vec<TcpStream> = Vec::new();
            while !stop.load(Ordering::Acquire) {
                // Twenty new ones of each of twenty addresses a second; half begin a handshake and say no more.
                for n in 0..100u16 {
                    let Ok(mut socket) = attacker.moved(2 + (n % 20) as u8).connect() else {
                        continue;
                    };
                    if n % 2 == 0 {
                        let _ = socket.write_all(b"\x16\x03\x01\x01\x00");
                    }
                    held.push(socket);
                }
                held.drain(..held.len().saturating_sub(400));
                std::thread::sleep(Duration::from_millis(250));
            }
        })
    };
    std::thread::sleep(Duration::from_secs(2));
    let mut took: Vec<Duration> = (0..10).map(|n| asked(&partner.moved(150 + n))).collect();
    took.sort_unstable();
    println!("fresh addresses: {took:?}");
    scene.served("under attack", Duration::from_secs(2)).await;
    scene.assert_memory("under attack");
    scene
        .reaches("causeway_connections_turned_away_total{reason=\"full\"}", 1.0)
        .await;
    stop.store(true, Ordering::Release);
    attack.join().expect("an attacker");
    assert!(
        took[took.len() - 1] < LONGEST && took[took.len() / 2] < MOST,
        "{took:?}"
    );
}

#[tokio::test]
async fn t_b06_silent_sockets_at_a_partners_own_address_keep_it_not_out() {
    let scene = Scene::open(&[]).await;
    // Where the partner with mutual TLS is, and where the one without fetches its tokens: as behind one router.
    let sockets: Vec<TcpStream> = (0..160u16)
        .filter_map(|n| {
            let last = if n % 2 == 0 { 100 } else { 101 };
            Attacker::at(&scene.payer, last, None, &[]).connect().ok()
        })
        .collect();
    assert_eq!(sockets.len(), 160);
    scene.served("beside silent sockets", Duration::from_secs(3)).await;
    drop(sockets);
    // Connections that are open and idle give way as well.
    let open: Vec<_> = (0..70)
        .filter_map(|_| Attacker::at(&scene.payer, 101, None, &[]).open().ok())
        .collect();
    println!("{} idle connections", open.len());
    scene.served("beside idle connections", Duration::from_secs(1)).await;
}

#[tokio::test]
async fn t_b06_handshakes_that_never_end_at_a_partners_own_address_keep_it_not_out() {
    let scene = Scene::open(&[]).await;
    let stop = Arc::<AtomicBool>::default();
    // A second's handshakes at each of the two addresses: those of a build that is not optimized cost ten times as much.
    let each: u32 = if is_optimised() { 500 } else { 40 };
    let threads = [100, 101].map(|last| {
        let attacker = Attacker::at(&scene.payer, last, None, &[]);
        let stop = Arc::clone(&stop);
        std::thread::spawn(move || {
            let (begun, mut sent) = (Instant::now(), 0);
            let mut held: VecDeque<TcpStream> = VecDeque::new();
            while !stop.load(Ordering::Acquire) {
                held.extend(attacker.greet().ok());
                sent += 1;
                held.drain(..held.len().saturating_sub(1_000));
                std::thread::sleep((Duration::from_secs(1) / each * sent).saturating_sub(begun.elapsed()));
            }
            sent
        })
    });
    // So long that the places of an address would be used up before.
    std::thread::sleep(Duration::from_secs(3));
    scene
        .served("beside handshakes that never end", Duration::from_secs(5))
        .await;
    stop.store(true, Ordering::Release);
    let sent = threads.map(|thread| thread.join().expect("an attacker"));
    println!("{sent:?} handshakes were begun");
    scene.assert_memory("after it");
}

#[tokio::test]
async fn t_b06_a_socket_that_says_nothing_is_closed_within_seconds() {
    // With time for a handshake that would end it much later.
    let scene = Scene::open(&[("CAUSEWAY_LIMITS__TLS_SECONDS", "60")]).await;
    let mut silent = Attacker::at(&scene.payer, 2, None, &[])
        .connect()
        .expect("a connection");
    let begun = Instant::now();
    while !super::attacker::is_closed(&mut silent) {
        // Three, and much slack; it was the time for a handshake and more.
        assert!(begun.elapsed() < Duration::from_secs(45), "still open");
        std::thread::sleep(Duration::from_millis(50));
    }
    println!("closed after {:?}", begun.elapsed());
}
