//! Identifiers we mint, and the grammar of those we accept.
//!
//! Pure: randomness comes in through [`Ids`], so tests can fix it.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

/// Where new identifiers come from. Clones share the source.
#[derive(Clone)]
pub struct Ids(Arc<dyn Fn(u64) -> uuid::Uuid + Send + Sync>);

impl Ids {
    /// Random identifiers (UUIDv7) that sort as they were made, those of one millisecond by a counter that begins at random
    /// (RFC 9562, section 6.2, method 1). A clock that goes back does not take them back.
    pub fn random() -> Self {
        let counter = Mutex::new(uuid::ContextV7::new());
        Ids(Arc::new(move |now_ms| {
            uuid::Uuid::new_v7(uuid::Timestamp::from_unix(
                &counter,
                now_ms / 1000,
                (now_ms % 1000) as u32 * 1_000_000,
            ))
        }))
    }

    /// Identifiers counted from 1, for tests whose answers are compared byte for byte.
    pub fn counted() -> Self {
        let next = AtomicU64::new(1);
        Ids(Arc::new(move |_| {
            uuid::Uuid::from_u128(u128::from(next.fetch_add(1, Ordering::Relaxed)))
        }))
    }

    /// A new identifier, in the UUID text form. `now_ms` is UTC milliseconds and orders identifiers by time.
    pub fn new_id(&self, now_ms: i64) -> String {
        (self.0)(u64::try_from(now_ms).unwrap_or(0)).hyphenated().to_string()
    }
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

#[cfg(test)]
mod tests {
    use super::*;

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
    fn random_ids_sort_as_they_were_made() {
        let ids = Ids::random();
        let mut made = vec![ids.new_id(1_000)];
        made.extend((0..1_000).map(|_| ids.new_id(2_000)));
        made.push(ids.new_id(1_999));
        assert!(made.is_sorted_by(|a, b| a < b));
    }
}
