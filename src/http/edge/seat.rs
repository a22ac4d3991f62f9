//! The place of one request among those that are worked on: a stranger's or a partner's, and never for a head alone.
//!
//! A request without a body takes its place at once; one with a body takes it when the body is there.

use super::link::Link;
use super::queue::Queued;
use super::table::StrangerInFlight;
use crate::error::Fault;
use crate::http::limits::{Held, InFlight, Limits};
use std::cell::{Cell, RefCell};
use std::rc::Rc;
use tokio::time::Instant;

/// What a request holds while it is worked on.
#[derive(Default)]
struct Places {
    stranger: Option<StrangerInFlight>,
    partners: Option<InFlight>,
    partner: Option<Held>,
}

/// The place of one request.
pub struct Seat {
    link: Rc<Link>,
    limits: Limits,
    /// Whether its body is still to come.
    awaits_body: Cell<bool>,
    /// Whether it was taken of its address's rate.
    was_charged: Cell<bool>,
    partner: RefCell<Option<String>>,
    places: RefCell<Places>,
    work_since: Cell<Option<Instant>>,
}

impl Seat {
    pub(super) fn new(link: Rc<Link>, limits: Limits, has_body: bool) -> Seat {
        Seat {
            link,
            limits,
            awaits_body: Cell::new(has_body),
            was_charged: Cell::new(false),
            partner: RefCell::new(None),
            places: RefCell::default(),
            work_since: Cell::new(None),
        }
    }

    /// Lets the request in, or says why not. `has_token`: it may turn out to be a partner's.
    ///
    /// # Errors
    /// [`Fault::RateLimited`] beyond a partner's share of connections, [`Fault::AddressLimited`] beyond the rate or the share of a
    /// stranger's address, [`Fault::Overloaded`] when there is no place.
    pub fn enter(&self, has_token: bool) -> Result<(), Fault> {
        if self.link.is_beyond_share() {
            return Err(Fault::RateLimited);
        }
        if !self.link.place.is_partner() {
            self.link.place.asks(has_token)?;
            self.was_charged.set(true);
        }
        match self.awaits_body.get() {
            true => Ok(()),
            false => self.works(),
        }
    }

    fn works(&self) -> Result<(), Fault> {
        self.work_since.set(Some(Instant::now()));
        let mut places = self.places.borrow_mut();
        if self.link.place.is_partner() {
            places.partners = Some(self.limits.enter()?);
        } else {
            places.stranger = Some(self.link.place.enter()?);
        }
        if let Some(partner) = self.partner.borrow().as_deref() {
            places.partner = Some(self.limits.enter_partner(partner)?);
        }
        Ok(())
    }

    /// The whole body is there, so that the request takes its place.
    ///
    /// # Errors
    /// As [`Self::enter`].
    pub fn body_came(&self) -> Result<(), Fault> {
        match self.awaits_body.replace(false) {
            true => self.works(),
            false => Ok(()),
        }
    }

    /// The request's token is valid and this partner's: the connection is the partner's from now on, and the request as well.
    ///
    /// # Errors
    /// [`Fault::RateLimited`] when the partner has too many requests in flight, [`Fault::Overloaded`] when all partners have.
    pub fn is_of(&self, partner: &str) -> Result<(), Fault> {
        let is_partner = self.link.place.prove(partner);
        *self.partner.borrow_mut() = Some(partner.to_owned());
        if self.awaits_body.get() {
            return Ok(());
        }
        let mut places = self.places.borrow_mut();
        if is_partner && places.partners.is_none() {
            places.partners = Some(self.limits.enter()?);
            places.stranger = None;
        }
        places.partner = Some(self.limits.enter_partner(partner)?);
        Ok(())
    }

    /// The client got a token, and so proved that a partner is at its address.
    pub fn got_token(&self) {
        self.link.place.prove_address();
    }

    /// What the connection showed before is no longer valid.
    pub fn is_refused(&self, fault: Fault) {
        match fault {
            Fault::CertificateUnknown | Fault::PartnerSuspended => self.link.disprove(true),
            Fault::TokenMissing | Fault::TokenInvalid | Fault::CertificateNeeded => self.link.disprove(false),
            _ => {}
        }
    }

    /// Since when the request is worked on: from the head on, or from the end of its body; `None` while that is still to come.
    pub fn work_since(&self) -> Option<Instant> {
        self.work_since.get()
    }

    /// A count for bytes of this request that wait in memory.
    pub fn queue(&self) -> Queued {
        self.link.place.queue().begin()
    }

    /// Whether the connection is nobody's that is known.
    pub(super) fn is_strangers(&self) -> bool {
        !self.link.place.is_partner()
    }

    /// The work is done. A request that was a partner's takes nothing of its address's rate.
    pub(super) fn leave(&self) {
        *self.places.borrow_mut() = Places::default();
        if self.was_charged.get() && self.link.place.is_partner() {
            self.was_charged.set(false);
            self.link.place.unasks();
        }
    }
}
