//! Blocking keys in the form in which a store may hold them: hashed with a secret, because unhashed they contain names and birth dates.

use crate::secret::Mac;
use causeway_identity::{Profile, blocking};

/// Largest block of a key without a date that is used; a request that is found only by such a key goes to a reviewer anyway.
const CAP_OF_NAMES: usize = 40;
/// How many keys of a request are looked up at most. A usual request has about twenty.
const LOOKED_UP: usize = 96;

/// A key to look up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LookupKey {
    /// Its hash; never 0.
    pub hash: i64,
    /// A block larger than this is ignored.
    pub cap: usize,
}

/// Hashes blocking keys with the secret of a store.
#[derive(Clone, Debug)]
pub struct KeyHasher(Mac);

impl KeyHasher {
    /// A hasher with this secret.
    pub fn new(secret: &[u8; 32]) -> KeyHasher {
        KeyHasher(Mac::new(secret))
    }

    fn key(&self, text: &str) -> LookupKey {
        let hash = i64::from_be_bytes(self.0.first_8(text.as_bytes()));
        LookupKey {
            // In a look-up, 0 means that a slot has no key.
            hash: if hash == 0 { 1 } else { hash },
            cap: if text.starts_with("n:") {
                CAP_OF_NAMES
            } else {
                usize::MAX
            },
        }
    }

    /// Returns the hashes under which a record is found, without duplicates.
    pub fn of_record(&self, profile: &Profile) -> Vec<i64> {
        let mut hashes: Vec<i64> = blocking::of_record(profile)
            .iter()
            .map(|key| self.key(key).hash)
            .collect();
        hashes.sort_unstable();
        hashes.dedup();
        hashes
    }

    /// Returns the keys to look up, at most as many as are looked up.
    pub fn keys(&self, keys: &[String]) -> Vec<LookupKey> {
        keys.iter().take(LOOKED_UP).map(|key| self.key(key)).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use causeway_identity::{Person, PersonName};

    fn profile() -> Profile {
        Profile::from(&Person {
            names: vec![PersonName {
                given: vec!["Ana".into()],
                family: "Núñez".into(),
                suffix: String::new(),
            }],
            birth_date: "1984-07-09".into(),
            member_ids: vec!["M1905393".into()],
            ..Person::default()
        })
    }

    #[test]
    fn hashes_depend_on_the_secret_and_a_request_finds_its_record() {
        let (one, other) = (KeyHasher::new(&[1; 32]), KeyHasher::new(&[2; 32]));
        let record = one.of_record(&profile());
        assert!(record.len() >= 5 && record == one.of_record(&profile()));
        assert!(other.of_record(&profile()).iter().all(|hash| !record.contains(hash)));
        let asked = one.keys(&blocking::of_request(&profile()));
        assert!(asked.iter().any(|key| record.contains(&key.hash)));
        assert!(asked.iter().all(|key| key.hash != 0));
    }
}
