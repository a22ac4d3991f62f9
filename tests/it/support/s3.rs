//! A bucket of a real S3 server, whose endpoint `CAUSEWAY_TEST_S3` names, and a proxy before it that can be slow or lie.

use super::wire::see_closed;
use causeway::bulk::files::new_name;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

/// The server looks whether a request is signed, and not how.
const SIGNED: &str =
    "AWS4-HMAC-SHA256 Credential=test/20260101/us-east-1/s3/aws4_request, SignedHeaders=host, Signature=test";

/// How the proxy passes requests on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mood {
    Honest,
    /// Gives no answer while this lasts.
    Stalls,
    /// Says of each object that it is a byte longer.
    AddsToLengths,
    /// Leaves out the second half of what is read.
    CutsShort,
}

/// A bucket of its own.
pub struct Bucket {
    pub name: String,
    /// Of the server itself.
    endpoint: String,
    /// Of the proxy, which the program is told.
    proxy: String,
    mood: Arc<Mutex<Mood>>,
    http: reqwest::Client,
}

impl Bucket {
    /// A name and a proxy; `None` where no S3 server is named, which is said. Nothing is created yet.
    pub fn named() -> Option<Bucket> {
        let Ok(endpoint) = std::env::var("CAUSEWAY_TEST_S3") else {
            println!("skipped: CAUSEWAY_TEST_S3 names no S3 server (.ci/run object-store starts one)");
            return None;
        };
        let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let proxy = format!("http://{}", listener.local_addr().expect("an address"));
        let mood = Arc::new(Mutex::new(Mood::Honest));
        let (upstream, shared) = (
            endpoint.trim_start_matches("http://").trim_end_matches('/').to_owned(),
            Arc::clone(&mood),
        );
        std::thread::spawn(move || {
            for client in listener.incoming().flatten() {
                let (upstream, mood) = (upstream.clone(), Arc::clone(&shared));
                std::thread::spawn(move || pass(client, &upstream, &mood));
            }
        });
        Some(Bucket {
            name: format!("causeway-{}", &new_name()[..12]),
            endpoint,
            proxy,
            mood,
            http: reqwest::Client::new(),
        })
    }

    /// The same, created.
    pub async fn created() -> Option<Bucket> {
        let bucket = Bucket::named()?;
        bucket.create().await;
        Some(bucket)
    }

    pub async fn create(&self) {
        self.send(reqwest::Method::PUT, "", Vec::new()).await;
    }

    /// What the program needs in its environment.
    pub fn environment(&self) -> Vec<(&'static str, String)> {
        vec![
            ("CAUSEWAY_EXPORTS__URL", format!("s3://{}/some/exports", self.name)),
            ("AWS_ENDPOINT", self.proxy.clone()),
            ("AWS_ALLOW_HTTP", "true".to_owned()),
            ("AWS_REGION", "us-east-1".to_owned()),
            ("AWS_ACCESS_KEY_ID", "causeway-key".to_owned()),
            ("AWS_SECRET_ACCESS_KEY", "causeway-secret".to_owned()),
        ]
    }

    pub async fn set(&self, mood: Mood) {
        *self.mood.lock().expect("a mood") = mood;
        see_closed().await;
    }

    /// The keys of all objects, without our prefix.
    pub async fn keys(&self) -> Vec<String> {
        let text = self
            .send(reqwest::Method::GET, "?list-type=2&max-keys=1000", Vec::new())
            .await;
        let text = String::from_utf8(text).expect("XML");
        let keys = text.split("<Key>").skip(1).filter_map(|rest| rest.split_once("</Key>"));
        keys.map(|(key, _)| key.strip_prefix("some/exports/").expect("our prefix").to_owned())
            .collect()
    }

    /// The bytes of an object.
    pub async fn object(&self, key: &str) -> Vec<u8> {
        self.send(reqwest::Method::GET, &format!("/some/exports/{key}"), Vec::new())
            .await
    }

    /// Replaces an object.
    pub async fn replace(&self, key: &str, bytes: Vec<u8>) {
        self.send(reqwest::Method::PUT, &format!("/some/exports/{key}"), bytes)
            .await;
    }

    pub async fn delete(&self, key: &str) {
        self.send(reqwest::Method::DELETE, &format!("/some/exports/{key}"), Vec::new())
            .await;
    }

    /// Waits until there is no object, two minutes at most.
    pub async fn await_empty(&self) {
        let began = Instant::now();
        loop {
            let keys = self.keys().await;
            if keys.is_empty() {
                return;
            }
            assert!(began.elapsed() < Duration::from_secs(120), "{keys:?}");
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }

    async fn send(&self, method: reqwest::Method, rest: &str, body: Vec<u8>) -> Vec<u8> {
        let url = format!("{}/{}{rest}", self.endpoint.trim_end_matches('/'), self.name);
        let request = self.http.request(method, &url).header("authorization", SIGNED);
        let sent = request.body(body).send().await;
        let answer = sent.expect("an answer of the S3 server");
        assert!(answer.status().is_success(), "{url}: {}", answer.status());
        answer.bytes().await.expect("a body").to_vec()
    }
}

/// Passes one request and its answer on, and closes.
fn pass(mut client: TcpStream, upstream: &str, mood: &Mutex<Mood>) -> Option<()> {
    let (head, begun) = head_of(&mut client)?;
    while *mood.lock().expect("a mood") == Mood::Stalls {
        std::thread::sleep(Duration::from_millis(20));
    }
    let mood = *mood.lock().expect("a mood");
    let mut server = TcpStream::connect(upstream).ok()?;
    let length = value(&head, "content-length").unwrap_or(0);
    write!(server, "{}\r\nconnection: close\r\n\r\n", head.trim_end_matches("\r\n")).ok()?;
    server.write_all(&begun).ok()?;
    let mut rest = client.try_clone().ok()?.take(length - begun.len() as u64);
    std::io::copy(&mut rest, &mut server).ok()?;
    let (answer, mut body) = head_of(&mut server)?;
    server.read_to_end(&mut body).ok()?;
    let mut lines: Vec<String> = answer.trim_end().lines().map(str::to_owned).collect();
    lines.retain(|line| !line.to_ascii_lowercase().starts_with("connection:"));
    if mood == Mood::AddsToLengths && head.starts_with("HEAD ") {
        for line in &mut lines {
            if line.to_ascii_lowercase().starts_with("content-length:") {
                *line = format!("content-length: {}", value(&answer, "content-length")? + 1);
            }
        }
    }
    if mood == Mood::CutsShort && head.starts_with("GET ") {
        body.truncate(body.len() / 2);
    }
    write!(client, "{}\r\nconnection: close\r\n\r\n", lines.join("\r\n")).ok()?;
    client.write_all(&body).ok()
}

/// The head of a message with its line ends, and what was read after it.
fn head_of(stream: &mut TcpStream) -> Option<(String, Vec<u8>)> {
    let (mut bytes, mut some) = (Vec::new(), [0; 4096]);
    loop {
        let read = stream.read(&mut some).ok().filter(|read| *read > 0)?;
        bytes.extend_from_slice(&some[..read]);
        if let Some(end) = bytes.windows(4).position(|four| four == b"\r\n\r\n") {
            let rest = bytes.split_off(end + 4);
            return Some((String::from_utf8(bytes).ok()?, rest));
        }
    }
}

fn value(head: &str, name: &str) -> Option<u64> {
    let mut fields = head.lines().filter_map(|line| line.split_once(':'));
    let (_, value) = fields.find(|(key, _)| key.eq_ignore_ascii_case(name))?;
    value.trim().parse().ok()
}
