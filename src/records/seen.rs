//! What a run has handled, so that the order decides between versions whose sources do not say which is newer.

use crate::store::resources::SEQUENCE_BITS;
use std::collections::HashMap;
use std::sync::{Arc, PoisonError, RwLock};

/// The keys that a run has handled: one bit for each resource, so that memory grows little.
#[derive(Clone, Debug, Default)]
pub struct SeenInRun(Arc<RwLock<SeenKeys>>);

type Bits = HashMap<i64, Vec<u64>>;

#[derive(Debug, Default)]
struct SeenKeys {
    run: Bits,
    source: Bits,
}

/// When a stored version was last handled.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LastSeen {
    /// Before this run.
    Before,
    /// In this run, from a path that is later on the command line.
    LaterPath,
    /// In this run, from an earlier line of the same file.
    SameFile,
}

impl SeenInRun {
    /// Returns when the version with this key was last handled.
    pub(super) fn turn(&self, key: i64) -> LastSeen {
        let seen = self.0.read().unwrap_or_else(PoisonError::into_inner);
        let (compartment, word, bit) = SeenInRun::place(key);
        let has = |bits: &Bits| {
            bits.get(&compartment)
                .and_then(|words| words.get(word))
                .is_some_and(|bits| bits & bit != 0)
        };
        match (has(&seen.run), has(&seen.source)) {
            (false, _) => LastSeen::Before,
            (true, false) => LastSeen::LaterPath,
            (true, true) => LastSeen::SameFile,
        }
    }

    /// Marks the keys that a committed batch has handled.
    pub fn mark(&self, keys: &[i64]) {
        let mut seen = self.0.write().unwrap_or_else(PoisonError::into_inner);
        let SeenKeys { run, source } = &mut *seen;
        for &key in keys {
            let (compartment, word, bit) = SeenInRun::place(key);
            for bits in [&mut *run, &mut *source] {
                let words = bits.entry(compartment).or_default();
                if words.len() <= word {
                    words.resize(word + 1, 0);
                }
                words[word] |= bit;
            }
        }
    }

    /// Begins another file. Files are read in reverse order of the command line, the last one first.
    pub fn next_file(&self) {
        self.0.write().unwrap_or_else(PoisonError::into_inner).source.clear();
    }

    fn place(key: i64) -> (i64, usize, u64) {
        let sequence = (key & ((1 << SEQUENCE_BITS) - 1)) as usize;
        (key >> SEQUENCE_BITS, sequence / 64, 1 << (sequence % 64))
    }
}
