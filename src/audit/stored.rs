//! The ledger in the store, as it is found there.

use super::log::stored_tile;
use super::note::LogKey;
use super::tree::TreeHash;
use super::tree::edge::TreeEdge;
use super::tree::tiles::{TileAt, WIDTH};
use super::verdict::LedgerResult;
use super::verified::{FoundEntries, VerifiedLedger};
use crate::error::Failure;
use crate::store::Store;
use crate::store::cosignatures;
use crate::store::ledger_tree as rows;
use std::collections::VecDeque;

/// Entries that one query reads.
const READ: i64 = 8_192;

/// The ledger of a store.
pub struct StoredLedger<'s> {
    store: &'s Store,
    log: i64,
    confirmed: Vec<String>,
    note: Option<String>,
    size: u64,
    /// None when the row of the edge does not read.
    edge: Option<TreeEdge>,
    /// Leaves that were read ahead.
    ahead: VecDeque<(i64, String, Option<Vec<u8>>)>,
}

impl<'s> StoredLedger<'s> {
    /// The ledger of this log, as far as its tree has come now. Blocks the thread, as all that follows.
    ///
    /// # Errors
    /// Those of the store.
    pub fn open(store: &'s Store, log: i64) -> Result<StoredLedger<'s>, Failure> {
        let confirmed = store.read_blocking(|db| cosignatures::all(db, log))?;
        // What is signed first, because the tree may grow and be signed in the meantime.
        let note = store.read_blocking(|db| rows::checkpoint(db, log))?.map(|row| row.note);
        let tree = store.read_blocking(|db| rows::tree(db, log))?;
        let size = u64::try_from(tree.size).unwrap_or(0);
        let edge = TreeEdge::from_bytes(size, &tree.edge);
        Ok(StoredLedger {
            store,
            log,
            confirmed: confirmed.into_iter().map(|row| row.note + &row.line).collect(),
            note,
            size,
            edge,
            ahead: VecDeque::new(),
        })
    }
}

impl VerifiedLedger for StoredLedger<'_> {
    fn note(&mut self) -> Result<Option<String>, Failure> {
        Ok(self.note.clone())
    }

    fn size(&self, _: u64) -> u64 {
        self.size
    }

    fn tile(&mut self, at: TileAt) -> Result<Option<Vec<TreeHash>>, Failure> {
        let (log, own) = (self.log, TileAt::of(at.level, at.n, self.size));
        let found = match own.width {
            WIDTH => self.store.read_blocking(|db| stored_tile(db, log, at))?,
            _ => self.edge.as_ref().map(|edge| edge.tile(at.level).to_vec()),
        };
        Ok(found.and_then(|hashes| hashes.get(..at.width).map(<[TreeHash]>::to_vec)))
    }

    fn entries(&mut self, at: TileAt) -> Result<FoundEntries, Failure> {
        let (log, first) = (self.log, i64::try_from(at.n).unwrap_or(i64::MAX) * WIDTH as i64);
        let mut found = FoundEntries::default();
        for index in (first..).take(at.width) {
            if self.ahead.front().is_none_or(|leaf| leaf.0 != index) {
                self.ahead = self
                    .store
                    .read_blocking(|db| rows::leaves(db, log, index, READ))?
                    .into();
            }
            match self.ahead.pop_front() {
                Some((idx, _, Some(entry))) if idx == index => found.entries.push(entry),
                _ => break,
            }
        }
        Ok(found)
    }

    fn confirmed(&mut self) -> Result<Vec<String>, Failure> {
        Ok(self.confirmed.clone())
    }

    fn surplus(&mut self, size: u64) -> Result<Option<String>, Failure> {
        let (log, size) = (self.log, i64::try_from(size).unwrap_or(i64::MAX));
        let beyond = self.store.read_blocking(|db| rows::leaves(db, log, size, 1))?;
        // The tree may have grown since it was read.
        let grown = self.store.read_blocking(|db| rows::tree(db, log))?.size;
        Ok(beyond
            .first()
            .filter(|leaf| leaf.0 >= grown)
            .map(|leaf| format!("the leaf with index {}", leaf.0)))
    }

    fn key_beside(&mut self, _: &LogKey) -> Result<Option<(LedgerResult, &'static str)>, Failure> {
        Ok(None)
    }
}
