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

async fn scene(clients: &[&str], limits: &[(&str, &str)]) -> Scene {
    let mut environment = vec![("CAUSEWAY_OAUTH__ALLOW_LOOPBACK_JWKS", "true")];
    environment.extend(limits);
    let scene = Scene::open(&environment).await;
    for id in clients {
        let text = format!(
            "id = \"{id}\"\nname = \"Slow\"\nnpi = \"1992000061\"\nclient_id = \"{id}\"\njwks_url = \"{}\"\nmtls = \"off\"\n\
             scopes = [\"system/*.rs\"]\ndialect = {{ hrex = \"1.1\", pdex = \"2.2\", us_core = \"6.1.0\" }}\n",
            key_host()
        );
        std::fs::write(scene.payer.home().join("slow.toml"), text).expect("a file");
        let added = scene.payer.command(&["partner", "add", "--file", "slow.toml"]);
        assert!(added.status.success(), "{}", String::from_utf8_lossy(&added.stderr));
    }
    scene
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
    let scene = scene(&["slow"], &[("CAUSEWAY_LIMITS__CONNECTION_RATE", "1000")]).await;
    let attacker = Attacker::at(&scene.payer, 2, None, &[]);
    let mut open: Vec<Tls> = (0..64)
        .map(|n| attacker.moved(2 + n % 4).open().expect("a connection"))
        .collect();
    let requests: Vec<String> = (0..open.len()).map(|_| forged(&scene, "slow")).collect();
    for (stream, request) in open.iter_mut().zip(&requests) {
        stream.write_all(request.as_bytes()).expect("a request");
    }
    // The fetch ends after five seconds.
    scene.served("under attack", Duration::from_secs(3)).await;
    let turned_away = open.iter_mut().filter_map(|stream| {
        let short = Some(Duration::from_millis(20));
        stream.sock.set_read_timeout(short).expect("a socket option");
        let mut bytes = [0; 2048];
        let read = stream.read(&mut bytes).ok()?;
        let text = String::from_utf8_lossy(&bytes[..read]).into_owned();
        assert!(
            text.starts_with("HTTP/1.1 503") && text.to_lowercase().contains("retry-after"),
            "{text}"
        );
        Some(())
    });
    let turned_away = turned_away.count();
    println!("{turned_away} of {} were turned away", open.len());
    assert!(turned_away >= 50, "{turned_away} of {}", open.len());
}

#[tokio::test]
async fn t_b06_a_client_that_goes_is_noticed_behind_what_it_sent_ahead() {
    let limits = [("CAUSEWAY_LIMITS__STRANGER_IN_FLIGHT_PER_ADDRESS", "1")];
    let scene = scene(&["slow-a", "slow-b"], &limits).await;
    let get = "GET /.well-known/jwks.json HTTP/1.1\r\nhost: localhost\r\n\r\n";
    // One more request behind the one that waits, and more of them than are taken.
    for (id, last, behind) in [("slow-a", 2, 1), ("slow-b", 3, 400)] {
        let attacker = Attacker::at(&scene.payer, last, None, &[]);
        let mut other = attacker.open().expect("a connection");
        let mut stream = attacker.open().expect("a connection");
        let request = forged(&scene, id) + &get.repeat(behind);
        stream.write_all(request.as_bytes()).expect("requests");
        let begun = Instant::now();
        std::thread::sleep(Duration::from_millis(500));
        other.write_all(get.as_bytes()).expect("a request");
        assert_eq!(status(&mut other).expect("an answer"), 429, "the one place is taken");
        drop(stream);
        // The fetch that was waited for ends after five seconds.
        loop {
            let mut next = attacker.open().expect("a connection");
            next.write_all(get.as_bytes()).expect("a request");
            if status(&mut next).expect("an answer") == 200 {
                break;
            }
            assert!(
                begun.elapsed() < Duration::from_secs(4),
                "{id}: the place is still taken"
            );
            std::thread::sleep(Duration::from_millis(100));
        }
        println!("{id}: free after {:?}", begun.elapsed());
    }
}
