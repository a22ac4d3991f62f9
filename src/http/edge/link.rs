//! One connection, as its stream and the ring around its requests share it.

use super::pace::Pace;
use super::table::{Edge, Place};
use super::turns::Due;
use crate::security::PeerCertificate;
use std::cell::{Cell, OnceCell, RefCell};
use std::task::Waker;
use std::time::Instant;

/// One connection. It lives on one thread; handlers find it as connection data.
pub struct Link {
    /// How long its peer is waited for.
    pub(super) pace: Pace,
    /// Its place among all connections.
    pub(super) place: Place,
    /// What may still come of the request that is answered.
    pub(super) due: Cell<Due>,
    /// Whether the peer has yet to take what was written for it.
    pub(super) is_backlogged: Cell<bool>,
    /// Who waits for the next request's turn.
    waits: RefCell<Option<Waker>>,
    certificate: OnceCell<PeerCertificate>,
    /// The partner whose certificate it showed while that partner's share of connections was full.
    beyond: OnceCell<String>,
    by_certificate: Cell<bool>,
}

impl Link {
    pub(super) fn new(edge: &Edge, place: Place) -> Link {
        let limits = edge.limits();
        Link {
            pace: Pace::new(limits.head, limits.keep_alive),
            place,
            due: Cell::default(),
            is_backlogged: Cell::new(false),
            waits: RefCell::new(None),
            certificate: OnceCell::new(),
            beyond: OnceCell::new(),
            by_certificate: Cell::new(false),
        }
    }

    /// The handshake showed this certificate, and it is this partner's.
    pub(super) fn showed(&self, certificate: Option<PeerCertificate>, partner: Option<String>) {
        if let Some(certificate) = certificate {
            let _ = self.certificate.set(certificate);
        }
        match partner {
            Some(partner) if !self.place.is_partner() => drop(self.beyond.set(partner)),
            partner => self.by_certificate.set(partner.is_some()),
        }
    }

    /// A request began, and this of it may still come.
    pub(super) fn begun(&self, due: Due) {
        self.pace.begun();
        self.due.set(due);
    }

    /// A request's answer has ended.
    pub(super) fn ended(&self) {
        self.pace.ended(Instant::now());
        self.wake();
    }

    /// Whether the peer has yet to take what was written.
    pub(super) fn backlog(&self, is_backlogged: bool) {
        if self.is_backlogged.replace(is_backlogged) && !is_backlogged {
            self.wake();
        }
    }

    /// Wakes this task when the next request may come.
    pub(super) fn wait(&self, task: &Waker) {
        *self.waits.borrow_mut() = Some(task.clone());
    }

    fn wake(&self) {
        if let Some(task) = self.waits.borrow_mut().take() {
            task.wake();
        }
    }

    /// The client certificate.
    pub fn certificate(&self) -> Option<&PeerCertificate> {
        self.certificate.get()
    }

    /// Whether it is a partner's connection beyond the share of that partner. One that was takes a place that has become free.
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

    /// What it showed was refused as no longer valid. What a certificate proved stays, until the certificate is refused.
    pub(super) fn disprove(&self, was_certificate: bool) {
        if was_certificate || !self.by_certificate.get() {
            self.place.disprove();
        }
    }
}
