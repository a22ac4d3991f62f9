//! The HTTP server of a witness: one address, small requests, few connections, nothing else.
//!
//! Without TLS it listens on this machine only. It trusts no request: a checkpoint is judged by the signature of its log.

use super::desk::WitnessDesk;
use crate::clock::Clock;
use crate::error::{Failure, Fault};
use rustls::ServerConfig;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use std::collections::HashMap;
use std::io::ErrorKind;
use std::net::{IpAddr, SocketAddr};
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio_rustls::TlsAcceptor;

/// Most connections at once; further ones wait.
const CONNECTIONS: usize = 64;
/// Most connections of one address; further ones end at once, so that nobody keeps the payers out alone.
const OF_ONE: usize = 8;
/// Time for a handshake, for a whole request, and for its answer.
const WAIT: Duration = Duration::from_secs(10);
/// Most bytes of a head, and of a body.
const HEAD_MOST: usize = 8 * 1024;
const BODY_MOST: usize = 16 * 1024;

/// A witness that listens.
pub struct WitnessServer {
    listener: TcpListener,
    tls: Option<TlsAcceptor>,
    desk: Arc<WitnessDesk>,
}

/// How many connections each address has.
#[derive(Default)]
struct Guests(Mutex<HashMap<IpAddr, usize>>);

/// A connection that is counted until this is dropped.
struct Guest {
    guests: Arc<Guests>,
    address: IpAddr,
}

impl Guests {
    fn lock(&self) -> MutexGuard<'_, HashMap<IpAddr, usize>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Counts a connection; `None` if its address has enough of them. A network of IPv6 is one address.
    fn enter(self: &Arc<Guests>, address: IpAddr) -> Option<Guest> {
        let address = match address.to_canonical() {
            IpAddr::V6(address) => {
                let mut segments = address.segments();
                segments[4..].fill(0);
                IpAddr::from(segments)
            }
            address => address,
        };
        let mut counts = self.lock();
        let count = counts.entry(address).or_default();
        if *count >= OF_ONE {
            return None;
        }
        *count += 1;
        Some(Guest {
            guests: Arc::clone(self),
            address,
        })
    }
}

impl Drop for Guest {
    fn drop(&mut self) {
        let mut counts = self.guests.lock();
        if let Some(count) = counts.get_mut(&self.address) {
            *count -= 1;
            if *count == 0 {
                counts.remove(&self.address);
            }
        }
    }
}

/// The TLS of a witness from its files.
///
/// # Errors
/// [`Fault::InputUnreadable`], [`Fault::ConfigInvalid`].
pub fn tls(certificate: &Path, key: &Path) -> Result<TlsAcceptor, Failure> {
    let read = |path: &Path| {
        std::fs::read(path).map_err(|error| {
            Failure::new(Fault::InputUnreadable)
                .at(path.display().to_string())
                .because(error)
        })
    };
    let unusable = |at: &'static str, cause: String| Failure::new(Fault::ConfigInvalid).at(at).because(cause);
    let chain = CertificateDer::pem_slice_iter(&read(certificate)?)
        .collect::<Result<Vec<_>, _>>()
        .map_err(|error| unusable("--tls-certificate", error.to_string()))?;
    let private =
        PrivateKeyDer::from_pem_slice(&read(key)?).map_err(|error| unusable("--tls-key", error.to_string()))?;
    let config = ServerConfig::builder()
        .with_no_client_auth()
        .with_single_cert(chain, private)
        .map_err(|error| unusable("--tls-certificate", error.to_string()))?;
    Ok(TlsAcceptor::from(Arc::new(config)))
}

impl WitnessServer {
    /// Listens. Must be called inside a Tokio runtime.
    ///
    /// # Errors
    /// [`Fault::ConfigInvalid`] for an address that cannot be listened on, and without TLS for one beyond this machine.
    pub async fn listen(
        address: SocketAddr,
        tls: Option<TlsAcceptor>,
        desk: WitnessDesk,
    ) -> Result<WitnessServer, Failure> {
        let refused = |remedy: &str| {
            Failure::new(Fault::ConfigInvalid)
                .at("--listen")
                .remedy(remedy.to_owned())
        };
        if tls.is_none() && !address.ip().is_loopback() {
            return Err(refused(
                "Give --tls-certificate and --tls-key, or listen on this machine only.",
            ));
        }
        let listener = TcpListener::bind(address).await;
        Ok(WitnessServer {
            listener: listener.map_err(|error| refused("Choose a free address of this machine.").because(error))?,
            tls,
            desk: Arc::new(desk),
        })
    }

    /// Where it listens, as a URL.
    ///
    /// # Errors
    /// [`Fault::Internal`] when the system does not say.
    pub fn url(&self) -> Result<String, Failure> {
        let address = self.listener.local_addr();
        let address = address.map_err(|error| Failure::new(Fault::Internal).because(error))?;
        let scheme = if self.tls.is_some() { "https" } else { "http" };
        Ok(format!("{scheme}://{address}"))
    }

    /// Serves until the future is dropped.
    pub async fn serve(&self) {
        let (places, guests) = (Arc::new(Semaphore::new(CONNECTIONS)), Arc::<Guests>::default());
        loop {
            let Ok(place) = Arc::clone(&places).acquire_owned().await else {
                return;
            };
            let (stream, peer) = match self.listener.accept().await {
                Ok(accepted) => accepted,
                Err(error) => {
                    tracing::warn!(cause = %error, "a connection was not accepted");
                    tokio::time::sleep(Duration::from_millis(100)).await;
                    continue;
                }
            };
            let Some(guest) = guests.enter(peer.ip()) else {
                continue;
            };
            let (tls, desk) = (self.tls.clone(), Arc::clone(&self.desk));
            tokio::spawn(async move {
                if let Err(error) = connection(stream, tls, &desk).await {
                    tracing::debug!(cause = %error, "a connection ended");
                }
                drop((guest, place));
            });
        }
    }
}

async fn connection(stream: TcpStream, tls: Option<TlsAcceptor>, desk: &Arc<WitnessDesk>) -> std::io::Result<()> {
    match tls {
        None => requests(stream, desk).await,
        Some(tls) => {
            let stream = tokio::time::timeout(WAIT, tls.accept(stream)).await??;
            requests(stream, desk).await
        }
    }
}

/// Answers the requests of a connection, one after the other.
async fn requests(mut stream: impl AsyncRead + AsyncWrite + Unpin, desk: &Arc<WitnessDesk>) -> std::io::Result<()> {
    let mut came = Vec::new();
    loop {
        let read = tokio::time::timeout(WAIT, request(&mut stream, &mut came)).await?;
        let (answer, is_last) = match read? {
            Asked::Nothing => return Ok(()),
            Asked::Wrong(status) => ((status, TEXT, "this is no request for a witness\n".to_owned()), true),
            Asked::Body(body, is_last) => {
                let (desk, now_s) = (Arc::clone(desk), Clock::System.now_ms() / 1000);
                let judged = tokio::task::spawn_blocking(move || {
                    desk.answer(&body, u64::try_from(now_s).unwrap_or_default()).http()
                });
                (judged.await.map_err(std::io::Error::other)?, is_last)
            }
        };
        tracing::info!(http.status = answer.0, "answered");
        tokio::time::timeout(WAIT, stream.write_all(written(&answer, is_last).as_bytes())).await??;
        if is_last {
            return tokio::time::timeout(WAIT, stream.shutdown()).await?;
        }
    }
}

const TEXT: &str = "text/plain; charset=utf-8";

fn written((status, media_type, body): &(u16, &str, String), is_last: bool) -> String {
    let word = match status {
        200 => "OK",
        400..=499 => "Refused",
        _ => "Failed",
    };
    let close = if is_last { "Connection: close\r\n" } else { "" };
    format!(
        "HTTP/1.1 {status} {word}\r\nContent-Type: {media_type}\r\nContent-Length: {}\r\n{close}\r\n{body}",
        body.len()
    )
}

/// What a client asks.
#[derive(Debug, PartialEq, Eq)]
enum Asked {
    /// Nothing more: it has ended the connection.
    Nothing,
    /// To confirm the checkpoint of this body; and whether it is the last request of the connection.
    Body(Vec<u8>, bool),
    /// Something else; the connection ends.
    Wrong(u16),
}

/// Reads a request; `came` has what was read beyond it.
async fn request(stream: &mut (impl AsyncRead + Unpin), came: &mut Vec<u8>) -> std::io::Result<Asked> {
    let end = loop {
        if let Some(end) = came.windows(4).position(|four| four == b"\r\n\r\n") {
            break end;
        }
        if came.len() > HEAD_MOST {
            return Ok(Asked::Wrong(431));
        }
        if stream.read_buf(came).await? == 0 {
            return match came.is_empty() {
                true => Ok(Asked::Nothing),
                false => Err(ErrorKind::UnexpectedEof.into()),
            };
        }
    };
    let (length, is_last) = match head(&came[..end]) {
        Ok(head) => head,
        Err(status) => return Ok(Asked::Wrong(status)),
    };
    let whole = end + 4 + length;
    while came.len() < whole {
        if stream.read_buf(came).await? == 0 {
            return Err(ErrorKind::UnexpectedEof.into());
        }
    }
    let body = came[end + 4..whole].to_vec();
    came.drain(..whole);
    Ok(Asked::Body(body, is_last))
}

/// The length of the body that follows a head, and whether the client ends the connection after it; else the status of the refusal.
fn head(bytes: &[u8]) -> Result<(usize, bool), u16> {
    let text = std::str::from_utf8(bytes).map_err(|_| 400_u16)?;
    let mut lines = text.split("\r\n");
    let mut words = lines.next().unwrap_or_default().split(' ');
    let (method, path, version) = (words.next(), words.next(), words.next());
    if !matches!(version, Some("HTTP/1.1" | "HTTP/1.0")) || words.next().is_some() {
        return Err(400);
    }
    if path != Some("/add-checkpoint") {
        return Err(404);
    }
    if method != Some("POST") {
        return Err(405);
    }
    let (mut length, mut is_last) = (None, version == Some("HTTP/1.0"));
    for line in lines {
        let (name, value) = line.split_once(':').ok_or(400_u16)?;
        let value = value.trim();
        match name.to_ascii_lowercase().as_str() {
            "content-length" if length.is_none() => {
                let is_number = value.bytes().all(|byte| byte.is_ascii_digit());
                length = Some(value.parse::<usize>().ok().filter(|_| is_number).ok_or(400_u16)?);
            }
            // Two lengths, or a body that says itself where it ends.
            "content-length" | "transfer-encoding" => return Err(400),
            "connection" => is_last |= value.eq_ignore_ascii_case("close"),
            _ => {}
        }
    }
    match length {
        None => Err(411),
        Some(length) if length > BODY_MOST => Err(413),
        Some(length) => Ok((length, is_last)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::witness::files::{WitnessFiles, WitnessStart};
    use tokio::net::TcpSocket;

    #[test]
    fn only_a_small_plain_post_to_the_one_address_is_read() {
        let of = |text: &str| head(text.as_bytes());
        let good = "POST /add-checkpoint HTTP/1.1\r\nHost: w\r\nContent-Length: 7";
        assert_eq!(of(good), Ok((7, false)));
        assert_eq!(of(&format!("{good}\r\nConnection: Close")), Ok((7, true)));
        for (text, status) in [
            ("", 400),
            ("POST /add-checkpoint", 400),
            ("POST /add-checkpoint HTTP/2", 400),
            ("GET /add-checkpoint HTTP/1.1", 405),
            ("POST /checkpoint HTTP/1.1", 404),
            ("POST /add-checkpoint HTTP/1.1\r\nHost: w", 411),
            ("POST /add-checkpoint HTTP/1.1\r\nContent-Length: +7", 400),
            ("POST /add-checkpoint HTTP/1.1\r\nContent-Length: 16385", 413),
            (
                "POST /add-checkpoint HTTP/1.1\r\nContent-Length: 7\r\nTransfer-Encoding: chunked",
                400,
            ),
            (
                "POST /add-checkpoint HTTP/1.1\r\nContent-Length: 7\r\ncontent-length: 8",
                400,
            ),
            ("POST /add-checkpoint HTTP/1.1\r\nnonsense", 400),
        ] {
            assert_eq!(of(text), Err(status), "{text:?}");
        }
    }

    #[tokio::test]
    async fn t_b06_silent_connections_of_one_address_do_not_keep_others_out() {
        let folder = tempfile::tempdir().expect("a folder");
        let files = WitnessFiles::take(folder.path()).expect("a folder");
        let start = WitnessStart {
            name: Some("witness.example/w1"),
            new_key: false,
        };
        let desk = WitnessDesk::open(files, start, Vec::new()).expect("a witness");
        let here = SocketAddr::from(([127, 0, 0, 1], 0));
        let server = WitnessServer::listen(here, None, desk).await.expect("listens");
        let at = server.listener.local_addr().expect("an address");
        let asks = async {
            let mut silent = Vec::new();
            for _ in 0..2 * CONNECTIONS {
                let socket = TcpSocket::new_v4().expect("a socket");
                socket
                    .bind(SocketAddr::from(([127, 0, 0, 2], 0)))
                    .expect("another address");
                silent.push(socket.connect(at).await.expect("connects"));
            }
            let mut other = TcpStream::connect(at).await.expect("connects");
            other.write_all(b"GET / HTTP/1.1\r\n\r\n").await.expect("asked");
            let mut answer = Vec::new();
            let read = tokio::time::timeout(WAIT * 9 / 10, other.read_to_end(&mut answer)).await;
            read.expect("in time").expect("an answer");
            assert!(answer.starts_with(b"HTTP/1.1 404"));
        };
        tokio::select! {
            () = server.serve() => {}
            () = asks => {}
        }
    }

    #[tokio::test]
    async fn two_requests_that_come_at_once_are_two() {
        let one = b"POST /add-checkpoint HTTP/1.1\r\nContent-Length: 3\r\n\r\nabc";
        let mut both: &[u8] = &[one.as_slice(), one].concat();
        let mut came = Vec::new();
        for _ in 0..2 {
            let asked = request(&mut both, &mut came).await.expect("read");
            assert_eq!(asked, Asked::Body(b"abc".to_vec(), false));
        }
        assert_eq!(request(&mut both, &mut came).await.expect("read"), Asked::Nothing);
        let mut cut: &[u8] = &one[..one.len() - 1];
        assert!(request(&mut cut, &mut came).await.is_err());
        let mut long: &[u8] = &[b'x'; 2 * HEAD_MOST];
        assert_eq!(
            request(&mut long, &mut Vec::new()).await.expect("read"),
            Asked::Wrong(431)
        );
    }
}
