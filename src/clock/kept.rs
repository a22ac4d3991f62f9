//! What a process remembers of its clocks, so that setting the wall clock lengthens nothing. Pure but for its own state: both clocks
//! come in.
//!
//! *Lasting time* follows the wall clock forward, never goes back, and runs on with the monotonic clock when the wall clock was set
//! back. Tokens and page links are stamped and judged by it, so that a wrong hour neither lengthens them nor stops them being issued.
//! *Steady time* is where the wall clock would be had nobody set it; it follows ten minutes later.

use std::sync::atomic::{AtomicI64, Ordering};

/// Difference between the two clocks that counts as a jump, milliseconds (spec: more than five seconds).
pub const JUMP_MS: i64 = 5_000;
/// How long the wall clock must stay where it was set until steady time follows it: longer than an assertion may live.
const FOLLOW_MS: i64 = 600_000;
/// A step back of more is not followed while the process lives: ids of assertions that old are no longer on record.
const FOLLOW_BACK_MS: i64 = 3_600_000;
/// Stands for "not known yet".
const UNKNOWN: i64 = i64::MIN;

/// Offsets of the wall clock to the monotonic one, in milliseconds.
pub(super) struct KeptOffsets {
    /// The largest that was ever seen: that of lasting time.
    largest: AtomicI64,
    /// That of steady time.
    steady: AtomicI64,
    /// That of the last look.
    looked: AtomicI64,
    /// When the last jump was seen, by the monotonic clock.
    jumped_at: AtomicI64,
}

impl KeptOffsets {
    pub(super) const fn new() -> KeptOffsets {
        KeptOffsets {
            largest: AtomicI64::new(UNKNOWN),
            steady: AtomicI64::new(UNKNOWN),
            looked: AtomicI64::new(UNKNOWN),
            jumped_at: AtomicI64::new(UNKNOWN),
        }
    }

    pub(super) fn lasting_ms(&self, wall_ms: i64, monotonic_ms: i64) -> i64 {
        let offset = wall_ms - monotonic_ms;
        monotonic_ms + self.largest.fetch_max(offset, Ordering::AcqRel).max(offset)
    }

    pub(super) fn has_seen(&self, at_ms: i64, monotonic_ms: i64) {
        self.largest
            .fetch_max(at_ms.saturating_sub(monotonic_ms), Ordering::AcqRel);
    }

    pub(super) fn steady_ms(&self, wall_ms: i64, monotonic_ms: i64) -> i64 {
        let first = wall_ms - monotonic_ms;
        let known = self
            .steady
            .compare_exchange(UNKNOWN, first, Ordering::AcqRel, Ordering::Acquire);
        monotonic_ms + known.err().unwrap_or(first)
    }

    pub(super) fn look(&self, wall_ms: i64, monotonic_ms: i64) -> Option<i64> {
        let offset = wall_ms - monotonic_ms;
        self.lasting_ms(wall_ms, monotonic_ms);
        let apart = wall_ms - self.steady_ms(wall_ms, monotonic_ms);
        let before = self.looked.swap(offset, Ordering::AcqRel);
        let jump = Some(offset.saturating_sub(before)).filter(|by| before != UNKNOWN && by.abs() > JUMP_MS);
        if jump.is_some() {
            self.jumped_at.store(monotonic_ms, Ordering::Release);
        }
        let settled = monotonic_ms.saturating_sub(self.jumped_at.load(Ordering::Acquire)) >= FOLLOW_MS;
        if apart != 0 && settled && apart >= -FOLLOW_BACK_MS {
            self.steady.store(offset, Ordering::Release);
        }
        jump
    }
}

#[cfg(test)]
mod tests {
    use super::super::Clock;

    const START: i64 = 1_800_000_000_000;
    const HOUR: i64 = 3_600_000;
    const MINUTE: i64 = 60_000;

    #[test]
    fn lasting_time_follows_forward_and_runs_on_when_the_wall_clock_is_set_back() {
        let clock = Clock::fixed(START);
        clock.advance_ms(1_000);
        assert_eq!(clock.lasting_ms(), START + 1_000);
        clock.set_ms(-HOUR);
        assert_eq!(
            (clock.now_ms(), clock.lasting_ms()),
            (START + 1_000 - HOUR, START + 1_000)
        );
        clock.advance_ms(1_000);
        assert_eq!(clock.lasting_ms(), START + 2_000, "it does not stand still either");
        clock.set_ms(3 * HOUR);
        assert_eq!(clock.lasting_ms(), START + 2_000 + 2 * HOUR);
        clock.has_seen(START + 9 * HOUR);
        clock.advance_ms(1);
        assert_eq!(clock.lasting_ms(), START + 9 * HOUR + 1);
    }

    #[test]
    fn a_jump_is_told_once_with_its_direction_and_drift_is_none() {
        let clock = Clock::fixed(START);
        for (set, told) in [
            (5_000, None),
            (-5_000, None),
            (5_001, Some(5_001)),
            (-HOUR, Some(-HOUR)),
            (0, None),
        ] {
            clock.advance_ms(1_000);
            clock.set_ms(set);
            assert_eq!(clock.look(), told, "{set}");
        }
    }

    #[test]
    fn what_others_stamped_ends_at_its_time_whatever_hour_the_clock_is_set_to() {
        let clock = Clock::fixed(START);
        // Back: it has ended by where the clock would be; nothing is forgotten by where it was.
        clock.set_ms(-HOUR);
        clock.look();
        assert_eq!((clock.ended_ms(), clock.surely_ms()), (START, START - HOUR));
        clock.set_ms(HOUR);
        clock.look();
        assert_eq!((clock.ended_ms(), clock.surely_ms()), (START, START));
        // A wrong hour forward and back again leaves nothing behind.
        clock.set_ms(HOUR);
        clock.look();
        assert_eq!((clock.ended_ms(), clock.surely_ms()), (START + HOUR, START));
        clock.set_ms(-HOUR);
        clock.look();
        assert_eq!((clock.ended_ms(), clock.surely_ms()), (START, START));
    }

    #[test]
    fn a_clock_that_stays_where_it_was_set_is_followed_after_ten_minutes_but_not_far_back() {
        for (set, followed) in [(HOUR, true), (-HOUR, true), (-2 * HOUR, false), (9 * HOUR, true)] {
            let clock = Clock::fixed(START);
            clock.set_ms(set);
            clock.look();
            clock.advance_ms(9 * MINUTE);
            clock.look();
            assert_ne!(clock.ended_ms(), clock.surely_ms(), "{set}");
            clock.advance_ms(MINUTE);
            clock.look();
            assert_eq!(clock.ended_ms() == clock.surely_ms(), followed, "{set}");
        }
    }
}
