//! The socket of one connection, which cuts off a peer that is too slow. It is below TLS, so that it sees how many bytes the peer really
//! sent and took.
//!
//! When the peer exceeds a deadline, the next read or write fails; the HTTP library then drops the connection and the work for it. A timer
//! wakes the connection's task at the deadline.

use super::link::ClientConnection;
use super::pace::Slow;
use crate::telemetry::metrics as families;
use futures_util::FutureExt as _;
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};
use tokio::io::{AsyncRead, AsyncWrite, Interest, ReadBuf};
use tokio::net::TcpStream;
use tokio::time::Sleep;

/// Period over which a reader's rate is measured.
const WINDOW: Duration = Duration::from_secs(10);
/// Bytes that the kernel keeps unsent for a peer that does not take them. A reader's rate is measured in steps of this size.
const UNSENT_BYTES: u32 = 64 * 1024;

/// The bytes that a reader took since the start of the period.
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
    link: Rc<ClientConnection>,
    /// Bytes that a reader must take in one period.
    least: usize,
    window: Option<Window>,
    timer: Option<(Instant, Pin<Box<Sleep>>)>,
}

/// Keeps the part of an answer that a slow peer has not taken in this process, where it can still be dropped, instead of megabytes of it in
/// the kernel, which would report free room only in steps of a third of them. The bytes in flight are not limited by this.
fn keep_unsent(socket: &TcpStream) {
    #[cfg(target_os = "linux")]
    if let Err(error) = socket2::SockRef::from(socket).set_tcp_notsent_lowat(UNSENT_BYTES) {
        tracing::debug!(cause = %error, "the kernel keeps more of an answer");
    }
    #[cfg(not(target_os = "linux"))]
    let _ = (socket, UNSENT_BYTES);
}

impl Watched {
    /// Watches `socket` for `link`. The peer must take `least_per_second` bytes a second while bytes wait for it.
    pub fn new(socket: TcpStream, link: Rc<ClientConnection>, least_per_second: usize) -> Watched {
        let _ = socket.set_nodelay(true);
        keep_unsent(&socket);
        Watched {
            socket,
            link,
            least: least_per_second.saturating_mul(usize::try_from(WINDOW.as_secs()).unwrap_or(1)),
            window: None,
            timer: None,
        }
    }

    /// The connection.
    pub fn link(&self) -> &Rc<ClientConnection> {
        &self.link
    }

    /// Whether the peer has closed its side, even when there are unread bytes before that.
    pub fn is_closed(&self) -> bool {
        let ready = self.socket.ready(Interest::READABLE).now_or_never();
        ready.and_then(Result::ok).is_some_and(|ready| ready.is_read_closed())
    }

    /// Fails when the peer has been too slow; otherwise sets the timer for the next check.
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
        // A timer that fires earlier is left alone; it is set again when it fires.
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
            // Bytes that the peer has not taken are dropped with the connection.
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
            Poll::Ready(Ok(())) if buffer.filled().len() > before => self.link.came(buffer.filled().len() - before)?,
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

    /// TLS flushes after it has written everything, so the reader has kept up.
    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let done = Pin::new(&mut self.socket).poll_flush(context);
        if done.is_ready() {
            self.window = None;
            self.link.backlog(false);
            // After an answer, no other call checks the deadline before the next byte comes.
            self.look(context)?;
        }
        done
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.socket).poll_shutdown(context)
    }
}
