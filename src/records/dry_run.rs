//! What a dry run would have stored, in place of the store: names, versions and members, never a resource.
//!
//! Memory grows with the resources that would be stored, by about 200 bytes each.

use super::keep::{Entry, Known, Opened, Planned};
use super::seen::Turn;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Keys of what is not stored begin here, far above those of the store.
const FIRST_KEY: i64 = 1 << 60;

/// The notes of a dry run. Clones share them.
#[derive(Clone, Debug, Default)]
pub struct DryRun(Arc<Mutex<Notes>>);

#[derive(Debug, Default)]
struct Notes {
    stored: HashMap<&'static str, HashMap<String, Known>>,
    members: HashMap<String, i64>,
    last_compartment: i64,
    keys: i64,
}

impl DryRun {
    fn notes(&self) -> MutexGuard<'_, Notes> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The first compartment that neither the store nor this run uses; `free` is the store's.
    pub(super) fn next_compartment(&self, free: i64) -> i64 {
        free.max(self.notes().last_compartment + 1)
    }

    /// Adds to `known` what would be stored of these ids by now.
    pub(super) fn add_known(
        &self,
        rtype: &'static str,
        ids: &[&str],
        known: &mut HashMap<String, Known>,
        turn: impl Fn(i64) -> Turn,
    ) {
        let notes = self.notes();
        let Some(stored) = notes.stored.get(rtype) else { return };
        for id in ids {
            if let Some(there) = stored.get(*id) {
                let there = Known {
                    turn: turn(there.key),
                    ..there.clone()
                };
                known.insert((*id).to_owned(), there);
            }
        }
    }

    /// Adds to `owners` the members that would be stored by now.
    pub(super) fn add_owners(&self, ids: &[&str], owners: &mut HashMap<String, i64>) {
        let notes = self.notes();
        for id in ids {
            if let Some(no) = notes.members.get(*id) {
                owners.insert((*id).to_owned(), *no);
            }
        }
    }

    /// Notes what would be stored of a batch, and adds its keys to `keys`.
    pub(super) fn note(&self, entries: &[Entry], plan: &[Planned], opened: &Opened, keys: &mut Vec<i64>) {
        let mut notes = self.notes();
        for (no, patient_id, _) in opened {
            notes.last_compartment = notes.last_compartment.max(*no);
            notes.members.insert(patient_id.clone(), *no);
        }
        for &(index, compartment, version) in plan {
            let Entry::Fit(candidate) = &entries[index] else {
                continue;
            };
            notes.keys += 1;
            let key = FIRST_KEY + notes.keys;
            keys.push(key);
            let known = Known {
                key,
                compartment,
                version,
                source_sha256: candidate.source_sha256.to_vec(),
                pa_state: candidate.pa_state,
                source: candidate.source,
                turn: Turn::SameFile,
            };
            notes
                .stored
                .entry(candidate.rtype)
                .or_default()
                .insert(candidate.id.clone(), known);
        }
    }
}
