//! The requests of one connection at the edge: the rates that a stranger's request is taken from, its place in flight, and the bytes that wait
//! for it.

use super::super::counts::Errand;
use super::super::queue::{ByteCount, Queued};
use super::{ConnectionPlace, Edge};
use crate::error::Fault;
use crate::security::ClientNetwork;
use std::time::Instant;

impl ConnectionPlace {
    /// A count for waiting bytes of a request or an answer, in the partners' or the strangers' queue. Where several partners were seen at the
    /// stranger's address, in the share of the one that has used least.
    pub fn queue(&self) -> Queued {
        if let Some(partner) = &*self.share.borrow() {
            return self.edge.0.partners_queue.begin_partners(&partner.bytes);
        }
        let queue = &self.edge.0.strangers_queue;
        let mut counts = self.edge.counts();
        let partners = counts.addresses.proven_by(&self.network, Instant::now());
        let shares = partners.iter().map(|partner| counts.bytes_of(partner).at_addresses);
        let sponsor = shares.min_by_key(ByteCount::held);
        match counts.addresses.get(&self.network) {
            Some(known) => queue.begin_at(&known.queued, sponsor),
            None => queue.begin_at(&ByteCount::default(), None),
        }
    }

    /// Takes a request from the rate of the address, and from that of all addresses at which no partner was seen.
    ///
    /// # Errors
    /// [`Fault::AddressLimited`] when the rate of the address is used up, [`Fault::Overloaded`] when that of all is.
    pub fn asks(&self, has_token: bool) -> Result<Charged, Fault> {
        let (inner, now) = (&self.edge.0, Instant::now());
        let mut counts = self.edge.counts();
        let Some(known) = counts.addresses.get(&self.network) else {
            return Ok(Charged { in_all: false });
        };
        if !known.asks(inner.request_rate, has_token, now) {
            return Err(Fault::AddressLimited);
        }
        let in_all = !known.is_proven(now);
        let times = if has_token { 2 } else { 1 };
        if in_all && !counts.sites.asks(&self.network, times, now) {
            if let Some(known) = counts.addresses.get(&self.network) {
                known.unasks(inner.request_rate);
            }
            return Err(Fault::AddressLimited);
        }
        if in_all && !counts.requests.take(inner.requests_in_all, times, now) {
            // What others use up is not taken from this address.
            counts.sites.unasks(&self.network);
            if let Some(known) = counts.addresses.get(&self.network) {
                known.unasks(inner.request_rate);
            }
            return Err(Fault::Overloaded);
        }
        Ok(Charged { in_all })
    }

    /// Gives back what [`Self::asks`] took.
    pub fn unasks(&self, charged: Charged) {
        let mut counts = self.edge.counts();
        if charged.in_all {
            counts.requests.give_back(self.edge.0.requests_in_all);
            counts.sites.unasks(&self.network);
        }
        if let Some(known) = counts.addresses.get(&self.network) {
            known.unasks(self.edge.0.request_rate);
        }
    }

    /// Takes a place among strangers' requests in flight. A quarter of the places is reserved for proven addresses.
    ///
    /// # Errors
    /// [`Fault::AddressLimited`] when the address has too many, [`Fault::Overloaded`] when all addresses together have.
    pub fn enter(&self, errand: Errand) -> Result<StrangerInFlight, Fault> {
        let (limits, kind) = (&self.edge.0.limits, errand as usize);
        let mut counts = self.edge.counts();
        let in_all = counts.in_flight[kind];
        let known = counts.addresses.get(&self.network).ok_or(Fault::Overloaded)?;
        if known.in_flight[kind] >= limits.stranger_in_flight_per_address {
            return Err(Fault::AddressLimited);
        }
        let now = Instant::now();
        let in_site = !known.is_proven(now);
        let kept = match in_site {
            false => 0,
            true => limits.stranger_in_flight / 4,
        };
        if in_all + kept >= limits.stranger_in_flight {
            return Err(Fault::Overloaded);
        }
        if in_site && !counts.sites.enters(&self.network, kind, now) {
            return Err(Fault::AddressLimited);
        }
        if let Some(known) = counts.addresses.get(&self.network) {
            known.in_flight[kind] += 1;
        }
        counts.in_flight[kind] += 1;
        if let Some(guest) = counts.guests.get(self.id) {
            guest.in_flight += 1;
        }
        Ok(StrangerInFlight {
            edge: self.edge.clone(),
            id: self.id,
            network: self.network,
            kind,
            in_site,
        })
    }
}

/// What a stranger's request was taken from, beside the rate of its address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Charged {
    /// The rate of all addresses at which no partner was seen.
    in_all: bool,
}

/// A stranger's request in flight; its place is released when this is dropped.
pub struct StrangerInFlight {
    edge: Edge,
    id: u64,
    network: ClientNetwork,
    kind: usize,
    /// Whether it is counted for its site.
    in_site: bool,
}

impl Drop for StrangerInFlight {
    fn drop(&mut self) {
        let mut counts = self.edge.counts();
        counts.in_flight[self.kind] -= 1;
        if self.in_site {
            counts.sites.leaves(&self.network, self.kind);
        }
        if let Some(known) = counts.addresses.get(&self.network) {
            known.in_flight[self.kind] -= 1;
        }
        if let Some(guest) = counts.guests.get(self.id) {
            guest.in_flight = guest.in_flight.saturating_sub(1);
        }
    }
}
