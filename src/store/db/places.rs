//! Limits how many store calls run on blocking threads, and decides whose turn it is.

use crate::store::turns::{SharedPlaces, TurnPlace};
use std::num::NonZeroUsize;
use std::thread::available_parallelism;

/// How many calls of one asker may wait; one more is answered with 503.
const WAITING: usize = 4_096;
/// The asker of all calls without a name: the server itself, and what every request needs.
const HOUSE: &str = "";

/// The places for store calls.
pub(super) struct Places {
    all: SharedPlaces,
    /// Places for those who ask in turn; `None` where they use `all`.
    in_turn: Option<SharedPlaces>,
    share: usize,
}

impl Places {
    /// Makes as many places as there are connections. `is_local`: the store works on this machine's processors, so at most that many calls
    /// in turn run at once, and the other connections are left for short calls.
    pub(super) fn new(connections: usize, is_local: bool) -> Places {
        let processors = available_parallelism().map_or(2, NonZeroUsize::get);
        let most = if is_local {
            connections.min(processors)
        } else {
            connections
        };
        Places {
            all: SharedPlaces::new(connections, WAITING),
            in_turn: is_local.then(|| SharedPlaces::new(most, WAITING)),
            share: most / 2,
        }
    }

    /// Waits for a place. Returns `None` when too many calls wait already.
    pub(super) async fn take(&self, asker: Option<&str>) -> Option<TurnPlace> {
        match asker {
            None => self.all.take(HOUSE, usize::MAX).await,
            Some(asker) => self.in_turn.as_ref().unwrap_or(&self.all).take(asker, self.share).await,
        }
    }
}
