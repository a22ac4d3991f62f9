//! A resource on its way into the store.

use super::super::gate::Candidate;
use crate::store::ingest::ReceivedRow;

/// A resource on its way: its row and, when it may be stored, what is stored.
#[derive(Debug)]
pub(super) struct Ready {
    pub row: ReceivedRow,
    pub candidate: Option<Box<Candidate>>,
}
