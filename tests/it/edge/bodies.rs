//! Strangers who hold bytes: what they hold keeps neither partners nor small requests out, and refusals have the form of the endpoint.

use super::attacker::{Attacker, Tls, drip, is_closed, status};
use super::victims::Scene;
use std::io::{ErrorKind, Read as _, Write as _};
use std::time::{Duration, Instant};

const FORM: &str =
    "POST /oauth/token HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/x-www-form-urlencoded\r\n";

/// All that comes until the connection ends or says nothing for so many milliseconds.
fn said(stream: &mut Tls, wait_ms: u64) -> String {
    let short = Some(Duration::from_millis(wait_ms));
    stream.sock.set_read_timeout(short).expect("a socket option");
    let mut said = Vec::new();
    let mut bytes = [0; 4096];
    while let Ok(read @ 1..) = stream.read(&mut bytes) {
        said.extend_from_slice(&bytes[..read]);
    }
    String::from_utf8_lossy(&said).into_owned()
}

/// The head of the next answer, in lower case; what came of it where it breaks off.
fn head_of(stream: &mut Tls) -> String {
    let (mut head, mut byte) = (Vec::new(), [0]);
    while !head.ends_with(b"\r\n\r\n") && matches!(stream.read(&mut byte), Ok(1)) {
        head.push(byte[0]);
    }
    String::from_utf8_lossy(&head).to_lowercase()
}

#[tokio::test]
async fn t_b07_bodies_of_strangers_that_do_not_end_leave_room_for_token_requests() {
    // Smaller numbers for a shorter test.
    let limits = [
        ("CAUSEWAY_LIMITS__STRANGER_QUEUED_BYTES", "1048576"),
        // Few, so that the flood below is one on a slow machine, too: 24 at once and 6 a second.
        ("CAUSEWAY_LIMITS__STRANGER_REQUEST_RATE", "6"),
        ("CAUSEWAY_LIMITS__BODY_SECONDS", "120"),
    ];
    let scene = Scene::open(&limits).await;
    let attacker = Attacker::at(&scene.payer, 2, None, &[]);
    let mut held = Vec::new();
    // From eight addresses, first with much, then with what fills the last gap.
    let sizes = [60_000, 60_000, 60_000, 16_000, 8_000, 4_000, 2_000, 1_000, 500, 250];
    for (n, bytes) in sizes.iter().flat_map(|bytes| (0..8).map(move |n| (n, *bytes))) {
        let mut stream = attacker.moved(2 + n).open().expect("a connection");
        let head = format!("{FORM}content-length: 64000\r\n\r\n");
        let sent = stream.write_all(head.as_bytes());
        // One that is refused may be closed by now: its answer is read below.
        let _ = sent.and_then(|()| stream.write_all(&vec![b'a'; bytes]));
        held.push(stream);
    }
    scene.served("under attack", Duration::from_secs(2)).await;
    scene.assert_memory("under attack");
    // A client at an address that nobody knows gets its answer as well.
    let mut fresh = attacker.moved(60).open().expect("a connection");
    let small = format!("{FORM}content-length: 5\r\n\r\na=b&c");
    fresh.write_all(small.as_bytes()).expect("a request");
    assert_eq!(status(&mut fresh).expect("an answer"), 400, "its form was judged");
    let answers: Vec<String> = held.iter_mut().map(|stream| said(stream, 20)).collect();
    let refused: Vec<&String> = answers.iter().filter(|said| said.starts_with("HTTP/1.1 503")).collect();
    println!("{} of {} were refused", refused.len(), answers.len());
    assert!(!refused.is_empty());
    for text in refused {
        assert!(text.contains("\"temporarily_unavailable\""), "{text}");
    }
    drop(held);
    scene.served("after it", Duration::from_secs(1)).await;

    // A refusal before the body is looked at has the endpoint's form as well.
    let mut flood = attacker.moved(61).open().expect("a connection");
    let requests = format!("{FORM}content-length: 0\r\n\r\n").repeat(80);
    flood.write_all(requests.as_bytes()).expect("requests");
    let text = said(&mut flood, 20_000);
    let last = text.split("HTTP/1.1 429").nth(1).unwrap_or_else(|| panic!("{text}"));
    assert!(
        last.contains("\"temporarily_unavailable\"") && !last.contains("OperationOutcome"),
        "{last}"
    );
    assert!(last.to_lowercase().contains("retry-after"), "{last}");
}

#[tokio::test]
async fn t_b05_a_wish_for_another_protocol_is_not_repeated() {
    let scene = Scene::open(&[]).await;
    let attacker = Attacker::at(&scene.payer, 2, None, &[]);
    for wish in [
        "connection: upgrade, http2-settings\r\nupgrade: h2c\r\nhttp2-settings: AAMAAABkAARAAAAAAAIAAAAA\r\n",
        "connection: upgrade\r\nupgrade: websocket\r\nsec-websocket-version: 13\r\nsec-websocket-key: AAAAAAAAAAAAAAAAAAAAAA==\r\n",
        "connection: Upgrade\r\nupgrade: TLS/1.3\r\n",
        "connection: keep-alive, upgrade\r\n",
    ] {
        for path in ["/.well-known/jwks.json", "/fhir/Patient/1", "/nowhere"] {
            let mut stream = attacker.open().expect("a connection");
            let request = format!("GET {path} HTTP/1.1\r\nhost: localhost\r\n{wish}\r\n");
            stream.write_all(request.as_bytes()).expect("a request");
            let head = head_of(&mut stream);
            assert!(head.starts_with("http/1.1 "), "{wish}{path}: {head}");
            assert!(head.contains("\r\nconnection: close"), "{wish}{path}: {head}");
            assert!(!head.contains("upgrade"), "{wish}{path}: {head}");
        }
    }
}

#[tokio::test]
async fn t_b06_after_a_408_or_a_refusal_a_body_in_chunks_that_never_ends_holds_no_connection() {
    let limits = [
        ("CAUSEWAY_LIMITS__BODY_SECONDS", "2"),
        ("CAUSEWAY_LIMITS__HEAD_SECONDS", "2"),
    ];
    let scene = Scene::open(&limits).await;
    let attacker = Attacker::at(&scene.payer, 2, None, &[]);
    let refused =
        "POST /fhir/Patient/$member-match HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/fhir+json\r\n";
    for (head, rest, answer) in [
        (FORM, "1;x=", 408),
        (FORM, "1\r\na\r\n1;", 408),
        (FORM, "0\r\nx: y", 408),
        (refused, "1;x=", 401),
        (refused, "0\r\nx: y", 401),
    ] {
        let mut stream = attacker.open().expect("a connection");
        let request = format!("{head}transfer-encoding: chunked\r\n\r\n{rest}");
        stream.write_all(request.as_bytes()).expect("a head");
        let _ = stream.write_all(&[b'z'; 200]);
        stream
            .sock
            .set_read_timeout(Some(Duration::from_secs(60)))
            .expect("a socket option");
        assert_eq!(status(&mut stream).expect("an answer"), answer, "{rest:?}");
        let begun = Instant::now();
        // Nothing more is sent.
        let (took, _) = drip(&mut stream, b"", Duration::from_secs(60));
        println!("{answer} {rest:?}: closed after {took:?}");
        assert!(
            begun.elapsed() < Duration::from_secs(50),
            "{answer} {rest:?}: still open"
        );
    }
}

#[tokio::test]
async fn t_b07_a_wish_for_a_web_socket_holds_no_place_with_a_body_that_never_ends() {
    let limits = [("CAUSEWAY_LIMITS__STRANGER_IN_FLIGHT", "4")];
    let scene = Scene::open(&limits).await;
    let attacker = Attacker::at(&scene.payer, 2, None, &[]);
    let begun = Instant::now();
    let mut held = Vec::new();
    for n in 0..12 {
        let mut stream = attacker.moved(2 + n).open().expect("a connection");
        let length = if n % 3 == 0 { "content-length: 5\r\n" } else { "" };
        let head = format!("{FORM}connection: upgrade\r\nupgrade: WebSocket\r\n{length}\r\n");
        stream.write_all(head.as_bytes()).expect("a head");
        held.push(stream);
    }
    // More than there are places, and still there is one for somebody else.
    let mut fresh = attacker.moved(60).open().expect("a connection");
    let small = format!("{FORM}content-length: 5\r\n\r\na=b&c");
    fresh.write_all(small.as_bytes()).expect("a request");
    assert_eq!(status(&mut fresh).expect("an answer"), 400, "its form was judged");
    for stream in &mut held {
        let head = head_of(stream);
        assert!(head.starts_with("http/1.1 400"), "{head}");
        assert!(head.contains("\r\nconnection: close"), "{head}");
    }
    println!("all were refused after {:?}", begun.elapsed());
    while !held.iter_mut().all(|stream| is_closed(&mut stream.sock)) {
        assert!(begun.elapsed() < Duration::from_secs(60), "still open");
        std::thread::sleep(Duration::from_millis(50));
    }
}

/// Writes this piece as fast as it is taken, until the server ends the connection; how long that took.
fn poured(stream: &mut Tls, piece: &[u8], at_most: Duration) -> Duration {
    let begun = Instant::now();
    while begun.elapsed() < at_most {
        match stream.write_all(piece) {
            Err(error) if !matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => break,
            _ => {}
        }
    }
    begun.elapsed()
}

#[tokio::test]
async fn t_b07_bodies_of_tiny_chunks_end_a_strangers_connection_soon() {
    let scene = Scene::open(&[]).await;
    let attacker = Attacker::at(&scene.payer, 2, None, &[]);
    let text = "POST /oauth/token HTTP/1.1\r\nhost: localhost\r\ncontent-type: text/plain\r\n";
    let refused =
        "POST /fhir/Patient/$member-match HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/fhir+json\r\n";
    let read = "GET /fhir/metadata HTTP/1.1\r\nhost: localhost\r\n";
    for head in [FORM, text, refused, read] {
        let mut stream = attacker.open().expect("a connection");
        let head = format!("{head}transfer-encoding: chunked\r\n\r\n");
        stream.write_all(head.as_bytes()).expect("a head");
        let took = poured(&mut stream, &b"1\r\na\r\n".repeat(2_700), Duration::from_secs(40));
        println!("{head:?}: ended after {took:?}");
        // Before the time for a body is over, which would end it as well.
        assert!(took < Duration::from_secs(25), "{head:?}: {took:?}");
    }
    // A client that sends as others do, too much of it, gets its answer.
    let mut large = attacker.open().expect("a connection");
    let head = format!("{FORM}content-length: 300000\r\n\r\n");
    large.write_all(head.as_bytes()).expect("a head");
    large.write_all(&vec![b'a'; 300_000]).expect("a body");
    assert_eq!(status(&mut large).expect("an answer"), 400);
}
