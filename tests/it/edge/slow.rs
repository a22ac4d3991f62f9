//! Peers that are slow on purpose: heads and bodies that drip, and readers that do not read.

use super::attacker::{Attacker, Tls, drip, is_closed, many, status};
use super::victims::Scene;
use crate::support::payer::{TestPayer, is_optimised, today};
use causeway::synth;
use std::io::{Read as _, Write as _};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

const SHORT: [(&str, &str); 2] = [
    ("CAUSEWAY_LIMITS__HEAD_SECONDS", "3"),
    ("CAUSEWAY_LIMITS__KEEP_ALIVE_SECONDS", "120"),
];
/// More than the three seconds of [`SHORT`], the second in which the HTTP library may act first, and much slack.
const SOON: Duration = Duration::from_secs(60);

#[tokio::test]
async fn t_b06_a_second_head_that_drips_and_a_body_that_drips_after_its_refusal_end_in_time() {
    let scene = Scene::open(&SHORT).await;
    let idle = scene.idle().await;
    let attacker = Attacker::at(&scene.payer, 2, None, &[]);
    let open = || attacker.open().expect("a connection");

    let mut second = open();
    second
        .write_all(b"GET /.well-known/jwks.json HTTP/1.1\r\nhost: localhost\r\n\r\n")
        .expect("a request");
    assert_eq!(status(&mut second).expect("an answer"), 200);
    let mut refused = open();
    refused
        .write_all(b"POST /fhir/Patient/$member-match HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/fhir+json\r\ntransfer-encoding: chunked\r\n\r\n1\r\n{\r\n")
        .expect("a head");
    assert_eq!(status(&mut refused).expect("an answer"), 401);
    // Silent after its refusal: no further byte starts a clock.
    let mut silent = open();
    silent
        .write_all(b"POST /fhir/Patient/$member-match HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/fhir+json\r\ncontent-length: 100\r\n\r\n")
        .expect("a head");
    assert_eq!(status(&mut silent).expect("an answer"), 401);
    let mut first = open();

    let dripping = std::thread::spawn(move || {
        let (took, _) = drip(&mut second, b"x", SOON);
        let body = drip(&mut refused, b"1\r\n \r\n", SOON).0;
        let (head, said) = drip(&mut first, b"G", SOON);
        (took, body, head, said)
    });
    scene.holds(&idle).await;
    let (second, body, head, said) = dripping.join().expect("an attacker");
    println!("second head {second:?}, body after 401 {body:?}, first head {head:?} {said:?}");
    for took in [second, body, head] {
        assert!(took < SOON, "{took:?}");
    }
    assert!(is_closed(&mut silent.sock) || drip(&mut silent, b"", SOON).0 < SOON);
    scene.reaches("causeway_slow_peers_total{reason=\"head\"}", 1.0).await;
    scene.recovers(&idle).await;
}

#[tokio::test]
async fn t_b06_idle_connections_end_in_time() {
    let mut limits = SHORT;
    limits[1].1 = "2";
    let scene = Scene::open(&limits).await;
    let attacker = Attacker::at(&scene.payer, 2, None, &[]);
    let mut held = many(&attacker, 30, 1, |_, stream| {
        stream.write_all(b"GET /.well-known/jwks.json HTTP/1.1\r\nhost: localhost\r\n\r\n")?;
        assert_eq!(status(stream)?, 200);
        Ok(())
    });
    assert_eq!(held.len(), 30);
    all_end(&mut held);
}

/// Waits for the end of all, as long as it may take.
fn all_end(held: &mut Vec<Tls>) {
    let begun = Instant::now();
    loop {
        held.retain_mut(|stream| !is_closed(&mut stream.sock));
        if held.is_empty() {
            return;
        }
        assert!(begun.elapsed() < SOON, "{} are still open", held.len());
        std::thread::sleep(Duration::from_millis(50));
    }
}

#[tokio::test]
async fn t_b06_http2_prefaces_and_silent_connections_end_in_time() {
    let scene = Scene::open(&SHORT).await;
    let idle = scene.idle().await;
    let attacker = Attacker::at(&scene.payer, 2, None, &["h2", "http/1.1"]);
    // All but one in fifteen are prefaces; the others say nothing.
    let (number, addresses) = if is_optimised() { (2_250, 36) } else { (600, 10) };
    let own = attacker.clone();
    let opening = std::thread::spawn(move || {
        many(&own, number, addresses, |n, stream| match n % 15 {
            0 => Ok(()),
            _ => stream.write_all(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"),
        })
    });
    // More than the share of an address: closed at once.
    let own = attacker.moved(98);
    let more: Vec<_> = (0..140).filter_map(|_| own.connect().ok()).collect();
    scene.holds(&idle).await;
    drop(more);
    let mut held = opening.join().expect("an attacker");
    println!("{} of {number} were opened", held.len());
    all_end(&mut held);
    scene.recovers(&idle).await;
}

#[tokio::test]
async fn t_b06_a_reader_that_never_reads_is_cut_off_and_its_disclosure_ends_as_failed() {
    let (payer, client) = TestPayer::prepare_with(synth::SynthOptions {
        members: 2,
        resources_per_member: 8,
        one_large: Some(1500),
        as_of: today(),
        ..synth::SynthOptions::default()
    });
    let scene = Scene::of(payer, client, &[]).await;
    let idle = scene.idle().await;
    let token = scene.token();
    let reader = Attacker::at(&scene.payer, 6, Some(scene.pair()), &[]).narrow();
    let mut stream = reader.open().expect("a connection");
    let request = format!(
        "GET /fhir/Patient/{}/$everything HTTP/1.1\r\nhost: localhost\r\nauthorization: Bearer {token}\r\nx-correlation-id: never-read\r\n\r\n",
        scene.patient()
    );
    let begun = Instant::now();
    stream.write_all(request.as_bytes()).expect("a request");
    assert_eq!(status(&mut stream).expect("an answer"), 200);
    let count = || {
        scene
            .payer
            .count("ledger_entry WHERE correlation_id = 'never-read' AND action = 'disclosure.completed'")
    };
    scene.holds(&idle).await;
    while count() == 0 {
        assert!(
            begun.elapsed() < Duration::from_secs(120),
            "the answer still waits for its reader"
        );
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    let told = scene.payer.json_command(&["trace", "never-read"]).to_string();
    assert!(told.contains("\"incomplete\""), "{told}");
    println!("cut off after {:?}", begun.elapsed());
    scene.reaches("causeway_slow_peers_total{reason=\"reader\"}", 1.0).await;
    // What is left in the client's own buffer, and then the connection's end.
    let mut rest = vec![0; 1 << 20];
    while let Ok(read @ 1..) = stream.read(&mut rest) {
        assert!(read > 0);
    }
    scene.recovers(&idle).await;
}

#[tokio::test]
async fn t_b07_slow_readers_of_public_documents_take_little_memory() {
    let scene = Scene::open(&[]).await;
    let stranger = Attacker::at(&scene.payer, 10, None, &[]).narrow();
    let page = b"GET /fhir/metadata?_format=html HTTP/1.1\r\nhost: localhost\r\n\r\n";
    // Once, so that it is made.
    let mut first = stranger.open().expect("a connection");
    first.write_all(page).expect("a request");
    assert_eq!(status(&mut first).expect("an answer"), 200);
    let mut readers = many(&stranger, 496, 8, |_, stream| stream.write_all(page));
    assert_eq!(readers.len(), 496);
    let stop = Arc::new(AtomicBool::new(false));
    let stopped = Arc::clone(&stop);
    // Each takes some thousand bytes a second, which is enough to stay.
    let reading = std::thread::spawn(move || {
        while !stopped.load(Ordering::Acquire) {
            for reader in &mut readers {
                let _ = reader.sock.set_nonblocking(true);
                let _ = reader.sock.read(&mut [0; 4096]);
            }
            std::thread::sleep(Duration::from_millis(700));
        }
        readers.len()
    });
    scene.served("slow readers", Duration::from_secs(8)).await;
    scene.assert_memory("slow readers");
    stop.store(true, Ordering::Release);
    println!("{} read slowly", reading.join().expect("no panic"));
}
