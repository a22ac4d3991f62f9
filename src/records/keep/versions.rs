//! The versions of a batch: which of several versions with one name is the newest, and by what the others lost.

use super::super::source_version::Decided;
use super::batch::{BatchEntry, KeptBatch, KnownByName};
use std::collections::HashMap;
use std::collections::hash_map::Entry as MapEntry;

/// Iterates over the names of a batch in the order of their first occurrence. A version that is
/// refused supersedes nothing: the newest of the others is then tried.
pub(super) struct BatchVersions {
    /// The index of the first version of each name.
    firsts: std::vec::IntoIter<usize>,
    /// The indexes of the later versions, by that of the first.
    later: HashMap<usize, Vec<usize>>,
    /// The current name: its versions that were not refused, the newest of them, and what the others lost by; `None` for equal content.
    left: Vec<usize>,
    newest: usize,
    lost: Vec<(usize, Option<Decided>)>,
}

impl BatchVersions {
    pub(super) fn of(entries: &[BatchEntry]) -> BatchVersions {
        let mut firsts: Vec<usize> = Vec::with_capacity(entries.len());
        let mut later: HashMap<usize, Vec<usize>> = HashMap::new();
        let mut places: HashMap<(&str, &str), usize> = HashMap::with_capacity(entries.len());
        for (index, entry) in entries.iter().enumerate() {
            match places.entry(entry.name()) {
                MapEntry::Occupied(first) => later.entry(*first.get()).or_default().push(index),
                MapEntry::Vacant(free) => {
                    free.insert(index);
                    firsts.push(index);
                }
            }
        }
        BatchVersions {
            firsts: firsts.into_iter(),
            later,
            left: Vec::new(),
            newest: 0,
            lost: Vec::new(),
        }
    }

    /// Returns the newest version of the current name, or of the next one when the current name is finished; `None` at the end.
    pub(super) fn newest(&mut self, entries: &[BatchEntry], known: &KnownByName) -> Option<usize> {
        if self.left.is_empty() {
            let first = self.firsts.next()?;
            self.left.push(first);
            self.left.extend(self.later.remove(&first).into_iter().flatten());
        }
        self.lost.clear();
        self.newest = self.left[0];
        for &index in &self.left[1..] {
            let (entry, before) = (&entries[index], &entries[self.newest]);
            if before.source_sha256() == entry.source_sha256() {
                self.lost.push((index, None));
                continue;
            }
            let (is_newer, by) = entry.source(known).beats(before.source(known), true);
            let loser = if is_newer {
                std::mem::replace(&mut self.newest, index)
            } else {
                index
            };
            self.lost.push((loser, Some(by)));
        }
        Some(self.newest)
    }

    /// The newest version was handled; the others lose.
    pub(super) fn settled(&mut self, entries: &[BatchEntry], kept: &mut KeptBatch) {
        for (loser, by) in self.lost.drain(..) {
            kept.unchanged += 1;
            kept.superseded
                .extend(by.map(|by| entries[loser].superseded(loser, false, by)));
        }
        self.left.clear();
    }

    /// The newest version is refused; the next call of `newest` tries the others.
    pub(super) fn refused(&mut self) {
        let newest = self.newest;
        self.left.retain(|index| *index != newest);
    }
}
