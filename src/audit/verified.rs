//! What can be verified: a ledger as [`super::verify`] reads it, in whatever place it is. Judges nothing.

use super::note::LogKey;
use super::tree::TreeHash;
use super::tree::tiles::TileAt;
use super::verdict::LedgerResult;
use crate::error::Failure;

/// Entries as they were found, in the order of their indexes.
#[derive(Clone, Debug, Default)]
pub struct FoundEntries {
    /// The entries that could be read.
    pub entries: Vec<Vec<u8>>,
    /// Why the rest could not be read, if there is a rest.
    pub broken: Option<&'static str>,
}

/// A ledger to be verified.
pub trait VerifiedLedger {
    /// Its checkpoint.
    ///
    /// # Errors
    /// Those of where it is stored.
    fn note(&mut self) -> Result<Option<String>, Failure>;

    /// How many entries it has, when its checkpoint says that it has `signed`.
    fn size(&self, signed: u64) -> u64;

    /// A tile; none when it is missing or has another length.
    ///
    /// # Errors
    /// Those of where it is stored.
    fn tile(&mut self, at: TileAt) -> Result<Option<Vec<TreeHash>>, Failure>;

    /// The entries below a tile of level 0.
    ///
    /// # Errors
    /// Those of where it is stored.
    fn entries(&mut self, at: TileAt) -> Result<FoundEntries, Failure>;

    /// The notes in which witnesses may confirm a checkpoint of it.
    ///
    /// # Errors
    /// Those of where it is stored.
    fn confirmed(&mut self) -> Result<Vec<String>, Failure>;

    /// The name of something that does not belong to a ledger of `size` entries, if there is anything.
    ///
    /// # Errors
    /// Those of where it is stored.
    fn surplus(&mut self, size: u64) -> Result<Option<String>, Failure>;

    /// What is wrong with the public key that lies beside it, if it has one there and something is.
    ///
    /// # Errors
    /// Those of where it is stored.
    fn key_beside(&mut self, key: &LogKey) -> Result<Option<(LedgerResult, &'static str)>, Failure>;
}
