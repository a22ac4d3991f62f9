//! What a dry run would have stored, kept in memory instead of the store: names, versions and members, but no resources.
//!
//! It takes about 200 bytes of memory for each resource that would be stored.

use super::keep::batch::{BatchEntry, Opened, Planned, StoredVersion};
use super::seen::LastSeen;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Keys of resources that are not stored begin here, far above those of the store.
const FIRST_KEY: i64 = 1 << 60;

/// The records of a dry run. Clones share them.
#[derive(Clone, Debug, Default)]
pub struct DryRun(Arc<Mutex<Notes>>);

#[derive(Debug, Default)]
struct Notes {
    stored: HashMap<&'static str, HashMap<String, StoredVersion>>,
    members: HashMap<String, i64>,
    last_compartment: i64,
    keys: i64,
}

impl DryRun {
    fn notes(&self) -> MutexGuard<'_, Notes> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Returns the first compartment number that neither the store nor this run uses; `free` is the first one free in the store.
    pub(super) fn next_compartment(&self, free: i64) -> i64 {
        free.max(self.notes().last_compartment + 1)
    }

    /// Adds to `known` those of these ids that would be stored by now.
    pub(super) fn add_known(
        &self,
        rtype: &'static str,
        ids: &[&str],
        known: &mut HashMap<String, StoredVersion>,
        turn: impl Fn(i64) -> LastSeen,
    ) {
        let notes = self.notes();
        let Some(stored) = notes.stored.get(rtype) else { return };
        for id in ids {
            if let Some(there) = stored.get(*id) {
                let there = StoredVersion {
                    turn: turn(there.key),
                    ..there.clone()
                };
                known.insert((*id).to_owned(), there);
            }
        }
    }

    /// Adds to `owners` those of these members that would be stored by now.
    pub(super) fn add_owners(&self, ids: &[&str], owners: &mut HashMap<String, i64>) {
        let notes = self.notes();
        for id in ids {
            if let Some(no) = notes.members.get(*id) {
                owners.insert((*id).to_owned(), *no);
            }
        }
    }

    /// Records what would be stored of a batch, and adds its keys to `keys`.
    pub(super) fn note(&self, entries: &[BatchEntry], plan: &[Planned], opened: &Opened, keys: &mut Vec<i64>) {
        let mut notes = self.notes();
        for (no, patient_id, _) in opened {
            notes.last_compartment = notes.last_compartment.max(*no);
            notes.members.insert(patient_id.clone(), *no);
        }
        for &(index, compartment, version) in plan {
            let BatchEntry::Fit(candidate) = &entries[index] else {
                continue;
            };
            notes.keys += 1;
            let key = FIRST_KEY + notes.keys;
            keys.push(key);
            let known = StoredVersion {
                key,
                compartment,
                version,
                source_sha256: candidate.source_sha256.to_vec(),
                pa_state: candidate.pa_state,
                source: candidate.source,
                turn: LastSeen::SameFile,
            };
            notes
                .stored
                .entry(candidate.rtype)
                .or_default()
                .insert(candidate.id.clone(), known);
        }
    }
}
