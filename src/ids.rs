//! Identifiers we mint, and the grammar of those we accept.
//!
//! Pure: randomness comes in through [`Ids`], so tests can fix it.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

/// Milliseconds whose counters are remembered: requests that run side by side ask for ids of different ones in turn.
const RECENT_MS: usize = 64;
/// Bits of the counter of one millisecond.
const COUNTER_BITS: u32 = 42;

/// Where new identifiers come from. Clones share the source.
#[derive(Clone)]
pub struct Ids(Arc<dyn Fn(u64) -> uuid::Uuid + Send + Sync>);

impl Ids {
    /// Random identifiers (UUIDv7) of the instant they are asked for; those of one millisecond sort as they were made, by a counter
    /// that begins at random (RFC 9562, section 6.2, method 1).
    pub fn random() -> Self {
        let minting = Mutex::new(Minting {
            recent: [(u64::MAX, 0); RECENT_MS],
            spare: None,
        });
        Ids(Arc::new(move |now_ms| {
            let mut minting = minting.lock().unwrap_or_else(PoisonError::into_inner);
            let (counter, random) = (minting.counter(now_ms), minting.random());
            drop(minting);
            version_7(now_ms, counter, random)
        }))
    }

    /// Identifiers counted from 1, for tests whose answers are compared byte for byte.
    pub fn counted() -> Self {
        let next = AtomicU64::new(1);
        Ids(Arc::new(move |_| {
            uuid::Uuid::from_u128(u128::from(next.fetch_add(1, Ordering::Relaxed)))
        }))
    }

    /// Identifiers (UUIDv7) of a seed, for data that must come out the same each time. Those of one millisecond sort as they were made.
    /// They can be foreseen, so they are for synthetic data only.
    pub fn seeded(seed: u64) -> Self {
        let next = AtomicU64::new(0);
        Ids(Arc::new(move |now_ms| {
            let count = next.fetch_add(1, Ordering::Relaxed);
            version_7(now_ms, count, (mixed(seed, count) >> u32::BITS) as u32)
        }))
    }

    /// A new identifier, in the UUID text form. `now_ms` is UTC milliseconds and orders identifiers by time.
    pub fn new_id(&self, now_ms: i64) -> String {
        let id = (self.0)(u64::try_from(now_ms).unwrap_or(0));
        id.hyphenated()
            .encode_lower(&mut [0; uuid::fmt::Hyphenated::LENGTH])
            .to_owned()
    }
}

/// What the identifiers of one source share.
struct Minting {
    /// Milliseconds, each with its counter.
    recent: [(u64, u64); RECENT_MS],
    /// Random bits that were not used yet: asking for them costs more than all else.
    spare: Option<u32>,
}

impl Minting {
    fn counter(&mut self, now_ms: u64) -> u64 {
        let (ms, count) = &mut self.recent[now_ms as usize % RECENT_MS];
        if *ms == now_ms {
            *count += 1;
        } else {
            // Half of the counter's range stays free above where it begins.
            let begins = (uuid::Uuid::new_v4().as_u128() >> (u128::BITS + 1 - COUNTER_BITS)) as u64;
            (*ms, *count) = (now_ms, begins);
        }
        *count
    }

    fn random(&mut self) -> u32 {
        if let Some(spare) = self.spare.take() {
            return spare;
        }
        // All bits but those of version and variant, in the middle, are random.
        let bits = uuid::Uuid::new_v4().as_u128();
        self.spare = Some((bits >> 96) as u32);
        bits as u32
    }
}

/// The number at this place of the sequence of a seed (SplitMix64; Steele, Lea and Flood, 2014).
fn mixed(seed: u64, place: u64) -> u64 {
    let mut bits = seed.wrapping_add(place.wrapping_add(1).wrapping_mul(0x9e37_79b9_7f4a_7c15));
    bits = (bits ^ (bits >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    bits = (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    bits ^ (bits >> 31)
}

/// A UUIDv7 of this millisecond, with the counter in the first bits after it, and these random bits at its end.
fn version_7(now_ms: u64, counter: u64, random: u32) -> uuid::Uuid {
    let payload = (u128::from(counter) << u32::BITS) | u128::from(random);
    // Twelve bits are before the variant, the others after it.
    let [.., high, low] = (payload >> 62).to_be_bytes();
    let mut bytes = [high, low, 0, 0, 0, 0, 0, 0, 0, 0];
    bytes[2..].copy_from_slice(&(payload as u64).to_be_bytes());
    uuid::Builder::from_unix_timestamp_millis(now_ms, &bytes).into_uuid()
}

/// What sorts before every identifier of this instant (UTC milliseconds) and of later ones, and after those of earlier ones.
pub fn before_all_of(at_ms: i64) -> String {
    let at_ms = u64::try_from(at_ms).unwrap_or(0);
    format!("{:08x}-{:04x}", at_ms >> 16, at_ms & 0xffff)
}

/// The instant at which an identifier of ours was made, UTC milliseconds; `None` for what is none.
pub fn made_ms(id: &str) -> Option<i64> {
    let (high, rest) = id.split_once('-')?;
    let low = rest.get(..4)?;
    let is_hex = |text: &str| text.bytes().all(|b| b.is_ascii_hexdigit());
    if high.len() != 8 || !is_hex(high) || !is_hex(low) {
        return None;
    }
    let (high, low) = (i64::from_str_radix(high, 16).ok()?, i64::from_str_radix(low, 16).ok()?);
    Some((high << 16) | low)
}

/// Whether `text` is a FHIR id: 1 to 64 of `A-Z a-z 0-9 - .`, and not `.` or `..` (FHIR R4 datatypes, `id`).
pub fn is_fhir_id(text: &str) -> bool {
    (1..=64).contains(&text.len())
        && text
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'.')
        && text != "."
        && text != ".."
}

/// Whether `text` may be taken over as a correlation id: 1 to 128 visible, unambiguous ASCII characters.
pub fn is_correlation_id(text: &str) -> bool {
    (1..=128).contains(&text.len())
        && text
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || b"-._~:/+=@".contains(&b))
}

/// Whether a text says something, and shows as one line wherever it is printed: no control characters, no other line ends, nothing
/// that turns the direction of what follows or cannot be seen.
pub fn is_one_line(text: &str) -> bool {
    let hides = |c: char| {
        c.is_control()
            || matches!(c, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}' | '\u{fff9}'..='\u{fffb}')
    };
    !text.trim().is_empty() && !text.chars().any(hides)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_for_people_holds_nothing_that_hides_or_turns_what_follows() {
        for good in ["x", " a reason, <b>&\"quoted\"", "por escrito, señora Ñúñez", "手紙"] {
            assert!(is_one_line(good), "{good}");
        }
        for bad in [
            "",
            "  ",
            "a\nb",
            "a\rb",
            "\u{1b}[31m",
            "a\u{85}b",
            "a\u{2028}b",
            "a\u{202e}b",
            "\u{2066}a",
            "a\u{200b}",
            "\u{feff}a",
        ] {
            assert!(!is_one_line(bad), "{bad:?}");
        }
    }

    #[test]
    fn fhir_ids_follow_the_grammar() {
        for good in ["a", "A-1.b", &"x".repeat(64)] {
            assert!(is_fhir_id(good), "{good}");
        }
        for bad in ["", ".", "..", "a/b", "a b", "ä", "%2e", &"x".repeat(65), "a\0"] {
            assert!(!is_fhir_id(bad), "{bad}");
        }
    }

    #[test]
    fn an_id_has_its_time_its_counter_and_random_bits() {
        let (at_ms, counter, random) = (0x0123_4567_89ab, (1 << COUNTER_BITS) - 2, 0xdead_beef);
        let id = version_7(at_ms, counter, random);
        assert_eq!(id.to_string(), "01234567-89ab-7fff-bfff-fffedeadbeef");
        let other = uuid::Uuid::new_v7(uuid::Timestamp::from_unix_time(
            at_ms / 1000,
            (at_ms % 1000) as u32 * 1_000_000,
            u128::from(counter),
            COUNTER_BITS as u8,
        ));
        assert_eq!(id.as_u128() >> 32, other.as_u128() >> 32);
        let ids = Ids::random();
        assert_ne!(ids.new_id(5)[28..], ids.new_id(5)[28..]);
    }

    #[test]
    fn an_id_says_when_it_was_made() {
        let ids = Ids::random();
        for at_ms in [1, 70_000, 1_800_000_000_000] {
            assert_eq!(made_ms(&ids.new_id(at_ms)), Some(at_ms));
            assert_eq!(made_ms(&before_all_of(at_ms)), Some(at_ms));
        }
        for none in ["", "x", "0000-", "00000000-00", "0000000g-0000", "partner-one"] {
            assert_eq!(made_ms(none), None, "{none}");
        }
    }

    #[test]
    fn random_ids_sort_as_they_were_made() {
        let ids = Ids::random();
        let mut made = vec![ids.new_id(1_000)];
        made.extend((0..1_000).map(|_| ids.new_id(2_000)));
        let earlier = ids.new_id(1_999);
        made.push(ids.new_id(2_000));
        assert!(
            made[0] < earlier && earlier < made[1],
            "an instant is the one that was asked for"
        );
        made.push(ids.new_id(2_001));
        assert!(made.is_sorted_by(|a, b| a < b));
    }

    #[test]
    fn ids_of_a_seed_come_out_the_same_and_sort_as_they_were_made() {
        let made = |seed| {
            let ids = Ids::seeded(seed);
            (0..500).map(|at| ids.new_id(1_000 + at / 100)).collect::<Vec<_>>()
        };
        assert_eq!(made(7), made(7));
        assert_ne!(made(7), made(8));
        assert!(made(7).is_sorted_by(|a, b| a < b));
    }
}
