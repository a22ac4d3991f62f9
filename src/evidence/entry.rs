//! An entry of the ledger as packets tell it: its place, its row, and what its bytes say.

use crate::clock::rfc3339_ms;
use crate::error::{Failure, Fault};
use crate::store::entries::EntryRow;
use serde_json::Value;

/// An entry of a packet, with its place in the ledger.
pub(super) struct EvidenceEntry {
    /// Its index.
    pub index: u64,
    /// Its row.
    pub row: EntryRow,
    /// What its bytes say.
    pub facts: Value,
}

impl EvidenceEntry {
    /// An entry with its place.
    ///
    /// # Errors
    /// [`Fault::StoreDamaged`] for one that is no JSON.
    pub(super) fn new(index: u64, row: EntryRow) -> Result<EvidenceEntry, Failure> {
        let facts = serde_json::from_slice(&row.entry);
        let facts = facts.map_err(|error| Failure::new(Fault::StoreDamaged).because(error))?;
        Ok(EvidenceEntry { index, row, facts })
    }

    /// When it was written.
    pub(super) fn at(&self) -> String {
        rfc3339_ms(self.row.at_us / 1000)
    }

    /// A text of it.
    pub(super) fn text(&self, pointer: &str) -> Option<&str> {
        self.facts.pointer(pointer)?.as_str()
    }
}
