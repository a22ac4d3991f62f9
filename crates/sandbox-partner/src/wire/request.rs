//! Reading one request: a head of at most 32 KiB, then a body by length or in chunks.

use super::query::{decoded, pairs};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};

const HEAD_BYTES: usize = 32 * 1024;
const BODY_BYTES: usize = 16 * 1024 * 1024;

/// A request as it came.
#[derive(Clone, Debug, Default)]
pub(crate) struct PlayedRequest {
    /// The method.
    pub(crate) method: String,
    /// Path and query, as sent.
    pub(crate) target: String,
    /// The path, decoded.
    pub(crate) path: String,
    /// The query; for a form at `_search` its fields as well.
    pub(crate) query: Vec<(String, String)>,
    /// The headers; names in lower case.
    pub(crate) headers: Vec<(String, String)>,
    /// The body.
    pub(crate) body: Vec<u8>,
    /// Whether the client wants to send another on the same connection.
    pub(crate) keep_alive: bool,
}

impl PlayedRequest {
    /// The first header of this name, which is given in lower case.
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers
            .iter()
            .find(|(given, _)| given == name)
            .map(|(_, value)| value.as_str())
    }

    /// The first query parameter of this name.
    pub(crate) fn param(&self, name: &str) -> Option<&str> {
        self.query
            .iter()
            .find(|(given, _)| given == name)
            .map(|(_, value)| value.as_str())
    }

    /// Whether the body is a form.
    pub(crate) fn is_form(&self) -> bool {
        self.header("content-type").is_some_and(|media| {
            media
                .split(';')
                .next()
                .unwrap_or("")
                .trim()
                .eq_ignore_ascii_case("application/x-www-form-urlencoded")
        })
    }
}

/// Why no request was read.
#[derive(Debug)]
pub(crate) enum ReadEnd {
    /// The client closed the connection.
    Closed,
    /// What came is no request, or too large; the status that says so.
    Refused(u16),
}

fn closed<E>(_: E) -> ReadEnd {
    ReadEnd::Closed
}

/// Reads the next request. `left` holds what was read beyond the last one.
pub(crate) async fn read<S>(stream: &mut S, left: &mut Vec<u8>) -> Result<PlayedRequest, ReadEnd>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let end = loop {
        match find(left, b"\r\n\r\n") {
            Some(at) if at <= HEAD_BYTES => break at,
            None if left.len() <= HEAD_BYTES => {}
            _ => return Err(ReadEnd::Refused(431)),
        }
        more(stream, left).await?;
    };
    let head: Vec<u8> = left.drain(..end + 4).collect();
    let head = std::str::from_utf8(&head[..end]).map_err(|_| ReadEnd::Refused(400))?;
    let mut request = parse(head).ok_or(ReadEnd::Refused(400))?;
    if request
        .header("expect")
        .is_some_and(|expect| expect.eq_ignore_ascii_case("100-continue"))
    {
        stream
            .write_all(b"HTTP/1.1 100 Continue\r\n\r\n")
            .await
            .map_err(closed)?;
        stream.flush().await.map_err(closed)?;
    }
    let chunked = request
        .header("transfer-encoding")
        .map(|coding| coding.eq_ignore_ascii_case("chunked"));
    request.body = match (chunked, request.header("content-length")) {
        (Some(true), None) => chunks(stream, left).await?,
        (None, None) => Vec::new(),
        (None, Some(length)) => {
            let length: usize = length.parse().map_err(|_| ReadEnd::Refused(400))?;
            exactly(stream, left, length).await?
        }
        _ => return Err(ReadEnd::Refused(400)),
    };
    if request.is_form() && request.path.ends_with("/_search") {
        request.query.extend(pairs(&String::from_utf8_lossy(&request.body)));
    }
    Ok(request)
}

fn parse(head: &str) -> Option<PlayedRequest> {
    let mut lines = head.split("\r\n");
    let mut first = lines.next()?.split(' ');
    let (method, target, version) = (first.next()?, first.next()?, first.next()?);
    if first.next().is_some() || !target.starts_with('/') || !version.starts_with("HTTP/1.") {
        return None;
    }
    let header = |line: &str| {
        let (name, value) = line.split_once(':')?;
        Some((name.to_ascii_lowercase(), value.trim().to_owned()))
    };
    let headers: Vec<(String, String)> = lines.map(header).collect::<Option<_>>()?;
    let (path, query) = target.split_once('?').unwrap_or((target, ""));
    let closes = headers
        .iter()
        .any(|(name, value)| name == "connection" && value.eq_ignore_ascii_case("close"));
    Some(PlayedRequest {
        method: method.to_owned(),
        target: target.to_owned(),
        path: decoded(path, false),
        query: pairs(query),
        keep_alive: !closes && version != "HTTP/1.0",
        headers,
        body: Vec::new(),
    })
}

fn find(bytes: &[u8], what: &[u8]) -> Option<usize> {
    bytes.windows(what.len()).position(|window| window == what)
}

async fn more<S: AsyncRead + Unpin>(stream: &mut S, left: &mut Vec<u8>) -> Result<(), ReadEnd> {
    let mut piece = [0; 8192];
    match stream.read(&mut piece).await.map_err(closed)? {
        0 => Err(ReadEnd::Closed),
        count => {
            left.extend_from_slice(&piece[..count]);
            Ok(())
        }
    }
}

async fn exactly<S: AsyncRead + Unpin>(stream: &mut S, left: &mut Vec<u8>, length: usize) -> Result<Vec<u8>, ReadEnd> {
    if length > BODY_BYTES {
        return Err(ReadEnd::Refused(413));
    }
    while left.len() < length {
        more(stream, left).await?;
    }
    Ok(left.drain(..length).collect())
}

async fn line<S: AsyncRead + Unpin>(stream: &mut S, left: &mut Vec<u8>) -> Result<String, ReadEnd> {
    loop {
        if let Some(at) = find(left, b"\r\n") {
            let line: Vec<u8> = left.drain(..at + 2).collect();
            return String::from_utf8(line[..at].to_vec()).map_err(|_| ReadEnd::Refused(400));
        }
        if left.len() > HEAD_BYTES {
            return Err(ReadEnd::Refused(400));
        }
        more(stream, left).await?;
    }
}

async fn chunks<S: AsyncRead + Unpin>(stream: &mut S, left: &mut Vec<u8>) -> Result<Vec<u8>, ReadEnd> {
    let mut body = Vec::new();
    loop {
        let size = line(stream, left).await?;
        let size = size.split(';').next().unwrap_or("").trim();
        let size = usize::from_str_radix(size, 16).map_err(|_| ReadEnd::Refused(400))?;
        if size == 0 {
            while !line(stream, left).await?.is_empty() {}
            return Ok(body);
        }
        if body.len().saturating_add(size) > BODY_BYTES {
            return Err(ReadEnd::Refused(413));
        }
        body.extend(exactly(stream, left, size).await?);
        line(stream, left).await?;
    }
}
