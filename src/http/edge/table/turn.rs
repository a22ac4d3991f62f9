//! The turn of one handshake at the rate of all handshakes. It knows the rates and the address, and nothing of TLS.

use crate::http::edge::counts::Counts;
use crate::http::edge::rate::Rate;
use crate::security::ClientNetwork;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// A turn; it is given back when it is dropped before it was used, because the client was gone or was not waited for any longer.
pub(super) struct HandshakeTurn<'e> {
    counts: &'e Mutex<Counts>,
    rate: Rate,
    pause: Duration,
    /// Whether it was taken from the rate of addresses that had no turn for a while.
    is_first: bool,
    is_used: bool,
}

impl<'e> HandshakeTurn<'e> {
    /// Takes the next turn, unless it comes later than after `wait`.
    pub(super) fn take(
        counts: &'e Mutex<Counts>,
        rate: Rate,
        network: &ClientNetwork,
        wait: Duration,
    ) -> Option<HandshakeTurn<'e>> {
        let now = Instant::now();
        let mut held = locked(counts);
        let is_first = held.addresses.get(network).is_some_and(|known| known.greets(now));
        let pause = held.handshakes(is_first).take_in_turn(rate, wait, now)?;
        drop(held);
        Some(HandshakeTurn {
            counts,
            rate,
            pause,
            is_first,
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
        if !self.is_used {
            locked(self.counts).handshakes(self.is_first).give_back(self.rate);
        }
    }
}
