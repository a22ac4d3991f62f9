//! Time as a parameter: UTC milliseconds from a clock that tests can hold still.

use chrono::{DateTime, SecondsFormat, Utc};
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

/// The wall clock. Clones share it.
#[derive(Clone)]
pub enum Clock {
    /// The machine's clock.
    System,
    /// A clock that stands until it is moved; for tests.
    Fixed(Arc<AtomicI64>),
}

impl Clock {
    /// A clock that stands at `now_ms` (UTC milliseconds).
    pub fn fixed(now_ms: i64) -> Self {
        Clock::Fixed(Arc::new(AtomicI64::new(now_ms)))
    }

    /// Now, in UTC milliseconds since 1970.
    pub fn now_ms(&self) -> i64 {
        self.now_us() / 1000
    }

    /// Now, in UTC microseconds since 1970.
    pub fn now_us(&self) -> i64 {
        match self {
            Clock::System => Utc::now().timestamp_micros(),
            Clock::Fixed(at) => at.load(Ordering::Acquire) * 1000,
        }
    }

    /// Moves a fixed clock on by `ms`; the machine's clock stays as it is.
    pub fn advance_ms(&self, ms: i64) {
        if let Clock::Fixed(at) = self {
            at.fetch_add(ms, Ordering::AcqRel);
        }
    }
}

/// `ms` (UTC milliseconds) as RFC 3339 with milliseconds and `Z`.
pub fn rfc3339_ms(ms: i64) -> String {
    DateTime::<Utc>::from_timestamp_millis(ms).unwrap_or_default().to_rfc3339_opts(SecondsFormat::Millis, true)
}

/// `us` (UTC microseconds) as RFC 3339 with microseconds and `Z`.
pub fn rfc3339_us(us: i64) -> String {
    DateTime::<Utc>::from_timestamp_micros(us).unwrap_or_default().to_rfc3339_opts(SecondsFormat::Micros, true)
}

/// Reads an RFC 3339 instant into UTC milliseconds.
pub fn parse_rfc3339_ms(text: &str) -> Option<i64> {
    DateTime::parse_from_rfc3339(text).ok().map(|at| at.timestamp_millis())
}
