//! Key sets at a URL. A test host on this machine answers what each row says.

use crate::security::dev_pki::issue_ca;
use crate::security::keyring::{Keyring, Unavailable};
use crate::security::tls::provider;
use causeway_jose::Algorithm;
use causeway_jose::SigningKey;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};
use serde_json::json;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

struct Host {
    url: String,
    /// How long an answer takes, in milliseconds.
    pause_ms: Arc<AtomicUsize>,
    keyring: Keyring,
    answer: Arc<Mutex<String>>,
    asked: Arc<AtomicUsize>,
}

impl Host {
    async fn start() -> Host {
        crate::security::tls::install_provider();
        let ca = issue_ca("Host CA", crate::clock::Clock::System.now_ms()).expect("CA");
        let server = ca.server(crate::clock::Clock::System.now_ms()).expect("server");
        let key = PrivateKeyDer::from(PrivatePkcs8KeyDer::from(server.key_der.clone()));
        let config = rustls::ServerConfig::builder_with_provider(provider())
            .with_safe_default_protocol_versions()
            .expect("versions")
            .with_no_client_auth()
            .with_single_cert(vec![CertificateDer::from(server.certificate_der)], key)
            .expect("config");
        let acceptor = tokio_rustls::TlsAcceptor::from(Arc::new(config));
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("listener");
        let url = format!(
            "https://localhost:{}/jwks",
            listener.local_addr().expect("address").port()
        );
        let (answer, asked) = (Arc::new(Mutex::new(String::new())), Arc::new(AtomicUsize::new(0)));
        let (answers, count) = (Arc::clone(&answer), Arc::clone(&asked));
        let pause_ms = Arc::<AtomicUsize>::default();
        let pause = Arc::clone(&pause_ms);
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let Ok(mut stream) = acceptor.accept(stream).await else {
                    continue;
                };
                let mut head = [0; 4096];
                let _ = stream.read(&mut head).await;
                count.fetch_add(1, Ordering::SeqCst);
                tokio::time::sleep(Duration::from_millis(pause.load(Ordering::SeqCst) as u64)).await;
                let text = answers.lock().expect("answer").clone();
                let _ = stream.write_all(text.as_bytes()).await;
                let _ = stream.shutdown().await;
            }
        });
        let root = reqwest::Certificate::from_pem(ca.certificate_pem().as_bytes()).expect("root");
        Host {
            url,
            pause_ms,
            keyring: Keyring::trusting(true, vec![root]),
            answer,
            asked,
        }
    }

    fn says(&self, head: &str, body: &str) {
        *self.answer.lock().expect("answer") = format!(
            "HTTP/1.1 {head}\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{body}",
            body.len()
        );
    }

    fn asked(&self) -> usize {
        self.asked.load(Ordering::SeqCst)
    }
}

fn set(kid: &str) -> String {
    let key = SigningKey::generate(Algorithm::Es384, kid).expect("key");
    json!({ "keys": [key.public_jwk()] }).to_string()
}

#[tokio::test]
async fn t_a18_a_set_is_fetched_kept_and_fetched_again_for_a_new_key_once_a_minute() {
    let host = Host::start().await;
    let at = |kid: &'static str, now_ms| host.keyring.at_url(&host.url, kid, now_ms);
    host.says("200 OK\r\nCache-Control: max-age=600", &set("one"));
    assert!(at("one", 0).await.expect("set").find("one").is_some());
    assert!(at("one", 1_000).await.is_ok());
    assert_eq!(host.asked(), 1, "from the cache");
    host.says("200 OK\r\nCache-Control: max-age=600", &set("two"));
    assert!(
        at("two", 2_000).await.expect("old set").find("two").is_none(),
        "not again within the minute"
    );
    assert_eq!(host.asked(), 1);
    assert!(at("two", 61_000).await.expect("set").find("two").is_some());
    assert_eq!(host.asked(), 2);
    // When the host fails, the cached set is used until its own limit; after that there are no keys.
    host.says("500 Oops", "");
    assert!(at("three", 200_000).await.expect("old set").find("two").is_some());
    assert!(at("two", 600_000).await.is_ok());
    assert!(
        at("two", 700_000).await.is_err(),
        "the set ran out and cannot be fetched"
    );
    let asked = host.asked();
    assert!(at("two", 701_000).await.is_err());
    assert_eq!(host.asked(), asked, "a failing host is left alone for a minute");
}

#[tokio::test]
async fn t_a18_b07_a_slow_host_is_asked_once_for_all_and_few_wait_for_it() {
    let host = Host::start().await;
    host.says("200 OK\r\nCache-Control: no-store", &set("one"));
    host.pause_ms.store(1500, Ordering::SeqCst);
    let ask = || {
        let (keyring, url) = (host.keyring.clone(), host.url.clone());
        tokio::spawn(async move { keyring.at_url(&url, "one", 0).await })
    };
    // The first request is dropped; the others still get the set.
    let first = ask();
    tokio::time::sleep(Duration::from_millis(100)).await;
    let others: Vec<_> = (0..50).map(|_| ask()).collect();
    tokio::time::sleep(Duration::from_millis(50)).await;
    first.abort();
    let mut outcomes = Vec::new();
    for other in others {
        outcomes.push(other.await.expect("a task"));
    }
    let good = outcomes.iter().filter(|outcome| outcome.is_ok()).count();
    let busy = outcomes
        .iter()
        .filter(|outcome| matches!(outcome, Err(Unavailable::Busy)))
        .count();
    assert_eq!((good, busy, host.asked()), (3, 47, 1));
    // For a second the set is used by all requests, though its host forbids caching; then it is fetched again.
    host.pause_ms.store(200, Ordering::SeqCst);
    let mut asked = host.asked();
    for tries in 1.. {
        assert!(host.keyring.at_url(&host.url, "one", 0).await.is_ok());
        if host.asked() == asked {
            break;
        }
        // The machine stood still for that second, so that it was fetched again.
        assert!(tries < 20, "it is fetched each time");
        asked = host.asked();
    }
    tokio::time::sleep(Duration::from_millis(1100)).await;
    assert!(host.keyring.at_url(&host.url, "one", 2_000).await.is_ok());
    assert_eq!(host.asked(), asked + 1);
    // No request waits to the end: the set that arrived is not used for a later request.
    tokio::time::sleep(Duration::from_millis(1100)).await;
    let gone = ask();
    tokio::time::sleep(Duration::from_millis(100)).await;
    gone.abort();
    tokio::time::sleep(Duration::from_millis(900)).await;
    host.says("200 OK\r\nCache-Control: no-store", &set("two"));
    tokio::time::sleep(Duration::from_millis(1200)).await;
    let later = host.keyring.at_url(&host.url, "two", 9_000).await.expect("a set");
    assert!(later.find("two").is_some());
}

#[tokio::test]
async fn t_a18_answers_that_are_refused() {
    let host = Host::start().await;
    let large = format!(r#"{{"keys":[],"x":"{}"}}"#, "x".repeat(70_000));
    let good = set("one");
    for (head, body) in [
        ("302 Found\r\nLocation: https://localhost/", ""),
        ("301 Moved\r\nLocation: /other", good.as_str()),
        ("404 Not Found", good.as_str()),
        ("204 No Content", ""),
        ("200 OK", "not JSON"),
        ("200 OK", r#"{"keys":[]}"#),
        ("200 OK", large.as_str()),
    ] {
        host.says(head, body);
        assert!(host.keyring.fetch(&host.url).await.is_err(), "{head}");
    }
    host.says("200 OK", &good);
    assert!(host.keyring.fetch(&host.url).await.is_ok());
    assert!(
        Keyring::new(true).fetch(&host.url).await.is_err(),
        "of an authority that nobody trusts"
    );
    let asked = host.asked();
    assert!(Keyring::new(false).fetch(&host.url).await.is_err(), "on this machine");
    assert_eq!(host.asked(), asked, "not even asked");
}
