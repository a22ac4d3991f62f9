//! Time as a parameter: UTC milliseconds from a clock that tests can hold still, and what holds when the wall clock is set.

mod kept;

pub use kept::JUMP_MS;

use chrono::{DateTime, SecondsFormat, Utc};
use kept::KeptOffsets;
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Instant;

/// What time it is. Clones share it.
#[derive(Clone)]
pub enum Clock {
    /// The machine's clocks.
    System,
    /// Clocks that stand until they are moved; for tests.
    Fixed(Arc<FixedClock>),
}

/// The clocks of a test.
pub struct FixedClock {
    wall_ms: AtomicI64,
    monotonic_ms: AtomicI64,
    kept: KeptOffsets,
}

impl Clock {
    /// A clock that stands at `now_ms` (UTC milliseconds).
    pub fn fixed(now_ms: i64) -> Self {
        let clock = Clock::Fixed(Arc::new(FixedClock {
            wall_ms: AtomicI64::new(now_ms),
            monotonic_ms: AtomicI64::new(0),
            kept: KeptOffsets::new(),
        }));
        clock.look();
        clock
    }

    /// Now, in UTC milliseconds since 1970, as the wall clock has it. For records and for what others stamped.
    pub fn now_ms(&self) -> i64 {
        self.now_us() / 1000
    }

    /// Now, in UTC microseconds since 1970.
    pub fn now_us(&self) -> i64 {
        match self {
            Clock::System => Utc::now().timestamp_micros(),
            Clock::Fixed(fixed) => fixed.wall_ms.load(Ordering::Acquire) * 1000,
        }
    }

    /// Time that never runs back, for the lives of what we issue (docs/operations.md, "Clock"): UTC milliseconds, ahead of the wall clock
    /// by as much as that was set back.
    pub fn lasting_ms(&self) -> i64 {
        self.kept().lasting_ms(self.now_ms(), self.monotonic_ms())
    }

    /// Lets [`Clock::lasting_ms`] be `at_ms` at least: a time that the store has seen.
    pub fn has_seen(&self, at_ms: i64) {
        self.kept().has_seen(at_ms, self.monotonic_ms());
    }

    /// Time by which what others stamped has ended, such as an assertion: the wall clock, or where it would be had it not been set
    /// back within the last ten minutes.
    pub fn ended_ms(&self) -> i64 {
        self.now_ms()
            .max(self.kept().steady_ms(self.now_ms(), self.monotonic_ms()))
    }

    /// Time before which all is surely over, for forgetting: the wall clock, or where it would be had it not been set forward within
    /// the last ten minutes.
    pub fn surely_ms(&self) -> i64 {
        self.now_ms()
            .min(self.kept().steady_ms(self.now_ms(), self.monotonic_ms()))
    }

    /// Compares the wall clock with the monotonic one, for a timer of a second or so: by how many milliseconds the wall clock was set
    /// since the last look, when that is more than [`JUMP_MS`].
    pub fn look(&self) -> Option<i64> {
        self.kept().look(self.now_ms(), self.monotonic_ms())
    }

    /// Moves a fixed clock by `ms`; the machine's clock stays as it is. Time that passes moves both clocks; below 0 it is the wall
    /// clock alone that is set back.
    pub fn advance_ms(&self, ms: i64) {
        self.set_ms(ms);
        if let Clock::Fixed(fixed) = self {
            fixed.monotonic_ms.fetch_add(ms.max(0), Ordering::AcqRel);
        }
    }

    /// Sets the wall clock of a fixed clock forward or back by `ms`.
    pub fn set_ms(&self, ms: i64) {
        if let Clock::Fixed(fixed) = self {
            fixed.wall_ms.fetch_add(ms, Ordering::AcqRel);
        }
    }

    /// How long this process has run, by the clock that nobody can set, in milliseconds.
    pub fn running_ms(&self) -> i64 {
        self.monotonic_ms()
    }

    fn monotonic_ms(&self) -> i64 {
        static BEGAN: OnceLock<Instant> = OnceLock::new();
        match self {
            Clock::System => {
                let since = BEGAN.get_or_init(Instant::now).elapsed();
                i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
            }
            Clock::Fixed(fixed) => fixed.monotonic_ms.load(Ordering::Acquire),
        }
    }

    fn kept(&self) -> &KeptOffsets {
        static MACHINE: KeptOffsets = KeptOffsets::new();
        match self {
            Clock::System => &MACHINE,
            Clock::Fixed(fixed) => &fixed.kept,
        }
    }
}

/// `ms` (UTC milliseconds) as RFC 3339 with milliseconds and `Z`.
pub fn rfc3339_ms(ms: i64) -> String {
    // No time of ours is outside of chrono's years; one that were is told as the last of them.
    DateTime::<Utc>::from_timestamp_millis(ms)
        .unwrap_or(DateTime::<Utc>::MAX_UTC)
        .to_rfc3339_opts(SecondsFormat::Millis, true)
}

/// `us` (UTC microseconds) as RFC 3339 with microseconds and `Z`.
pub fn rfc3339_us(us: i64) -> String {
    DateTime::<Utc>::from_timestamp_micros(us)
        .unwrap_or(DateTime::<Utc>::MAX_UTC)
        .to_rfc3339_opts(SecondsFormat::Micros, true)
}

/// Reads an RFC 3339 instant into UTC milliseconds.
pub fn parse_rfc3339_ms(text: &str) -> Option<i64> {
    DateTime::parse_from_rfc3339(text).ok().map(|at| at.timestamp_millis())
}
