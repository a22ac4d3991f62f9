//! Heads whose bodies do not come: they take no place from anybody.

use super::attacker::{Attacker, drip, is_closed, many, status};
use super::busy::exchange;
use super::victims::Scene;
use causeway::error::Fault;
use std::io::Write as _;
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
        ("CAUSEWAY_LIMITS__BODY_SECONDS", "5"),
        ("CAUSEWAY_LIMITS__HANDLER_SECONDS", "4"),
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
    // At the token endpoint as well, in the same time.
    let attacker = Attacker::at(&scene.payer, 2, None, &[]);
    let mut other = attacker.open().expect("a connection");
    other.write_all(TOKEN.as_bytes()).expect("a head");
    let (took, said) = drip(&mut stream, b" ", Duration::from_secs(60));
    println!("ended after {took:?}");
    assert!(said.starts_with("HTTP/1.1 408"), "{said}");
    assert!(said.contains(Fault::RequestTimeout.code()), "{said}");
    assert!(took < Duration::from_secs(50), "{took:?}");
    assert_eq!(status(&mut other).expect("an answer"), 408);
}

#[tokio::test]
async fn t_b07_empty_lines_before_a_head_end_the_connection_and_a_few_are_ignored() {
    // So much time for a head that it ends no connection here.
    let scene = Scene::open(&[("CAUSEWAY_LIMITS__HEAD_SECONDS", "60")]).await;
    let attacker = Attacker::at(&scene.payer, 2, None, &[]);
    let get = "GET /.well-known/jwks.json HTTP/1.1\r\nhost: localhost\r\n";
    for empty in ["\n\n", "\r\n\r\n"] {
        let mut stream = attacker.open().expect("a connection");
        let begun = Instant::now();
        // The connection may end while they are sent.
        let _ = stream.write_all(empty.repeat(30_000).as_bytes());
        while !is_closed(&mut stream.sock) {
            assert!(begun.elapsed() < Duration::from_secs(45), "still open");
            std::thread::sleep(Duration::from_millis(20));
        }
        println!("{empty:?}: ended after {:?}", begun.elapsed());
    }
    let mut stream = attacker.open().expect("a connection");
    for empty in ["", "\r\n", "\n", "\r\n\r\n\r\n\r\n"] {
        let request = format!("{empty}{get}\r\n");
        let (status, _) = exchange(&mut stream, request.as_bytes()).expect("an answer");
        assert_eq!(status, 200, "{empty:?}");
    }
    // A long head that comes byte by byte is judged when it is whole, or in large pieces.
    let long = format!("{get}x-long: {}\r\n\r\n", "a".repeat(12_000));
    let begun = Instant::now();
    for byte in long.as_bytes() {
        stream.write_all(&[*byte]).expect("a byte");
    }
    let (status, _) = exchange(&mut stream, &[]).expect("an answer");
    assert_eq!(status, 200);
    println!("a long head in bytes took {:?}", begun.elapsed());
}
