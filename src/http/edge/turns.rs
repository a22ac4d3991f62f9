//! Passes one request at a time to the HTTP library: bytes that a client sends after a request wait here until its answer has been taken.
//!
//! The library reads on while it answers, and allocates ten kilobytes for every thirty bytes that look like a request. It also keeps
//! answering a client that reads nothing while the answers are short. So it gets one head at a time, with its body. It also looks at a
//! whole head anew for every piece of it, so it gets a head when the head is whole, or in pieces as large as what is held here. This layer
//! is above TLS; it looks only for the end of the head and the body, and drops empty lines before a head.
//!
//! It also passes on and takes a limited number of bytes in one turn of the connection's task, so that a fast client keeps no other waiting
//! and the library's buffer stays small.
//!
//! Bytes that wait here do not hide the end of the connection: when a client is gone, this is noticed while its request is worked on.

use super::due::NextHead;
use super::ring::STRANGERS_BYTES;
use super::stream::Watched;
use crate::store::company::OthersAsking;
use std::cell::Cell;
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::Sleep;
use tokio_rustls::server::TlsStream;

/// Most bytes that are read from TLS at once and that wait here.
const HELD_BYTES: usize = 8 * 1024;
/// Most bytes that TLS keeps for a partner that does not take them, and for a stranger, of whom there may be thousands.
const PARTNERS_UNSENT: usize = 64 * 1024;
const STRANGERS_UNSENT: usize = STRANGERS_BYTES;
/// Most bytes of a body that are passed on before other connections have their turn. The library's buffer starts with 8 KiB, grows when
/// less than 1 KiB of it is free, and never becomes smaller.
const TURN_IN: usize = 7 * 1024;
/// Bytes of an answer after which other connections have their turn.
const TURN_OUT: usize = 32 * 1024;
/// The same while all requests that come are of one partner: it waits for itself.
const LONG_TURN_OUT: usize = 128 * 1024;
/// Time between checks of whether the client is still connected while no more bytes are read from it.
const LOOK: Duration = Duration::from_secs(1);

thread_local! {
    /// The buffer that a connection of this thread gave back last: it is needed for a moment, with each request.
    static SPARE: Cell<Option<Box<[u8]>>> = const { Cell::new(None) };
}

/// A connection as the HTTP library reads it.
pub struct PipelinedStream {
    stream: TlsStream<Watched>,
    company: OthersAsking,
    /// Whether the limit of what TLS keeps is that of a partner.
    is_partners: bool,
    /// Not allocated while nothing is held, because thousands of connections may wait for bytes.
    held: Box<[u8]>,
    from: usize,
    to: usize,
    /// What is known of the next head.
    head: NextHead,
    /// Bytes were passed on that the library must process before it gets more.
    pauses: bool,
    /// Bytes of a body that were passed on in this turn.
    passed: usize,
    /// Bytes that were written in this turn.
    written: usize,
    /// The next check of whether the client is still connected, while no more bytes are read.
    look: Option<Pin<Box<Sleep>>>,
}

impl PipelinedStream {
    /// Wraps a connection that is set up. `company` tells whether others ask.
    pub fn new(mut stream: TlsStream<Watched>, company: OthersAsking) -> PipelinedStream {
        let is_partners = stream.get_ref().0.link().place.is_partner();
        stream.get_mut().1.set_buffer_limit(Some(unsent(is_partners)));
        PipelinedStream {
            stream,
            company,
            is_partners,
            held: Box::default(),
            from: 0,
            to: 0,
            head: NextHead::default(),
            pauses: false,
            passed: 0,
            written: 0,
            look: None,
        }
    }

    /// The socket below TLS.
    pub fn watched(&self) -> &Watched {
        self.stream.get_ref().0
    }

    /// Sets the limit of what TLS keeps anew when the connection has become a partner's, by its token, or a stranger's again.
    fn follow(&mut self) {
        let is_partners = self.watched().link().place.is_partner();
        if std::mem::replace(&mut self.is_partners, is_partners) != is_partners {
            self.stream.get_mut().1.set_buffer_limit(Some(unsent(is_partners)));
        }
    }

    /// How many bytes may still be written in this turn; `None` when it is over. The task is then woken again behind those of other
    /// connections.
    fn left_of_turn(&mut self, context: &Context<'_>) -> Option<usize> {
        let may_be_long = self.is_partners && !self.company.is_there();
        let turn = if may_be_long { LONG_TURN_OUT } else { TURN_OUT };
        if self.written < turn {
            return Some(turn - self.written);
        }
        self.written = 0;
        self.company
            .came(&self.watched().link().place.partner().unwrap_or_default());
        context.waker().wake_by_ref();
        None
    }

    fn wrote(&mut self, done: &Poll<io::Result<usize>>) {
        if let Poll::Ready(Ok(bytes)) = done {
            self.written = self.written.saturating_add(*bytes);
        }
    }

    /// Reads bytes into the buffer when it is empty; returns true at the end of the stream.
    fn poll_fill(&mut self, context: &mut Context<'_>) -> Poll<io::Result<bool>> {
        if self.from < self.to {
            return Poll::Ready(Ok(false));
        }
        if self.held.is_empty() {
            self.held = SPARE.take().unwrap_or_else(|| vec![0; HELD_BYTES].into_boxed_slice());
        }
        let mut buffer = ReadBuf::new(&mut self.held);
        match Pin::new(&mut self.stream).poll_read(context, &mut buffer) {
            Poll::Ready(Ok(())) => {
                (self.from, self.to) = (0, buffer.filled().len());
                Poll::Ready(Ok(self.to == 0))
            }
            Poll::Ready(Err(error)) => Poll::Ready(Err(error)),
            Poll::Pending => {
                SPARE.set(Some(std::mem::take(&mut self.held)));
                Poll::Pending
            }
        }
    }

    /// Reads bytes behind the held ones, of which there must be fewer than fit; returns true at the end of the stream.
    fn poll_more(&mut self, context: &mut Context<'_>) -> Poll<io::Result<bool>> {
        if self.from > 0 {
            self.held.copy_within(self.from..self.to, 0);
            (self.from, self.to) = (0, self.to - self.from);
        }
        let mut buffer = ReadBuf::new(&mut self.held[self.to..]);
        std::task::ready!(Pin::new(&mut self.stream).poll_read(context, &mut buffer))?;
        let read = buffer.filled().len();
        self.to += read;
        Poll::Ready(Ok(read == 0))
    }

    /// Reads behind the held bytes to notice the end of the connection; returns true when it has ended.
    fn poll_gone(&mut self, context: &mut Context<'_>) -> Poll<io::Result<bool>> {
        while self.to - self.from < self.held.len() {
            if std::task::ready!(self.poll_more(context))? {
                return Poll::Ready(Ok(true));
            }
        }
        loop {
            if self.watched().is_closed() {
                return Poll::Ready(Ok(true));
            }
            let look = self.look.get_or_insert_with(|| Box::pin(tokio::time::sleep(LOOK)));
            std::task::ready!(look.as_mut().poll(context));
            self.look = None;
        }
    }

    /// What to do with the held bytes now, of which `room` may be passed on at most.
    ///
    /// # Errors
    /// `InvalidData` for too many empty lines before a head, and for a body that costs too much.
    fn next(&mut self, room: usize) -> io::Result<Next> {
        let link = Rc::clone(self.watched().link());
        let is_busy = link.pace.is_busy();
        if !is_busy && link.is_backlogged.get() {
            return Ok(Next::Wait);
        }
        let most = (self.to - self.from).min(room).min(TURN_IN - self.passed);
        let passed = link.passes(&self.held[self.from..self.from + most])?;
        if !is_busy {
            match passed > 0 && !link.is_due() {
                true => link.pace.rested(Instant::now()),
                // A new head, or the rest of a body that no handler read; both have the time limit of a head.
                false => link.pace.came(Instant::now()),
            }
        }
        match passed {
            0 if is_busy => Ok(Next::Wait),
            0 => self.next_of_head(room),
            _ => {
                self.passed += passed;
                self.pauses = self.passed >= TURN_IN;
                Ok(Next::Pass(passed))
            }
        }
    }

    fn next_of_head(&mut self, room: usize) -> io::Result<Next> {
        let skipped = self.head.skip(&self.held[self.from..self.to]);
        self.from += skipped.ok_or(io::ErrorKind::InvalidData)?;
        let held = &self.held[self.from..self.to];
        if !self.head.is_whole(held) && held.len() < self.held.len() {
            return Ok(Next::More);
        }
        let (taken, ended) = self.head.take(room);
        self.pauses = ended;
        Ok(Next::Pass(taken))
    }
}

/// What to do with the held bytes.
enum Next {
    /// Pass on this many.
    Pass(usize),
    /// Wait until an answer has been taken.
    Wait,
    /// Read more of a head.
    More,
}

fn unsent(is_partners: bool) -> usize {
    if is_partners { PARTNERS_UNSENT } else { STRANGERS_UNSENT }
}

impl AsyncRead for PipelinedStream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        match self.poll_fill(context)? {
            Poll::Pending => {
                (self.pauses, self.passed) = (false, 0);
                return Poll::Pending;
            }
            Poll::Ready(true) => return Poll::Ready(Ok(())),
            Poll::Ready(false) => {}
        }
        if std::mem::take(&mut self.pauses) {
            self.passed = 0;
            // The library processes what it has, and then reads again.
            context.waker().wake_by_ref();
            return Poll::Pending;
        }
        loop {
            match self.next(buffer.remaining())? {
                Next::Pass(bytes) => {
                    let (from, to) = (self.from, self.from + bytes);
                    buffer.put_slice(&self.held[from..to]);
                    self.from = to;
                    return Poll::Ready(Ok(()));
                }
                Next::Wait => {
                    self.watched().link().wait(context.waker());
                    return match self.poll_gone(context)? {
                        Poll::Ready(true) => Poll::Ready(Ok(())),
                        _ => Poll::Pending,
                    };
                }
                Next::More => {
                    let read = match self.from < self.to {
                        true => self.poll_more(context),
                        false => self.poll_fill(context),
                    };
                    if std::task::ready!(read)? {
                        return Poll::Ready(Ok(()));
                    }
                }
            }
        }
    }
}

impl AsyncWrite for PipelinedStream {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let Some(left) = self.left_of_turn(context) else {
            return Poll::Pending;
        };
        self.follow();
        let now = &bytes[..bytes.len().min(left)];
        let done = Pin::new(&mut self.stream).poll_write(context, now);
        self.wrote(&done);
        done
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        if self.left_of_turn(context).is_none() {
            return Poll::Pending;
        }
        self.follow();
        let done = Pin::new(&mut self.stream).poll_write_vectored(context, bytes);
        self.wrote(&done);
        done
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
#[path = "turns_tests.rs"]
mod tests;
