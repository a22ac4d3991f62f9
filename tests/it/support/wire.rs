//! Requests out of the ordinary: any method and header, forms with or without an assertion, and bytes as they are.

use super::client::{Client, Reply};
use super::payer::{TestPayer, today};
use super::pki::Pair;
use causeway::synth::{MatchOptions, SharingPolicy, Variation, match_request};
use reqwest::header::{HeaderMap, HeaderName, HeaderValue};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};
use serde_json::Value;
use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::sync::Arc;
use std::time::Duration;

pub const ASSERTION_TYPE: &str = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer";

impl Client {
    /// A request of any method to any path of this server.
    pub async fn send(
        &self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: impl Into<reqwest::Body>,
    ) -> Reply {
        let method = reqwest::Method::from_bytes(method.as_bytes()).expect("a method");
        let mut request = self.http.request(method, format!("{}{path}", self.origin)).body(body);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        Reply::of(request.send().await.expect("an answer")).await
    }

    /// `GET` of a link that an answer gave: it must be absolute and under this server's base.
    pub async fn follow(&self, token: &str, link: &str) -> Reply {
        let below = link.strip_prefix(&format!("{}/fhir/", self.origin));
        self.get(token, below.unwrap_or_else(|| panic!("{link} is not under our base")))
            .await
    }

    /// Posts a form below the origin, with a fresh assertion of this client's beside these fields.
    pub async fn oauth(&self, path: &str, fields: &[(&str, &str)]) -> Reply {
        let assertion = self.assertion().sign(&self.key);
        let proof = [
            ("client_assertion_type", ASSERTION_TYPE),
            ("client_assertion", assertion.as_str()),
        ];
        self.form(path, &[fields, &proof].concat(), None).await
    }

    /// Posts a form below the origin, with a token or none.
    pub async fn form(&self, path: &str, fields: &[(&str, &str)], token: Option<&str>) -> Reply {
        let mut request = self.http.post(format!("{}{path}", self.origin)).form(fields);
        if let Some(token) = token {
            request = request.bearer_auth(token);
        }
        Reply::of(request.send().await.expect("an answer")).await
    }

    /// Matches a member without variation, and gives the id of the Patient and the value of the member identifier.
    pub async fn matched(&self, token: &str, body: &Value) -> (String, String) {
        let reply = self.post_match(token, body.to_string(), &[]).await;
        reply.assert_status(200);
        let answer = reply.json();
        let parameter = |name: &str| {
            let all = answer["parameter"].as_array().expect("parameters");
            all.iter().find(|one| one["name"] == name).expect("a parameter").clone()
        };
        let reference = parameter("MemberId")["valueReference"]["reference"].clone();
        let id = reference.as_str().and_then(|text| text.strip_prefix("Patient/"));
        let umb = parameter("MemberIdentifier")["valueIdentifier"]["value"].clone();
        (
            id.expect("a Patient").to_owned(),
            umb.as_str().expect("a value").to_owned(),
        )
    }
}

/// Lets the HTTP clients of this thread see that a server that ended closed their connections, so that none is used again. In pauses: after each,
/// the clients run, however late this thread wakes up.
pub async fn see_closed() {
    for _ in 0..10 {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// A right `$member-match` request of the partner with this NPI.
pub fn request_by(payer: &TestPayer, index: u64, new_npi: &str, policy: SharingPolicy) -> Value {
    let options = MatchOptions {
        new_npi: new_npi.to_owned(),
        policy,
        ..MatchOptions::on(today())
    };
    match_request(&payer.member(index), &options, Variation::Exact)
}

/// A TLS connection for each request, and no HTTP client between: what is written is what arrives.
pub struct Wire {
    config: Arc<ClientConfig>,
    address: String,
}

impl Wire {
    pub fn new(payer: &TestPayer, identity: Option<&Pair>) -> Wire {
        let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
        let certificate = |pem: &str| CertificateDer::from_pem_slice(pem.as_bytes()).expect("a certificate");
        let mut roots = RootCertStore::empty();
        roots.add(certificate(&payer.pki.ca)).expect("a root");
        let builder = ClientConfig::builder().with_root_certificates(roots);
        let config = match identity {
            Some(pair) => {
                let key = PrivateKeyDer::from_pem_slice(pair.key.as_bytes()).expect("a key");
                builder.with_client_auth_cert(vec![certificate(&pair.certificate)], key)
            }
            None => Ok(builder.with_no_client_auth()),
        };
        Wire {
            config: Arc::new(config.expect("a configuration")),
            address: payer.origin.replace("https://localhost", "127.0.0.1"),
        }
    }

    /// A connection that stays open.
    pub fn open(&self) -> StreamOwned<ClientConnection, TcpStream> {
        let socket = TcpStream::connect(&self.address).expect("a connection");
        socket
            .set_read_timeout(Some(Duration::from_secs(60)))
            .expect("a socket option");
        let name = ServerName::try_from("localhost").expect("a name");
        let session = ClientConnection::new(Arc::clone(&self.config), name).expect("a session");
        StreamOwned::new(session, socket)
    }

    /// Writes these bytes and reads until the server closes; `None` when it closes without an answer.
    pub fn exchange(&self, request: &[u8]) -> Option<Reply> {
        let mut stream = self.open();
        stream.write_all(request).ok()?;
        let mut bytes = Vec::new();
        // A close without close_notify ends the answer as well as one with it.
        let _ = stream.read_to_end(&mut bytes);
        parse(&bytes)
    }

    /// One request on a connection of its own; the path goes out as it is.
    pub fn send(&self, method: &str, path: &str, headers: &[(&str, &str)]) -> Reply {
        let host = if headers.iter().any(|(name, _)| name.eq_ignore_ascii_case("host")) {
            ""
        } else {
            "host: localhost\r\n"
        };
        let lines: String = headers
            .iter()
            .map(|(name, value)| format!("{name}: {value}\r\n"))
            .collect();
        let request = format!("{method} {path} HTTP/1.1\r\n{host}{lines}connection: close\r\n\r\n");
        self.exchange(request.as_bytes())
            .unwrap_or_else(|| panic!("no answer to {method} {path}"))
    }
}

fn parse(bytes: &[u8]) -> Option<Reply> {
    let end = bytes.windows(4).position(|four| four == b"\r\n\r\n")?;
    let head = std::str::from_utf8(&bytes[..end]).expect("an ASCII head");
    let mut lines = head.split("\r\n");
    let status = lines.next()?.split(' ').nth(1)?.parse().expect("a status");
    let mut headers = HeaderMap::new();
    for line in lines {
        let (name, value) = line.split_once(':').expect("a header");
        headers.append(
            HeaderName::from_bytes(name.as_bytes()).expect("a name"),
            HeaderValue::from_str(value.trim()).expect("a value"),
        );
    }
    Some(Reply {
        status,
        headers,
        body: bytes[end + 4..].to_vec(),
    })
}
