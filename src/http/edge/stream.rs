//! The socket of one connection, which cuts off a peer that is too slow. It stands below TLS, so that it sees what the peer
//! really sent and took.
//!
//! A peer that waits too long makes the next read or write fail; the HTTP library then drops the connection and with it the
//! work for it. A timer wakes the connection's task for that.

use super::link::Link;
use super::pace::Slow;
use crate::telemetry::metrics as families;
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::time::Sleep;

/// Time over which a reader's rate is measured.
const WINDOW: Duration = Duration::from_secs(10);
/// Bytes that the kernel keeps unsent for a peer that does not take them. It is also how finely a reader's rate is seen.
const UNSENT_BYTES: u32 = 64 * 1024;

/// What a reader took while we wait for it.
struct Window {
    ends: Instant,
    bytes: usize,
}

impl Window {
    fn from(now: Instant) -> Window {
        Window {
            ends: now + WINDOW,
            bytes: 0,
        }
    }
}

/// A watched socket.
pub struct Watched {
    socket: TcpStream,
    link: Rc<Link>,
    /// Bytes that a reader must take in a window.
    least: usize,
    window: Option<Window>,
    timer: Option<(Instant, Pin<Box<Sleep>>)>,
}

impl Watched {
    /// Watches `socket` for `link`, whose peer must take `least_per_second` bytes a second while we wait for it.
    pub fn new(socket: TcpStream, link: Rc<Link>, least_per_second: usize) -> Watched {
        let _ = socket.set_nodelay(true);
        // Without it the kernel takes megabytes for a peer that reads nothing, and tells of room in steps of a third of them.
        let _ = socket2::SockRef::from(&socket).set_tcp_notsent_lowat(UNSENT_BYTES);
        Watched {
            socket,
            link,
            least: least_per_second.saturating_mul(usize::try_from(WINDOW.as_secs()).unwrap_or(1)),
            window: None,
            timer: None,
        }
    }

    /// The connection.
    pub fn link(&self) -> &Rc<Link> {
        &self.link
    }

    /// Fails when the peer has been too slow; else sees to it that the task looks again in time.
    fn look(&mut self, context: &mut Context<'_>) -> io::Result<()> {
        let now = Instant::now();
        if let Some(window) = &mut self.window
            && now >= window.ends
        {
            if window.bytes < self.least {
                return Err(self.cut(Slow::Reader));
            }
            *window = Window::from(now);
        }
        let waits = self.link.pace.deadline();
        if let Some((until, slow)) = waits
            && now >= until
        {
            return Err(self.cut(slow));
        }
        let reader = self.window.as_ref().map(|window| window.ends);
        let Some(next) = waits.map(|(until, _)| until).into_iter().chain(reader).min() else {
            return Ok(());
        };
        // One that is set for earlier is left: it fires, and is set anew.
        let (at, timer) = self
            .timer
            .get_or_insert_with(|| (next, Box::pin(tokio::time::sleep_until(next.into()))));
        if *at > next || timer.as_mut().poll(context).is_ready() {
            *at = next;
            timer.as_mut().reset(next.into());
            if timer.as_mut().poll(context).is_ready() {
                context.waker().wake_by_ref();
            }
        }
        Ok(())
    }

    fn cut(&self, slow: Slow) -> io::Error {
        metrics::counter!(families::SLOW_PEERS, "reason" => slow.word()).increment(1);
        if slow == Slow::Reader {
            // What it has not taken is thrown away with the connection.
            let _ = self.socket.set_zero_linger();
        }
        io::ErrorKind::TimedOut.into()
    }

    fn wrote(&mut self, done: Poll<io::Result<usize>>, context: &mut Context<'_>) -> Poll<io::Result<usize>> {
        match &done {
            Poll::Ready(Ok(bytes)) => {
                if let Some(window) = &mut self.window {
                    window.bytes = window.bytes.saturating_add(*bytes);
                }
            }
            Poll::Ready(Err(_)) => {}
            Poll::Pending => {
                self.window.get_or_insert_with(|| Window::from(Instant::now()));
                self.link.backlog(true);
                self.look(context)?;
            }
        }
        done
    }
}

impl AsyncRead for Watched {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        let done = Pin::new(&mut self.socket).poll_read(context, buffer);
        match &done {
            Poll::Ready(Ok(())) if buffer.filled().len() > before => self.link.pace.came(Instant::now()),
            Poll::Ready(_) => {}
            Poll::Pending => self.look(context)?,
        }
        done
    }
}

impl AsyncWrite for Watched {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let done = Pin::new(&mut self.socket).poll_write(context, bytes);
        self.wrote(done, context)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let done = Pin::new(&mut self.socket).poll_write_vectored(context, bytes);
        self.wrote(done, context)
    }

    fn is_write_vectored(&self) -> bool {
        self.socket.is_write_vectored()
    }

    /// TLS flushes when it has written all it had: the reader has kept up.
    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let done = Pin::new(&mut self.socket).poll_flush(context);
        if done.is_ready() {
            self.window = None;
            self.link.backlog(false);
            // After an answer nothing else may look before the next byte comes.
            self.look(context)?;
        }
        done
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.socket).poll_shutdown(context)
    }
}
