//! HTTP/1.1 over mutual TLS for the loader: one connection, one request at a time, with as little work as possible.
//!
//! It reads only `content-length` and chunked bodies. It exists because an HTTP client library would use more processor time than the
//! server that it tests.

use crate::error::{Failure, Fault};
use rustls::ClientConfig;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use std::io::{Error, ErrorKind};
use std::net::SocketAddr;
use std::sync::Arc;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

/// Largest head of an answer, and the size of one read; bytes.
const BUFFER_BYTES: usize = 128 * 1024;

/// The address to connect to, and the client's identity.
#[derive(Clone)]
pub(super) struct BenchTarget {
    tls: Arc<ClientConfig>,
    address: SocketAddr,
}

impl BenchTarget {
    /// A server at `address` whose certificate is issued by one of `trust_pem`, and the client's own certificate.
    ///
    /// # Errors
    /// [`Fault::ConfigInvalid`] when a certificate or key cannot be used.
    pub(super) fn new(
        address: SocketAddr,
        trust_pem: &str,
        chain_pem: &str,
        key_pem: &str,
    ) -> Result<BenchTarget, Failure> {
        let unusable = |error: String| Failure::new(Fault::ConfigInvalid).at("certificate").because(error);
        let certificates = |pem: &str| {
            CertificateDer::pem_slice_iter(pem.as_bytes())
                .collect::<Result<Vec<_>, _>>()
                .map_err(|error| unusable(error.to_string()))
        };
        let mut roots = rustls::RootCertStore::empty();
        for certificate in certificates(trust_pem)? {
            roots.add(certificate).map_err(|error| unusable(error.to_string()))?;
        }
        let key = PrivateKeyDer::from_pem_slice(key_pem.as_bytes()).map_err(|error| unusable(error.to_string()))?;
        let tls = ClientConfig::builder()
            .with_root_certificates(roots)
            .with_client_auth_cert(certificates(chain_pem)?, key)
            .map_err(|error| unusable(error.to_string()))?;
        Ok(BenchTarget {
            tls: Arc::new(tls),
            address,
        })
    }

    /// A new connection.
    ///
    /// # Errors
    /// Those of the network and of TLS.
    pub(super) async fn connect(&self) -> Result<Connection, Error> {
        let stream = TcpStream::connect(self.address).await?;
        stream.set_nodelay(true)?;
        let name = ServerName::try_from("localhost").map_err(|error| Error::new(ErrorKind::InvalidInput, error))?;
        let stream = TlsConnector::from(Arc::clone(&self.tls)).connect(name, stream).await?;
        Ok(Connection {
            stream,
            buffer: vec![0; BUFFER_BYTES],
            start: 0,
            end: 0,
            location: None,
        })
    }
}

/// One answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct BenchAnswer {
    pub(super) status: u16,
    pub(super) bytes: u64,
}

/// A persistent connection.
pub(super) struct Connection {
    stream: TlsStream<TcpStream>,
    buffer: Vec<u8>,
    start: usize,
    end: usize,
    /// The `content-location` of the last answer.
    pub(super) location: Option<String>,
}

impl Connection {
    /// Sends the whole `request`, and passes the body of the answer to `sink` as it arrives.
    ///
    /// # Errors
    /// Those of the connection; `InvalidData` for an answer in an unsupported form.
    pub(super) async fn exchange(
        &mut self,
        request: &[u8],
        sink: &mut (impl FnMut(&[u8]) + ?Sized),
    ) -> Result<BenchAnswer, Error> {
        self.stream.write_all(request).await?;
        self.stream.flush().await?;
        let (head_end, head) = self.head().await?;
        self.start += head_end;
        let bytes = match head.body {
            Body::Length(length) => {
                self.take(length, sink).await?;
                length
            }
            Body::Chunked => self.chunks(sink).await?,
        };
        Ok(BenchAnswer {
            status: head.status,
            bytes,
        })
    }

    async fn head(&mut self) -> Result<(usize, Head), Error> {
        loop {
            let here = &self.buffer[self.start..self.end];
            if let Some(length) = find(here, b"\r\n\r\n") {
                let head = Head::parse(&here[..length]).ok_or_else(unknown_form)?;
                self.location = location(&here[..length]);
                return Ok((length + 4, head));
            }
            self.fill().await?;
        }
    }

    async fn chunks(&mut self, sink: &mut (impl FnMut(&[u8]) + ?Sized)) -> Result<u64, Error> {
        let mut total = 0;
        loop {
            let size = loop {
                let here = &self.buffer[self.start..self.end];
                if let Some(length) = find(here, b"\r\n") {
                    let text = std::str::from_utf8(&here[..length]).unwrap_or("");
                    let size = u64::from_str_radix(text.split(';').next().unwrap_or("").trim(), 16)
                        .map_err(|_| unknown_form())?;
                    self.start += length + 2;
                    break size;
                }
                self.fill().await?;
            };
            self.take(size, sink).await?;
            self.take(2, &mut |_: &[u8]| {}).await?;
            if size == 0 {
                return Ok(total);
            }
            total += size;
        }
    }

    async fn take(&mut self, bytes: u64, sink: &mut (impl FnMut(&[u8]) + ?Sized)) -> Result<(), Error> {
        let mut left = bytes;
        while left > 0 {
            if self.start == self.end {
                self.fill().await?;
            }
            let here = (self.end - self.start).min(usize::try_from(left).unwrap_or(usize::MAX));
            sink(&self.buffer[self.start..self.start + here]);
            self.start += here;
            left -= here as u64;
        }
        Ok(())
    }

    async fn fill(&mut self) -> Result<(), Error> {
        if self.start == self.end {
            (self.start, self.end) = (0, 0);
        } else if self.end == self.buffer.len() {
            if self.start == 0 {
                return Err(unknown_form());
            }
            self.buffer.copy_within(self.start..self.end, 0);
            (self.start, self.end) = (0, self.end - self.start);
        }
        let read = self.stream.read(&mut self.buffer[self.end..]).await?;
        if read == 0 {
            return Err(ErrorKind::UnexpectedEof.into());
        }
        self.end += read;
        Ok(())
    }
}

fn unknown_form() -> Error {
    Error::new(ErrorKind::InvalidData, "an answer in no form the loader knows")
}

fn find(here: &[u8], what: &[u8]) -> Option<usize> {
    here.windows(what.len()).position(|window| window == what)
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Body {
    Length(u64),
    Chunked,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Head {
    status: u16,
    body: Body,
}

impl Head {
    fn parse(bytes: &[u8]) -> Option<Head> {
        let text = std::str::from_utf8(bytes).ok()?;
        let mut lines = text.split("\r\n");
        let status = lines.next()?.strip_prefix("HTTP/1.1 ")?.get(..3)?.parse().ok()?;
        let mut body = Body::Length(0);
        for line in lines {
            let (name, value) = line.split_once(':')?;
            if name.eq_ignore_ascii_case("content-length") {
                body = Body::Length(value.trim().parse().ok()?);
            } else if name.eq_ignore_ascii_case("transfer-encoding") {
                body = Body::Chunked;
            }
        }
        Some(Head { status, body })
    }
}

/// The `content-location` of a head.
fn location(head: &[u8]) -> Option<String> {
    let mut lines = std::str::from_utf8(head).ok()?.split("\r\n").skip(1);
    lines.find_map(|line| {
        let (name, value) = line.split_once(':')?;
        name.eq_ignore_ascii_case("content-location")
            .then(|| value.trim().to_owned())
    })
}

/// A request for `path` with these header lines, each with its line end, and this body.
pub(super) fn request(method: &str, path: &str, headers: &str, body: &[u8]) -> Vec<u8> {
    let length = if body.is_empty() {
        String::new()
    } else {
        format!("content-length: {}\r\n", body.len())
    };
    let mut bytes = format!("{method} {path} HTTP/1.1\r\nhost: localhost\r\n{headers}{length}\r\n").into_bytes();
    bytes.extend_from_slice(body);
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn heads_tell_how_the_body_comes() {
        let head = |text: &str| Head::parse(text.as_bytes());
        assert_eq!(
            head("HTTP/1.1 200 OK\r\nContent-Length: 17"),
            Some(Head {
                status: 200,
                body: Body::Length(17)
            })
        );
        assert_eq!(
            head("HTTP/1.1 422 X\r\ntransfer-encoding: chunked"),
            Some(Head {
                status: 422,
                body: Body::Chunked
            })
        );
        assert_eq!(
            head("HTTP/1.1 204 No Content"),
            Some(Head {
                status: 204,
                body: Body::Length(0)
            })
        );
        for bad in [
            "",
            "HTTP/2 200",
            "HTTP/1.1 2x0",
            "HTTP/1.1 200 OK\r\nno colon",
            "HTTP/1.1 200 OK\r\ncontent-length: x",
        ] {
            assert_eq!(head(bad), None, "{bad}");
        }
    }

    #[test]
    fn a_head_tells_where_the_status_is() {
        let head = b"HTTP/1.1 202 Accepted\r\ncontent-length: 0\r\nContent-Location: https://h:1/fhir/jobs/a";
        assert_eq!(location(head).as_deref(), Some("https://h:1/fhir/jobs/a"));
        assert_eq!(location(b"HTTP/1.1 202 Accepted"), None);
    }

    #[test]
    fn a_request_carries_its_length() {
        let text = String::from_utf8(request("POST", "/a", "x: y\r\n", b"12345")).expect("utf-8");
        assert_eq!(
            text,
            "POST /a HTTP/1.1\r\nhost: localhost\r\nx: y\r\ncontent-length: 5\r\n\r\n12345"
        );
        assert!(!String::from_utf8_lossy(&request("GET", "/a", "", b"")).contains("content-length"));
    }
}
