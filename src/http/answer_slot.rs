//! Sends answers at fixed times after their request, so that nobody outside can measure how long a decision took.
//!
//! This is only a timer, without locks, queues or work. An answer that misses a slot is sent at the next one.

use crate::secret::random;
use std::time::Duration;
use tokio::time::{Instant, sleep_until};

/// A slot is at least as long as this many round trips to the store. The refusal with the most statements, which opens a review with all
/// its candidates and links, takes about sixty.
const ROUND_TRIPS: u32 = 96;

/// A slot never grows beyond this, so that a store that is slow for a moment does not delay answers until clients give up.
const LONGEST: Duration = Duration::from_secs(1);

/// The length of a slot: the configured one, or longer when one round trip to the store takes `round_trip`, so that refusals with many
/// writes and with few are sent at the same time. A configured slot of zero stays zero.
fn slot(configured: Duration, round_trip: Duration) -> Duration {
    if configured.is_zero() {
        configured
    } else {
        configured.max((round_trip * ROUND_TRIPS).min(LONGEST))
    }
}

/// When an answer that was ready `took` after its request is sent, measured from the request.
///
/// This is a whole multiple of `slot`, at least one, plus up to a quarter of a slot, which the random `chance` (0 to 255) chooses. A slot
/// of zero delays nothing.
fn release_after(took: Duration, slot: Duration, chance: u8) -> Duration {
    let slot_us = slot.as_micros();
    if slot_us == 0 {
        return took;
    }
    let slots = took.as_micros().div_ceil(slot_us).max(1);
    let late = slot_us * u128::from(chance) / 1024;
    Duration::from_micros(u64::try_from(slots * slot_us + late).unwrap_or(u64::MAX))
}

/// Waits until the answer to a request that came in at `asked` may be sent. The arguments are those of `slot`.
pub async fn release(asked: Instant, configured: Duration, round_trip: Duration) {
    let slot = slot(configured, round_trip);
    if !slot.is_zero() {
        let [chance] = random::<1>();
        sleep_until(asked + release_after(asked.elapsed(), slot, chance)).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SLOT: Duration = Duration::from_millis(10);

    #[test]
    fn t_c02_answers_of_one_slot_leave_together_whatever_they_took() {
        let at = |us: u64| release_after(Duration::from_micros(us), SLOT, 0).as_millis();
        for (took_us, leaves_ms) in [(0, 10), (1, 10), (9_999, 10), (10_000, 10), (10_001, 20), (25_000, 30)] {
            assert_eq!(at(took_us), leaves_ms, "{took_us}");
        }
        let latest = release_after(Duration::ZERO, SLOT, u8::MAX);
        assert!(latest < SLOT * 5 / 4 && latest > SLOT * 6 / 5, "{latest:?}");
        let took = Duration::from_micros(1234);
        assert_eq!(release_after(took, Duration::ZERO, 99), took);
    }

    #[test]
    fn t_c02_a_store_that_is_far_makes_the_slot_longer() {
        let of = |us: u64| slot(SLOT, Duration::from_micros(us));
        assert_eq!((of(0), of(100)), (SLOT, SLOT));
        assert_eq!(of(280), Duration::from_micros(26_880));
        assert_eq!(of(320_000), LONGEST);
        assert_eq!(slot(Duration::ZERO, SLOT), Duration::ZERO, "switched off");
    }

    #[test]
    fn t_c02_what_takes_less_than_a_slot_cannot_be_told_apart() {
        for chance in [0, 1, 77, 255] {
            let quick = release_after(Duration::from_micros(300), SLOT, chance);
            let slow = release_after(Duration::from_micros(9_800), SLOT, chance);
            assert_eq!(quick, slow);
        }
    }
}
