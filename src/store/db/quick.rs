//! Which askers' reads were quick of late, so that those may run on the thread that answers.
//!
//! A change of threads costs more than a short read. A read whose length is not known runs on the answering thread for as long as its
//! asker's reads are quick; after a slow one the asker waits for its turns until it has shown enough quick ones. This module must never
//! hold a lock while a read runs.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// Longest quick read, with the time in which other threads had the processor. Other requests wait so long for the thread.
const QUICK: Duration = Duration::from_millis(25);
/// Quick reads in turn that make up for a slow one: one in a thousand may be slow on the answering thread.
const OWED: u32 = 1_000;

/// The askers that owe quick reads, and how many.
#[derive(Default)]
pub(super) struct QuickAskers(Mutex<HashMap<String, u32>>);

impl QuickAskers {
    fn lock(&self) -> MutexGuard<'_, HashMap<String, u32>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether the next read of this asker may run on the answering thread.
    pub(super) fn is_quick(&self, asker: &str) -> bool {
        !self.lock().contains_key(asker)
    }

    /// Notes how long a read of this asker took.
    pub(super) fn note(&self, asker: &str, took: Duration) {
        let mut owing = self.lock();
        if took > QUICK {
            owing.insert(asker.to_owned(), OWED);
            return;
        }
        let paid = owing.get_mut(asker).is_some_and(|owed| {
            *owed -= 1;
            *owed == 0
        });
        if paid {
            owing.remove(asker);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn t_b07_one_slow_read_is_made_up_for_by_a_thousand_quick_ones() {
        let (askers, quick) = (QuickAskers::default(), Duration::from_millis(1));
        assert!(askers.is_quick("a"));
        askers.note("a", quick);
        assert!(askers.is_quick("a"));
        askers.note("a", Duration::from_millis(26));
        assert!(!askers.is_quick("a") && askers.is_quick("b"));
        for _ in 0..999 {
            askers.note("a", quick);
            assert!(!askers.is_quick("a"));
        }
        askers.note("a", quick);
        assert!(askers.is_quick("a"));
        askers.note("a", Duration::from_millis(26));
        askers.note("a", quick);
        askers.note("a", Duration::from_secs(2));
        for _ in 0..1_000 {
            assert!(!askers.is_quick("a"));
            askers.note("a", quick);
        }
        assert!(askers.is_quick("a") && askers.lock().is_empty());
    }
}
