//! How long a call to a partner may take, and how much may come.

use std::time::Duration;

/// The limits of one partner's calls.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PeerLimits {
    /// Time to connect, with TLS.
    pub connect: Duration,
    /// Time from the end of the request to the head of the answer.
    pub head: Duration,
    /// Longest silence within a body.
    pub idle: Duration,
    /// Least bytes that must come in each [`PeerLimits::rate_over`] of waiting.
    pub rate_bytes: u64,
    /// Time over which the rate is measured.
    pub rate_over: Duration,
    /// Time for a whole body.
    pub body: Duration,
    /// Most bytes of one body of a record.
    pub body_bytes: u64,
    /// Most bytes of all bodies of an exchange.
    pub exchange_bytes: u64,
    /// Most bodies of an exchange.
    pub exchange_pages: u64,
    /// Most entries of all bodies of an exchange.
    pub exchange_entries: u64,
    /// Most bytes of any other answer.
    pub small_bytes: u64,
    /// How long one attempt works on a large record before others have their turn; fetching has five such turns at once, since each begins
    /// with a new token.
    pub turn: Duration,
}

impl Default for PeerLimits {
    fn default() -> Self {
        PeerLimits {
            connect: Duration::from_secs(5),
            head: Duration::from_secs(15),
            idle: Duration::from_secs(30),
            rate_bytes: 30 * (10 << 10),
            rate_over: Duration::from_secs(30),
            body: Duration::from_secs(30 * 60),
            body_bytes: 2 << 30,
            exchange_bytes: 20 << 30,
            exchange_pages: 20_000,
            exchange_entries: 2_000_000,
            small_bytes: 4 << 20,
            turn: Duration::from_secs(120),
        }
    }
}
