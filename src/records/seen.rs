//! What a run has dealt with, so that of versions whose sources do not say which is newer the order decides.

use crate::store::resources::SEQUENCE_BITS;
use std::collections::HashMap;
use std::sync::{Arc, PoisonError, RwLock};

/// What a run has dealt with, by key: one bit for each resource, so that memory stays flat.
#[derive(Clone, Debug, Default)]
pub struct Seen(Arc<RwLock<SeenKeys>>);

type Bits = HashMap<i64, Vec<u64>>;

#[derive(Debug, Default)]
struct SeenKeys {
    run: Bits,
    source: Bits,
}

/// When a stored version was last dealt with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Turn {
    /// Before this run.
    Before,
    /// In this run, from a path that stands later on the command line.
    LaterPath,
    /// In this run, from an earlier line of the same file.
    SameFile,
}

impl Seen {
    /// When the version under `key` was last dealt with.
    pub(super) fn turn(&self, key: i64) -> Turn {
        let seen = self.0.read().unwrap_or_else(PoisonError::into_inner);
        let (compartment, word, bit) = Seen::place(key);
        let has = |bits: &Bits| {
            bits.get(&compartment)
                .and_then(|words| words.get(word))
                .is_some_and(|bits| bits & bit != 0)
        };
        match (has(&seen.run), has(&seen.source)) {
            (false, _) => Turn::Before,
            (true, false) => Turn::LaterPath,
            (true, true) => Turn::SameFile,
        }
    }

    /// Marks what a committed batch has dealt with.
    pub fn mark(&self, keys: &[i64]) {
        let mut seen = self.0.write().unwrap_or_else(PoisonError::into_inner);
        let SeenKeys { run, source } = &mut *seen;
        for &key in keys {
            let (compartment, word, bit) = Seen::place(key);
            for bits in [&mut *run, &mut *source] {
                let words = bits.entry(compartment).or_default();
                if words.len() <= word {
                    words.resize(word + 1, 0);
                }
                words[word] |= bit;
            }
        }
    }

    /// Another file begins; files come in the order of the command line, the last one first.
    pub fn next_file(&self) {
        self.0.write().unwrap_or_else(PoisonError::into_inner).source.clear();
    }

    fn place(key: i64) -> (i64, usize, u64) {
        let sequence = (key & ((1 << SEQUENCE_BITS) - 1)) as usize;
        (key >> SEQUENCE_BITS, sequence / 64, 1 << (sequence % 64))
    }
}
