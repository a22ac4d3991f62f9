//! What an attacker does: connections from an address of its own, with TLS or without, and bytes as it likes. It looks at no
//! certificate and makes the cheapest keys, so that an attack costs the server more than this machine's other work.

use crate::support::payer::TestPayer;
use crate::support::pki::Pair;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, aws_lc_rs};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::{ClientConfig, ClientConnection, DigitallySignedStruct, SignatureScheme, StreamOwned};
use socket2::{Domain, Socket, Type};
use std::io::{self, Read as _, Write as _};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::sync::atomic::{AtomicU16, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

pub type Tls = StreamOwned<ClientConnection, TcpStream>;

/// Takes every server for the right one.
#[derive(Debug)]
struct Anybody;

impl ServerCertVerifier for Anybody {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn verify_tls13_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        aws_lc_rs::default_provider()
            .signature_verification_algorithms
            .supported_schemes()
    }
}

/// An attacker at one address, 127.0.0.`last`. Clones share its TLS configuration.
#[derive(Clone)]
pub struct Attacker {
    config: Arc<ClientConfig>,
    server: SocketAddr,
    last: u8,
    is_narrow: bool,
}

impl Attacker {
    pub fn at(payer: &TestPayer, last: u8, identity: Option<&Pair>, alpn: &[&str]) -> Attacker {
        let provider = CryptoProvider {
            kx_groups: vec![aws_lc_rs::kx_group::X25519],
            ..aws_lc_rs::default_provider()
        };
        let builder = ClientConfig::builder_with_provider(Arc::new(provider))
            .with_safe_default_protocol_versions()
            .expect("versions of TLS")
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(Anybody));
        let config = match identity {
            None => Ok(builder.with_no_client_auth()),
            Some(pair) => {
                let chain = CertificateDer::from_pem_slice(pair.certificate.as_bytes()).expect("a certificate");
                let key = PrivateKeyDer::from_pem_slice(pair.key.as_bytes()).expect("a key");
                builder.with_client_auth_cert(vec![chain], key)
            }
        };
        let mut config = config.expect("a configuration");
        config.alpn_protocols = alpn.iter().map(|name| name.as_bytes().to_vec()).collect();
        let port = payer.origin.rsplit(':').next().and_then(|port| port.parse().ok());
        Attacker {
            config: Arc::new(config),
            server: (Ipv4Addr::LOCALHOST, port.expect("a port")).into(),
            last,
            is_narrow: false,
        }
    }

    /// The same attacker at another address.
    pub fn moved(&self, last: u8) -> Attacker {
        Attacker { last, ..self.clone() }
    }

    /// The same attacker with small windows, so that what it does not read stays with the server.
    pub fn narrow(&self) -> Attacker {
        Attacker {
            is_narrow: true,
            ..self.clone()
        }
    }

    /// A TCP connection.
    pub fn connect(&self) -> io::Result<TcpStream> {
        let socket = Socket::new(Domain::IPV4, Type::STREAM, None)?;
        if self.is_narrow {
            socket.set_recv_buffer_size(4096)?;
        }
        let own: SocketAddr = (Ipv4Addr::new(127, 0, 0, self.last), 0).into();
        socket.bind(&own.into())?;
        // What an attacker waits for decides nothing, and a busy machine takes its time.
        socket.connect_timeout(&self.server.into(), Duration::from_secs(20))?;
        let stream: TcpStream = socket.into();
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(Duration::from_secs(30)))?;
        stream.set_write_timeout(Some(Duration::from_secs(1)))?;
        Ok(stream)
    }

    /// TLS over a connection that is there.
    pub fn secure(&self, socket: TcpStream) -> io::Result<Tls> {
        let name = ServerName::try_from("localhost").expect("a name");
        let session = ClientConnection::new(Arc::clone(&self.config), name).map_err(io::Error::other)?;
        let mut stream = StreamOwned::new(session, socket);
        while stream.conn.is_handshaking() {
            stream.conn.complete_io(&mut stream.sock)?;
        }
        Ok(stream)
    }

    /// A connection on which a whole ClientHello was sent, and nothing after it.
    pub fn greet(&self) -> io::Result<TcpStream> {
        let name = ServerName::try_from("localhost").expect("a name");
        let mut session = ClientConnection::new(Arc::clone(&self.config), name).map_err(io::Error::other)?;
        let mut socket = self.connect()?;
        session.write_tls(&mut socket)?;
        Ok(socket)
    }

    /// A connection whose handshake is over, as far as the client sees it.
    pub fn open(&self) -> io::Result<Tls> {
        self.connect().and_then(|socket| self.secure(socket))
    }
}

/// So many connections at once from `addresses` in turn, each after `first` was done on it; those that the server let in.
pub fn many(
    attacker: &Attacker,
    number: u16,
    addresses: u16,
    first: impl Fn(u16, &mut Tls) -> io::Result<()> + Sync,
) -> Vec<Tls> {
    let next = AtomicU16::new(0);
    let held = Mutex::new(Vec::new());
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                loop {
                    let n = next.fetch_add(1, Ordering::Relaxed);
                    if n >= number {
                        break;
                    }
                    let own = attacker.moved(attacker.last + (n % addresses) as u8);
                    let opened = own.open().and_then(|mut stream| first(n, &mut stream).map(|()| stream));
                    held.lock().unwrap().extend(opened);
                }
            });
        }
    });
    held.into_inner().unwrap()
}

/// The status of the next answer, read no further than to the end of its head.
pub fn status(stream: &mut Tls) -> io::Result<u16> {
    let mut head = Vec::new();
    let mut byte = [0];
    while !head.ends_with(b"\r\n\r\n") {
        match stream.read(&mut byte)? {
            0 => return Err(io::ErrorKind::UnexpectedEof.into()),
            _ => head.push(byte[0]),
        }
    }
    let text = String::from_utf8_lossy(&head);
    text.split(' ')
        .nth(1)
        .and_then(|status| status.parse().ok())
        .ok_or_else(|| io::ErrorKind::InvalidData.into())
}

/// Writes `piece` again and again with pauses until the server ends the connection; how long that took, and what it answered.
pub fn drip(stream: &mut Tls, piece: &[u8], at_most: Duration) -> (Duration, String) {
    let begun = Instant::now();
    let mut said = Vec::new();
    let short = Some(Duration::from_millis(100));
    stream.sock.set_read_timeout(short).expect("a socket option");
    while begun.elapsed() < at_most {
        if stream.write_all(piece).and_then(|()| stream.flush()).is_err() {
            break;
        }
        let mut bytes = [0; 4096];
        match stream.read(&mut bytes) {
            Ok(0) => break,
            Ok(read) => said.extend_from_slice(&bytes[..read]),
            Err(error) if matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut) => {}
            Err(_) => break,
        }
        std::thread::sleep(Duration::from_millis(100));
    }
    (begun.elapsed(), String::from_utf8_lossy(&said).into_owned())
}

/// Whether the server has closed this connection by now. What came before the end is read and thrown away.
pub fn is_closed(socket: &mut TcpStream) -> bool {
    let short = Some(Duration::from_millis(1));
    socket.set_read_timeout(short).expect("a socket option");
    let mut bytes = [0; 4096];
    loop {
        match socket.read(&mut bytes) {
            Ok(0) => return true,
            Ok(_) => {}
            Err(error) => return !matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut),
        }
    }
}
