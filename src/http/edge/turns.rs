//! One request at a time: what a client sends behind a request waits, outside the HTTP library, until the answer has been taken.
//!
//! The library reads on while it answers, and makes a request of ten kilobytes of memory of every thirty bytes that look like
//! one; and it goes on answering a client that reads nothing, when the answers are short. So it is given one head at a time, and
//! its body. This stands above TLS; the head's end is looked for, nothing else is understood.

use super::stream::Watched;
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};
use std::time::Instant;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio_rustls::server::TlsStream;

/// Bytes that are taken from TLS at once.
const HELD_BYTES: usize = 8 * 1024;

/// What a client may still send of the request that is answered.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Due {
    /// Nothing.
    #[default]
    Nothing,
    /// So many bytes.
    Bytes(u64),
    /// A body in chunks.
    Chunks(Chunks),
}

impl Due {
    /// How many of these bytes are due; they no longer are.
    fn pass(&mut self, bytes: &[u8]) -> usize {
        match self {
            Due::Nothing => 0,
            Due::Bytes(left) => {
                let passed = bytes.len().min(usize::try_from(*left).unwrap_or(usize::MAX));
                *left -= passed as u64;
                if *left == 0 {
                    *self = Due::Nothing;
                }
                passed
            }
            Due::Chunks(chunks) => {
                let (passed, ended) = chunks.pass(bytes);
                if ended {
                    *self = Due::Nothing;
                }
                passed
            }
        }
    }
}

/// A connection as the HTTP library reads it.
pub struct Turns {
    stream: TlsStream<Watched>,
    /// Empty while nothing is held: thousands of connections wait for bytes that do not come.
    held: Box<[u8]>,
    from: usize,
    to: usize,
    /// How much of the end of a head was handed on.
    ending: Ending,
    /// Something was handed on that the library must look at before it gets more.
    pauses: bool,
}

impl Turns {
    /// A connection that is set up.
    pub fn new(stream: TlsStream<Watched>) -> Turns {
        Turns {
            stream,
            held: Box::default(),
            from: 0,
            to: 0,
            ending: Ending::default(),
            pauses: false,
        }
    }

    /// The connection below TLS.
    pub fn watched(&self) -> &Watched {
        self.stream.get_ref().0
    }

    /// Fills what is held when it is empty; true at the end of the stream.
    fn poll_fill(&mut self, context: &mut Context<'_>) -> Poll<io::Result<bool>> {
        if self.from < self.to {
            return Poll::Ready(Ok(false));
        }
        if self.held.is_empty() {
            self.held = vec![0; HELD_BYTES].into_boxed_slice();
        }
        let mut buffer = ReadBuf::new(&mut self.held);
        match Pin::new(&mut self.stream).poll_read(context, &mut buffer) {
            Poll::Ready(Ok(())) => {
                (self.from, self.to) = (0, buffer.filled().len());
                Poll::Ready(Ok(self.to == 0))
            }
            Poll::Ready(Err(error)) => Poll::Ready(Err(error)),
            Poll::Pending => {
                self.held = Box::default();
                Poll::Pending
            }
        }
    }

    /// How many of the held bytes may be handed on now, `room` at most.
    fn may(&mut self, room: usize) -> usize {
        let link = Rc::clone(self.watched().link());
        let most = (self.to - self.from).min(room);
        let held = &self.held[self.from..self.from + most];
        let is_busy = link.pace.is_busy();
        if !is_busy {
            if link.is_backlogged.get() {
                return 0;
            }
            // A head, or the rest of a body that nobody wanted, which has the time of a head.
            link.pace.came(Instant::now());
        }
        let mut due = link.due.get();
        let passed = due.pass(held);
        link.due.set(due);
        if is_busy || passed > 0 {
            return passed;
        }
        let (passed, ended) = self.ending.pass(held);
        self.pauses = ended;
        passed
    }
}

/// Finds the end of a head, which is an empty line; a bare line feed ends a line as well, as it does for the HTTP library.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Ending {
    /// The line so far is empty.
    at_line_start: bool,
}

impl Ending {
    /// How many of these bytes belong to the head, and whether it ends with them.
    fn pass(&mut self, bytes: &[u8]) -> (usize, bool) {
        for (at, byte) in bytes.iter().enumerate() {
            match byte {
                b'\n' if self.at_line_start => {
                    self.at_line_start = false;
                    return (at + 1, true);
                }
                b'\n' => self.at_line_start = true,
                b'\r' => {}
                _ => self.at_line_start = false,
            }
        }
        (bytes.len(), false)
    }
}

/// Finds the end of a body in chunks (RFC 9112 section 7.1). What is no such body is for the HTTP library to refuse.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Chunks {
    /// The size of a chunk, as far as it was read; what follows it on its line is passed over.
    Size(u64, bool),
    /// So many bytes of a chunk are left.
    Data(u64),
    /// The end of the line behind a chunk.
    After,
    /// The lines behind the last chunk.
    Trailer(Ending),
}

impl Default for Chunks {
    fn default() -> Self {
        Chunks::Size(0, true)
    }
}

impl Chunks {
    /// How many of these bytes belong to the body, and whether it ends with them.
    fn pass(&mut self, bytes: &[u8]) -> (usize, bool) {
        let mut at = 0;
        while let Some(byte) = bytes.get(at) {
            match self {
                Chunks::Size(0, _) if *byte == b'\n' => *self = Chunks::Trailer(Ending { at_line_start: true }),
                Chunks::Size(size, _) if *byte == b'\n' => *self = Chunks::Data(*size),
                Chunks::Size(size, is_number) => match char::from(*byte).to_digit(16).filter(|_| *is_number) {
                    Some(digit) => *size = size.saturating_mul(16).saturating_add(u64::from(digit)),
                    None => *is_number = false,
                },
                Chunks::Data(left) => {
                    let here = (bytes.len() - at).min(usize::try_from(*left).unwrap_or(usize::MAX));
                    *left -= here as u64;
                    at += here;
                    if *left == 0 {
                        *self = Chunks::After;
                    }
                    continue;
                }
                Chunks::After if *byte == b'\n' => *self = Chunks::default(),
                Chunks::After => {}
                Chunks::Trailer(ending) => {
                    let (passed, ended) = ending.pass(&bytes[at..]);
                    return (at + passed, ended);
                }
            }
            at += 1;
        }
        (at, false)
    }
}

impl AsyncRead for Turns {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        match self.poll_fill(context)? {
            Poll::Pending => {
                self.pauses = false;
                return Poll::Pending;
            }
            Poll::Ready(true) => return Poll::Ready(Ok(())),
            Poll::Ready(false) => {}
        }
        if std::mem::take(&mut self.pauses) {
            // The library looks at what it has, and reads again.
            context.waker().wake_by_ref();
            return Poll::Pending;
        }
        let bytes = self.may(buffer.remaining());
        if bytes == 0 {
            self.watched().link().wait(context.waker());
            return Poll::Pending;
        }
        let (from, to) = (self.from, self.from + bytes);
        buffer.put_slice(&self.held[from..to]);
        self.from = to;
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Turns {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(context, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(context, bytes)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn t_b07_a_head_ends_with_an_empty_line_wherever_it_is_cut() {
        for (bytes, heads) in [
            (
                "GET / HTTP/1.1\r\nhost: a\r\n\r\nGET /b HTTP/1.1\r\n\r\nGET",
                vec![27, 19, 3],
            ),
            ("GET / HTTP/1.1\nhost: a\n\nGET", vec![24, 3]),
            ("GET / HTTP/1.1\n\r\nGET", vec![17, 3]),
            ("\r\n\r\nGET / HTTP/1.1\r\n\r\n", vec![4, 18]),
        ] {
            for piece in 1..bytes.len() {
                let (mut ending, mut found, mut so_far) = (Ending::default(), Vec::new(), 0);
                let mut rest = bytes.as_bytes();
                while !rest.is_empty() {
                    let (passed, ended) = ending.pass(&rest[..piece.min(rest.len())]);
                    so_far += passed;
                    if ended {
                        found.push(std::mem::take(&mut so_far));
                    }
                    rest = &rest[passed..];
                }
                found.extend((so_far > 0).then_some(so_far));
                assert_eq!(found, heads, "{bytes:?} in pieces of {piece}");
            }
        }
    }

    #[test]
    fn t_b07_a_body_in_chunks_ends_where_it_ends_wherever_it_is_cut() {
        for (body, behind) in [
            ("5\r\nhello\r\n0\r\n\r\n", "GET / HTTP/1.1\r\n\r\n"),
            ("5;x=0\r\n\n\n\n\n\n\r\n0\r\nx-a: b\r\n\r\n", "GET"),
            ("0\r\n\r\n", "\r\n"),
            ("1\n{\n0\n\n", "x"),
            ("10\r\n0123456789abcdef\r\n00\r\n\r\n", "0"),
        ] {
            let all = format!("{body}{behind}");
            for piece in 1..=all.len() {
                let (mut due, mut passed) = (Due::Chunks(Chunks::default()), 0);
                while passed < all.len() && due != Due::Nothing {
                    let end = all.len().min(passed + piece);
                    passed += due.pass(&all.as_bytes()[passed..end]);
                }
                assert_eq!(
                    (passed, due),
                    (body.len(), Due::Nothing),
                    "{body:?} in pieces of {piece}"
                );
            }
        }
        let mut due = Due::Bytes(7);
        assert_eq!((due.pass(b"hello"), due), (5, Due::Bytes(2)));
        assert_eq!((due.pass(b"hello"), due), (2, Due::Nothing));
        assert_eq!(due.pass(b"hello"), 0);
    }
}
