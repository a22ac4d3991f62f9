//! A partner whose key host takes its time: who asks in its name holds no places that others need.

use super::attacker::{Attacker, Tls, status};
use super::victims::Scene;
use crate::support::assertion::{Assertion, ClientKey};
use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::time::{Duration, Instant};

/// A host that takes connections and says nothing; each fetch of a key set ends after 5 s.
fn key_host() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a listener");
    let port = listener.local_addr().expect("an address").port();
    std::thread::spawn(move || {
        let held: Vec<TcpStream> = listener.incoming().flatten().collect();
        drop(held);
    });
    format!("https://127.0.0.1:{port}/jwks")
}

/// How long a fetch of a key set may take.
const FETCH: Duration = Duration::from_secs(5);

async fn scene(limits: &[(&str, &str)]) -> Scene {
    let mut environment = vec![("CAUSEWAY_OAUTH__ALLOW_LOOPBACK_JWKS", "true")];
    environment.extend(limits);
    Scene::open(&environment).await
}

/// Registers a partner whose keys are at such a host.
fn register(scene: &Scene, id: &str) {
    let text = format!(
        "id = \"{id}\"\nname = \"Slow\"\nnpi = \"1992000061\"\nclient_id = \"{id}\"\njwks_url = \"{}\"\nmtls = \"off\"\n\
         scopes = [\"system/*.rs\"]\ndialect = {{ hrex = \"1.1\", pdex = \"2.2\", us_core = \"6.1.0\" }}\n",
        key_host()
    );
    std::fs::write(scene.payer.home().join("slow.toml"), text).expect("a file");
    let added = scene.payer.command(&["partner", "add", "--file", "slow.toml"]);
    assert!(added.status.success(), "{}", String::from_utf8_lossy(&added.stderr));
}

/// A token request in the name of `id`, signed by nobody's key.
fn forged(scene: &Scene, id: &str) -> String {
    let key = ClientKey::new("k1");
    let assertion = Assertion::of(id, &format!("{}/oauth/token", scene.payer.origin), "k1").sign(&key);
    let body = format!(
        "grant_type=client_credentials&scope=system%2F*.rs&client_assertion_type=urn%3Aietf%3Aparams%3Aoauth%3A\
         client-assertion-type%3Ajwt-bearer&client_assertion={assertion}"
    );
    format!(
        "POST /oauth/token HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/x-www-form-urlencoded\r\n\
         content-length: {}\r\n\r\n{body}",
        body.len()
    )
}

#[tokio::test]
async fn t_a18_b07_requests_that_wait_for_a_slow_key_host_take_no_places_from_others() {
    let scene = scene(&[("CAUSEWAY_LIMITS__CONNECTION_RATE", "1000")]).await;
    register(&scene, "slow");
    let attacker = Attacker::at(&scene.payer, 2, None, &[]);
    let mut open: Vec<Tls> = (0..64)
        .map(|n| attacker.moved(2 + n % 4).open().expect("a connection"))
        .collect();
    let requests: Vec<String> = (0..open.len()).map(|_| forged(&scene, "slow")).collect();
    let begun = Instant::now();
    for (stream, request) in open.iter_mut().zip(&requests) {
        stream.write_all(request.as_bytes()).expect("a request");
    }
    scene.served("under attack", Duration::from_secs(3)).await;
    let turned_away = open.iter_mut().filter_map(|stream| {
        let short = Some(Duration::from_millis(20));
        stream.sock.set_read_timeout(short).expect("a socket option");
        let mut bytes = [0; 2048];
        let read = stream.read(&mut bytes).ok()?;
        let text = String::from_utf8_lossy(&bytes[..read]).into_owned();
        let is_turned_away = text.starts_with("HTTP/1.1 503") && text.to_lowercase().contains("retry-after");
        // Those that waited for the fetch have their answer when it has ended.
        assert!(is_turned_away || begun.elapsed() > FETCH, "{text}");
        is_turned_away.then_some(())
    });
    let turned_away = turned_away.count();
    println!("{turned_away} of {} were turned away", open.len());
    assert!(turned_away >= 50, "{turned_away} of {}", open.len());
}

#[tokio::test]
async fn t_b06_a_client_that_goes_is_noticed_behind_what_it_sent_ahead() {
    let scene = scene(&[("CAUSEWAY_LIMITS__STRANGER_IN_FLIGHT_PER_ADDRESS", "1")]).await;
    // One more request behind the one that waits, and more of them than are taken. Where the machine is so slow that the fetch may have ended,
    // nothing is shown: then again, in another name and from another address.
    for (name, first, behind) in [("one", 2, 1), ("many", 10, 400)] {
        let freed = (0..5).find_map(|n| {
            let id = format!("slow-{name}-{n}");
            register(&scene, &id);
            freed(&scene, &id, first + n, behind)
        });
        let freed = freed.unwrap_or_else(|| panic!("{behind} behind it: the place is still taken"));
        println!("{behind} behind it: free after {freed:?}");
    }
}

/// A request in the name of `id` from 127.0.0.`last` has the one place of its address, with so many behind it, and its client goes; after how
/// long the place is free. `None` where that is not seen before the fetch may have ended, which the request waits for.
fn freed(scene: &Scene, id: &str, last: u8, behind: usize) -> Option<Duration> {
    let get = "GET /.well-known/jwks.json HTTP/1.1\r\nhost: localhost\r\n\r\n";
    let attacker = Attacker::at(&scene.payer, last, None, &[]);
    // On a fresh connection, as a refusal ends one.
    let asked = || {
        let mut next = attacker.open().expect("a connection");
        next.write_all(get.as_bytes()).expect("a request");
        status(&mut next).expect("an answer")
    };
    let mut stream = attacker.open().expect("a connection");
    let request = forged(scene, id) + &get.repeat(behind);
    let begun = Instant::now();
    stream.write_all(request.as_bytes()).expect("requests");
    let is_timely = || begun.elapsed() < FETCH - Duration::from_secs(1);
    let waits_for = |wanted: u16| {
        while is_timely() {
            if asked() == wanted && is_timely() {
                return Some(begun.elapsed());
            }
            std::thread::sleep(Duration::from_millis(100));
        }
        None
    };
    waits_for(429)?;
    drop(stream);
    waits_for(200)
}
