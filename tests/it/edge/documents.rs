//! The public documents: the same bytes for all, with a tag, and not sent again to who has them.

use super::attacker::Attacker;
use super::busy::{Busy, assert_quick, exchange};
use super::victims::Scene;
use crate::support::payer::TestPayer;
use std::io::{Read as _, Write as _};
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

#[tokio::test]
async fn public_documents_have_a_tag_a_time_to_live_and_cost_little() {
    let (payer, client) = TestPayer::start(1);
    for path in [
        "/fhir/metadata",
        "/fhir/metadata?mode=normative",
        "/fhir/metadata?mode=terminology",
        "/fhir/CodeSystem/causeway-fault",
        "/fhir/SearchParameter/Observation-code",
        "/.well-known/smart-configuration",
        "/.well-known/davinci-configuration",
        "/.well-known/jwks.json",
        "/fhir/.well-known/smart-configuration",
    ] {
        let first = client.send("GET", path, &[], "").await;
        first.assert_status(200);
        assert_eq!(first.header("cache-control"), "max-age=300", "{path}");
        let tag = first.header("etag").to_owned();
        assert!(tag.starts_with("W/\""), "{path}: {tag}");
        let again = client.send("GET", path, &[("if-none-match", &tag)], "").await;
        assert_eq!((again.status, again.body.len()), (304, 0), "{path}");
        assert_eq!(again.header("etag"), tag, "{path}");
        let other = client.send("GET", path, &[("if-none-match", "W/\"other\"")], "").await;
        assert_eq!(other.body, first.body, "{path}");
    }
    // The CapabilityStatement was made anew for each request and took 4.5 ms of an optimised build, ten times as much of this one.
    let begun = Instant::now();
    for _ in 0..50 {
        client.send("GET", "/fhir/metadata", &[], "").await.assert_status(200);
    }
    println!("50 CapabilityStatements in {:?}", begun.elapsed());
    drop(payer);
}

/// What a public document is asked for as.
const FORMS: [(&str, &str); 4] = [
    ("/fhir/metadata", "text/html"),
    ("/fhir", "text/html"),
    ("/fhir/metadata?_pretty=true", "application/fhir+json"),
    ("/fhir/SearchParameter", "text/html"),
];

#[tokio::test]
async fn t_b07_public_documents_are_made_once_in_every_form() {
    // Ten addresses with four connections each, none of which is held to its rate.
    let scene = Scene::open(&[
        ("CAUSEWAY_LIMITS__CONNECTION_RATE", "1000"),
        ("CAUSEWAY_LIMITS__STRANGER_REQUEST_RATE", "1000"),
    ])
    .await;
    let stranger = Attacker::at(&scene.payer, 10, None, &[]);
    let get = |path: &str, accept: &str| {
        format!("GET {path} HTTP/1.1\r\nhost: localhost\r\naccept: {accept}\r\n\r\n").into_bytes()
    };
    // Made for who asks first. From then on one costs what sending it costs.
    for (path, accept) in FORMS {
        let mut stream = stranger.open().expect("a connection");
        let first = exchange(&mut stream, &get(path, accept)).expect("an answer");
        assert_eq!(first.0, 200, "{path}");
        let begun = Instant::now();
        for _ in 0..10 {
            let again = exchange(&mut stream, &get(path, accept)).expect("an answer");
            assert!(again == first, "{path} as {accept} is not the same bytes");
        }
        let each = begun.elapsed() / 10;
        println!("{path} as {accept}: {} bytes in {each:?}", first.1.len());
    }
    let [idle, ..] = scene.served("idle", Duration::from_secs(2)).await;
    let asking = stranger.clone();
    let busy = Busy::begin(40, move |n, stop| {
        let (path, accept) = FORMS[usize::from(n / 10)];
        let Ok(mut stream) = asking.moved(10 + n % 10).open() else {
            return 0;
        };
        let mut taken = 0;
        while !stop.load(Ordering::Acquire) && taken < 20 {
            match exchange(&mut stream, &get(path, accept)) {
                Ok((200, _)) => taken += 1,
                _ => break,
            }
            // The attack is to cost the server, not this machine, which also decrypts all that is sent. Drawn again for each request, these
            // would still ask for more than any machine has.
            std::thread::sleep(Duration::from_millis(500));
        }
        taken
    });
    assert_quick(&scene, "pages for strangers", idle).await;
    scene.assert_memory("pages for strangers");
    println!("{} pages were taken", busy.end());
    scene.served("after it", Duration::from_secs(1)).await;
    scene.assert_memory("after it");
}

#[tokio::test]
async fn t_b07_pages_for_who_has_gone_and_pages_of_searches_have_a_bound() {
    let scene = Scene::open(&[
        ("CAUSEWAY_LIMITS__CONNECTION_RATE", "1000"),
        ("CAUSEWAY_LIMITS__STRANGER_REQUEST_RATE", "1000"),
    ])
    .await;
    let stranger = Attacker::at(&scene.payer, 10, None, &[]);
    let [idle, ..] = scene.served("idle", Duration::from_secs(2)).await;
    // A search that matches all, in a way that none of the documents is: its page is drawn for it alone. Who asks is gone at once, and
    // comes back so seldom that its handshakes are not what costs.
    let busy = Busy::begin(10, move |n, _| {
        let Ok(mut stream) = stranger.moved(10 + n).open() else {
            return 0;
        };
        let request =
            b"GET /fhir/SearchParameter?status=active HTTP/1.1\r\nhost: localhost\r\naccept: text/html\r\n\r\n";
        let is_sent = stream
            .write_all(&request.repeat(20))
            .and_then(|()| stream.flush())
            .is_ok();
        if n % 2 == 0 {
            let _ = stream.read(&mut [0; 16]);
        }
        drop(stream);
        std::thread::sleep(Duration::from_secs(1));
        usize::from(is_sent)
    });
    assert_quick(&scene, "pages for who has gone", idle).await;
    scene.assert_memory("pages for who has gone");
    println!("{} pages were asked for", busy.end());
    scene.served("after it", Duration::from_secs(2)).await;
    scene.assert_memory("after it");
}
