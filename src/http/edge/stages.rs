//! How far a connection has come, and connections in the order in which they were opened, for each stage. Plain values.

use std::collections::BTreeSet;

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

/// The numbers of connections by their stage. A greater number was given later.
#[derive(Debug, Default)]
pub struct StagedConnections([BTreeSet<u64>; 3]);

impl StagedConnections {
    /// Adds a connection.
    pub fn insert(&mut self, id: u64, stage: ConnectionStage) {
        self.0[stage as usize].insert(id);
    }

    /// Removes a connection.
    pub fn remove(&mut self, id: u64, stage: ConnectionStage) {
        self.0[stage as usize].remove(&id);
    }

    /// The connections at `stage`, the oldest first.
    pub fn at(&self, stage: ConnectionStage) -> &BTreeSet<u64> {
        &self.0[stage as usize]
    }

    /// The number of connections that are being set up.
    pub fn setting_up(&self) -> usize {
        self.at(ConnectionStage::Silent).len() + self.at(ConnectionStage::Handshake).len()
    }

    /// The number of all connections.
    pub fn in_all(&self) -> usize {
        self.0.iter().map(BTreeSet::len).sum()
    }

    /// All connections, those that have come least far first.
    pub fn iter(&self) -> impl Iterator<Item = u64> {
        self.0.iter().flatten().copied()
    }
}
