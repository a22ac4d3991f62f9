//! Behind a balancer: the client's address comes by the PROXY protocol, from listed balancers only.

use super::attacker::{Attacker, Tls, is_closed, status};
use super::victims::Scene;
use std::io::{self, Write as _};
use std::time::{Duration, Instant};

/// A balancer's header for a client at this address.
fn header(client: [u8; 4]) -> Vec<u8> {
    let mut bytes = b"\r\n\r\n\0\r\nQUIT\n\x21\x11\x00\x0c".to_vec();
    bytes.extend_from_slice(&client);
    bytes.extend_from_slice(&[127, 0, 0, 1, 0x30, 0x39, 0x01, 0xbb]);
    bytes
}

fn open(balancer: &Attacker, client: [u8; 4]) -> io::Result<Tls> {
    let mut socket = balancer.connect()?;
    socket.write_all(&header(client))?;
    balancer.secure(socket)
}

fn is_served(stream: io::Result<Tls>) -> bool {
    let get = b"GET /.well-known/jwks.json HTTP/1.1\r\nhost: localhost\r\n\r\n";
    stream
        .and_then(|mut stream| {
            stream.write_all(get)?;
            status(&mut stream)
        })
        .is_ok_and(|status| status == 200)
}

#[tokio::test]
async fn t_b15_a_clients_address_is_taken_from_listed_balancers_only() {
    let limits = [
        ("CAUSEWAY_SERVER__PROXY_FROM", "127.0.0.9, 192.0.2.0/24"),
        ("CAUSEWAY_LIMITS__STRANGER_CONNECTIONS_PER_ADDRESS", "4"),
        // What is held is to be there when others come.
        ("CAUSEWAY_LIMITS__HEAD_SECONDS", "60"),
    ];
    let scene = Scene::open(&limits).await;
    let balancer = Attacker::at(&scene.payer, 9, None, &[]);
    // Clients behind one balancer are counted apart.
    let held: Vec<Tls> = (0..4)
        .map(|_| open(&balancer, [198, 51, 100, 7]).expect("a connection"))
        .collect();
    assert!(!is_served(open(&balancer, [198, 51, 100, 7])), "beyond its share");
    assert!(is_served(open(&balancer, [198, 51, 100, 8])), "another client");
    drop(held);

    // Nobody else is believed, and the balancer must say whom it brings.
    let stranger = Attacker::at(&scene.payer, 8, None, &[]);
    assert!(!is_served(open(&stranger, [198, 51, 100, 9])));
    assert!(is_served(stranger.open()));
    assert!(!is_served(balancer.open()), "TLS is no header");
    let mut silent = balancer.connect().expect("a connection");
    let begun = Instant::now();
    scene.served("meanwhile", Duration::from_secs(1)).await;
    while !is_closed(&mut silent) {
        assert!(
            begun.elapsed() < Duration::from_secs(45),
            "a balancer that says nothing is still waited for"
        );
        std::thread::sleep(Duration::from_millis(50));
    }
    scene
        .reaches("causeway_connections_turned_away_total{reason=\"proxy\"}", 2.0)
        .await;
}
