//! The turn of one handshake at the rate of all handshakes. It knows the rates and the address, and nothing of TLS.

use super::Edge;
use crate::security::ClientNetwork;
use std::time::{Duration, Instant};

/// A turn; it is given back when it is dropped before it was used, because the client was gone or was not waited for any longer.
pub(super) struct HandshakeTurn<'e> {
    edge: &'e Edge,
    pause: Duration,
    /// Whether it was taken from the rate of addresses that had no turn for a while.
    is_first: bool,
    is_used: bool,
}

impl<'e> HandshakeTurn<'e> {
    /// Takes the next turn, unless it comes later than after `wait`.
    pub(super) fn take(edge: &'e Edge, network: &ClientNetwork, wait: Duration) -> Option<HandshakeTurn<'e>> {
        let (rate, now) = (edge.0.handshakes_in_all, Instant::now());
        let mut counts = edge.counts();
        let is_first = counts.addresses.get(network).is_some_and(|known| known.greets(now));
        let pause = counts.handshakes(is_first).take_in_turn(rate, wait, now)?;
        drop(counts);
        Some(HandshakeTurn {
            edge,
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

impl Drop for HandshakeTurn<'_> {
    fn drop(&mut self) {
        if !self.is_used {
            let rate = self.edge.0.handshakes_in_all;
            self.edge.counts().handshakes(self.is_first).give_back(rate);
        }
    }
}
