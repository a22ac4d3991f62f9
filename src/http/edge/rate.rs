//! Rates: how many items a second, and how many at once. A plain value; its owner locks it.

use std::time::{Duration, Instant};

/// A rate: one item in every period `each`, and up to `burst` at once.
#[derive(Clone, Copy, Debug)]
pub struct Rate {
    each: Duration,
    burst: u32,
}

impl Rate {
    /// One item in every `each`, and up to `burst` at once.
    pub const fn every(each: Duration, burst: u32) -> Rate {
        Rate { each, burst }
    }

    /// `per_second` items a second (at least 1), and up to `burst` at once.
    pub fn new(per_second: u32, burst: u32) -> Rate {
        Rate {
            each: Duration::from_secs(1) / per_second.max(1),
            burst: burst.max(1),
        }
    }
}

/// What has been used of a [`Rate`], expressed as the time when the whole burst is available again.
#[derive(Clone, Copy, Debug)]
pub struct UsedRate {
    until: Instant,
}

impl UsedRate {
    /// Nothing is used yet.
    pub fn none(now: Instant) -> UsedRate {
        UsedRate { until: now }
    }

    /// How long it takes until the whole burst is available again.
    pub fn debt(&self, now: Instant) -> Duration {
        self.until.saturating_duration_since(now)
    }

    /// Takes one item and returns true if one is available; up to `times` bursts may be used at once.
    pub fn take(&mut self, rate: Rate, times: u32, now: Instant) -> bool {
        let debt = self.debt(now);
        if debt + rate.each > rate.each * rate.burst * times {
            return false;
        }
        self.until = now + debt + rate.each;
        true
    }

    /// Like [`UsedRate::take`] with one burst. When none is available, the whole burst is used up, so that the caller must pause before it
    /// gets an item again.
    pub fn take_or_lose(&mut self, rate: Rate, now: Instant) -> bool {
        let is_given = self.take(rate, 1, now);
        if !is_given {
            self.until = now + rate.each * rate.burst;
        }
        is_given
    }

    /// Whether one item is available.
    pub fn has_one(&self, rate: Rate, now: Instant) -> bool {
        self.debt(now) + rate.each <= rate.each * rate.burst
    }

    /// Gives one item back.
    pub fn give_back(&mut self, rate: Rate) {
        // An `Instant` cannot go below the start of its clock, which is long before any time stored here.
        self.until = self.until.checked_sub(rate.each).unwrap_or(self.until);
    }

    /// Takes one item, and returns how long the caller must wait for it; `None` when that is longer than `most`, and nothing is taken.
    pub fn take_in_turn(&mut self, rate: Rate, most: Duration, now: Instant) -> Option<Duration> {
        let debt = self.debt(now) + rate.each;
        let wait = debt.saturating_sub(rate.each * rate.burst);
        if wait > most {
            return None;
        }
        self.until = now + debt;
        Some(wait)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_may_wait_for_its_turn_gets_it_at_the_pace_and_not_beyond_its_patience() {
        let (now, rate) = (Instant::now(), Rate::new(100, 50));
        let mut used = UsedRate::none(now);
        let most = Duration::from_secs(1);
        let mut waits = Vec::new();
        while let Some(wait) = used.take_in_turn(rate, most, now) {
            waits.push(wait);
        }
        assert_eq!(waits.len(), 150, "a burst, and what comes in a second");
        assert!(waits[..50].iter().all(Duration::is_zero));
        assert_eq!(waits.last(), Some(&most));
        let later = now + Duration::from_millis(100);
        let more = (0..100).filter(|_| used.take_in_turn(rate, most, later).is_some());
        assert_eq!(more.count(), 10, "what was refused used up nothing");
    }
}
