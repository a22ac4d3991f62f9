//! Bodies that are slow, cut, broken, endless or something else; and the bytes themselves where a client library would hide them.

use super::support::{Pair, client, played};
use causeway_sandbox_partner::{SandboxRoute, SandboxRule};
use reqwest::Response;
use serde_json::Value;
use std::time::{Duration, Instant};

fn rule(pair: &Pair, acts: &str) {
    let rule = SandboxRule::from_toml(&format!("route = \"everything\"\nacts = [{acts}]")).expect(acts);
    pair.sandbox.control().set_rules(vec![rule]).expect("rules");
}

/// All bytes until the end, and whether the end was one.
async fn drained(mut reply: Response, most: usize) -> (Vec<u8>, bool) {
    let mut bytes = Vec::new();
    loop {
        match reply.chunk().await {
            Ok(Some(chunk)) => bytes.extend_from_slice(&chunk),
            Ok(None) => return (bytes, true),
            Err(_) => return (bytes, false),
        }
        if bytes.len() >= most {
            return (bytes, false);
        }
    }
}

#[tokio::test]
async fn a_body_ends_early_and_the_message_tells_it_or_not() {
    let pair = played("");
    let token = pair.matched().await;
    rule(&pair, "{ truncate = { after_bytes = 5000 } }");
    let (bytes, whole) = drained(pair.everything(&token).send().await.expect("a head"), usize::MAX).await;
    assert_eq!((bytes.len(), whole), (5000, false));
    rule(&pair, "{ truncate = { after_bytes = 5000, framing = \"intact\" } }");
    let (bytes, whole) = drained(pair.everything(&token).send().await.expect("a head"), usize::MAX).await;
    assert_eq!((bytes.len(), whole), (5000, true), "only the JSON tells it");
    serde_json::from_slice::<Value>(&bytes).expect_err("cut");
    rule(&pair, "{ reset-during = { after_bytes = 5000 } }");
    let (bytes, whole) = drained(pair.everything(&token).send().await.expect("a head"), usize::MAX).await;
    assert!(bytes.len() <= 5000 && !whole);
    rule(&pair, "\"bad-chunk\"");
    let (_, whole) = drained(pair.everything(&token).send().await.expect("a head"), usize::MAX).await;
    assert!(!whole);
    rule(&pair, "\"bad-head\"");
    pair.everything(&token).send().await.expect_err("no status line");
    // That a request is over is noted after its last byte was sent.
    let seen = || pair.sandbox.control().requests_to(SandboxRoute::Everything);
    for _ in 0..6_000 {
        if seen()[0].ended {
            break;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    let seen = seen();
    assert_eq!((seen.len(), seen[0].sent_bytes, seen[0].processed), (5, 5000, true));
}

#[tokio::test]
async fn a_body_that_has_a_length_is_never_whole_when_it_is_truncated() {
    let pair = played("[[rule]]\nroute = \"metadata\"\nacts = [{ truncate = { after_bytes = 99999999 } }]");
    let (_, whole) = drained(pair.get("metadata").await, usize::MAX).await;
    assert!(!whole, "at least one byte is missing");
}

#[tokio::test]
async fn a_body_drips_or_stalls() {
    let pair = played("[[rule]]\nroute = \"davinci\"\nacts = [{ drip = { bytes = 40, every_ms = 20 } }]");
    let began = Instant::now();
    let reply = pair.get(".well-known/davinci-configuration").await;
    let (bytes, whole) = drained(reply, usize::MAX).await;
    serde_json::from_slice::<Value>(&bytes).expect("whole");
    let pauses = u32::try_from(bytes.len() / 40).expect("few");
    assert!(whole && pauses > 2 && began.elapsed() >= Duration::from_millis(20) * pauses);

    let token = pair.matched().await;
    rule(&pair, "{ stall = { after_bytes = 3000 } }");
    let url = pair.url(&format!("Patient/{}/$everything", pair.member().patient_id));
    let mut bytes = 0;
    // On a busy machine the bytes before it may take a while, too.
    for limit_ms in [500, 4_000, 60_000] {
        let hasty = client(&pair.sandbox, None, Duration::from_millis(limit_ms));
        bytes = 0;
        let error = match hasty.get(&url).bearer_auth(&token).send().await {
            Ok(mut reply) => loop {
                match reply.chunk().await {
                    Ok(Some(chunk)) => bytes += chunk.len(),
                    Ok(None) => panic!("it ended"),
                    Err(error) => break error,
                }
            },
            Err(error) => error,
        };
        assert!(error.is_timeout(), "{bytes} {error:?}");
        if bytes >= 3000 {
            break;
        }
    }
    assert_eq!(bytes, 3000);
}

#[tokio::test]
async fn a_body_is_as_large_as_the_script_says_or_never_ends() {
    let pair = played("");
    let token = pair.matched().await;
    for shape in ["entries", "one-string", "spaces"] {
        rule(
            &pair,
            &format!("{{ large-body = {{ bytes = 3000000, shape = \"{shape}\" }} }}"),
        );
        let (bytes, whole) = drained(pair.everything(&token).send().await.expect("a head"), usize::MAX).await;
        assert!(
            whole && (3_000_000..3_100_000).contains(&bytes.len()),
            "{shape}: {}",
            bytes.len()
        );
        let bundle: Value = serde_json::from_slice(&bytes).expect(shape);
        assert_eq!(bundle["resourceType"], "Bundle");
    }
    rule(&pair, "\"endless\"");
    let (bytes, whole) = drained(pair.everything(&token).send().await.expect("a head"), 4_000_000).await;
    assert!(!whole && bytes.len() >= 4_000_000);
}

#[tokio::test]
async fn a_small_compressed_body_is_huge_inside() {
    let pair = played("");
    let token = pair.matched().await;
    rule(&pair, "{ gzip-bomb = { bytes = 20000000 } }");
    let reply = pair.everything(&token).send().await.expect("a head");
    assert_eq!(reply.headers()["content-encoding"], "gzip");
    let (bytes, whole) = drained(reply, usize::MAX).await;
    assert!(whole && bytes.len() < 100_000, "{}", bytes.len());
    let inside = flate2::read::GzDecoder::new(bytes.as_slice());
    let size = std::io::copy(&mut std::io::BufReader::new(inside), &mut std::io::sink()).expect("gzip");
    assert!(size >= 20_000_000, "{size}");
}

#[tokio::test]
async fn garbage_comes_with_status_200() {
    let pair = played("");
    let token = pair.matched().await;
    for kind in [
        "empty",
        "not-json",
        "not-utf8",
        "not-fhir",
        "other-resource",
        "html",
        "deep",
        "repeated-member",
    ] {
        rule(&pair, &format!("{{ garbage = \"{kind}\" }}"));
        let reply = pair.everything(&token).send().await.expect("an answer");
        assert_eq!(reply.status(), 200);
        let media = reply.headers()["content-type"].to_str().expect("text").to_owned();
        let bytes = reply.bytes().await.expect("a body");
        let parsed = serde_json::from_slice::<Value>(&bytes);
        let bundle = parsed.as_ref().is_ok_and(|value| value["resourceType"] == "Bundle");
        match kind {
            "html" => assert!(media.starts_with("text/html")),
            "repeated-member" => assert!(bundle && bytes.windows(5).any(|window| window == b"Basic")),
            "not-utf8" => assert!(std::str::from_utf8(&bytes).is_err()),
            "not-fhir" | "other-resource" => assert!(parsed.is_ok() && !bundle, "{kind}"),
            _ => assert!(parsed.is_err(), "{kind}"),
        }
    }
    assert_eq!(
        pair.sandbox.control().effect_count(SandboxRoute::Everything),
        8,
        "each was processed"
    );
}

#[tokio::test]
async fn requests_that_are_none_are_answered_and_closed() {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    let pair = played("");
    let mut roots = rustls::RootCertStore::empty();
    use rustls::pki_types::pem::PemObject as _;
    roots
        .add(rustls::pki_types::CertificateDer::from_pem_slice(pair.sandbox.trust_pem().as_bytes()).expect("PEM"))
        .expect("a root");
    let provider = std::sync::Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .expect("versions")
        .with_root_certificates(roots)
        .with_no_client_auth();
    let connector = tokio_rustls::TlsConnector::from(std::sync::Arc::new(config));
    let address = pair
        .sandbox
        .base_url()
        .trim_start_matches("https://localhost:")
        .trim_end_matches("/fhir")
        .to_owned();
    let long = format!("GET /fhir/metadata HTTP/1.1\r\nX: {}\r\n\r\n", "x".repeat(40_000));
    for (sent, expected) in [
        ("hello\r\n\r\n", "HTTP/1.1 400"),
        ("GET http://x/ HTTP/1.1\r\n\r\n", "HTTP/1.1 400"),
        (
            "POST /fhir/Patient/$member-match HTTP/1.1\r\nContent-Length: x\r\n\r\n",
            "HTTP/1.1 400",
        ),
        ("POST /a HTTP/1.1\r\nContent-Length: 99999999\r\n\r\n", "HTTP/1.1 413"),
        (
            "POST /a HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
            "HTTP/1.1 400",
        ),
        (
            "POST /fhir/nothing HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\nGET /fhir/metadata HTTP/1.1\r\nConnection: close\r\n\r\n",
            "HTTP/1.1 404",
        ),
        (long.as_str(), "HTTP/1.1 431"),
    ] {
        let tcp = tokio::net::TcpStream::connect(format!("127.0.0.1:{address}"))
            .await
            .expect("connected");
        let name = rustls::pki_types::ServerName::try_from("localhost").expect("a name");
        let mut stream = connector.connect(name, tcp).await.expect("TLS");
        stream.write_all(sent.as_bytes()).await.expect("sent");
        let mut answer = Vec::new();
        let _ = stream.read_to_end(&mut answer).await;
        let answer = String::from_utf8_lossy(&answer);
        assert!(answer.starts_with(expected), "{sent:.60}: {answer:.80}");
        assert_eq!(
            answer.matches("HTTP/1.1 200").count(),
            usize::from(sent.contains("close")),
            "what follows is served"
        );
    }
}
