//! Strangers who ask much: windows that never open, public documents without end, sockets that say nothing.

use super::attacker::{Attacker, is_closed};
use super::victims::Scene;
use crate::support::payer::is_optimised;
use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

const GET: &[u8] = b"GET /fhir/metadata HTTP/1.1\r\nhost: localhost\r\n\r\n";

/// Less than a CapabilityStatement, so that the next is asked for when most of the last has come.
const ANSWER_BYTES: usize = 64 * 1024;

/// Threads that attack until they are stopped.
struct Attack {
    stop: Arc<AtomicBool>,
    done: Arc<AtomicUsize>,
    threads: Vec<JoinHandle<()>>,
}

impl Attack {
    /// `work` again and again on so many threads; it counts what it got done.
    fn begin(threads: u8, work: impl Fn(u8, &AtomicBool, &AtomicUsize) + Clone + Send + 'static) -> Attack {
        let (stop, done) = (Arc::<AtomicBool>::default(), Arc::<AtomicUsize>::default());
        let threads = (0..threads).map(|n| {
            let (stop, done, work) = (Arc::clone(&stop), Arc::clone(&done), work.clone());
            std::thread::spawn(move || {
                while !stop.load(Ordering::Acquire) {
                    work(n, &stop, &done);
                    std::thread::sleep(Duration::from_secs(1));
                }
            })
        });
        Attack {
            threads: threads.collect(),
            stop,
            done,
        }
    }

    fn end(self) -> usize {
        self.stop.store(true, Ordering::Release);
        for thread in self.threads {
            thread.join().expect("an attacker");
        }
        self.done.load(Ordering::Acquire)
    }
}

#[tokio::test]
async fn t_b07_http2_is_not_offered_and_answers_that_nobody_reads_cost_others_nothing() {
    let scene = Scene::open(&[]).await;
    let attacker = Attacker::at(&scene.payer, 2, None, &["h2", "http/1.1"]).narrow();
    let stream = attacker.open().expect("a connection");
    assert_eq!(stream.conn.alpn_protocol(), Some(&b"http/1.1"[..]));
    let only_h2 = Attacker::at(&scene.payer, 2, None, &["h2"]);
    let refused = only_h2.open().and_then(|mut stream| stream.read(&mut [0; 1]));
    assert!(
        refused.is_err(),
        "a client that wants HTTP/2 alone is told so in the handshake"
    );

    let idle = scene.idle().await;
    // What was 2 connections with 20,000 streams each is two connections with 20,000 requests each, and as many more as it may.
    let attack = Attack::begin(64, move |_, stop, done| {
        let Ok(mut stream) = attacker.open() else { return };
        let requests = GET.repeat(100);
        for _ in 0..200 {
            if stop.load(Ordering::Acquire) || stream.write_all(&requests).is_err() {
                break;
            }
            done.fetch_add(100, Ordering::AcqRel);
        }
        // Nothing is read; the connection is held for as long as the server holds it.
        let socket: TcpStream = stream.sock;
        while !stop.load(Ordering::Acquire) && !peek_closed(&socket) {
            std::thread::sleep(Duration::from_millis(100));
        }
    });
    scene.holds(&idle).await;
    println!("{} requests were written", attack.end());
    scene.recovers(&idle).await;
}

/// Whether the peer has gone, without reading what it sent.
fn peek_closed(socket: &TcpStream) -> bool {
    matches!(socket.take_error(), Ok(Some(_)) | Err(_))
}

#[tokio::test]
async fn t_b07_64_connections_on_a_public_document_do_not_slow_partners_down() {
    // A build that is not optimised has rates of its own: its handshakes take ten times as long.
    let slow = [
        ("CAUSEWAY_LIMITS__CONNECTION_RATE", "10"),
        ("CAUSEWAY_LIMITS__STRANGER_REQUEST_RATE", "10"),
    ];
    let scene = Scene::open(if is_optimised() { &[] } else { &slow }).await;
    let attacker = Attacker::at(&scene.payer, 2, None, &[]);
    let idle = scene.idle().await;
    let attack = Attack::begin(64, move |_, stop, done| {
        let Ok(mut stream) = attacker.open() else { return };
        let mut bytes = vec![0; 64 * 1024];
        while !stop.load(Ordering::Acquire) {
            if stream.write_all(GET).is_err() {
                return;
            }
            // As it comes, without a look at it: the attack is to cost the server, not this machine's other processor.
            let mut taken = 0;
            while taken < ANSWER_BYTES {
                match stream.sock.read(&mut bytes) {
                    Ok(read @ 1..) => taken += read,
                    _ => return,
                }
            }
            done.fetch_add(1, Ordering::AcqRel);
        }
    });
    scene.holds(&idle).await;
    println!("{} answers were taken", attack.end());
    scene.recovers(&idle).await;
    scene
        .reaches("causeway_connections_turned_away_total{reason=\"rate\"}", 1.0)
        .await;
}

#[tokio::test]
async fn t_b06_1100_silent_sockets_of_one_address_keep_nobody_out() {
    let scene = Scene::open(&[]).await;
    let idle = scene.idle().await;
    let attacker = Attacker::at(&scene.payer, 2, None, &[]);
    let mut sockets: Vec<TcpStream> = (0..1100).filter_map(|_| attacker.connect().ok()).collect();
    println!("{} sockets were connected", sockets.len());
    scene.holds(&idle).await;
    let begun = Instant::now();
    loop {
        sockets.retain_mut(|socket| !is_closed(socket));
        let open = sockets.len();
        if open <= 64 {
            break;
        }
        assert!(
            begun.elapsed() < Duration::from_secs(60),
            "{open} of one address are open"
        );
        std::thread::sleep(Duration::from_millis(50));
    }
    drop(sockets);
    // The same from sixteen addresses, which together could take all handshakes.
    let sockets: Vec<TcpStream> = (0..640u16)
        .filter_map(|n| attacker.moved(2 + (n % 16) as u8).connect().ok())
        .collect();
    scene.holds(&idle).await;
    drop(sockets);
    scene.recovers(&idle).await;
}

#[tokio::test]
async fn t_b07_a_flood_of_requests_is_429_and_counted_for_its_address_alone() {
    let scene = Scene::open(&[
        ("CAUSEWAY_LIMITS__STRANGER_REQUEST_RATE", "5"),
        ("CAUSEWAY_LIMITS__CONNECTION_RATE", "1000"),
    ])
    .await;
    let attacker = Attacker::at(&scene.payer, 2, None, &[]);
    let other = attacker.moved(3);
    // Many requests in one go: the answers come one after the other, and end with the first that is refused. So many that none is refused
    // only where an answer takes longer than it takes until the next may be asked for.
    let ask = |attacker: &Attacker| {
        let mut stream = attacker.open()?;
        stream.write_all(&b"GET /.well-known/jwks.json HTTP/1.1\r\nhost: localhost\r\n\r\n".repeat(120))?;
        let mut text = String::new();
        let _ = stream.read_to_string(&mut text);
        std::io::Result::Ok(text.to_lowercase())
    };
    let begun = Instant::now();
    let text = ask(&attacker).expect("answers");
    // Four times the rate at once, and then one in a fifth of a second.
    let most = 21 + usize::try_from(begun.elapsed().as_millis() / 200).expect("small");
    let (good, refused) = (
        text.matches("http/1.1 200").count(),
        text.matches("http/1.1 429").count(),
    );
    assert!(
        (20..=most).contains(&good) && refused == 1,
        "{good} (at most {most}) and {refused} of 120"
    );
    let last = text.rsplit("http/1.1 429").next().expect("the last");
    assert!(
        last.contains("retry-after: ") && last.contains("connection: close") && last.contains("sv-007"),
        "{last}"
    );
    // Its further connections are closed, unless it took so long to come back that it may ask once more; and another address is not concerned.
    assert!((0..20).any(|_| !ask(&attacker).is_ok_and(|text| text.contains("http/1.1 200"))));
    assert!(ask(&other).expect("answers").starts_with("http/1.1 200"));
    scene.served("meanwhile", Duration::from_secs(1)).await;
}
