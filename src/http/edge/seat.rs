//! The place of one request among the requests in flight, as a stranger's or a partner's.
//!
//! A request without a body takes its place at once; a request with a body takes it when the body has arrived. A request with a token takes
//! a stranger's place only when the token turns out to be no partner's.

use super::link::ClientConnection;
use super::queue::Queued;
use super::table::{Charged, Errand, StrangerInFlight};
use crate::error::Fault;
use crate::http::limits::{HeldRoom, HeldShare, InFlight, PartnerRoom, ROOM_WAIT, RequestLimits};
use actix_web::{HttpMessage as _, HttpRequest};
use std::cell::{Cell, RefCell};
use std::rc::Rc;
use tokio::time::Instant;

/// A rate that a request went beyond.
#[derive(Clone, Copy, PartialEq, Eq)]
enum BeyondRate {
    /// That of its partner.
    Partner,
    /// That of all strangers together.
    Strangers,
}

/// Bytes for a stranger's answer that are counted before the work begins, so that a small answer, such as the token endpoint's, is not lost
/// for lack of room after the work.
const ANSWER_BYTES: usize = 4 * 1024;

/// The place of a request; `None` in tests that call handlers directly.
pub fn seat_of(request: &HttpRequest) -> Option<Rc<Seat>> {
    request.extensions().get::<Rc<Seat>>().cloned()
}

/// The places that a request holds while it is worked on.
#[derive(Default)]
struct Places {
    stranger: Option<StrangerInFlight>,
    partners: Option<InFlight>,
    partner: Option<HeldShare>,
}

/// The place of one request.
pub struct Seat {
    link: Rc<ClientConnection>,
    limits: RequestLimits,
    /// Whether the body has not arrived yet.
    awaits_body: Cell<bool>,
    /// What the request was taken from, as a stranger's.
    charged: Cell<Option<Charged>>,
    /// Whether the request was taken from its partner's rate.
    is_paced: Cell<bool>,
    /// Whether the disk of the store is nearly full.
    is_scarce: bool,
    beyond: Cell<Option<BeyondRate>>,
    partner: RefCell<Option<String>>,
    places: RefCell<Places>,
    work_since: Cell<Option<Instant>>,
    /// The part of its partner's room that its answer takes.
    held: RefCell<Option<HeldRoom>>,
    /// The room for a stranger's answer.
    room: RefCell<Option<Queued>>,
}

impl Seat {
    pub(super) fn new(link: Rc<ClientConnection>, limits: RequestLimits, has_body: bool, is_scarce: bool) -> Seat {
        Seat {
            link,
            limits,
            awaits_body: Cell::new(has_body),
            charged: Cell::new(None),
            is_paced: Cell::new(false),
            is_scarce,
            beyond: Cell::new(None),
            partner: RefCell::new(None),
            places: RefCell::default(),
            work_since: Cell::new(None),
            held: RefCell::new(None),
            room: RefCell::new(None),
        }
    }

    /// Checks the rates before the request may take its place. `has_token`: the request may turn out to be a partner's.
    ///
    /// # Errors
    /// [`Fault::RateLimited`] beyond a partner's rate or its share of connections, [`Fault::AddressLimited`] beyond the rate of a stranger's
    /// address, [`Fault::Overloaded`] beyond that of all strangers.
    pub fn asks(&self, has_token: bool) -> Result<(), Fault> {
        if self.link.is_beyond_share() {
            return Err(Fault::RateLimited);
        }
        if let Some(partner) = self.link.place.partner() {
            return self.paces(&partner);
        }
        let charged = self.link.place.asks(has_token).inspect_err(|fault| {
            if *fault == Fault::Overloaded {
                self.beyond.set(Some(BeyondRate::Strangers));
            }
        })?;
        self.charged.set(Some(charged));
        Ok(())
    }

    /// Takes the request from its partner's rate, once.
    fn paces(&self, partner: &str) -> Result<(), Fault> {
        if self.is_paced.replace(true) {
            return Ok(());
        }
        let asked = self.asks_once_more(partner);
        asked.inspect_err(|_| self.beyond.set(Some(BeyondRate::Partner)))
    }

    fn asks_once_more(&self, partner: &str) -> Result<(), Fault> {
        self.limits.asks(partner, self.is_scarce, Instant::now().into_std())
    }

    /// Takes an entry of a batch from the rate of the partner that sent it.
    ///
    /// # Errors
    /// [`Fault::RateLimited`] when the rate is used up.
    pub fn asks_for_entry(&self) -> Result<(), Fault> {
        match self.partner.borrow().as_deref() {
            Some(partner) => self.asks_once_more(partner),
            None => Ok(()),
        }
    }

    /// Whether the connection ends with the refusal for this fault of a request that reached no route. A partner that asks too fast keeps
    /// its connection, because a new one costs more than its refusals.
    pub fn ends_with(&self, fault: Fault) -> bool {
        match self.beyond.get() {
            Some(BeyondRate::Partner) => false,
            Some(BeyondRate::Strangers) => true,
            None => fault != Fault::Overloaded,
        }
    }

    /// A place for checking a stranger's token; `None` when the connection is a partner's already, and nothing has to be checked.
    ///
    /// # Errors
    /// [`Fault::AddressLimited`] beyond the share of the address, [`Fault::Overloaded`] when there is no place left.
    pub fn shows_token(&self) -> Result<Option<StrangerInFlight>, Fault> {
        match self.link.place.is_partner() {
            true => Ok(None),
            false => self.link.place.enter(Errand::Token).map(Some),
        }
    }

    /// Takes the request's place, unless its body has not arrived yet.
    ///
    /// # Errors
    /// [`Fault::AddressLimited`] beyond the share of a stranger's address, [`Fault::RateLimited`] beyond a partner's,
    /// [`Fault::Overloaded`] when there is no place left.
    pub fn enter(&self) -> Result<(), Fault> {
        match self.awaits_body.get() {
            true => Ok(()),
            false => self.works(),
        }
    }

    fn works(&self) -> Result<(), Fault> {
        self.work_since.set(Some(Instant::now()));
        let mut places = self.places.borrow_mut();
        if !self.link.place.is_partner() {
            places.stranger = Some(self.link.place.enter(Errand::Work)?);
            let mut room = self.queue();
            if !room.grow(ANSWER_BYTES) {
                return Err(Fault::Overloaded);
            }
            *self.room.borrow_mut() = Some(room);
        } else if places.partners.is_none() {
            places.partners = Some(self.limits.enter()?);
        }
        if let Some(partner) = self.partner.borrow().as_deref()
            && places.partner.is_none()
        {
            places.partner = Some(self.limits.enter_partner(partner)?);
        }
        Ok(())
    }

    /// Notes that the whole body has arrived; the request takes its place.
    ///
    /// # Errors
    /// As [`Self::enter`].
    pub fn body_came(&self) -> Result<(), Fault> {
        match self.awaits_body.replace(false) {
            true => self.works(),
            false => Ok(()),
        }
    }

    /// Notes that the request's token is valid and belongs to this partner: from now on the connection and the request are the partner's.
    ///
    /// # Errors
    /// [`Fault::RateLimited`] when this partner asks too fast or has too many requests in flight, [`Fault::Overloaded`] when all partners together have.
    pub fn is_of(&self, partner: &str) -> Result<(), Fault> {
        let is_partner = self.link.place.prove(partner);
        self.link.is_seen();
        *self.partner.borrow_mut() = Some(partner.to_owned());
        self.paces(partner)?;
        if self.awaits_body.get() {
            return Ok(());
        }
        let mut places = self.places.borrow_mut();
        if is_partner && places.partners.is_none() {
            places.partners = Some(self.limits.enter()?);
            places.stranger = None;
        }
        if places.partner.is_none() {
            places.partner = Some(self.limits.enter_partner(partner)?);
        }
        Ok(())
    }

    /// Whether it has to be looked at again whose connection this is, because it has shown nothing for a while.
    pub fn is_stale(&self) -> bool {
        self.link.is_stale()
    }

    /// Notes that the connection is still its partner's.
    pub fn is_standing(&self) {
        self.link.is_seen();
    }

    /// The room for answers of the partner that sent this request.
    pub fn partners_room(&self) -> Option<PartnerRoom> {
        self.partner
            .borrow()
            .as_deref()
            .map(|partner| self.limits.room(partner))
    }

    /// Waits until there is room for another answer to this partner, and takes `bytes` of it until the answer is known.
    ///
    /// # Errors
    /// As [`PartnerRoom::enter`].
    pub async fn waits_for_room(&self, bytes: usize) -> Result<(), Fault> {
        let Some(room) = self.partners_room() else {
            return Ok(());
        };
        // What was taken before is part of it: nothing is held while this waits.
        *self.held.borrow_mut() = None;
        let held = room.enter(bytes, ROOM_WAIT).await?;
        *self.held.borrow_mut() = Some(held);
        Ok(())
    }

    /// Counts the bytes of an answer that waits in memory to be put into another form.
    pub fn keeps(&self, bytes: usize) {
        let mut held = self.held.borrow_mut();
        match &mut *held {
            Some(held) => held.resize(bytes),
            None => *held = self.partners_room().map(|room| room.take(bytes)),
        }
    }

    /// The room that a partner's answer of this size takes until the returned value is dropped.
    pub(super) fn holds(&self, bytes: usize) -> Option<HeldRoom> {
        let mut held = self.held.borrow_mut().take()?;
        held.resize(bytes);
        Some(held)
    }

    /// Notes that the client got a token, which proves that this partner is at its address.
    pub fn got_token(&self, partner: &str) {
        self.link.place.prove_address(partner);
    }

    /// Notes a fault of the answer: what the connection showed before may no longer be valid, or its body was too slow.
    pub fn is_refused(&self, fault: Fault) {
        match fault {
            Fault::CertificateUnknown => self.link.disprove(true),
            Fault::PartnerSuspended => self.link.place.is_suspended(),
            Fault::TokenMissing | Fault::TokenInvalid | Fault::CertificateNeeded => self.link.disprove(false),
            Fault::RequestTimeout => self.link.hurry(),
            _ => {}
        }
    }

    /// Since when the request is worked on: from its head on, or from the end of its body; `None` while the body has not arrived.
    pub fn work_since(&self) -> Option<Instant> {
        self.work_since.get()
    }

    /// A count for bytes of this request that wait in memory.
    pub fn queue(&self) -> Queued {
        self.link.place.queue()
    }

    /// The room for the answer: the bytes that were counted before the work, if they were.
    pub(super) fn room(&self) -> Queued {
        self.room.borrow_mut().take().unwrap_or_else(|| self.queue())
    }

    /// Whether the connection is not known to be a partner's.
    pub fn is_strangers(&self) -> bool {
        !self.link.place.is_partner()
    }

    /// Releases the places when the work is done. A request that was a partner's is given back to the rate of its address.
    pub(super) fn leave(&self) {
        *self.places.borrow_mut() = Places::default();
        if self.link.place.is_partner()
            && let Some(charged) = self.charged.take()
        {
            self.link.place.unasks(charged);
        }
    }
}
