//! What a search finds: a page, and where the next one begins. It looks nothing up and decides nothing.

use super::super::Disclosure;
use super::super::transmitter::PageTransmitter;
use crate::store::search::Hit;

/// Where a page begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PageStart {
    /// Key of the last match before the page.
    pub after_key: i64,
    /// Number of matches before the page, in an order that was asked for.
    pub offset: i64,
}

/// The first page.
pub const START: PageStart = PageStart {
    after_key: -1,
    offset: 0,
};

/// A page of a search.
#[derive(Default)]
pub struct FoundPage {
    /// The matches, or the parts of them that were asked for.
    pub matches: Vec<Hit>,
    /// The included resources, always whole (FHIR R4 search, "Elements").
    pub included: Vec<Hit>,
    /// The record of who transmits the page, when Provenance was asked for.
    pub transmitter: Option<PageTransmitter>,
    /// Whether there were more included resources than a page may have.
    pub includes_cut: bool,
    /// Number of all matches, when it is known or was asked for.
    pub total: Option<i64>,
    /// Where the next page begins, if there is one.
    pub next: Option<PageStart>,
    /// The disclosure that the page makes, which ends when its bytes have been sent.
    pub disclosure: Option<Disclosure>,
}
