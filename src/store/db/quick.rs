//! Which askers' reads were quick of late, so that those may run on the thread that answers.
//!
//! A change of threads costs more than a short read. A read whose length is not known runs on the answering thread for as long as its
//! asker's reads are quick; after a slow one the asker waits for its turns until it has shown enough quick ones. An asker has one such read
//! at a time, so that it stops no more than one of the threads that answer. This module must never hold a lock while a read runs.

use std::collections::{HashMap, HashSet};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// Longest quick read, with the time in which other threads had the processor. Other requests wait so long for the thread.
const QUICK: Duration = Duration::from_millis(25);
/// Quick reads in turn that make up for a slow one: one in a thousand may be slow on the answering thread.
const OWED: u32 = 1_000;

/// What is known of the askers.
#[derive(Default)]
struct Standings {
    /// Who owes quick reads, and how many.
    owing: HashMap<String, u32>,
    /// Who has a read on an answering thread.
    reading: HashSet<String>,
}

/// The askers whose reads may run on the thread that answers.
#[derive(Default)]
pub(super) struct QuickAskers(Mutex<Standings>);

/// The place of an asker's read on an answering thread. It is free again when this is dropped.
pub(super) struct QuickPlace<'a> {
    askers: &'a QuickAskers,
    asker: String,
}

impl Drop for QuickPlace<'_> {
    fn drop(&mut self) {
        self.askers.lock().reading.remove(&self.asker);
    }
}

impl QuickAskers {
    fn lock(&self) -> MutexGuard<'_, Standings> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The place of this asker's next read on an answering thread, unless it owes quick reads or has such a read already.
    pub(super) fn place(&self, asker: &str) -> Option<QuickPlace<'_>> {
        let mut standings = self.lock();
        let may = !standings.owing.contains_key(asker) && standings.reading.insert(asker.to_owned());
        may.then(|| QuickPlace {
            askers: self,
            asker: asker.to_owned(),
        })
    }

    /// Notes how long a read of this asker took.
    pub(super) fn note(&self, asker: &str, took: Duration) {
        let mut standings = self.lock();
        let owing = &mut standings.owing;
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

    fn may(askers: &QuickAskers, asker: &str) -> bool {
        askers.place(asker).is_some()
    }

    #[test]
    fn t_b07_an_asker_has_one_read_at_a_time_on_the_threads_that_answer() {
        let askers = QuickAskers::default();
        let place = askers.place("a");
        assert!(place.is_some() && !may(&askers, "a") && may(&askers, "b"));
        drop(place);
        assert!(may(&askers, "a") && askers.lock().reading.is_empty());
    }

    #[test]
    fn t_b07_one_slow_read_is_made_up_for_by_a_thousand_quick_ones() {
        let (askers, quick) = (QuickAskers::default(), Duration::from_millis(1));
        assert!(may(&askers, "a"));
        askers.note("a", quick);
        assert!(may(&askers, "a"));
        askers.note("a", Duration::from_millis(26));
        assert!(!may(&askers, "a") && may(&askers, "b"));
        for _ in 0..999 {
            askers.note("a", quick);
            assert!(!may(&askers, "a"));
        }
        askers.note("a", quick);
        assert!(may(&askers, "a"));
        askers.note("a", Duration::from_millis(26));
        askers.note("a", quick);
        askers.note("a", Duration::from_secs(2));
        for _ in 0..1_000 {
            assert!(!may(&askers, "a"));
            askers.note("a", quick);
        }
        assert!(may(&askers, "a") && askers.lock().owing.is_empty());
    }
}
