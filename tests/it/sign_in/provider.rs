//! An identity provider that speaks real HTTP, as the test says: it keeps to OpenID Connect until it is told to do something else.
//!
//! It lets in whoever comes, as the person whom the test names. Codes serve once, and only with the verifier of their challenge.

use crate::support::assertion::{Assertion, ClientKey, now_s};
use crate::support::pki::Pair;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use causeway::secret::{base64url, random, sha256};
use jsonwebtoken::{Algorithm, EncodingKey};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ServerConfig, ServerConnection, StreamOwned};
use serde_json::{Map, Value, json};
use std::collections::HashMap;
use std::io::{Read, Write};
use std::net::TcpListener;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

pub const CLIENT: &str = "console";
pub const SECRET: &str = "a secret of the client";
const DISCOVERY: &str = "/.well-known/openid-configuration";
const KEYS: &str = "/keys";
pub const TOKEN: &str = "/token";

/// What it does otherwise than a provider has to.
#[derive(Clone, Debug)]
pub enum Twist {
    /// A claim of the id token; `null` leaves it out.
    Claim(&'static str, Value),
    /// A member of the discovery document.
    Member(&'static str, Value),
    /// The id token has no signature.
    Unsigned,
    /// The id token is signed with the client's secret.
    SharedSecret,
    /// The id token is signed by a key that is not listed, under the id of the listed one.
    OtherKey,
    /// This path answers with this status and text.
    Says(&'static str, u16, String),
    /// This path does not answer, for ten minutes.
    Silence(&'static str),
}

/// What a code was given for.
struct Granted {
    nonce: Option<String>,
    challenge: String,
    redirect: String,
}

struct State {
    issuer: String,
    key: ClientKey,
    other: ClientKey,
    person: Map<String, Value>,
    twists: Vec<Twist>,
    codes: HashMap<String, Granted>,
    asked: Vec<String>,
}

/// A provider on this machine. It listens until the test process ends.
pub struct FakeProvider {
    pub issuer: String,
    state: Arc<Mutex<State>>,
}

impl FakeProvider {
    /// One at which `sub` has these roles.
    pub fn with(sub: &str, roles: Value) -> FakeProvider {
        FakeProvider::begin(None, sub, roles)
    }

    /// The same, with this certificate.
    pub fn over_tls(pair: &Pair, sub: &str, roles: Value) -> FakeProvider {
        let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
        let chain: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(pair.certificate.as_bytes()).collect();
        let key = PrivateKeyDer::from_pem_slice(pair.key.as_bytes()).expect("a key");
        let config = ServerConfig::builder()
            .with_no_client_auth()
            .with_single_cert(chain.expect("certificates"), key);
        FakeProvider::begin(Some(Arc::new(config.expect("a certificate with its key"))), sub, roles)
    }

    fn begin(tls: Option<Arc<ServerConfig>>, sub: &str, roles: Value) -> FakeProvider {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a listener");
        let port = listener.local_addr().expect("an address").port();
        let scheme = if tls.is_some() { "https" } else { "http" };
        let issuer = format!("{scheme}://127.0.0.1:{port}");
        let state = Arc::new(Mutex::new(State {
            issuer: issuer.clone(),
            key: ClientKey::new("k1"),
            other: ClientKey::new("k1"),
            person: Map::new(),
            twists: Vec::new(),
            codes: HashMap::new(),
            asked: Vec::new(),
        }));
        let served = Arc::clone(&state);
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let (served, tls) = (Arc::clone(&served), tls.clone());
                std::thread::spawn(move || match tls {
                    None => serve(stream, &served),
                    Some(config) => {
                        let connection = ServerConnection::new(config).expect("a connection");
                        serve(StreamOwned::new(connection, stream), &served);
                    }
                });
            }
        });
        let provider = FakeProvider { issuer, state };
        provider.person(sub, roles);
        provider
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("whole")
    }

    /// Who signs in from now on.
    pub fn person(&self, sub: &str, roles: Value) {
        let claims = json!({ "sub": sub, "roles": roles });
        self.lock().person = claims.as_object().expect("an object").clone();
    }

    /// What it does otherwise from now on, and nothing else.
    pub fn twist(&self, twists: &[Twist]) {
        self.lock().twists = twists.to_vec();
    }

    /// Signs by a new key from now on, and lists no other.
    pub fn rotate(&self, kid: &str) {
        self.lock().key = ClientKey::new(kid);
    }

    /// How often this path was asked for.
    pub fn asked(&self, path: &str) -> usize {
        self.lock().asked.iter().filter(|asked| *asked == path).count()
    }

    /// How often its keys were asked for.
    pub fn keys_asked(&self) -> usize {
        self.asked(KEYS)
    }
}

/// A request: path and query, by what the client says who it is, and the form.
struct Asked {
    path: String,
    query: Vec<(String, String)>,
    authorization: String,
    form: Vec<(String, String)>,
}

fn value<'p>(pairs: &'p [(String, String)], name: &str) -> Option<&'p str> {
    let found = pairs.iter().find(|(key, _)| key == name);
    found.map(|(_, value)| value.as_str())
}

/// The pairs of a query or a form, as a browser or a client writes them.
fn pairs(text: &str) -> Vec<(String, String)> {
    let url = reqwest::Url::parse(&format!("http://x/?{text}")).expect("a query");
    url.query_pairs().into_owned().collect()
}

fn serve(mut stream: impl Read + Write, state: &Mutex<State>) {
    let Some(asked) = read(&mut stream) else { return };
    let (twist, answer) = {
        let mut state = state.lock().expect("whole");
        state.asked.push(asked.path.clone());
        let twist = state.twists.iter().find_map(|twist| match twist {
            Twist::Says(path, status, text) if *path == asked.path => Some(Some((*status, text.clone()))),
            Twist::Silence(path) if *path == asked.path => Some(None),
            _ => None,
        });
        let answer = match twist {
            None => state.answer(&asked),
            Some(_) => (0, String::new(), String::new()),
        };
        (twist, answer)
    };
    let (status, location, body) = match twist {
        Some(None) => return std::thread::sleep(Duration::from_secs(600)),
        Some(Some((status, text))) => (status, String::new(), text),
        None => answer,
    };
    let head = format!(
        "HTTP/1.1 {status} Said\r\nconnection: close\r\ncontent-type: application/json\r\n{location}content-length: {}\r\n\r\n",
        body.len()
    );
    // A client that has gone is not the test's concern.
    let _ = stream
        .write_all(head.as_bytes())
        .and_then(|()| stream.write_all(body.as_bytes()))
        .and_then(|()| stream.flush());
}

/// One request, unless the connection ends first.
fn read(stream: &mut impl Read) -> Option<Asked> {
    let mut bytes: Vec<u8> = Vec::new();
    let mut piece = [0_u8; 4_096];
    loop {
        if let Some(end) = bytes.windows(4).position(|four| four == b"\r\n\r\n") {
            let head = String::from_utf8_lossy(&bytes[..end]).into_owned();
            let header = |name: &str| {
                let found = head.lines().find_map(|line| {
                    let (key, value) = line.split_once(':')?;
                    key.eq_ignore_ascii_case(name).then(|| value.trim().to_owned())
                });
                found.unwrap_or_default()
            };
            let body = &bytes[end + 4..];
            if body.len() >= header("content-length").parse::<usize>().unwrap_or(0) {
                let target = head.split(' ').nth(1)?.to_owned();
                let (path, query) = target.split_once('?').unwrap_or((target.as_str(), ""));
                return Some(Asked {
                    path: path.to_owned(),
                    query: pairs(query),
                    authorization: header("authorization"),
                    form: pairs(&String::from_utf8_lossy(body)),
                });
            }
        }
        match stream.read(&mut piece) {
            Ok(count) if count > 0 => bytes.extend_from_slice(&piece[..count]),
            _ => return None,
        }
    }
}

impl State {
    /// Status, a line of headers, and the body.
    fn answer(&mut self, asked: &Asked) -> (u16, String, String) {
        let (status, body) = match asked.path.as_str() {
            DISCOVERY => (200, self.document()),
            KEYS => (200, self.key.jwks()),
            "/authorize" => {
                let location = self.let_in(&asked.query);
                return (302, format!("location: {location}\r\n"), String::new());
            }
            TOKEN => self.token(asked),
            _ => (404, json!({})),
        };
        (status, String::new(), body.to_string())
    }

    fn document(&self) -> Value {
        let at = |path: &str| format!("{}{path}", self.issuer);
        let mut document = json!({
            "issuer": self.issuer,
            "authorization_endpoint": at("/authorize"),
            "token_endpoint": at(TOKEN),
            "jwks_uri": at(KEYS),
            "end_session_endpoint": at("/end"),
            "response_types_supported": ["code"],
            "subject_types_supported": ["public"],
            "id_token_signing_alg_values_supported": ["ES384"],
            "code_challenge_methods_supported": ["S256"],
        });
        for twist in &self.twists {
            if let Twist::Member(name, value) = twist {
                document[*name] = value.clone();
            }
        }
        document
    }

    /// The address to which the browser goes back, with a code.
    fn let_in(&mut self, query: &[(String, String)]) -> String {
        let given = |name: &str| value(query, name).unwrap_or_default().to_owned();
        assert_eq!(
            (
                given("response_type"),
                given("client_id"),
                given("code_challenge_method")
            ),
            ("code".to_owned(), CLIENT.to_owned(), "S256".to_owned())
        );
        assert!(given("scope").split(' ').any(|scope| scope == "openid"));
        let code = base64url(&random::<16>());
        self.codes.insert(
            code.clone(),
            Granted {
                nonce: value(query, "nonce").map(str::to_owned),
                challenge: given("code_challenge"),
                redirect: given("redirect_uri"),
            },
        );
        let mut back = reqwest::Url::parse(&given("redirect_uri")).expect("an address");
        back.query_pairs_mut()
            .append_pair("code", &code)
            .append_pair("state", &given("state"))
            .append_pair("iss", &self.issuer);
        back.to_string()
    }

    fn token(&mut self, asked: &Asked) -> (u16, Value) {
        let encoded = reqwest::Url::parse_with_params("http://x/", [("", SECRET)]).expect("an address");
        let secret = encoded.query().unwrap_or_default().trim_start_matches('=');
        if asked.authorization != format!("Basic {}", STANDARD.encode(format!("{CLIENT}:{secret}"))) {
            return (401, json!({"error": "invalid_client"}));
        }
        let given = |name: &str| value(&asked.form, name).unwrap_or_default();
        assert_eq!(given("grant_type"), "authorization_code");
        let Some(granted) = self.codes.remove(given("code")) else {
            return (400, json!({"error": "invalid_grant"}));
        };
        let challenge = base64url(&sha256(given("code_verifier").as_bytes()));
        if challenge != granted.challenge || given("redirect_uri") != granted.redirect {
            return (400, json!({"error": "invalid_grant"}));
        }
        let answer = json!({
            "access_token": base64url(&random::<16>()), "token_type": "Bearer", "expires_in": 300,
            "id_token": self.id_token(granted.nonce),
        });
        (200, answer)
    }

    fn id_token(&self, nonce: Option<String>) -> String {
        let mut token = Assertion::of(CLIENT, &self.issuer, &self.key.kid);
        token.claims = self.person.clone();
        for (name, value) in [
            ("iss", json!(self.issuer)),
            ("aud", json!(CLIENT)),
            ("nonce", json!(nonce)),
            ("iat", json!(now_s())),
            ("exp", json!(now_s() + 300)),
        ] {
            token.claims.insert(name.to_owned(), value);
        }
        for twist in &self.twists {
            match twist {
                Twist::Claim(name, Value::Null) => drop(token.claims.remove(*name)),
                Twist::Claim(name, value) => drop(token.claims.insert((*name).to_owned(), value.clone())),
                _ => {}
            }
        }
        let is = |wanted: fn(&Twist) -> bool| self.twists.iter().any(wanted);
        if is(|twist| matches!(twist, Twist::Unsigned)) {
            return token.unsigned();
        }
        if is(|twist| matches!(twist, Twist::SharedSecret)) {
            token.header.alg = Algorithm::HS256;
            let key = EncodingKey::from_secret(SECRET.as_bytes());
            return jsonwebtoken::encode(&token.header, &token.claims, &key).expect("a signature");
        }
        match is(|twist| matches!(twist, Twist::OtherKey)) {
            true => token.sign(&self.other),
            false => token.sign(&self.key),
        }
    }
}
