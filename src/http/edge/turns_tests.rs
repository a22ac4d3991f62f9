//! Tests how much a connection reads and writes in one turn, over real sockets and TLS.

use super::*;
use crate::clock::Clock;
use crate::config::Config;
use crate::http::edge::due::DueBytes;
use crate::http::edge::link::ClientConnection;
use crate::http::edge::table::Edge;
use crate::security::dev_pki::issue_ca;
use crate::security::tls::provider;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer, ServerName};
use rustls::{ClientConfig, RootCertStore, ServerConfig};
use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Wake, Waker};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::{TlsAcceptor, TlsConnector};

type Client = tokio_rustls::client::TlsStream<TcpStream>;

/// Counts how often a task is woken.
#[derive(Default)]
struct Wakes(AtomicUsize);

impl Wakes {
    fn count(&self) -> usize {
        self.0.load(Ordering::Acquire)
    }
}

impl Wake for Wakes {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::AcqRel);
    }
}

fn configs() -> (ServerConfig, ClientConfig) {
    let now_ms = Clock::System.now_ms();
    let ca = issue_ca("Test CA", now_ms).expect("an authority");
    let issued = ca.server(now_ms).expect("a certificate");
    let key = PrivateKeyDer::from(PrivatePkcs8KeyDer::from(issued.key_der.clone()));
    let mut server = ServerConfig::builder_with_provider(provider())
        .with_protocol_versions(&[&rustls::version::TLS13])
        .expect("a version")
        .with_no_client_auth()
        .with_single_cert(vec![CertificateDer::from(issued.certificate_der.clone())], key)
        .expect("a server");
    server.send_tls13_tickets = 0;
    let mut roots = RootCertStore::empty();
    roots
        .add(CertificateDer::from(ca.certificate_der().to_vec()))
        .expect("a root");
    let client = ClientConfig::builder_with_provider(provider())
        .with_protocol_versions(&[&rustls::version::TLS13])
        .expect("a version")
        .with_root_certificates(roots)
        .with_no_client_auth();
    (server, client)
}

/// A stranger's connection, and its client.
async fn connected() -> (PipelinedStream, Client) {
    connected_as(None, OthersAsking::default()).await
}

/// A connection of this partner, or of a stranger, and its client.
async fn connected_as(partner: Option<&str>, company: OthersAsking) -> (PipelinedStream, Client) {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.expect("a port");
    let at = listener.local_addr().expect("an address");
    let (near, far) = tokio::join!(TcpStream::connect(at), listener.accept());
    let (near, (far, _)) = (near.expect("a connection"), far.expect("a connection"));
    let edge = Edge::new(Config::load(None, []).expect("defaults").limits);
    let place = edge.admit(Some(IpAddr::from(Ipv4Addr::LOCALHOST))).expect("room");
    assert!(partner.is_none_or(|partner| place.prove(partner)));
    let link = Rc::new(ClientConnection::new(&edge, place));
    link.greeted();
    let watched = Watched::new(far, Rc::clone(&link), 1);
    let (server, client) = configs();
    let name = ServerName::try_from("localhost").expect("a name");
    let acceptor = TlsAcceptor::from(Arc::new(server));
    let connector = TlsConnector::from(Arc::new(client));
    let (stream, client) = tokio::join!(acceptor.accept(watched), connector.connect(name, near));
    link.pace.open(Instant::now());
    (
        PipelinedStream::new(stream.expect("a handshake"), company),
        client.expect("a handshake"),
    )
}

/// Writes until it must wait; returns how much was written.
fn written(stream: &mut PipelinedStream, context: &mut Context<'_>) -> usize {
    let mut all = 0;
    while let Poll::Ready(done) = Pin::new(&mut *stream).poll_write(context, &[b'x'; 4096]) {
        all += done.expect("written");
        assert!(all <= 1024 * 1024, "its turn does not end");
    }
    all
}

/// Reads until it must wait; returns how much was read.
fn read(stream: &mut PipelinedStream, context: &mut Context<'_>) -> usize {
    let (mut all, mut space) = (0, vec![0; 64 * 1024]);
    loop {
        let mut buffer = ReadBuf::new(&mut space);
        match Pin::new(&mut *stream).poll_read(context, &mut buffer) {
            Poll::Pending => return all,
            Poll::Ready(done) => done.expect("read"),
        }
        assert!(!buffer.filled().is_empty(), "the client is still there");
        all += buffer.filled().len();
    }
}

#[tokio::test]
async fn t_b07_after_32_kib_of_an_answer_other_connections_have_their_turn() {
    let (mut stream, mut client) = connected().await;
    let wakes = Arc::<Wakes>::default();
    let waker = Waker::from(Arc::clone(&wakes));
    let mut context = Context::from_waker(&waker);
    assert_eq!(written(&mut stream, &mut context), TURN_OUT);
    assert_eq!(wakes.count(), 1, "it is woken again");
    tokio::task::yield_now().await;
    assert_eq!(written(&mut stream, &mut context), TURN_OUT, "its next turn");
    assert_eq!(wakes.count(), 2);
    // The last bytes of an answer wait for no further turn.
    tokio::task::yield_now().await;
    for _ in 0..TURN_OUT / 4096 {
        let done = Pin::new(&mut stream).poll_write(&mut context, &[b'x'; 4096]);
        assert!(matches!(done, Poll::Ready(Ok(4096))), "{done:?}");
    }
    let flushed = Pin::new(&mut stream).poll_flush(&mut context);
    assert!(matches!(flushed, Poll::Ready(Ok(()))), "{flushed:?}");
    assert_eq!(wakes.count(), 2);
    stream.shutdown().await.expect("ended");
    let mut answer = Vec::new();
    client.read_to_end(&mut answer).await.expect("an answer");
    assert_eq!(answer.len(), 3 * TURN_OUT);
}

#[tokio::test]
async fn t_b07_the_turns_of_a_partner_get_short_as_soon_as_somebody_else_asks() {
    let company = OthersAsking::default();
    let (mut stream, mut client) = connected_as(Some("partner"), company.clone()).await;
    let taken = tokio::spawn(async move {
        let mut answer = Vec::new();
        client.read_to_end(&mut answer).await.map(|_| answer.len())
    });
    let waker = Waker::from(Arc::<Wakes>::default());
    let mut context = Context::from_waker(&waker);
    let mut wrote = 0;
    let mut turn = async |stream: &mut PipelinedStream| {
        let mut turn = written(stream, &mut context);
        // What ended there was only the room of the socket.
        while stream.written > 0 {
            tokio::time::sleep(Duration::from_millis(5)).await;
            turn += written(stream, &mut context);
        }
        wrote += turn;
        turn
    };
    assert_eq!(turn(&mut stream).await, LONG_TURN_OUT, "nobody else asks");
    // This was the partner's own doing.
    tokio::time::sleep(Duration::from_millis(1_100)).await;
    assert_eq!(turn(&mut stream).await, LONG_TURN_OUT, "it is there alone");
    // Strangers are somebody, too. Whoever comes is there for a second: when the machine stood still for longer, they come again, after somebody
    // who is not there any more.
    for other in ["another", ""] {
        let mut turns = Vec::new();
        for tries in 0..20 {
            if tries > 0 {
                company.came(&format!("before {tries}"));
                tokio::time::sleep(Duration::from_millis(1_100)).await;
            }
            company.came(other);
            turns.push(turn(&mut stream).await);
            if turns.last() == Some(&TURN_OUT) {
                break;
            }
        }
        assert_eq!(turns.last(), Some(&TURN_OUT), "{other}: {turns:?}");
    }
    stream.shutdown().await.expect("ended");
    assert_eq!(taken.await.expect("read").expect("an answer"), wrote);
}

#[tokio::test]
async fn t_b07_at_most_7_kib_of_a_body_are_passed_on_in_one_turn() {
    const BODY: usize = 48 * 1024;
    let (mut stream, mut client) = connected().await;
    stream.watched().link().begun(DueBytes::Bytes(BODY as u64));
    client.write_all(&vec![b'x'; BODY]).await.expect("sent");
    client.flush().await.expect("sent");
    let wakes = Arc::<Wakes>::default();
    let waker = Waker::from(Arc::clone(&wakes));
    let mut turns = Vec::new();
    let all = async {
        while turns.iter().sum::<usize>() < BODY {
            let before = wakes.count();
            let turn = read(&mut stream, &mut Context::from_waker(&waker));
            assert!(turn <= TURN_IN, "{turn}");
            assert!(turn < TURN_IN || wakes.count() == before + 1, "it is woken again");
            turns.push(turn);
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    };
    let ended = tokio::time::timeout(Duration::from_secs(120), all).await;
    assert!(ended.is_ok(), "{turns:?}");
    assert_eq!(turns.iter().sum::<usize>(), BODY);
    assert!(turns.contains(&TURN_IN), "{turns:?}");
}
