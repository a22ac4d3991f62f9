//! How an answer goes out: whole, slowly, in part, or broken.

use super::reply::{PlayedReply, ReplyBody};
use std::time::Duration;
use tokio::io::{AsyncWrite, AsyncWriteExt as _};

/// How a body is sent.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) enum SendManner {
    /// As HTTP wants it.
    #[default]
    Plain,
    /// In pieces of so many bytes, with a pause after each.
    Drip(usize, Duration),
    /// After so many bytes nothing more comes.
    Stall(u64),
    /// After so many bytes the connection is closed.
    Truncate(u64),
    /// The same, but the HTTP message is complete.
    Cut(u64),
    /// After so many bytes the connection is reset.
    Reset(u64),
    /// A chunk length that is no number.
    BadChunk,
    /// A status line that is none.
    BadHead,
}

/// What happens to the connection afterwards.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum AfterSend {
    /// It serves another request.
    Keep,
    /// It is closed in order.
    Close,
    /// It is reset.
    Reset,
    /// It stays open, and nothing is sent on it.
    Hang,
}

/// Sends `reply` and returns the bytes of the body that went out, and what happens to the connection.
pub(crate) async fn send<S: AsyncWrite + Unpin>(
    stream: &mut S,
    reply: PlayedReply,
    delivery: &SendManner,
    keep: bool,
    head_only: bool,
) -> (u64, AfterSend) {
    let mut sent = 0;
    let closing = match sending(stream, reply, delivery, keep, head_only, &mut sent).await {
        Ok(closing) => closing,
        Err(_) => AfterSend::Close,
    };
    (sent, closing)
}

async fn sending<S: AsyncWrite + Unpin>(
    stream: &mut S,
    mut reply: PlayedReply,
    delivery: &SendManner,
    keep: bool,
    head_only: bool,
    sent: &mut u64,
) -> std::io::Result<AfterSend> {
    let end = if keep { AfterSend::Keep } else { AfterSend::Close };
    if *delivery == SendManner::BadHead {
        stream.write_all(b"HTTQ/9 yes\r\nnot a header\r\n\r\n").await?;
        stream.flush().await?;
        return Ok(AfterSend::Close);
    }
    if let SendManner::Cut(bytes) = delivery {
        reply.body = ReplyBody::Whole(first(reply.body, *bytes));
    }
    let chunked = *delivery == SendManner::BadChunk || matches!(reply.body, ReplyBody::Pieces(_));
    stream.write_all(head(&reply, chunked, keep).as_bytes()).await?;
    if head_only || bodiless(reply.status) {
        stream.flush().await?;
        return Ok(end);
    }
    let (whole, pieces) = match reply.body {
        ReplyBody::Whole(bytes) => (bytes.len() as u64, Box::new(std::iter::once(bytes)) as Box<_>),
        ReplyBody::Pieces(pieces) => (u64::MAX, pieces),
    };
    // A body that would be complete is cut by at least a byte, so that truncation is always seen.
    let limit = match *delivery {
        SendManner::Truncate(bytes) | SendManner::Reset(bytes) | SendManner::Stall(bytes) => {
            bytes.min(whole.saturating_sub(1))
        }
        _ => u64::MAX,
    };
    for piece in pieces {
        let left = usize::try_from(limit - *sent).unwrap_or(usize::MAX);
        let piece = &piece[..piece.len().min(left)];
        let (size, pause) = match *delivery {
            SendManner::Drip(size, pause) => (size.max(1), Some(pause)),
            _ => (piece.len().max(1), None),
        };
        for part in piece.chunks(size) {
            write(stream, part, chunked).await?;
            *sent += part.len() as u64;
            if let Some(pause) = pause {
                stream.flush().await?;
                tokio::time::sleep(pause).await;
            }
        }
        if *sent >= limit || *delivery == SendManner::BadChunk {
            break;
        }
    }
    stream.flush().await?;
    Ok(match delivery {
        SendManner::BadChunk => {
            stream.write_all(b"zz\r\nnot a length\r\n").await?;
            stream.flush().await?;
            AfterSend::Close
        }
        SendManner::Truncate(_) => AfterSend::Close,
        SendManner::Reset(_) => AfterSend::Reset,
        SendManner::Stall(_) => AfterSend::Hang,
        _ => {
            if chunked {
                stream.write_all(b"0\r\n\r\n").await?;
            }
            stream.flush().await?;
            end
        }
    })
}

/// The first bytes of a body.
fn first(body: ReplyBody, bytes: u64) -> Vec<u8> {
    let bytes = usize::try_from(bytes).unwrap_or(usize::MAX);
    let mut kept = Vec::new();
    match body {
        ReplyBody::Whole(whole) => kept = whole,
        ReplyBody::Pieces(pieces) => {
            for piece in pieces {
                kept.extend(piece);
                if kept.len() >= bytes {
                    break;
                }
            }
        }
    }
    kept.truncate(bytes);
    kept
}

/// Whether an answer of this status has no body (RFC 9110 section 15).
fn bodiless(status: u16) -> bool {
    matches!(status, 204 | 304)
}

fn head(reply: &PlayedReply, chunked: bool, keep: bool) -> String {
    let mut head = format!("HTTP/1.1 {} {}\r\n", reply.status, reason(reply.status));
    for (name, value) in &reply.headers {
        head.push_str(&format!("{name}: {value}\r\n"));
    }
    match &reply.body {
        _ if bodiless(reply.status) => {}
        ReplyBody::Whole(bytes) if !chunked => head.push_str(&format!("Content-Length: {}\r\n", bytes.len())),
        _ => head.push_str("Transfer-Encoding: chunked\r\n"),
    }
    head.push_str(if keep { "\r\n" } else { "Connection: close\r\n\r\n" });
    head
}

async fn write<S: AsyncWrite + Unpin>(stream: &mut S, part: &[u8], chunked: bool) -> std::io::Result<()> {
    if !chunked {
        return stream.write_all(part).await;
    }
    if part.is_empty() {
        return Ok(()); // An empty chunk would end the body.
    }
    stream.write_all(format!("{:x}\r\n", part.len()).as_bytes()).await?;
    stream.write_all(part).await?;
    stream.write_all(b"\r\n").await
}

fn reason(status: u16) -> &'static str {
    match status {
        200 => "OK",
        201 => "Created",
        202 => "Accepted",
        204 => "No Content",
        300..=399 => "Elsewhere",
        400 => "Bad Request",
        401 => "Unauthorized",
        403 => "Forbidden",
        404 => "Not Found",
        410 => "Gone",
        412 => "Precondition Failed",
        422 => "Unprocessable Content",
        429 => "Too Many Requests",
        500 => "Internal Server Error",
        502 => "Bad Gateway",
        503 => "Service Unavailable",
        504 => "Gateway Timeout",
        _ => "Status",
    }
}
