//! The state of one connection, shared by its stream and by the middleware around its requests.

use super::due::DueBytes;
use super::pace::Pace;
use super::table::{ConnectionPlace, Edge};
use crate::security::PeerCertificate;
use std::cell::{Cell, OnceCell, RefCell};
use std::io;
use std::task::Waker;
use std::time::{Duration, Instant};

/// Longest ClientHello that is accepted; clients send two to four thousand bytes.
const HELLO_BYTES: usize = 32 * 1024;
/// Most that the body of one request of a stranger may cost, also one that nobody reads: what more comes of it ends the connection. A body
/// that is used has at most 1 MiB; what is beyond that lets a client that still sends get its answer.
const STRANGERS_BODY: usize = 2 * 1024 * 1024;
/// The same for a partner: this many times the largest ordinary body, twice the largest body of a bulk match, and at least so many bytes. A partner's body that is refused is
/// read up to 32 MiB, so that the partner gets its 413; the rest is for the framing of its chunks.
const PARTNERS_TIMES: usize = 40;
const PARTNERS_LEAST: usize = 40 * 1024 * 1024;
/// How long a connection that shows no token is taken for its partner's without another look.
const STANDING: Duration = Duration::from_secs(10);

/// One connection. It stays on one thread; handlers get it as connection data.
pub struct ClientConnection {
    /// Deadlines for the peer.
    pub(super) pace: Pace,
    /// Its place among all connections.
    pub(super) place: ConnectionPlace,
    /// What the peer may still send of the request that is being answered.
    due: Cell<DueBytes>,
    /// What the body of that request has cost so far.
    cost: Cell<usize>,
    /// Most that a body of a partner's may cost.
    partners_body: usize,
    /// Whether the peer has not yet taken everything that was written for it.
    pub(super) is_backlogged: Cell<bool>,
    /// The task that waits until the next request may be read.
    waits: RefCell<Option<Waker>>,
    certificate: OnceCell<PeerCertificate>,
    /// The partner whose certificate was shown while that partner's share of connections was full.
    beyond: OnceCell<String>,
    by_certificate: Cell<bool>,
    /// When it was last seen that the connection is a partner's.
    seen: Cell<Instant>,
    /// Bytes that may still arrive before the ClientHello is complete; `None` after that.
    hello_left: Cell<Option<usize>>,
    /// Whether the peer was too slow, so that the connection ends with the answer that says so.
    hurries: Cell<bool>,
}

impl ClientConnection {
    pub(super) fn new(edge: &Edge, place: ConnectionPlace) -> ClientConnection {
        let limits = edge.limits();
        ClientConnection {
            pace: Pace::new(limits.head, limits.keep_alive),
            place,
            due: Cell::default(),
            cost: Cell::new(0),
            partners_body: limits
                .body_bytes
                .saturating_mul(PARTNERS_TIMES)
                .max(limits.large_body_bytes.saturating_mul(2))
                .max(PARTNERS_LEAST),
            is_backlogged: Cell::new(false),
            waits: RefCell::new(None),
            certificate: OnceCell::new(),
            beyond: OnceCell::new(),
            by_certificate: Cell::new(false),
            seen: Cell::new(Instant::now()),
            hello_left: Cell::new(Some(HELLO_BYTES)),
            hurries: Cell::new(false),
        }
    }

    /// Notes that bytes came from the peer.
    ///
    /// # Errors
    /// `InvalidData` for a ClientHello that is too long.
    pub(super) fn came(&self, bytes: usize) -> io::Result<()> {
        if let Some(left) = self.hello_left.get() {
            let left = left.checked_sub(bytes).ok_or(io::ErrorKind::InvalidData)?;
            self.hello_left.set(Some(left));
        }
        self.pace.came(Instant::now());
        Ok(())
    }

    /// Notes that the ClientHello is complete.
    pub(super) fn greeted(&self) {
        self.hello_left.set(None);
    }

    /// Notes the certificate that the handshake showed, and the partner that owns it.
    pub(super) fn showed(&self, certificate: Option<PeerCertificate>, partner: Option<String>) {
        if let Some(certificate) = certificate {
            let _ = self.certificate.set(certificate);
        }
        match partner {
            Some(partner) if !self.place.is_partner() => drop(self.beyond.set(partner)),
            partner => self.by_certificate.set(partner.is_some()),
        }
    }

    /// Notes that a request began; `due` is what may still come of it.
    pub(super) fn begun(&self, due: DueBytes) {
        self.pace.begun();
        self.due.set(due);
        self.cost.set(0);
    }

    /// How many of these bytes belong to the request that is being answered, or was answered before its body ended.
    ///
    /// # Errors
    /// `InvalidData` when the body costs more than it may.
    pub(super) fn passes(&self, bytes: &[u8]) -> io::Result<usize> {
        let mut due = self.due.get();
        let (passed, cost) = due.pass(bytes);
        self.due.set(due);
        self.cost.set(self.cost.get().saturating_add(cost));
        let most = if self.place.is_partner() {
            self.partners_body
        } else {
            STRANGERS_BODY
        };
        match self.cost.get() > most {
            true => Err(io::ErrorKind::InvalidData.into()),
            false => Ok(passed),
        }
    }

    /// Whether more may come of the last request.
    pub(super) fn is_due(&self) -> bool {
        self.due.get() != DueBytes::Nothing
    }

    /// Notes that a request's answer has ended. The rest of its body may take as long as a head, or only a short time when the body was too
    /// slow.
    pub(super) fn ended(&self) {
        let now = Instant::now();
        self.pace.ended(now);
        if self.is_due() {
            self.pace.rests(now, self.hurries.get());
        }
        self.wake();
    }

    /// Notes that the peer was too slow with the request that is being answered.
    pub(super) fn hurry(&self) {
        self.hurries.set(true);
    }

    /// Notes whether the peer has not yet taken everything that was written.
    pub(super) fn backlog(&self, is_backlogged: bool) {
        if self.is_backlogged.replace(is_backlogged) && !is_backlogged {
            self.wake();
        }
    }

    /// Has this task woken when the next request may be read.
    pub(super) fn wait(&self, task: &Waker) {
        *self.waits.borrow_mut() = Some(task.clone());
    }

    fn wake(&self) {
        if let Some(task) = self.waits.borrow_mut().take() {
            task.wake();
        }
    }

    /// The client certificate, if one was shown.
    pub fn certificate(&self) -> Option<&PeerCertificate> {
        self.certificate.get()
    }

    /// Whether this is a partner's connection beyond that partner's share. If a place has become free, the connection takes it.
    pub fn is_beyond_share(&self) -> bool {
        match self.beyond.get() {
            None => false,
            Some(partner) => {
                let is_in = self.place.prove(partner);
                self.by_certificate.set(is_in);
                !is_in
            }
        }
    }

    /// Notes that the connection was just seen to be a partner's.
    pub(super) fn is_seen(&self) {
        self.seen.set(Instant::now());
    }

    /// Whether the connection is a partner's, and that was last seen too long ago.
    pub(super) fn is_stale(&self) -> bool {
        self.place.is_partner() && self.seen.get().elapsed() >= STANDING
    }

    /// Notes that the certificate or token was refused as no longer valid. A connection that was proven by its certificate stays the
    /// partner's until that certificate is refused.
    pub(super) fn disprove(&self, was_certificate: bool) {
        if was_certificate || !self.by_certificate.get() {
            self.place.disprove();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Config;
    use std::net::IpAddr;

    #[test]
    fn t_b07_a_partners_refused_body_is_read_far_enough_for_its_413() {
        let edge = Edge::new(Config::load(None, []).expect("defaults").limits);
        let read = |partner: Option<&str>| {
            let place = edge.admit(Some(IpAddr::from([10, 0, 0, 1]))).expect("room");
            assert!(partner.is_none_or(|partner| place.prove(partner)));
            let link = ClientConnection::new(&edge, place);
            link.begun(DueBytes::Bytes(1 << 30));
            let piece = vec![b'x'; 1024 * 1024];
            (0..100).take_while(|_| link.passes(&piece).is_ok()).count()
        };
        assert_eq!(read(None), 2, "of a stranger");
        assert_eq!(read(Some("partner")), 40, "32 MiB, and what chunks cost");
    }
}
