//! Blocking keys as a store may hold them: hashed with a secret, since in clear they are names and birth dates.

use crate::secret::Mac;
use causeway_identity::{Profile, blocking};

/// Members that a key without a date may lead to; such a request goes to a person anyway.
const CAP_OF_NAMES: usize = 40;
/// Keys that are looked up at once. A usual request has about twenty.
const LOOKED_UP: usize = 96;

/// A key to look up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Key {
    /// Its hash; never 0.
    pub hash: i64,
    /// The largest block that says anything.
    pub cap: usize,
}

/// Hashes blocking keys under the secret of a store.
#[derive(Clone, Debug)]
pub struct KeyHasher(Mac);

impl KeyHasher {
    /// A hasher with this secret.
    pub fn new(secret: &[u8; 32]) -> KeyHasher {
        KeyHasher(Mac::new(secret))
    }

    fn key(&self, text: &str) -> Key {
        let hash = i64::from_be_bytes(self.0.first_8(text.as_bytes()));
        Key {
            // 0 stands for no key in a look-up.
            hash: if hash == 0 { 1 } else { hash },
            cap: if text.starts_with("n:") {
                CAP_OF_NAMES
            } else {
                usize::MAX
            },
        }
    }

    /// Hashes under which a record is found, each once.
    pub fn of_record(&self, profile: &Profile) -> Vec<i64> {
        let mut hashes: Vec<i64> = blocking::of_record(profile)
            .iter()
            .map(|key| self.key(key).hash)
            .collect();
        hashes.sort_unstable();
        hashes.dedup();
        hashes
    }

    /// Keys to look up.
    pub fn keys(&self, keys: &[String]) -> Vec<Key> {
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
