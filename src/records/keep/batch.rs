//! A batch on its way into the store: its entries, what is known about their names, what is planned, and the result.

use super::super::gate::Candidate;
use super::super::seen::LastSeen;
use super::super::source_version::{Decided, SourceVersion};
use crate::error::Failure;
use std::collections::{BTreeMap, HashMap};

/// One resource of a batch.
#[derive(Debug)]
pub enum BatchEntry {
    /// It was checked and may be stored.
    Fit(Box<Candidate>),
    /// The same content was found in the store; to be confirmed in the transaction.
    Same {
        /// Its type.
        rtype: &'static str,
        /// Its id.
        id: String,
        /// Digest of its content.
        source_sha256: [u8; 32],
    },
}

impl BatchEntry {
    /// Type and id.
    pub fn name(&self) -> (&'static str, &str) {
        match self {
            BatchEntry::Fit(candidate) => (candidate.rtype, &candidate.id),
            BatchEntry::Same { rtype, id, .. } => (rtype, id),
        }
    }

    /// Its type.
    pub fn rtype(&self) -> &'static str {
        self.name().0
    }

    pub(super) fn source_sha256(&self) -> &[u8; 32] {
        match self {
            BatchEntry::Fit(candidate) => &candidate.source_sha256,
            BatchEntry::Same { source_sha256, .. } => source_sha256,
        }
    }

    pub(super) fn superseded(&self, index: usize, was_stored: bool, by: Decided) -> SupersededInBatch {
        let (rtype, id) = self.name();
        SupersededInBatch {
            rtype,
            id: id.to_owned(),
            index,
            was_stored,
            by,
        }
    }

    pub(super) fn known_in<'k>(&self, known: &'k KnownByName) -> Option<&'k StoredVersion> {
        let (rtype, id) = self.name();
        known.get(rtype)?.get(id)
    }

    /// Returns what its source says about its version. For an entry that was not checked, this is what is stored with the same content.
    pub(super) fn source(&self, known: &KnownByName) -> SourceVersion {
        match self {
            BatchEntry::Fit(candidate) => candidate.source,
            BatchEntry::Same { source_sha256, .. } => self
                .known_in(known)
                .filter(|there| there.source_sha256 == source_sha256)
                .map_or_else(SourceVersion::default, |there| there.source),
        }
    }
}

/// The result of a batch.
#[derive(Debug, Default)]
pub struct KeptBatch {
    /// How many were new or changed.
    pub stored: u64,
    /// How many were stored already with the same content, or were superseded.
    pub unchanged: u64,
    /// Versions with other content that a newer one supersedes.
    pub superseded: Vec<SupersededInBatch>,
    /// Refused entries: index in the batch, and the failure.
    pub rejected: Vec<(usize, Failure)>,
    /// How many of the stored ones are withheld, by reason ([`crate::store::withheld::REASONS`]); one may have several reasons.
    pub withheld: BTreeMap<&'static str, u64>,
    /// Indexes in the batch of entries that were not checked because the same content was stored, which is no longer so.
    pub stale: Vec<usize>,
    /// The keys that were handled.
    pub(in crate::records) keys: Vec<i64>,
}

/// A version that a newer one supersedes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SupersededInBatch {
    /// Type of the resource.
    pub rtype: &'static str,
    /// Its id.
    pub id: String,
    /// Index in the batch: of this version or, when it was stored earlier in this run, of the version that replaced it.
    pub index: usize,
    /// Whether it was stored earlier in this run.
    pub was_stored: bool,
    /// What decided which version is newer.
    pub by: Decided,
}

/// What is stored under a name of this batch.
#[derive(Clone, Debug)]
pub(in crate::records) struct StoredVersion {
    pub(in crate::records) key: i64,
    pub(in crate::records) compartment: i64,
    pub(in crate::records) version: i64,
    pub(in crate::records) source_sha256: Vec<u8>,
    pub(in crate::records) pa_state: i64,
    pub(in crate::records) source: SourceVersion,
    pub(in crate::records) turn: LastSeen,
}

/// What is stored, by type and id.
pub(in crate::records) type KnownByName = HashMap<&'static str, HashMap<String, StoredVersion>>;

/// A candidate that will be stored: its index in the batch, compartment and version.
pub(in crate::records) type Planned = (usize, i64, i64);

/// The compartments that are created: number, Patient id and UMB.
pub(in crate::records) type Opened = Vec<(i64, String, String)>;

/// Returns what is stored under a name.
pub(super) fn at<'k>(known: &'k KnownByName, rtype: &str, id: &str) -> Option<&'k StoredVersion> {
    known.get(rtype)?.get(id)
}
