//! What a handler is given.

use super::route::AskedRoute;
use super::{Certified, Play, Treatment};
use crate::wire::PlayedRequest;

/// One request on its way through a handler.
pub(super) struct PlayedVisit<'a> {
    pub(super) play: &'a Play,
    pub(super) request: &'a PlayedRequest,
    pub(super) certified: &'a Certified,
    pub(super) asked: &'a AskedRoute,
    pub(super) treatment: &'a Treatment,
    pub(super) number: u64,
}

impl PlayedVisit<'_> {
    /// The sandbox's time, UTC milliseconds.
    pub(super) fn now_ms(&self) -> i64 {
        self.play.now_ms() + self.treatment.skew_ms
    }

    /// Notes what a careful payer would say about the request although it answers it.
    pub(super) fn complain(&self, what: impl Into<String>) {
        self.play.complain(self.number, what.into());
    }
}
