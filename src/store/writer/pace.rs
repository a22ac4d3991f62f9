//! When the next group of writes may begin.
//!
//! Each commit costs the same whether it makes one write durable or a hundred, and it makes all readers forget the pages that they keep. So
//! where many callers write at once, a group begins some time after the one before, and takes along what came meanwhile. A caller that
//! writes alone never waits for others.

use std::time::{Duration, Instant};

/// Shortest time from the beginning of a group of many writes to the beginning of the next one.
const APART: Duration = Duration::from_millis(3);
/// So many writes of a group show that many callers write at once.
const MANY: usize = 8;

/// The pace of the groups.
#[derive(Default)]
pub(super) struct GroupPace {
    /// When the last group began, if it was one of many writes.
    many: Option<Instant>,
}

impl GroupPace {
    /// Notes that a group of so many writes begins.
    pub(super) fn begins(&mut self, writes: usize, now: Instant) {
        self.many = (writes >= MANY).then_some(now);
    }

    /// How long the next group should wait for more writes.
    pub(super) fn wait(&self, now: Instant) -> Duration {
        let since = self.many.map(|began| now.saturating_duration_since(began));
        since.map_or(Duration::ZERO, |since| APART.saturating_sub(since))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_after_a_group_of_many_writes_the_next_waits_for_more() {
        let (mut pace, now) = (GroupPace::default(), Instant::now());
        let later = |ms: u64| now + Duration::from_millis(ms);
        assert_eq!(pace.wait(now), Duration::ZERO);
        pace.begins(MANY, now);
        assert_eq!(pace.wait(later(1)), Duration::from_millis(2));
        assert_eq!(pace.wait(later(3)), Duration::ZERO);
        assert_eq!(pace.wait(later(90)), Duration::ZERO);
        for few in [1, MANY - 1] {
            pace.begins(few, later(91));
            assert_eq!(pace.wait(later(91)), Duration::ZERO, "{few}");
        }
    }
}
