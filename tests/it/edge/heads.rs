//! Heads whose bodies do not come: they take no place from anybody.

use super::attacker::{Attacker, Tls, drip, is_closed, many, status};
use super::victims::Scene;
use causeway::error::Fault;
use std::io::{Read as _, Write as _};
use std::time::{Duration, Instant};

const TOKEN: &str = "POST /oauth/token HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/x-www-form-urlencoded\r\ncontent-length: 900\r\n\r\n";

#[tokio::test]
async fn t_b07_heads_without_bodies_take_no_place_in_flight() {
    // More heads than there are places, of strangers and of all. HTTP/2, where one connection brought 1,200 of them, is not offered:
    // now each is a connection, and one address has 64.
    let scene = Scene::open(&[]).await;
    let idle = scene.idle().await;
    let attacker = Attacker::at(&scene.payer, 2, None, &[]);
    let mut held = many(&attacker, 1_200, 20, |_, stream| stream.write_all(TOKEN.as_bytes()));
    assert_eq!(held.len(), 1_200);
    // A partner's own heads are nobody's trouble either.
    let partner = Attacker::at(&scene.payer, 99, Some(scene.pair()), &[]);
    for _ in 0..50 {
        let mut stream = partner.open().expect("a connection");
        let head = format!(
            "POST /fhir/Patient/$member-match HTTP/1.1\r\nhost: localhost\r\nauthorization: Bearer {}\r\n\
             content-type: application/fhir+json\r\ncontent-length: 900\r\n\r\n",
            scene.token()
        );
        stream.write_all(head.as_bytes()).expect("a head");
        held.push(stream);
    }
    scene.holds(&idle).await;
    drop(held);
    scene.recovers(&idle).await;
}

#[tokio::test]
async fn a_member_match_whose_body_drips_is_408_and_not_503() {
    // The time for an answer, which is shorter here than that for a body, begins when the body is there.
    let limits = [
        ("CAUSEWAY_LIMITS__BODY_SECONDS", "3"),
        ("CAUSEWAY_LIMITS__HANDLER_SECONDS", "1"),
    ];
    let scene = Scene::open(&limits).await;
    let token = scene.token();
    let partner = Attacker::at(&scene.payer, 6, Some(scene.pair()), &[]);
    let mut stream = partner.open().expect("a connection");
    let head = format!(
        "POST /fhir/Patient/$member-match HTTP/1.1\r\nhost: localhost\r\nauthorization: Bearer {token}\r\n\
         content-type: application/fhir+json\r\ncontent-length: 5000\r\n\r\n{{"
    );
    stream.write_all(head.as_bytes()).expect("a head");
    let (took, said) = drip(&mut stream, b" ", Duration::from_secs(15));
    println!("ended after {took:?}");
    assert!(said.starts_with("HTTP/1.1 408"), "{said}");
    assert!(said.contains(Fault::RequestTimeout.code()), "{said}");
    assert!(took < Duration::from_secs(10), "{took:?}");

    // At the token endpoint as well.
    let attacker = Attacker::at(&scene.payer, 2, None, &[]);
    let mut stream = attacker.open().expect("a connection");
    stream.write_all(TOKEN.as_bytes()).expect("a head");
    assert_eq!(status(&mut stream).expect("an answer"), 408);
}

#[tokio::test]
async fn t_b07_empty_lines_before_a_head_end_the_connection_and_a_few_are_ignored() {
    let scene = Scene::open(&[]).await;
    let attacker = Attacker::at(&scene.payer, 2, None, &[]);
    let get = "GET /.well-known/jwks.json HTTP/1.1\r\nhost: localhost\r\n";
    for empty in ["\n\n", "\r\n\r\n"] {
        let mut stream = attacker.open().expect("a connection");
        let begun = Instant::now();
        // The connection may end while they are sent.
        let _ = stream.write_all(empty.repeat(30_000).as_bytes());
        while !is_closed(&mut stream.sock) {
            assert!(begun.elapsed() < Duration::from_secs(5), "still open");
            std::thread::sleep(Duration::from_millis(20));
        }
        println!("{empty:?}: ended after {:?}", begun.elapsed());
    }
    let mut stream = attacker.open().expect("a connection");
    for empty in ["", "\r\n", "\n", "\r\n\r\n\r\n\r\n"] {
        let request = format!("{empty}{get}\r\n");
        stream.write_all(request.as_bytes()).expect("a request");
        let text = answered(&mut stream);
        assert!(text.starts_with("HTTP/1.1 200"), "{empty:?}: {text}");
    }
    // A long head that comes byte by byte is judged when it is whole, or in large pieces.
    let long = format!("{get}x-long: {}\r\n\r\n", "a".repeat(12_000));
    let begun = Instant::now();
    for byte in long.as_bytes() {
        stream.write_all(&[*byte]).expect("a byte");
    }
    let text = answered(&mut stream);
    assert!(text.starts_with("HTTP/1.1 200"), "{text}");
    println!("a long head in bytes took {:?}", begun.elapsed());
}

/// An answer with its body, which ends when nothing comes for a while.
fn answered(stream: &mut Tls) -> String {
    let mut text = Vec::new();
    let mut bytes = [0; 4096];
    let long = Some(Duration::from_secs(5));
    stream.sock.set_read_timeout(long).expect("a socket option");
    while let Ok(read @ 1..) = stream.read(&mut bytes) {
        text.extend_from_slice(&bytes[..read]);
        let short = Some(Duration::from_millis(300));
        stream.sock.set_read_timeout(short).expect("a socket option");
    }
    String::from_utf8_lossy(&text).into_owned()
}
