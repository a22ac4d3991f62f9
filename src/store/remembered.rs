//! Values that an open store caches: the latest state of the roster, the secret of the
//! blocking keys, versions of policies. All of them can be read again.

use crate::identity::{Facts, KeyHasher, Rules};
use arc_swap::{ArcSwap, ArcSwapOption};
use std::sync::{Arc, OnceLock};

/// A state of the roster.
#[derive(Debug, Default)]
pub struct RememberedRoster {
    /// Its number, from 1; 0 before there is one.
    pub no: i64,
    /// The first 12 hexadecimal digits of the digest of its counts.
    pub digest: String,
    /// The counts.
    pub facts: Facts,
}

/// What an open store caches about the roster; [`super::Store`] holds one.
#[derive(Default)]
pub(super) struct Remembered {
    pub(super) roster: ArcSwapOption<RememberedRoster>,
    pub(super) hasher: OnceLock<KeyHasher>,
}

/// The policy versions that were read, by id; [`super::Store`] holds one.
#[derive(Default)]
pub(super) struct RememberedVersions(pub(super) ArcSwap<Vec<(String, Arc<Rules>)>>);
