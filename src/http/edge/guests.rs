//! Connections that are not known to be a partner's: how far each one has come, and in which order they were opened. When a newer
//! connection needs room, the oldest of those that have come least far is closed.
//!
//! A connection at an address where a partner was seen is in that partner's share: it gives way after all others. The share is one for all
//! addresses of the partner, and has separate places for connections that are being set up and for open ones.
//!
//! A plain value; its owner locks it. A connection is closed by a signal; its task ends a moment later, and it is no longer counted from
//! the signal on.

use super::stages::{ConnectionStage, StagedConnections};
use crate::security::ClientNetwork;
use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::Instant;
use tokio::sync::Notify;

/// Connections in the share of one partner, or the most there may be.
#[derive(Clone, Copy, Debug, Default)]
pub struct PartnerShare {
    /// Those that are being set up.
    pub setting_up: usize,
    /// Those that are open.
    pub open: usize,
}

impl PartnerShare {
    fn at(&mut self, stage: ConnectionStage) -> &mut usize {
        match stage {
            ConnectionStage::Silent | ConnectionStage::Handshake => &mut self.setting_up,
            ConnectionStage::Stranger => &mut self.open,
        }
    }

    fn in_all(self) -> usize {
        self.setting_up + self.open
    }
}

/// One connection that is not known to be a partner's.
#[derive(Debug)]
pub struct Guest {
    /// The address that it is counted for; `None` for a balancer's connection whose client address is not known yet.
    pub network: Option<ClientNetwork>,
    /// Its requests in flight.
    pub in_flight: usize,
    /// How far it has come.
    pub stage: ConnectionStage,
    since: Instant,
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
#[derive(Debug)]
pub struct Guests {
    last: u64,
    known: BTreeMap<u64, Guest>,
    stages: StagedConnections,
    /// The connections in the share of each partner.
    shares: HashMap<Arc<str>, PartnerShare>,
    /// Most connections in the share of one partner.
    most: PartnerShare,
}

impl Guests {
    /// No connections; `most` may be in the share of one partner.
    pub fn new(most: PartnerShare) -> Guests {
        Guests {
            last: 0,
            known: BTreeMap::new(),
            stages: StagedConnections::default(),
            shares: HashMap::new(),
            most,
        }
    }

    /// A number for a new connection, greater than all earlier ones.
    pub fn number(&mut self) -> u64 {
        self.last += 1;
        self.last
    }

    /// Adds a connection; `gone` is notified when the connection must close.
    pub fn add(
        &mut self,
        id: u64,
        network: Option<ClientNetwork>,
        stage: ConnectionStage,
        gone: &Arc<Notify>,
        now: Instant,
    ) {
        let guest = Guest {
            network,
            in_flight: 0,
            stage,
            since: now,
            gone: Arc::clone(gone),
            sponsor: None,
        };
        self.known.insert(id, guest);
        self.stages.insert(id, stage);
    }

    /// The connection, while it is counted.
    pub fn get(&mut self, id: u64) -> Option<&mut Guest> {
        self.known.get_mut(&id)
    }

    /// When the connection was added, while it is counted.
    pub fn since(&self, id: u64) -> Option<Instant> {
        self.known.get(&id).map(|guest| guest.since)
    }

    /// Moves the connection to a later stage; it stays in its share if there is room for it at that stage. Returns its earlier stage, or
    /// `None` when it is no longer counted.
    pub fn comes_to(&mut self, id: u64, stage: ConnectionStage) -> Option<ConnectionStage> {
        let guest = self.known.get_mut(&id)?;
        let before = std::mem::replace(&mut guest.stage, stage);
        let sponsor = guest.sponsor.take();
        self.stages.remove(id, before);
        self.stages.insert(id, stage);
        if let Some(sponsor) = sponsor {
            self.leaves_share(&sponsor, before);
            self.sponsor(id, &[sponsor]);
        }
        Some(before)
    }

    /// Removes a connection; `None` when it is no longer counted.
    pub fn remove(&mut self, id: u64) -> Option<Guest> {
        let guest = self.known.remove(&id)?;
        self.stages.remove(id, guest.stage);
        if let Some(sponsor) = &guest.sponsor {
            self.leaves_share(sponsor, guest.stage);
        }
        Some(guest)
    }

    /// Removes a connection and signals it to close.
    pub fn dismiss(&mut self, id: u64) -> Option<Guest> {
        let guest = self.remove(id)?;
        guest.gone.notify_one();
        Some(guest)
    }

    fn leaves_share(&mut self, partner: &Arc<str>, stage: ConnectionStage) {
        if let Some(share) = self.shares.get_mut(partner) {
            *share.at(stage) -= 1;
            if share.in_all() == 0 {
                self.shares.remove(partner);
            }
        }
    }

    /// The first of these partners whose share has room for a connection at `stage`.
    pub fn share_left<'a>(&self, partners: &'a [Arc<str>], stage: ConnectionStage) -> Option<&'a Arc<str>> {
        let mut most = self.most;
        let most = *most.at(stage);
        let held = |partner: &Arc<str>| *self.shares.get(partner).copied().unwrap_or_default().at(stage);
        partners.iter().find(|partner| held(partner) < most)
    }

    /// Puts the connection into the share of the first of these partners that has room there. Returns whether it is in a share.
    pub fn sponsor(&mut self, id: u64, partners: &[Arc<str>]) -> bool {
        let Some(stage) = self.known.get(&id).map(|guest| guest.stage) else {
            return false;
        };
        let left = self.share_left(partners, stage).cloned();
        let Some(guest) = self.known.get_mut(&id) else {
            return false;
        };
        if guest.sponsor.is_none()
            && let Some(partner) = left
        {
            *self.shares.entry(Arc::clone(&partner)).or_default().at(stage) += 1;
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
        let (largest, _) = self.shares.iter().max_by_key(|(_, share)| share.in_all())?;
        stages
            .iter()
            .find_map(|stage| self.oldest(*stage, |guest| guest.sponsor.as_ref() == Some(largest)))
    }

    /// The oldest connection of `stage` that has nothing in flight and for which `may` returns true.
    pub fn oldest(&self, stage: ConnectionStage, mut may: impl FnMut(&Guest) -> bool) -> Option<u64> {
        let of_stage = self.stages.at(stage).iter();
        of_stage.copied().find(|id| self.is_free(*id, &mut may))
    }

    /// The oldest of these connections that has nothing in flight.
    pub fn oldest_of(&self, ids: &StagedConnections, stage: ConnectionStage) -> Option<u64> {
        let mut ids = ids.at(stage).iter().copied();
        ids.find(|id| self.is_free(*id, &mut |_| true))
    }

    fn is_free(&self, id: u64, may: &mut impl FnMut(&Guest) -> bool) -> bool {
        self.known
            .get(&id)
            .is_some_and(|guest| guest.in_flight == 0 && may(guest))
    }

    /// The number of connections at `stage`.
    pub fn at(&self, stage: ConnectionStage) -> usize {
        self.stages.at(stage).len()
    }

    /// The number of connections that are being set up.
    pub fn setting_up(&self) -> usize {
        self.stages.setting_up()
    }

    /// The number of all connections here.
    pub fn in_all(&self) -> usize {
        self.known.len()
    }
}
