//! The turn of one handshake at the rate of all handshakes. It knows the rates and the address, and nothing of TLS.

use crate::http::edge::counts::{Counts, HandshakeQueue};
use crate::http::edge::rate::Rate;
use crate::security::ClientNetwork;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// A turn; it is given back when it is dropped before it was used, because the client was gone or was not waited for any longer.
pub(super) struct HandshakeTurn<'e> {
    counts: &'e Mutex<Counts>,
    rate: Rate,
    pause: Duration,
    queue: HandshakeQueue,
    is_used: bool,
}

impl<'e> HandshakeTurn<'e> {
    /// Takes the next turn of all addresses at which no partner was seen, unless it comes later than after `wait`. Those that had no turn for
    /// a while wait among themselves.
    pub(super) fn take(
        counts: &'e Mutex<Counts>,
        rate: Rate,
        network: &ClientNetwork,
        wait: Duration,
    ) -> Option<HandshakeTurn<'e>> {
        let now = Instant::now();
        let is_first = {
            let mut held = locked(counts);
            held.addresses.get(network)?.greets(now) && held.sites.greets(network, now)
        };
        let queue = if is_first {
            HandshakeQueue::Fresh
        } else {
            HandshakeQueue::Greeted
        };
        HandshakeTurn::take_of(counts, rate, queue, wait)
    }

    /// Takes the next turn of this address, where a partner was seen.
    pub(super) fn take_at(
        counts: &'e Mutex<Counts>,
        rate: Rate,
        network: ClientNetwork,
        wait: Duration,
    ) -> Option<HandshakeTurn<'e>> {
        HandshakeTurn::take_of(counts, rate, HandshakeQueue::Proven(network), wait)
    }

    fn take_of(
        counts: &'e Mutex<Counts>,
        rate: Rate,
        queue: HandshakeQueue,
        wait: Duration,
    ) -> Option<HandshakeTurn<'e>> {
        let pause = locked(counts)
            .handshakes(queue)?
            .take_in_turn(rate, wait, Instant::now())?;
        Some(HandshakeTurn {
            counts,
            rate,
            pause,
            queue,
            is_used: false,
        })
    }

    /// Waits until it comes.
    pub(super) async fn comes(&self) {
        tokio::time::sleep(self.pause).await;
    }

    pub(super) fn uses(mut self) {
        self.is_used = true;
    }
}

fn locked(counts: &Mutex<Counts>) -> MutexGuard<'_, Counts> {
    counts.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Drop for HandshakeTurn<'_> {
    fn drop(&mut self) {
        if !self.is_used
            && let Some(used) = locked(self.counts).handshakes(self.queue)
        {
            used.give_back(self.rate);
        }
    }
}
