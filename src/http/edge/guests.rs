//! Connections that are not known to be a partner's: how far each one has come, and in which order they were opened. When a newer
//! connection needs room, the oldest of those that have come least far is closed.
//!
//! A connection at an address where a partner was seen is in that partner's share: it gives way after all others. The share is one for all
//! addresses of the partner.
//!
//! A plain value; its owner locks it. A connection is closed by a signal; its task ends a moment later, and it is no longer counted from
//! the signal on.

use crate::security::ClientNetwork;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;
use tokio::sync::Notify;

/// How far a connection has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ConnectionStage {
    /// Its ClientHello has not arrived.
    Silent,
    /// Its handshake is in progress, or waits for a place.
    Handshake,
    /// It is open, and not known to be a partner's.
    Stranger,
}

/// One connection that is not known to be a partner's.
#[derive(Debug)]
pub struct Guest {
    /// The address that it is counted for; `None` for a balancer's connection whose client address is not known yet.
    pub network: Option<ClientNetwork>,
    /// Its requests in flight.
    pub in_flight: usize,
    stage: ConnectionStage,
    gone: Arc<Notify>,
    /// The partner in whose share it is.
    sponsor: Option<Arc<str>>,
}

impl Guest {
    /// Whether it is in the share of a partner.
    pub fn is_sponsored(&self) -> bool {
        self.sponsor.is_some()
    }
}

/// All these connections.
#[derive(Debug, Default)]
pub struct Guests {
    last: u64,
    known: BTreeMap<u64, Guest>,
    stages: [BTreeSet<u64>; 3],
    /// How many connections are in the share of each partner.
    shares: HashMap<Arc<str>, usize>,
}

impl Guests {
    /// A number for a new connection, greater than all earlier ones.
    pub fn number(&mut self) -> u64 {
        self.last += 1;
        self.last
    }

    /// Adds a connection; `gone` is notified when the connection must close.
    pub fn add(&mut self, id: u64, network: Option<ClientNetwork>, stage: ConnectionStage, gone: &Arc<Notify>) {
        let guest = Guest {
            network,
            in_flight: 0,
            stage,
            gone: Arc::clone(gone),
            sponsor: None,
        };
        self.known.insert(id, guest);
        self.stages[stage as usize].insert(id);
    }

    /// The connection, while it is counted.
    pub fn get(&mut self, id: u64) -> Option<&mut Guest> {
        self.known.get_mut(&id)
    }

    /// Moves the connection to a later stage. Returns false when it is no longer counted.
    pub fn comes_to(&mut self, id: u64, stage: ConnectionStage) -> bool {
        let Some(guest) = self.known.get_mut(&id) else {
            return false;
        };
        self.stages[guest.stage as usize].remove(&id);
        self.stages[stage as usize].insert(id);
        guest.stage = stage;
        true
    }

    /// Removes a connection; `None` when it is no longer counted.
    pub fn remove(&mut self, id: u64) -> Option<Guest> {
        let guest = self.known.remove(&id)?;
        self.stages[guest.stage as usize].remove(&id);
        if let Some(sponsor) = &guest.sponsor {
            self.leaves_share(sponsor);
        }
        Some(guest)
    }

    /// Removes a connection and signals it to close.
    pub fn dismiss(&mut self, id: u64) -> Option<Guest> {
        let guest = self.remove(id)?;
        guest.gone.notify_one();
        Some(guest)
    }

    fn leaves_share(&mut self, partner: &Arc<str>) {
        if let Some(count) = self.shares.get_mut(partner) {
            *count -= 1;
            if *count == 0 {
                self.shares.remove(partner);
            }
        }
    }

    /// The first of these partners that has fewer than `most` connections in its share.
    pub fn share_left<'a>(&self, partners: &'a [Arc<str>], most: usize) -> Option<&'a Arc<str>> {
        let held = |partner: &Arc<str>| self.shares.get(partner).copied().unwrap_or(0);
        partners.iter().find(|partner| held(partner) < most)
    }

    /// Puts the connection into the share of the first of these partners that has fewer than `most` there. Returns whether it is in a share.
    pub fn sponsor(&mut self, id: u64, partners: &[Arc<str>], most: usize) -> bool {
        let left = self.share_left(partners, most).cloned();
        let Some(guest) = self.known.get_mut(&id) else {
            return false;
        };
        if guest.sponsor.is_none()
            && let Some(partner) = left
        {
            *self.shares.entry(Arc::clone(&partner)).or_insert(0) += 1;
            guest.sponsor = Some(partner);
        }
        guest.sponsor.is_some()
    }

    /// Whether the connection is counted, and in the share of a partner.
    pub fn is_sponsored(&self, id: u64) -> bool {
        self.known.get(&id).is_some_and(Guest::is_sponsored)
    }

    /// Takes all connections out of the share of this partner.
    pub fn ends_share(&mut self, partner: &str) {
        if self.shares.remove(partner).is_some() {
            for guest in self.known.values_mut() {
                if guest.sponsor.as_deref() == Some(partner) {
                    guest.sponsor = None;
                }
            }
        }
    }

    /// The oldest connection in the largest share that is at the first of these stages that has one, and has nothing in flight.
    pub fn oldest_of_largest_share(&self, stages: &[ConnectionStage]) -> Option<u64> {
        let (largest, _) = self.shares.iter().max_by_key(|(_, count)| **count)?;
        stages
            .iter()
            .find_map(|stage| self.oldest(*stage, |guest| guest.sponsor.as_ref() == Some(largest)))
    }

    /// The oldest connection of `stage` that has nothing in flight and for which `may` returns true.
    pub fn oldest(&self, stage: ConnectionStage, mut may: impl FnMut(&Guest) -> bool) -> Option<u64> {
        let of_stage = self.stages[stage as usize].iter();
        of_stage.copied().find(|id| self.is_free(*id, &mut may))
    }

    /// The oldest of these connections that is at `stage` and has nothing in flight.
    pub fn oldest_of(&self, ids: &BTreeSet<u64>, stage: ConnectionStage) -> Option<u64> {
        let mut is_of = |guest: &Guest| guest.stage == stage;
        ids.iter().copied().find(|id| self.is_free(*id, &mut is_of))
    }

    fn is_free(&self, id: u64, may: &mut impl FnMut(&Guest) -> bool) -> bool {
        self.known
            .get(&id)
            .is_some_and(|guest| guest.in_flight == 0 && may(guest))
    }

    /// The number of connections at `stage`.
    pub fn at(&self, stage: ConnectionStage) -> usize {
        self.stages[stage as usize].len()
    }

    /// The number of all connections here.
    pub fn in_all(&self) -> usize {
        self.known.len()
    }
}
